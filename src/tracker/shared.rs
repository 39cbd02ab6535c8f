//! What a tracker, its handles and its keeper have in common.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::board::{Board, Place};
use super::health::{Health, HealthState, Task};
use super::open::{Entry, Open, lock};
use super::options::TrackerOptions;
use super::recovery::Recovery;
use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{Action, ActionUid, Done, Outcome, OwnerEnd, OwnerRef, Refused};
use crate::store::ActionStore;
use crate::watch::Watcher;

/// How an owner stands, as far as it knows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// It has renewed in time.
    Held,
    /// It has not; the store may say otherwise once it can be asked.
    Doubtful,
    /// The store has said that it is not alive.
    Lost,
    /// The store is closed: nobody has said anything about the owner, and nobody will.
    StoreClosed,
    /// The tracker has ended: it renews no more.
    Ended,
}

impl Ownership {
    /// Whether nothing follows.
    pub(super) fn is_final(self) -> bool {
        !matches!(self, Ownership::Held | Ownership::Doubtful)
    }
}

/// What handles and tasks share. The tasks hold this and not [`Core`], so that they see when
/// nobody else is left.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<dyn ActionStore>,
    pub(super) owner: OwnerRef,
    pub(super) options: TrackerOptions,
    pub(super) wake: Notify,
    ownership: watch::Sender<Ownership>,
    board: Board,
    /// The actions that have a handle here.
    works: Mutex<HashMap<ActionUid, Weak<Open>>>,
    /// Whether anything was ever queued in this owner's name.
    queued: AtomicBool,
    /// Rung when there is a reason to listen for cancel requests.
    has_work: Notify,
    /// Rung for each action taken on: whoever looked before may have missed its cancel request.
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
            ownership: watch::Sender::new(Ownership::Held),
            board: Board::default(),
            works: Mutex::default(),
            queued: AtomicBool::new(false),
            has_work: Notify::new(),
            taken_on: Notify::new(),
            health: Mutex::new(HealthState::new(claimed)),
        }
    }

    /// Takes an action in work on.
    pub(super) fn register(&self, open: &Arc<Open>) {
        lock(&self.works).insert(open.uid, Arc::downgrade(open));
        self.has_work.notify_waiters();
        self.taken_on.notify_one();
    }

    /// Waits until another action has been taken on.
    pub(super) async fn taken_on(&self) {
        self.taken_on.notified().await;
    }

    /// Nobody works on it any more.
    pub(super) fn retire(&self, uid: ActionUid) {
        lock(&self.works).remove(&uid);
    }

    /// Something waits in this owner's name without anybody who works on it.
    pub(super) fn has_queued(&self) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.has_work.notify_waiters();
        }
    }

    /// Waits until there is something somebody could want to cancel.
    pub(super) async fn has_work(&self) {
        loop {
            // Hears of what comes from here on, before it is looked at.
            let rung = self.has_work.notified();
            if self.queued.load(Ordering::Acquire) || !lock(&self.works).is_empty() {
                return;
            }
            rung.await;
        }
    }

    /// Passes a cancel request on to whoever works on the action.
    pub(super) fn tell_cancel(&self, action: &Action) {
        let open = lock(&self.works).get(&action.uid).and_then(Weak::upgrade);
        if let Some(open) = open {
            open.tell_cancel(action.cancel.as_ref());
        }
    }

    /// Waits until the owner is, or may be, no longer alive.
    pub(super) async fn ownership_lost(&self) {
        let mut ownership = self.ownership.subscribe();
        if self.is_owner() {
            let _ = ownership.wait_for(|o| *o != Ownership::Held).await;
        }
    }

    /// Takes note of a renewal that succeeded, sent at a point in time.
    pub(super) fn renewed(&self, sent: Instant) {
        let mut health = lock(&self.health);
        health.renewed = sent;
        health.note(Task::Renew, None);
        drop(health);
        self.set_ownership(Ownership::Held);
    }

    /// When the last renewal that succeeded was sent.
    pub(super) fn last_renewal(&self) -> Instant {
        lock(&self.health).renewed
    }

    /// Whether it has renewed in time and nobody has denied it. By the clock: in a process that was
    /// stopped, work may go on before the renewer does.
    pub(super) fn is_owner(&self) -> bool {
        self.ownership() == Ownership::Held && self.last_renewal().elapsed() < self.options.trust()
    }

    /// Takes note of how a try of a background task went.
    pub(super) fn note_task(&self, task: Task, failure: Option<StoreError>) {
        lock(&self.health).note(task, failure);
    }

    /// Takes note of what the sweeps have come to by now.
    pub(super) fn set_swept(&self, swept: Recovery) {
        let mut health = lock(&self.health);
        health.note(Task::Sweep, swept.unread.clone());
        health.swept = Arc::new(swept);
    }

    pub(super) fn health(&self) -> Health {
        let (waiting_ends, waiting_bytes) = self.board.ends();
        let (in_work, waiting_progress) = {
            let works = lock(&self.works);
            let opens = works.values().filter_map(Weak::upgrade);
            let waiting = opens.filter(|open| open.unrecorded().is_some());
            (works.len(), waiting.count())
        };
        let is_owner = self.is_owner();
        let mut health = Health {
            is_owner,
            is_fenced: self.ownership() == Ownership::Lost,
            is_closed: matches!(self.ownership(), Ownership::StoreClosed | Ownership::Ended),
            since_renewal: Duration::ZERO,
            lease: self.options.lease,
            in_work,
            waiting_progress,
            waiting_ends,
            waiting_bytes,
            finishing: self.board.in_flight(),
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
        *self.ownership.borrow()
    }

    /// Moves on to another ownership; what has come to an end does not come back.
    pub(super) fn set_ownership(&self, to: Ownership) {
        self.ownership.send_if_modified(|ownership| {
            let moves = !ownership.is_final() && *ownership != to;
            if moves {
                *ownership = to;
            }
            moves
        });
    }

    /// Takes note of what a refusal says about the owner.
    pub(super) fn note(&self, refused: &Refused) {
        if let Refused::Fenced { owner, .. } = refused
            && *owner == self.owner
        {
            self.set_ownership(Ownership::Lost);
        }
    }

    /// Says that the tracker was shut down, where the store says that the owner has released its
    /// name. The refusal stays as the source.
    pub(super) fn explained(&self, operation: &'static str, error: Error) -> Error {
        match error {
            Error::Refused(refused) if self.is_shut_down_by(&refused) => {
                shut_down(operation).with_source(refused).into()
            }
            error => error,
        }
    }

    fn is_shut_down_by(&self, refused: &Refused) -> bool {
        self.ownership() == Ownership::Ended
            && match refused {
                // Once the name is forgotten, the store cannot say how its owner ended.
                Refused::Fenced { owner, end, .. } => {
                    *owner == self.owner && *end != OwnerEnd::Fenced
                }
                // The shutdown has ended the action and not released the name yet.
                Refused::Conflict { current, .. } => {
                    let its_owner = current.owner.as_ref() == Some(&self.owner);
                    its_owner && current.outcome == Some(Outcome::Interrupted)
                }
                _ => false,
            }
    }

    /// Puts progress on the board, once.
    pub(super) fn put_progress(&self, open: &Arc<Open>) {
        if self.board.put_progress(open) {
            self.wake.notify_one();
        }
    }

    /// Puts an end on the board, to be tried until the store takes it. Works without a runtime.
    pub(super) fn put_end(&self, entry: Entry) {
        if self.board.put_end(entry, &self.owner) {
            self.wake.notify_one();
        } else {
            // The tracker is ending: the walk at its end settles the action, or the next start.
            let message = "the tracker had ended before the end of an action could be written";
            self.give_up(1, StoreError::new(ErrorKind::Closed, "write", message));
        }
    }

    /// Counts an end that is being written for a caller, as long as this is held.
    pub(super) fn finishing(&self) -> Place {
        self.board.finishing()
    }

    /// Takes note of ends that will not be written.
    pub(super) fn give_up(&self, ends: usize, error: StoreError) {
        lock(&self.health).give_up(ends, error);
    }

    /// All that waits.
    pub(super) fn take_board(&self) -> VecDeque<Entry> {
        self.board.take(false)
    }

    /// All that waits, for the last time.
    pub(super) fn close_board(&self) -> VecDeque<Entry> {
        self.board.take(true)
    }

    /// Puts back what the store did not take.
    pub(super) fn put_back(&self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            match &entry.open {
                Some(open) if !entry.ends() => self.put_progress(open),
                _ => self.put_end(entry),
            }
        }
    }

    /// Takes note of the answer to an entry.
    pub(super) fn settled(
        &self,
        entry: &Entry,
        answer: Option<Result<Done, Refused>>,
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
                return Err(StoreError::new(ErrorKind::Corrupt, "write", message).into());
            }
        };
        self.note(&refused);
        if let Some(instead) = entry.instead(&refused) {
            self.put_end(instead);
        }
        Err(refused.into())
    }

    /// Lets the keeper come to its end.
    pub(super) fn close(&self) {
        self.board.close();
        self.wake.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.board.is_closing()
    }
}

fn shut_down(operation: &'static str) -> StoreError {
    StoreError::new(ErrorKind::Closed, operation, "the tracker was shut down")
}

/// What trackers and handles hold: when the last one goes, the keeper ends.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) keeper: tokio::sync::Mutex<Option<JoinHandle<Result<(), Error>>>>,
    /// Held for reading by what must not be overtaken by a shutdown; true once that has begun.
    pub(super) gate: RwLock<bool>,
    pub(super) watcher: Watcher,
    runtime: Handle,
}

impl Core {
    pub(super) fn new(
        shared: Arc<Shared>,
        keeper: JoinHandle<Result<(), Error>>,
        runtime: Handle,
    ) -> Core {
        Core {
            watcher: Watcher::new(shared.store.clone()),
            shared,
            keeper: tokio::sync::Mutex::new(Some(keeper)),
            gate: RwLock::new(false),
            runtime,
        }
    }

    /// Passes the gate, unless the tracker is shut down.
    pub(super) async fn enter(
        &self,
        operation: &'static str,
    ) -> Result<RwLockReadGuard<'_, bool>, StoreError> {
        let gate = self.gate.read().await;
        match *gate {
            false => Ok(gate),
            true => Err(shut_down(operation)),
        }
    }

    pub(super) async fn drive<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        drive(&self.runtime, operation, work).await
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Does work in a task of its own: a caller that goes away in the middle (an HTTP client that
/// hangs up) leaves it whole. What it then yields is dropped; a handle interrupts its action.
pub(super) async fn drive<T: Send + 'static>(
    runtime: &Handle,
    operation: &'static str,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    runtime.spawn(work).await.unwrap_or_else(|gone| {
        let message = "the tracker's task ended before it had an answer";
        let error = StoreError::new(ErrorKind::OutcomeUnknown, operation, message);
        Err(error.with_source(gone).into())
    })
}
