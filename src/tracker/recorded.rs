//! The answer of a call that may find its action already recorded.

use std::ops::Deref;
use std::sync::Arc;

use super::handle::ActionHandle;
use crate::error::Error;
use crate::model::{Action, ActionUid};

/// Answer of a call that records an action, or finds the one that an earlier call recorded with the
/// same uid or idempotency key.
///
/// [`Tracker::begin_or_find`](crate::Tracker::begin_or_find) and
/// [`Tracker::enqueue`](crate::Tracker::enqueue) return it. Calls that return a handle report a
/// found action as [`Error::Found`]; [`Recorded::of`] converts their answer.
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use action_store::tracker::Recorded;
/// use action_store::{MemoryStore, NewAction, Tracker};
///
/// let tracker = Tracker::start(MemoryStore::new(), "plane@host-1").await?;
/// let new = || NewAction::task("backup_bdb").with_idempotency_key("request-7");
///
/// let first = tracker.begin_or_find(new()).await?;
/// let again = tracker.begin_or_find(new()).await?;
/// assert!(first.is_new() && !again.is_new());
/// assert_eq!(first.uid(), again.uid());
/// if let Recorded::New(action) = first {
///     action.succeed().await?;
/// }
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug)]
pub enum Recorded<T = ActionHandle> {
    /// This call recorded the action, or began an action that was queued.
    New(T),
    /// An earlier call recorded the action. This is its current state.
    Found(Arc<Action>),
}

impl<T> Recorded<T> {
    /// Converts the answer of a call that reports a found action as an error.
    ///
    /// # Errors
    /// All other errors.
    pub fn of(answer: Result<T, Error>) -> Result<Recorded<T>, Error> {
        match answer {
            Ok(new) => Ok(Recorded::New(new)),
            Err(Error::Found(action)) => Ok(Recorded::Found(action)),
            Err(error) => Err(error),
        }
    }

    /// Returns true for [`Recorded::New`].
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Recorded::New(_))
    }

    /// Returns what this call recorded or began; none if it found an action.
    pub fn into_new(self) -> Option<T> {
        match self {
            Recorded::New(new) => Some(new),
            Recorded::Found(_) => None,
        }
    }
}

impl Recorded<ActionHandle> {
    /// Returns the action as this process last saw it.
    #[must_use]
    pub fn action(&self) -> Arc<Action> {
        match self {
            Recorded::New(handle) => handle.action(),
            Recorded::Found(action) => action.clone(),
        }
    }

    /// Returns the uid of the action.
    #[must_use]
    pub fn uid(&self) -> ActionUid {
        match self {
            Recorded::New(handle) => handle.uid(),
            Recorded::Found(action) => action.uid,
        }
    }
}

impl Recorded<Arc<Action>> {
    /// Returns the action.
    #[must_use]
    pub fn into_action(self) -> Arc<Action> {
        match self {
            Recorded::New(action) | Recorded::Found(action) => action,
        }
    }
}

/// Gives the answer the fields of its action.
impl Deref for Recorded<Arc<Action>> {
    type Target = Arc<Action>;

    fn deref(&self) -> &Arc<Action> {
        match self {
            Recorded::New(action) | Recorded::Found(action) => action,
        }
    }
}
