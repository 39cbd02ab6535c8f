//! Waiting for actions and watching them, from any process that shares the store.

mod changes;
mod feed;
mod hub;
mod pace;
mod task;

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

pub use self::changes::Watch;
pub use self::feed::Feed;
use self::hub::{Hub, State, Waiter};
use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{Action, ActionUid, Cursor};
use crate::store::ActionStore;

/// How long after its time a wait still waits to see its action for the first time.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// Waits for actions of one store and watches them, whoever changes them: this process or another
/// one that shares the store.
///
/// Clone it, it is cheap, and have one for a store: all that wait through it and its clones are
/// served by one task, with one look-up at each change of the store and at most one in 10 ms, all
/// actions in it (one for each [`max_commands`](crate::Capabilities::max_commands) of them). So a
/// thousand who wait cost the store no more than one.
///
/// # Guarantees
///
/// - What is first shown is no older than the call, and no change is missed: a completion always
///   arrives. How soon follows from the store's [`changed`](ActionStore::changed): at once within a
///   process, within about 30 ms from another process on the same SQLite file.
/// - Who stops waiting, by dropping the future or the [`Watch`], leaves nothing behind.
/// - While the store is `Unavailable`, it is asked again, after 20 ms at first and at most 1 s; who
///   waits keeps waiting. A row that cannot be read is the error of those who wait for it alone.
///
/// The task runs on the tokio runtime of whoever comes first, and ends when nobody waits. If that
/// runtime ends earlier, those who still wait on another one are told `Closed`; whoever comes next
/// begins another task. A runtime without a timer
/// ([`enable_time`](tokio::runtime::Builder::enable_time)) counts as one that has ended, but for
/// [`wait_for`](Watcher::wait_for) and [`Feed`], which panic in it.
///
/// # Examples
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use action_store::{ActionStoreExt, Finish, MemoryStore, NewAction, Outcome, Waited, Watcher};
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

/// How a wait with an end came out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Waited {
    /// It is completed.
    Completed(Arc<Action>),
    /// The time is up. The action as it was last seen.
    Unfinished(Arc<Action>),
}

impl Waited {
    /// The action, either way.
    #[must_use]
    pub fn into_action(self) -> Arc<Action> {
        match self {
            Waited::Completed(action) | Waited::Unfinished(action) => action,
        }
    }
}

impl Watcher {
    /// For the actions of a store. Nothing happens until somebody waits.
    #[must_use]
    pub fn new(store: Arc<dyn ActionStore>) -> Watcher {
        let hub = Arc::new(Hub::new(store));
        Watcher { hub }
    }

    /// The action once it is completed; at once if it is.
    ///
    /// # Errors
    /// `NotFound` if it is not there or was removed meanwhile, and as [`ActionStore::get`] and
    /// [`ActionStore::changed`], but for `Unavailable`.
    pub async fn wait(&self, uid: ActionUid) -> Result<Arc<Action>, Error> {
        completed(&self.hub.register(vec![uid])?).await
    }

    /// The action once it is completed, or as it is when the time is up. If the store has not shown
    /// it at all by then, it is given another 100 ms.
    ///
    /// # Errors
    /// As [`wait`](Watcher::wait), and `Unavailable` if the store has not answered when all the
    /// time is up.
    ///
    /// # Panics
    /// In a tokio runtime without a timer.
    pub async fn wait_for(&self, uid: ActionUid, time: Duration) -> Result<Waited, Error> {
        let waiter = self.hub.register(vec![uid])?;
        if let Ok(completed) = tokio::time::timeout(time, completed(&waiter)).await {
            return completed.map(Waited::Completed);
        }
        // The end of the time is no reason to say nothing of an action that was never looked at.
        let known = poll_fn(|context| waiter.poll(context, |_, state| Some(state.clone())));
        let known = tokio::time::timeout(FIRST_LOOK, known).await;
        let state = known.map_err(|_| waiter.trouble())?;
        let action = state.answer(uid)?;
        Ok(match action.is_unfinished() {
            true => Waited::Unfinished(action),
            false => Waited::Completed(action),
        })
    }

    /// The first of some actions that is completed; of several that are, the one named first. At
    /// least one, at most [`max_commands`](crate::Capabilities::max_commands) of them; wrap it in a
    /// time-out as you like.
    ///
    /// # Errors
    /// `Invalid` for none and for too many, else as [`wait`](Watcher::wait) of the first that
    /// fails: one that is not there ends the wait with a `NotFound` that names it.
    pub async fn wait_any(&self, uids: &[ActionUid]) -> Result<Arc<Action>, Error> {
        self.hub
            .store
            .capabilities()
            .check_count("wait_any", uids.len())?;
        if uids.is_empty() {
            let message = "nothing to wait for";
            return Err(StoreError::new(ErrorKind::Invalid, "wait_any", message).into());
        }
        let mut seen = HashSet::new();
        let uids = uids.iter().copied().filter(|uid| seen.insert(*uid));
        completed(&self.hub.register(uids.collect())?).await
    }

    /// The changes of one action, from now on to its completion.
    pub fn watch(&self, uid: ActionUid) -> Watch {
        Watch::new(self.hub.clone(), uid)
    }

    /// All actions that change after a cursor (see [`Feed::cursor`]); without one, those that
    /// change from now on.
    ///
    /// To follow the state of a store from now on, ask for this first, then list what is of
    /// interest ([`Term::Unfinished`](crate::Term::Unfinished)), then read the feed: what changes
    /// while the list is read is in the feed.
    ///
    /// # Errors
    /// As [`ActionStore::changed`]; none with a cursor, which is looked at when the feed is read.
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

    /// All actions there are, the one whose latest change is oldest first, and then those that
    /// change.
    pub fn watch_from_beginning(&self) -> Feed {
        Feed::new(self.hub.store.clone(), None)
    }

    /// How many actions are waited for or watched one by one, just now.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.hub.watched()
    }

    /// The error of the last try to ask the store, for a health page. The watcher goes on trying;
    /// `None` while the store answers, and while nothing is waited for.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        self.hub.failure()
    }
}

/// The first of a waiter's actions that has come to an end.
async fn completed(waiter: &Waiter) -> Result<Arc<Action>, Error> {
    poll_fn(|context| waiter.poll(context, ended)).await
}

/// How waiting for an action ends, if it does.
fn ended(uid: ActionUid, state: &State) -> Option<Result<Arc<Action>, Error>> {
    match state {
        State::There(action) if action.is_unfinished() => None,
        state => Some(state.clone().answer(uid)),
    }
}
