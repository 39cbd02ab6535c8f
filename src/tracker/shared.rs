//! State shared by a tracker, its handles and its background tasks.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::health::{Health, HealthState, Task};
use super::in_flight::{Entry, InFlight, lock};
use super::on_settled::SettledQueue;
use super::options::TrackerOptions;
use super::outbox::{Outbox, Place, Tally};
use super::ownership::{Ownership, OwnershipState};
use super::recovery::Recovery;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{Action, ActionUid, Done, OwnerRef, Rejection};
use crate::store::ActionStore;

/// Time for which the caller of a start with an unknown outcome may repeat the call and get the
/// action. Afterwards the action is interrupted.
const GRACE: Duration = Duration::from_secs(5);

/// State shared by handles and tasks. The tasks hold this and not [`Core`](super::core::Core), so
/// that the core is dropped when no tracker and no handle is left.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<dyn ActionStore>,
    pub(super) owner: OwnerRef,
    pub(super) options: TrackerOptions,
    pub(super) wake: Notify,
    ownership: OwnershipState,
    pub(super) outbox: Outbox,
    /// The actions with a handle in this process.
    pub(super) works: Mutex<HashMap<ActionUid, Weak<InFlight>>>,
    /// Notified when the last handle is gone.
    pub(super) no_works: Notify,
    /// Counts the actions that were queued here since the last poll that found none queued.
    queued: AtomicU64,
    /// Prepared actions that the host may still commit.
    pub(super) prepared: Arc<Tally>,
    /// Calls that are beginning or queueing an action.
    pub(super) beginning: Arc<Tally>,
    pub(super) draining: AtomicBool,
    /// Settled actions that the host is to be told of.
    pub(super) settled: SettledQueue,
    /// Notified when there is a reason to poll for cancel requests.
    has_work: Notify,
    /// Notified for each new handle, because an earlier poll may have skipped its cancel request.
    taken_on: Notify,
    health: Mutex<HealthState>,
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn ActionStore>,
        owner: OwnerRef,
        options: TrackerOptions,
        claimed: Instant,
    ) -> Shared {
        Shared {
            store,
            owner,
            options,
            wake: Notify::new(),
            ownership: OwnershipState::default(),
            outbox: Outbox::default(),
            works: Mutex::default(),
            no_works: Notify::new(),
            queued: AtomicU64::new(0),
            prepared: Arc::default(),
            beginning: Arc::default(),
            draining: AtomicBool::new(false),
            settled: SettledQueue::default(),
            has_work: Notify::new(),
            taken_on: Notify::new(),
            health: Mutex::new(HealthState::new(claimed)),
        }
    }

    /// Registers an action that has a handle.
    pub(super) fn register(&self, open: &Arc<InFlight>) {
        lock(&self.works).insert(open.uid, Arc::downgrade(open));
        self.has_work.notify_waiters();
        self.taken_on.notify_one();
    }

    /// Waits until another handle is registered.
    pub(super) async fn taken_on(&self) {
        self.taken_on.notified().await;
    }

    /// Removes an action that has no handle any more.
    pub(super) fn retire(&self, uid: ActionUid) {
        let mut works = lock(&self.works);
        works.remove(&uid);
        if works.is_empty() {
            self.no_works.notify_waiters();
        }
    }

    /// Records that this owner has queued actions, which have no handle.
    pub(super) fn has_queued(&self) {
        if self.queued.fetch_add(1, Ordering::AcqRel) == 0 {
            self.has_work.notify_waiters();
        }
    }

    /// Returns the number to pass to [`none_queued`](Shared::none_queued), if only queued actions
    /// are left and a poll can show that there are none.
    pub(super) fn maybe_none_queued(&self) -> Option<u64> {
        let queued = self.queued.load(Ordering::Acquire);
        let only = self.beginning.count() + self.prepared.count() == 0 && queued > 0;
        (only && lock(&self.works).is_empty()).then_some(queued)
    }

    /// Records that a poll found no queued action, unless some were queued since `before`.
    pub(super) fn none_queued(&self, before: u64) {
        let order = Ordering::AcqRel;
        let _ = (self.queued).compare_exchange(before, 0, order, Ordering::Acquire);
    }

    /// Tells the host that an action was settled.
    pub(super) fn tell_settled(&self, uid: ActionUid) {
        if self.options.on_settled.is_some() {
            self.settled.push(uid);
        }
    }

    /// Waits until there is an action that could be cancelled.
    pub(super) async fn has_work(&self) {
        loop {
            // Subscribe before the check, so that no notification is missed.
            let rung = self.has_work.notified();
            if self.queued.load(Ordering::Acquire) > 0 || !lock(&self.works).is_empty() {
                return;
            }
            rung.await;
        }
    }

    /// Passes a cancel request to the handle of the action, if there is one.
    pub(super) fn tell_cancel(&self, action: &Action) {
        let open = lock(&self.works).get(&action.uid).and_then(Weak::upgrade);
        if let Some(open) = open {
            open.tell_cancel(action.cancel.as_ref());
        }
    }

    /// Waits until the owner is no longer alive, or may not be.
    pub(super) async fn ownership_lost(&self) {
        let changed = self.ownership.not_held();
        if self.is_owner() {
            changed.await;
        }
    }

    /// Records a successful renewal with the time it was sent.
    pub(super) fn renewed(&self, sent: Instant) {
        let mut health = lock(&self.health);
        health.renewed = sent;
        health.note(Task::Renew, None);
        drop(health);
        self.set_ownership(Ownership::Held);
    }

    /// Returns the time at which the last successful renewal was sent.
    pub(super) fn last_renewal(&self) -> Instant {
        lock(&self.health).renewed
    }

    /// Returns true if the owner has renewed in time and was not fenced. Also checks the clock:
    /// after a suspended process resumes, work may run before the renewal task does.
    pub(super) fn is_owner(&self) -> bool {
        self.ownership() == Ownership::Held && self.last_renewal().elapsed() < self.options.trust()
    }

    /// Records the result of one try of a background task.
    pub(super) fn note_task(&self, task: Task, failure: Option<StoreError>) {
        lock(&self.health).note(task, failure);
    }

    /// Records the totals of the sweeps so far.
    pub(super) fn set_swept(&self, swept: Recovery) {
        let mut health = lock(&self.health);
        health.note(Task::Sweep, swept.unread.clone());
        health.swept = Arc::new(swept);
    }

    pub(super) fn health(&self) -> Health {
        let (waiting_ends, waiting_bytes) = self.outbox.ends();
        let (in_work, waiting_progress) = {
            let works = lock(&self.works);
            let opens = works.values().filter_map(Weak::upgrade);
            let waiting = opens.filter(|open| open.unrecorded().is_some());
            (works.len(), waiting.count())
        };
        let is_owner = self.is_owner();
        let (waiting_settled, failed_settled) = self.settled.counts();
        let mut health = Health {
            is_owner,
            is_draining: self.is_draining(),
            waiting_settled,
            failed_settled,
            is_fenced: self.ownership() == Ownership::Lost,
            is_closed: matches!(self.ownership(), Ownership::StoreClosed | Ownership::Ended),
            since_renewal: Duration::ZERO,
            lease: self.options.lease,
            in_work,
            waiting_progress,
            waiting_ends,
            waiting_bytes,
            finishing: self.outbox.in_flight(),
            given_up: 0,
            given_up_error: None,
            failure: None,
            renewing: None,
            writing: None,
            sweeping: None,
            listening: None,
            swept: Arc::default(),
        };
        lock(&self.health).fill(&mut health);
        health
    }

    pub(super) fn ownership(&self) -> Ownership {
        self.ownership.get()
    }

    /// Changes the state of the ownership. A final state stays.
    pub(super) fn set_ownership(&self, to: Ownership) {
        self.ownership.set(to);
    }

    /// Records what a refusal says about the owner.
    pub(super) fn note(&self, refused: &Rejection) {
        if let Rejection::Fenced { owner, .. } = refused
            && *owner == self.owner
        {
            self.set_ownership(Ownership::Lost);
        }
    }

    /// Adds progress to the outbox, once.
    pub(super) fn put_progress(&self, open: &Arc<InFlight>) {
        if self.outbox.put_progress(open) {
            self.wake.notify_one();
        }
    }

    /// Adds an end to the outbox. It is retried until the store takes it. Needs no runtime.
    pub(super) fn put_end(&self, entry: Entry) {
        if self.outbox.put_end(entry, &self.owner) {
            self.wake.notify_one();
        } else {
            self.give_up_late();
        }
    }

    /// Records an end that came while the tracker was ending. Its final walk or the next start
    /// settles the action.
    fn give_up_late(&self) {
        let message = "the tracker ended before the end of an action was written";
        self.give_up(1, StoreError::new(StoreErrorKind::Closed, "write", message));
    }

    /// Keeps a start or adoption with an unknown outcome for a while, so that a repeat of the call
    /// gets the action. Then it is sent again and the action interrupted.
    pub(super) fn put_doubtful(self: &Arc<Shared>, entry: Entry, runtime: &Handle) {
        let (uid, due) = (entry.uid, Instant::now() + GRACE);
        if !self.outbox.put_doubtful(entry, due, &self.owner) {
            return self.give_up_late();
        }
        // The tracker may end before: it writes all entries then.
        let shared = Arc::downgrade(self);
        runtime.spawn(async move {
            sleep_until(due).await;
            if let Some(shared) = shared.upgrade()
                && shared.outbox.release_doubtful(uid, Instant::now())
            {
                shared.wake.notify_one();
            }
        });
    }

    /// Takes back the starts and adoptions of an action that have an unknown outcome.
    pub(super) fn take_doubtful(&self, uid: ActionUid) -> Vec<Entry> {
        self.outbox.take_doubtful(uid)
    }

    /// Counts an end that is being written for a caller, until the result is dropped.
    pub(super) fn finishing(&self) -> Place {
        self.outbox.finishing()
    }

    /// Records ends that will not be written.
    pub(super) fn give_up(&self, ends: usize, error: StoreError) {
        lock(&self.health).give_up(ends, error);
    }

    /// Takes all waiting entries.
    pub(super) fn take_board(&self) -> VecDeque<Entry> {
        self.outbox.take(false)
    }

    /// Takes all waiting entries and closes the outbox.
    pub(super) fn close_board(&self) -> VecDeque<Entry> {
        self.outbox.take(true)
    }

    /// Puts back the entries that the store did not take.
    pub(super) fn put_back(&self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            match &entry.open {
                Some(open) if !entry.ends() => self.put_progress(open),
                _ => self.put_end(entry),
            }
        }
    }

    /// Records the answer to an entry, and queues the entries that follow from it.
    pub(super) fn settled(
        &self,
        entry: &Entry,
        answer: Option<Result<Done, Rejection>>,
    ) -> Result<Arc<Action>, Error> {
        let refused = match answer {
            Some(Ok(Done {
                action: Some(action),
                ..
            })) => {
                if let Some(open) = &entry.open {
                    open.seen(&action);
                }
                for next in entry.then() {
                    self.put_end(next);
                }
                return Ok(action);
            }
            Some(Err(refused)) => refused,
            _ => {
                let message = "the store did not answer the command";
                return Err(StoreError::new(StoreErrorKind::Corrupt, "write", message).into());
            }
        };
        self.note(&refused);
        if let Some(instead) = entry.instead(&refused) {
            self.put_end(instead);
        }
        Err(refused.into())
    }

    /// Tells the background writer to finish.
    pub(super) fn close(&self) {
        self.outbox.close();
        self.wake.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.outbox.is_closing()
    }
}
