//! Waiters of a store: a table of the awaited actions, shared with the polling task.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::task;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{Action, ActionUid, Rejection};
use crate::runtime;
use crate::store::ActionStore;

/// Last known state of an action.
#[derive(Debug, Clone)]
pub(super) enum State {
    There(Arc<Action>),
    /// The action is not in the store.
    Gone,
    /// The action cannot be read.
    Failed(StoreError),
}

impl State {
    /// Returns true if a later poll may return another state.
    fn is_open(&self) -> bool {
        match self {
            State::There(action) => action.is_unfinished(),
            State::Gone | State::Failed(_) => false,
        }
    }

    fn is_same(&self, other: &State) -> bool {
        match (self, other) {
            (State::There(a), State::There(b)) => a.version == b.version && a.status == b.status,
            (State::Gone, State::Gone) => true,
            _ => false,
        }
    }

    /// Converts the state into the answer for a waiter.
    pub(super) fn answer(self, uid: ActionUid) -> Result<Arc<Action>, Error> {
        match self {
            State::There(action) => Ok(action),
            State::Gone => Err(Rejection::NotFound(uid).into()),
            State::Failed(error) => Err(error.into()),
        }
    }
}

/// An action with at least one waiter.
#[derive(Debug)]
struct Interest {
    /// The last result, and the number of the poll that read it.
    shown: Option<(u64, State)>,
    /// Number of polls begun when the latest waiter registered. Only a later poll answers it.
    due: Option<u64>,
    waiters: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Board {
    interests: HashMap<ActionUid, Interest>,
    wakers: HashMap<u64, Option<Waker>>,
    last_waiter: u64,
    /// Number of polls begun.
    polls: u64,
    /// True while the task runs.
    running: bool,
    /// The error of the last request to the store, if it failed.
    trouble: Option<StoreError>,
}

/// State shared by the waiters of a store and the polling task.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) store: Arc<dyn ActionStore>,
    board: Mutex<Board>,
    /// Notified when a waiter registers.
    pub(super) came: Notify,
    /// Notified when the last waiter is dropped.
    pub(super) left: Notify,
}

impl Hub {
    pub(super) fn new(store: Arc<dyn ActionStore>) -> Hub {
        Hub {
            store,
            board: Mutex::default(),
            came: Notify::new(),
            left: Notify::new(),
        }
    }

    /// Do not wake or drop a waker while the lock is held. Both can run foreign code that calls
    /// back into the hub.
    fn lock(&self) -> MutexGuard<'_, Board> {
        // This module does not panic under the lock, so poisoned data is still consistent.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of awaited actions.
    pub(super) fn watched(&self) -> usize {
        self.lock().interests.len()
    }

    /// Registers a waiter and makes sure that its actions are read.
    pub(super) fn register(self: &Arc<Hub>, uids: Vec<ActionUid>) -> Result<Waiter, StoreError> {
        let runtime = runtime::current("watch")?;
        let mut board = self.lock();
        board.last_waiter += 1;
        let (id, since) = (board.last_waiter, board.polls);
        board.wakers.insert(id, None);
        for uid in &uids {
            let interest = board.interests.entry(*uid).or_insert_with(|| Interest {
                shown: None,
                due: None,
                waiters: BTreeSet::new(),
            });
            interest.due = Some(since);
            interest.waiters.insert(id);
        }
        let first = !std::mem::replace(&mut board.running, true);
        drop(board);
        let waiter = Waiter {
            hub: self.clone(),
            id,
            uids,
            since,
        };
        if first {
            // Spawned without the lock: a runtime that is shutting down drops the task at once.
            drop(runtime.spawn(task::run(Running::new(self.clone()))));
        }
        self.came.notify_one();
        Ok(waiter)
    }

    /// Begins a poll. Returns its number and the uids to read: the actions with new waiters, and
    /// with `news` also all actions that can still change.
    pub(super) fn begin_look(&self, news: bool) -> (u64, Vec<ActionUid>) {
        let mut board = self.lock();
        board.polls += 1;
        let is_open = |i: &Interest| i.shown.as_ref().is_none_or(|(_, state)| state.is_open());
        let wanted = |i: &Interest| i.due.is_some() || (news && is_open(i));
        let interests = board.interests.iter();
        let uids = interests.filter(|(_, i)| wanted(i)).map(|(uid, _)| *uid);
        (board.polls, uids.collect())
    }

    /// Stores the results of a poll and wakes the waiters they concern.
    pub(super) fn show(&self, poll: u64, shown: impl IntoIterator<Item = (ActionUid, State)>) {
        let mut woken = Vec::new();
        let mut board = self.lock();
        let Board {
            interests,
            wakers,
            trouble,
            ..
        } = &mut *board;
        *trouble = None;
        for (uid, state) in shown {
            // All waiters of this action may have been dropped.
            let Some(interest) = interests.get_mut(&uid) else {
                continue;
            };
            let awaited = interest.due.is_some_and(|since| poll > since);
            if awaited {
                interest.due = None;
            }
            let before = interest.shown.as_ref();
            if awaited || !before.is_some_and(|(_, before)| before.is_same(&state)) {
                let waiters = interest.waiters.iter();
                woken.extend(waiters.filter_map(|id| wakers.get_mut(id)?.take()));
            }
            interest.shown = Some((poll, state));
        }
        drop(board);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Returns the error of the last request to the store, if it failed.
    pub(super) fn failure(&self) -> Option<StoreError> {
        self.lock().trouble.clone()
    }

    /// Clears the error: the store answers again.
    pub(super) fn end_trouble(&self) {
        self.lock().trouble = None;
    }

    /// Records the error of a failed request.
    pub(super) fn set_trouble(&self, error: StoreError) {
        self.lock().trouble = Some(error);
    }

    /// Returns true if there are no waiters. The task must then end, because the next waiter starts
    /// a new one.
    pub(super) fn is_deserted(&self) -> bool {
        let mut board = self.lock();
        let deserted = board.interests.is_empty();
        if deserted {
            board.trouble = None;
        }
        board.running = !deserted;
        deserted
    }

    /// Answers all waiters with an error, because the task has ended.
    pub(super) fn fail(&self, error: &StoreError) {
        let mut board = self.lock();
        board.running = false;
        board.polls += 1;
        let poll = board.polls;
        for interest in board.interests.values_mut() {
            interest.shown = Some((poll, State::Failed(error.clone())));
        }
        let wakers = board.wakers.values_mut();
        let woken: Vec<Waker> = wakers.filter_map(Option::take).collect();
        drop(board);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Guard held by the task. If the task ends early, with its runtime or by a panic of the store, the
/// guard answers all waiters with an error.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) hub: Arc<Hub>,
    over: bool,
}

impl Running {
    fn new(hub: Arc<Hub>) -> Running {
        Running { hub, over: false }
    }

    /// Marks a regular end of the task.
    pub(super) fn end(mut self) {
        self.over = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            let message = "the watch task ended early: its runtime stopped, or the store panicked";
            self.hub
                .fail(&StoreError::new(StoreErrorKind::Closed, "watch", message));
        }
    }
}

/// A registered waiter. Dropping it removes it from the hub.
#[derive(Debug)]
pub(super) struct Waiter {
    hub: Arc<Hub>,
    id: u64,
    uids: Vec<ActionUid>,
    /// Number of polls begun when it registered.
    since: u64,
}

impl Waiter {
    /// Returns the first value that `answer` returns, trying the actions in order. Ignores results
    /// of polls that began before this waiter registered.
    pub(super) fn poll<T>(
        &self,
        context: &Context<'_>,
        mut answer: impl FnMut(ActionUid, &State) -> Option<T>,
    ) -> Poll<T> {
        let waker = context.waker().clone();
        let mut board = self.hub.lock();
        for uid in &self.uids {
            if let Some(interest) = board.interests.get(uid)
                && let Some((poll, state)) = &interest.shown
                && *poll > self.since
                && let Some(answer) = answer(*uid, state)
            {
                drop(board);
                return Poll::Ready(answer);
            }
        }
        // Stored under the same lock as the check, so that later results wake it.
        let before = board.wakers.insert(self.id, Some(waker));
        drop(board);
        drop(before);
        Poll::Pending
    }

    /// Returns the reason why the store has not answered.
    pub(super) fn trouble(&self) -> StoreError {
        let trouble = self.hub.lock().trouble.clone();
        trouble.unwrap_or_else(|| {
            let message = "the store did not answer in time";
            StoreError::new(StoreErrorKind::Unavailable, "watch", message)
        })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut board = self.hub.lock();
        for uid in &self.uids {
            if let Some(interest) = board.interests.get_mut(uid) {
                interest.waiters.remove(&self.id);
                if interest.waiters.is_empty() {
                    board.interests.remove(uid);
                }
            }
        }
        let waker = board.wakers.remove(&self.id);
        if board.interests.is_empty() {
            self.hub.left.notify_one();
        }
        drop(board);
        drop(waker);
    }
}
