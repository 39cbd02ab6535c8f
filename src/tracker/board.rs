//! Holds what waits to be written. Its details are bounded, also while they are being written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::open::{Entry, Open, lock};
use crate::model::OwnerRef;

/// Most memory that waiting ends may take before further ones leave out their details (result,
/// warnings, long error texts). No end is left out: its action would go on executing under a living
/// owner. A reduced end takes a few hundred bytes, less than the handle it came from.
const MOST_END_BYTES: usize = 16 * 1024 * 1024;

/// Places counted, with the memory of what stands in them.
#[derive(Debug, Default)]
struct Tally {
    count: AtomicUsize,
    bytes: AtomicUsize,
}

/// A place on the board. Whatever becomes of what stands in it, the place is free once that is
/// gone, and not before: what is being written still takes its memory.
#[derive(Debug)]
pub(super) struct Place {
    tally: Arc<Tally>,
    bytes: usize,
}

impl Place {
    fn take(tally: &Arc<Tally>, bytes: usize) -> Place {
        tally.count.fetch_add(1, Ordering::AcqRel);
        tally.bytes.fetch_add(bytes, Ordering::AcqRel);
        let tally = tally.clone();
        Place { tally, bytes }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tally.count.fetch_sub(1, Ordering::AcqRel);
        self.tally.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Whether the board is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Open,
    /// The keeper is about to take what is there for the last time.
    Closing,
    /// It has.
    Closed,
}

#[derive(Debug, Default)]
struct Waiting {
    /// One place for each action at most, so it cannot outgrow them.
    progress: Vec<Arc<Open>>,
    ends: VecDeque<Entry>,
    stage: Stage,
}

/// What waits to be written in the background.
#[derive(Debug, Default)]
pub(super) struct Board {
    waiting: Mutex<Waiting>,
    /// The ends that wait, those that are just being written in the background included.
    ends: Arc<Tally>,
    /// The ends that are being written for a caller.
    finishing: Arc<Tally>,
}

impl Board {
    /// Puts progress on the board, once; says whether there is something new to do.
    pub(super) fn put_progress(&self, open: &Arc<Open>) -> bool {
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

    /// Puts an end on the board; false if the board is closed. An end that has a place already keeps
    /// it.
    pub(super) fn put_end(&self, mut entry: Entry, owner: &OwnerRef) -> bool {
        let mut bytes = entry.bytes(owner);
        let mut waiting = lock(&self.waiting);
        if waiting.stage == Stage::Closed {
            return false;
        }
        if entry.place.is_none() {
            // Under the lock, so that two do not take the last room.
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

    /// Counts an end that is being written for a caller, as long as this is held.
    pub(super) fn finishing(&self) -> Place {
        Place::take(&self.finishing, 0)
    }

    /// All that waits; `last` if nothing will be taken after it.
    pub(super) fn take(&self, last: bool) -> VecDeque<Entry> {
        let mut waiting = lock(&self.waiting);
        if last {
            waiting.stage = Stage::Closed;
        }
        let mut entries = std::mem::take(&mut waiting.ends);
        let progress = std::mem::take(&mut waiting.progress);
        drop(waiting);
        for open in progress {
            // Before the progress is read: whoever reports from here on comes back to the board.
            open.waiting.store(false, Ordering::Release);
            if open.unrecorded().is_some() && !open.is_over() {
                entries.push_back(Entry::progress(open));
            }
        }
        entries
    }

    /// Lets the keeper come to its end.
    pub(super) fn close(&self) {
        let mut waiting = lock(&self.waiting);
        if waiting.stage == Stage::Open {
            waiting.stage = Stage::Closing;
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        lock(&self.waiting).stage != Stage::Open
    }

    /// How many ends wait, and the memory they take.
    pub(super) fn ends(&self) -> (usize, usize) {
        let count = self.ends.count.load(Ordering::Acquire);
        (count, self.ends.bytes.load(Ordering::Acquire))
    }

    /// How many ends are being written for callers.
    pub(super) fn in_flight(&self) -> usize {
        self.finishing.count.load(Ordering::Acquire)
    }
}
