//! Who waits for what: one board for all waiters of a store.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::task;
use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{Action, ActionUid, Refused};
use crate::store::ActionStore;

/// What is known of an action.
#[derive(Debug, Clone)]
pub(super) enum State {
    There(Arc<Action>),
    /// It is not in the store.
    Gone,
    /// It cannot be read.
    Failed(StoreError),
}

impl State {
    /// Whether another look can show something else.
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

    /// As it is told to whoever waits.
    pub(super) fn answer(self, uid: ActionUid) -> Result<Arc<Action>, Error> {
        match self {
            State::There(action) => Ok(action),
            State::Gone => Err(Refused::NotFound(uid).into()),
            State::Failed(error) => Err(error.into()),
        }
    }
}

/// An action that somebody waits for.
#[derive(Debug)]
struct Interest {
    /// What was last shown of it, by which look.
    shown: Option<(u64, State)>,
    /// How many looks had begun when somebody last came to wait: only a later one will do.
    due: Option<u64>,
    waiters: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Board {
    interests: HashMap<ActionUid, Interest>,
    wakers: HashMap<u64, Option<Waker>>,
    last_waiter: u64,
    /// How many looks have begun.
    looks: u64,
    /// Whether the task is there.
    running: bool,
    /// Why the store could last not be asked.
    trouble: Option<StoreError>,
}

/// What the waiters of a store and the one task that looks for them have in common.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) store: Arc<dyn ActionStore>,
    board: Mutex<Board>,
    /// Somebody has come to wait.
    pub(super) came: Notify,
    /// Nobody waits any more.
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

    /// No waker is woken or dropped while this is held: either may run somebody's code, which may
    /// come back here.
    fn lock(&self) -> MutexGuard<'_, Board> {
        // Nothing of ours panics while it is held; what a panic left is whole.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many actions are waited for.
    pub(super) fn watched(&self) -> usize {
        self.lock().interests.len()
    }

    /// Puts a waiter on the board, and sees to it that its actions are looked up.
    pub(super) fn register(self: &Arc<Hub>, uids: Vec<ActionUid>) -> Result<Waiter, StoreError> {
        let runtime = Handle::try_current().map_err(|outside| {
            let message = "there is no tokio runtime to watch in";
            StoreError::new(ErrorKind::Closed, "watch", message).with_source(outside)
        })?;
        let mut board = self.lock();
        board.last_waiter += 1;
        let (id, since) = (board.last_waiter, board.looks);
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
            // Without the lock: a runtime that is about to end drops the task here and now.
            drop(runtime.spawn(task::run(Running::new(self.clone()))));
        }
        self.came.notify_one();
        Ok(waiter)
    }

    /// Begins a look: its number, and what to look up. That is whatever somebody came to wait for
    /// since, and, if there may be news, whatever can have changed.
    pub(super) fn begin_look(&self, news: bool) -> (u64, Vec<ActionUid>) {
        let mut board = self.lock();
        board.looks += 1;
        let is_open = |i: &Interest| i.shown.as_ref().is_none_or(|(_, state)| state.is_open());
        let wanted = |i: &Interest| i.due.is_some() || (news && is_open(i));
        let interests = board.interests.iter();
        let uids = interests.filter(|(_, i)| wanted(i)).map(|(uid, _)| *uid);
        (board.looks, uids.collect())
    }

    /// Enters what a look has shown, and wakes whom it concerns.
    pub(super) fn show(&self, look: u64, shown: impl IntoIterator<Item = (ActionUid, State)>) {
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
            // Whoever waited for it may have gone.
            let Some(interest) = interests.get_mut(&uid) else {
                continue;
            };
            let awaited = interest.due.is_some_and(|since| look > since);
            if awaited {
                interest.due = None;
            }
            let before = interest.shown.as_ref();
            if awaited || !before.is_some_and(|(_, before)| before.is_same(&state)) {
                let waiters = interest.waiters.iter();
                woken.extend(waiters.filter_map(|id| wakers.get_mut(id)?.take()));
            }
            interest.shown = Some((look, state));
        }
        drop(board);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Why the store could last not be asked.
    pub(super) fn failure(&self) -> Option<StoreError> {
        self.lock().trouble.clone()
    }

    /// The store answers again.
    pub(super) fn end_trouble(&self) {
        self.lock().trouble = None;
    }

    /// Takes note of why the store could not be asked.
    pub(super) fn set_trouble(&self, error: StoreError) {
        self.lock().trouble = Some(error);
    }

    /// Whether the task can end, which it then must: who comes next begins another.
    pub(super) fn is_deserted(&self) -> bool {
        let mut board = self.lock();
        let deserted = board.interests.is_empty();
        if deserted {
            board.trouble = None;
        }
        board.running = !deserted;
        deserted
    }

    /// Lets everybody go with an error: there is no task any more.
    pub(super) fn fail(&self, error: &StoreError) {
        let mut board = self.lock();
        board.running = false;
        board.looks += 1;
        let look = board.looks;
        for interest in board.interests.values_mut() {
            interest.shown = Some((look, State::Failed(error.clone())));
        }
        let wakers = board.wakers.values_mut();
        let woken: Vec<Waker> = wakers.filter_map(Option::take).collect();
        drop(board);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Held by the task. If that ends in the middle, with its runtime or by a panic of the store's, the
/// waiters hear of it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) hub: Arc<Hub>,
    over: bool,
}

impl Running {
    fn new(hub: Arc<Hub>) -> Running {
        Running { hub, over: false }
    }

    /// The task comes to its own end.
    pub(super) fn end(mut self) {
        self.over = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            let message = "the task that watched the store ended, as its runtime did";
            self.hub
                .fail(&StoreError::new(ErrorKind::Closed, "watch", message));
        }
    }
}

/// Somebody who waits. Gone from the board once dropped.
#[derive(Debug)]
pub(super) struct Waiter {
    hub: Arc<Hub>,
    id: u64,
    uids: Vec<ActionUid>,
    /// How many looks had begun when it came.
    since: u64,
}

impl Waiter {
    /// The first of its actions, in its order, of which a look that began after it came has shown
    /// what `answer` takes.
    pub(super) fn poll<T>(
        &self,
        context: &Context<'_>,
        mut answer: impl FnMut(ActionUid, &State) -> Option<T>,
    ) -> Poll<T> {
        let waker = context.waker().clone();
        let mut board = self.hub.lock();
        for uid in &self.uids {
            if let Some(interest) = board.interests.get(uid)
                && let Some((look, state)) = &interest.shown
                && *look > self.since
                && let Some(answer) = answer(*uid, state)
            {
                drop(board);
                return Poll::Ready(answer);
            }
        }
        // Under the same lock as what was seen: what is shown from here on wakes it.
        let before = board.wakers.insert(self.id, Some(waker));
        drop(board);
        drop(before);
        Poll::Pending
    }

    /// Why the store has not answered.
    pub(super) fn trouble(&self) -> StoreError {
        let trouble = self.hub.lock().trouble.clone();
        trouble.unwrap_or_else(|| {
            let message = "the time is up, and the store has not answered";
            StoreError::new(ErrorKind::Unavailable, "watch", message)
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
