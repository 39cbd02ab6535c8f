//! Holds the progress and the ends that wait for the background writer. Bounds the memory of their
//! details, also while they are being written.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::in_flight::{Entry, InFlight, lock};
use crate::model::{ActionUid, Key, OwnerRef};

/// Memory limit for waiting ends. Above it, further ends leave out their details (result, warnings,
/// long error texts). No end is dropped, because its action would stay executing under a live
/// owner. A reduced end takes a few hundred bytes, less than the handle it came from.
const MOST_END_BYTES: usize = 16 * 1024 * 1024;

/// Number of entries and the memory they use.
#[derive(Debug, Default)]
pub(super) struct Tally {
    count: AtomicUsize,
    bytes: AtomicUsize,
    taken: AtomicU64,
    /// Notified when the count becomes 0.
    empty: Notify,
}

impl Tally {
    /// `SeqCst`, as in [`Place::take`]: a drain first says that it refuses calls, and then reads
    /// this. A call first counts itself, and then reads if it is refused. With a weaker order
    /// neither might see the other: the call would begin an action after the drain has ended.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Returns how many entries were ever counted.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    /// Waits until the count is 0.
    pub(super) async fn idle(&self) {
        loop {
            // Subscribe before the check, so that no notification is missed.
            let empty = self.empty.notified();
            if self.count() == 0 {
                return;
            }
            empty.await;
        }
    }
}

/// Counts one entry until it is dropped. An entry counts while it is being written too, because it
/// still uses memory.
#[derive(Debug)]
pub(super) struct Place {
    tally: Arc<Tally>,
    bytes: usize,
}

impl Place {
    pub(super) fn take(tally: &Arc<Tally>, bytes: usize) -> Place {
        // `SeqCst`: see `Tally::count`.
        tally.count.fetch_add(1, Ordering::SeqCst);
        tally.taken.fetch_add(1, Ordering::SeqCst);
        tally.bytes.fetch_add(bytes, Ordering::AcqRel);
        let tally = tally.clone();
        Place { tally, bytes }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tally.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if self.tally.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tally.empty.notify_waiters();
        }
    }
}

/// State of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    InFlight,
    /// The background writer is about to take the last entries.
    Closing,
    /// The background writer has taken the last entries.
    Closed,
}

#[derive(Debug, Default)]
struct Waiting {
    /// At most one entry per action, so it is never longer than the number of actions.
    progress: Vec<Arc<InFlight>>,
    ends: VecDeque<Entry>,
    /// Starts and adoptions with an unknown outcome, by action, each with the time at which it
    /// joins `ends`. Until then a repeat of the call may take it back.
    doubtful: HashMap<ActionUid, Vec<(Instant, Entry)>>,
    stage: Stage,
}

/// Progress and ends that wait to be written in the background.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Ends that wait or are being written in the background.
    ends: Arc<Tally>,
    /// Ends that are being written for a caller.
    finishing: Arc<Tally>,
}

impl Outbox {
    /// Adds the action to those with progress to write. Returns true if it was added, false if it
    /// was there already, is over, or the outbox is closed.
    pub(super) fn put_progress(&self, open: &Arc<InFlight>) -> bool {
        if open.is_over() || open.waiting.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut waiting = lock(&self.waiting);
        let served = waiting.stage != Stage::Closed;
        if served {
            waiting.progress.push(open.clone());
        }
        served
    }

    /// Adds an end. Returns false if the outbox is closed. An end that is counted already stays
    /// counted once.
    pub(super) fn put_end(&self, mut entry: Entry, owner: &OwnerRef) -> bool {
        let mut bytes = entry.bytes(owner);
        let mut waiting = lock(&self.waiting);
        if waiting.stage == Stage::Closed {
            return false;
        }
        if entry.place.is_none() {
            // Checked under the lock, so that two ends cannot take the same free memory.
            let (_, taken) = self.ends();
            if taken + bytes > MOST_END_BYTES {
                entry.reduce();
                bytes = entry.bytes(owner);
            }
            entry.place = Some(Place::take(&self.ends, bytes));
        }
        waiting.ends.push_back(entry);
        true
    }

    /// Keeps a start or adoption with an unknown outcome until `due`. Returns false if the outbox is
    /// closed.
    pub(super) fn put_doubtful(&self, mut entry: Entry, due: Instant, owner: &OwnerRef) -> bool {
        let bytes = entry.bytes(owner);
        let mut waiting = lock(&self.waiting);
        if waiting.stage == Stage::Closed {
            return false;
        }
        let place = Place::take(&self.ends, bytes);
        entry.place.get_or_insert(place);
        let of_action = waiting.doubtful.entry(entry.uid).or_default();
        of_action.push((due, entry));
        true
    }

    /// Returns true if a start or adoption of the action has an unknown outcome. The caller may know
    /// the action by its idempotency key alone.
    pub(super) fn has_doubtful(&self, uid: ActionUid, key: Option<&Key>) -> bool {
        let waiting = lock(&self.waiting);
        let mut all = waiting.doubtful.values().flatten();
        waiting.doubtful.contains_key(&uid)
            || (key.is_some() && all.any(|(_, entry)| entry.key() == key))
    }

    /// Takes back the starts and adoptions of an action that have an unknown outcome.
    pub(super) fn take_doubtful(&self, uid: ActionUid) -> Vec<Entry> {
        let taken = lock(&self.waiting).doubtful.remove(&uid);
        let taken = taken.unwrap_or_default().into_iter();
        taken.map(|(_, entry)| entry).collect()
    }

    /// Moves the entries of an action that are due to those that are written. Returns true if there
    /// were any.
    pub(super) fn release_doubtful(&self, uid: ActionUid, now: Instant) -> bool {
        let mut waiting = lock(&self.waiting);
        let kept = waiting.doubtful.remove(&uid).unwrap_or_default();
        let (due, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|(due, _)| *due <= now);
        let any = !due.is_empty();
        waiting.ends.extend(due.into_iter().map(|(_, entry)| entry));
        if !kept.is_empty() {
            waiting.doubtful.insert(uid, kept);
        }
        any
    }

    /// Waits until no end waits or is being written.
    pub(super) async fn idle(&self) {
        while self.ends.count() + self.finishing.count() > 0 {
            self.finishing.idle().await;
            self.ends.idle().await;
        }
    }

    /// Counts an end that is being written for a caller, until the result is dropped.
    pub(super) fn finishing(&self) -> Place {
        Place::take(&self.finishing, 0)
    }

    /// Takes all waiting entries. With `last`, closes the outbox.
    pub(super) fn take(&self, last: bool) -> VecDeque<Entry> {
        let mut waiting = lock(&self.waiting);
        if last {
            waiting.stage = Stage::Closed;
        }
        let mut entries = std::mem::take(&mut waiting.ends);
        if waiting.stage != Stage::InFlight {
            let doubtful = std::mem::take(&mut waiting.doubtful)
                .into_values()
                .flatten();
            entries.extend(doubtful.map(|(_, entry)| entry));
        }
        let progress = std::mem::take(&mut waiting.progress);
        drop(waiting);
        for open in progress {
            // Cleared before the progress is read, so that a later report adds the action again.
            open.waiting.store(false, Ordering::Release);
            if open.unrecorded().is_some() && !open.is_over() {
                entries.push_back(Entry::progress(open));
            }
        }
        entries
    }

    /// Tells the background writer to finish.
    pub(super) fn close(&self) {
        let mut waiting = lock(&self.waiting);
        if waiting.stage == Stage::InFlight {
            waiting.stage = Stage::Closing;
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        lock(&self.waiting).stage != Stage::InFlight
    }

    /// Returns the number of waiting ends and the memory they use.
    pub(super) fn ends(&self) -> (usize, usize) {
        let count = self.ends.count();
        (count, self.ends.bytes.load(Ordering::Acquire))
    }

    /// Returns the number of ends that are being written for callers.
    pub(super) fn in_flight(&self) -> usize {
        self.finishing.count()
    }
}
