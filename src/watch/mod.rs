//! Waits for actions and watches them, from any process that shares the store.

mod backoff;
mod changes;
mod feed;
mod hub;
mod task;

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

pub use self::changes::Watch;
pub use self::feed::Feed;
use self::hub::{Hub, State, Waiter};
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{Action, ActionUid, Cursor};
use crate::store::ActionStore;

/// Extra time that `wait_for` gives the store to return the action for the first time.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// Waits for actions of one store and watches them. Sees changes made by this process and by other
/// processes that share the store.
///
/// Create one per store and clone it; a clone is cheap. All clones share one task. The task reads
/// all awaited actions together when the store changes, at most once per 10 ms, with one read per
/// [`max_commands`](crate::Capabilities::max_commands) actions. A thousand waiters on one action
/// cost the store as many reads as one waiter.
///
/// # Guarantees
///
/// - The first result is no older than the call, and a completion always arrives. The delay depends
///   on the store's [`changed`](ActionStore::changed): none within a process, about 30 ms from
///   another process on the same SQLite file.
///
/// - A waiter that stops, because its future or [`Watch`] is dropped, leaves nothing behind.
///
/// - While the store is `Unavailable`, it is asked again, after 20 ms at first and at most after
///   1 s. Waiters keep waiting. A row that cannot be read is an error only for the waiters on that
///   row.
///
/// The task runs on the tokio runtime of the first waiter and ends when there are no waiters. If
/// that runtime ends earlier, waiters on other runtimes get `Closed`, and the next waiter starts a
/// new task. A runtime without a timer ([`enable_time`](tokio::runtime::Builder::enable_time)) is
/// treated as one that has ended. [`wait_for`](Watcher::wait_for) and [`Feed`] panic in it instead.
///
/// # Examples
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use action_store::watch::Waited;
/// use action_store::{ActionStoreExt, Finish, MemoryStore, NewAction, Outcome, Watcher};
///
/// let store = Arc::new(MemoryStore::new());
/// let watcher = Watcher::new(store.clone());
/// let uid = store.create(NewAction::task("backup_bdb")).await?.uid;
///
/// let waited = watcher.wait_for(uid, Duration::from_millis(10)).await?;
/// assert!(matches!(waited, Waited::Unfinished(_)));
///
/// store.finish(uid, Finish::new(Outcome::Cancelled), None).await?;
/// assert_eq!(watcher.wait(uid).await?.outcome, Some(Outcome::Cancelled));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Watcher {
    hub: Arc<Hub>,
}

/// Result of [`Watcher::wait_for`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Waited {
    /// The action is completed.
    Completed(Arc<Action>),
    /// The time ran out. Holds the action as it was last read.
    Unfinished(Arc<Action>),
}

impl Waited {
    /// Returns the action in both cases.
    #[must_use]
    pub fn into_action(self) -> Arc<Action> {
        match self {
            Waited::Completed(action) | Waited::Unfinished(action) => action,
        }
    }
}

impl Watcher {
    /// Creates a watcher for a store. It does nothing until the first wait.
    #[must_use]
    pub fn new(store: impl ActionStore) -> Watcher {
        Watcher::of(Arc::new(store))
    }

    /// Creates a watcher without a further `Arc` around the store.
    pub(crate) fn of(store: Arc<dyn ActionStore>) -> Watcher {
        let hub = Arc::new(Hub::new(store));
        Watcher { hub }
    }

    /// Waits until the action is completed, and returns it. Returns at once if it is completed
    /// already.
    ///
    /// # Errors
    /// `NotFound` if the action does not exist or was removed, and the errors of
    /// [`ActionStore::get`] and [`ActionStore::changed`] except `Unavailable`.
    pub async fn wait(&self, uid: ActionUid) -> Result<Arc<Action>, Error> {
        completed(&self.hub.register(vec![uid])?).await
    }

    /// Waits until the action is completed or the time has passed, and returns the action as it is
    /// then. If the store has not returned the action at all by then, it gets another 100 ms.
    ///
    /// # Errors
    /// As [`wait`](Watcher::wait), and `Unavailable` if the store has not answered after the extra
    /// time.
    ///
    /// # Panics
    /// In a tokio runtime without a timer.
    pub async fn wait_for(&self, uid: ActionUid, time: Duration) -> Result<Waited, Error> {
        let waiter = self.hub.register(vec![uid])?;
        if let Ok(completed) = tokio::time::timeout(time, completed(&waiter)).await {
            return completed.map(Waited::Completed);
        }
        // An action that was not read yet still deserves an answer.
        let known = poll_fn(|context| waiter.poll(context, |_, state| Some(state.clone())));
        let known = tokio::time::timeout(FIRST_LOOK, known).await;
        let state = known.map_err(|_| waiter.trouble())?;
        let action = state.answer(uid)?;
        Ok(if action.is_unfinished() {
            Waited::Unfinished(action)
        } else {
            Waited::Completed(action)
        })
    }

    /// Waits until one of several actions is completed, and returns it. If several are completed,
    /// the first in `uids` wins.
    ///
    /// Takes 1 to [`max_commands`](crate::Capabilities::max_commands) uids. There is no time limit;
    /// wrap the call in a timeout if you need one.
    ///
    /// # Errors
    /// `Invalid` for no uid and for too many. Otherwise as [`wait`](Watcher::wait), for the first
    /// action that fails: an action that does not exist ends the wait with a `NotFound` that names
    /// it.
    pub async fn wait_any(&self, uids: &[ActionUid]) -> Result<Arc<Action>, Error> {
        self.hub
            .store
            .capabilities()
            .check_count("wait_any", uids.len())?;
        if uids.is_empty() {
            let message = "no uids given; at least one is needed";
            return Err(StoreError::new(StoreErrorKind::Invalid, "wait_any", message).into());
        }
        let mut seen = HashSet::new();
        let uids = uids.iter().copied().filter(|uid| seen.insert(*uid));
        completed(&self.hub.register(uids.collect())?).await
    }

    /// Returns the changes of one action, from now until its completion.
    pub fn watch(&self, uid: ActionUid) -> Watch {
        Watch::new(self.hub.clone(), uid)
    }

    /// Returns a feed of all actions that change after a cursor (see [`Feed::cursor`]). Without a
    /// cursor, returns those that change from now on.
    ///
    /// To keep a copy of the unfinished actions, call this first, then list them
    /// ([`Filter::Unfinished`](crate::Filter::Unfinished)), then read the feed. The feed includes
    /// changes that happen during the list.
    ///
    /// # Errors
    /// As [`ActionStore::changed`]. With a cursor it never fails here; the cursor is checked when
    /// the feed is read.
    pub async fn watch_all(&self, after: Option<Cursor>) -> Result<Feed, Error> {
        let after = match after {
            Some(after) => after,
            None => {
                let at = self.hub.store.changed(None).await?;
                Cursor::feed(at, at.revision)
            }
        };
        Ok(Feed::new(self.hub.store.clone(), Some(after)))
    }

    /// Returns a feed of all actions, ordered by their latest change, oldest first, and then of
    /// every later change.
    pub fn watch_from_beginning(&self) -> Feed {
        Feed::new(self.hub.store.clone(), None)
    }

    /// Returns the number of actions that are waited for or watched now, feeds excluded.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.hub.watched()
    }

    /// Returns the error of the last failed request to the store, for a health page. The watcher
    /// keeps retrying. `None` while the store answers, and while there are no waiters.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        self.hub.failure()
    }
}

/// Waits for the first of the waiter's actions that has ended.
async fn completed(waiter: &Waiter) -> Result<Arc<Action>, Error> {
    poll_fn(|context| waiter.poll(context, ended)).await
}

/// Returns the result of the wait for an action, if it is over.
fn ended(uid: ActionUid, state: &State) -> Option<Result<Arc<Action>, Error>> {
    match state {
        State::There(action) if action.is_unfinished() => None,
        state => Some(state.clone().answer(uid)),
    }
}
