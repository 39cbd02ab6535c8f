//! Runs work as an action and records the result of the work.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::JoinHandle;

use super::handle::{ActionHandle, Reporter};
use super::prepared::ToBegin;
use super::recorded::Recorded;
use super::{Tracker, failure};
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{Action, ActionError, ActionUid, Finish, Outcome};

/// Error of work that was run as an action.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The action could not be begun. The work has not run.
    #[error("the action could not be begun")]
    NotBegun(#[source] Error),
    /// The work failed, and the failure is recorded.
    #[error("{0}")]
    Failed(ActionError),
    /// The work finished, but its end is not recorded. An end that the store failed to write is
    /// retried in the background.
    #[error("the end of the action could not be recorded")]
    Unrecorded {
        /// The error of the work; `None` if it succeeded.
        failure: Option<ActionError>,
        /// The reason why the end is not recorded.
        #[source]
        error: Error,
    },
    /// The work panicked or was aborted, and the action is recorded as interrupted. Only
    /// [`Spawned::join`] returns this.
    #[error("the work was interrupted")]
    Interrupted,
}

impl ActionHandle {
    /// Runs the work and records its result as the action's end: `Ok` as succeeded, `Err` as
    /// failed, a panic as interrupted. [`ActionError::cancelled`] is recorded as cancelled.
    ///
    /// Inside the work, `?` turns any error into an [`ActionError`] whose text is kept from the
    /// public. Dropping the future records the action as interrupted.
    ///
    /// # Errors
    /// [`RunError::Failed`] with the work's error, or [`RunError::Unrecorded`].
    ///
    /// # Panics
    /// If the work panics. The end of the action is recorded first.
    pub async fn run<T, W, F>(self, work: W) -> Result<T, RunError>
    where
        W: FnOnce(Reporter) -> F,
        F: Future<Output = Result<T, ActionError>>,
    {
        let reporter = self.reporter();
        match caught(async move { work(reporter).await }).await {
            Ok(Ok(value)) => match self.succeed().await {
                Ok(_) => Ok(value),
                Err(error) => Err(RunError::Unrecorded {
                    failure: None,
                    error,
                }),
            },
            Ok(Err(failure)) => match self.finish(finish_of(failure.clone())).await {
                Ok(_) => Err(RunError::Failed(failure)),
                Err(error) => Err(RunError::Unrecorded {
                    failure: Some(failure),
                    error,
                }),
            },
            Err(payload) => {
                let error = failure::panicked(&*payload);
                let finish = Finish::new(Outcome::Interrupted).with_error(error);
                // The panic continues. An end that the store did not take is retried in the
                // background.
                let _ = self.finish(finish).await;
                resume_unwind(payload)
            }
        }
    }
}

/// Work that returns the cancelled code has not failed.
fn finish_of(failure: ActionError) -> Finish {
    match &*failure.code {
        ActionError::CANCELLED => Finish::new(Outcome::Cancelled).with_error(failure),
        _ => Finish::failed(failure),
    }
}

/// Awaits the work and catches a panic.
async fn caught<F: Future>(work: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // A panic may leave the work's own state inconsistent, but the work is not polled again.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await
}

/// Awaits a call to the store in a background task and turns a panic into an error. A panic must
/// not end the task, because renewals and waiting writes would stop.
pub(super) async fn unless_it_panics<T, E: From<StoreError>>(
    operation: &'static str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    caught(asked).await.unwrap_or_else(|payload| {
        let message = "the store panicked";
        let error = StoreError::new(StoreErrorKind::OutcomeUnknown, operation, message);
        Err(match failure::panic_text(&*payload) {
            Some(text) => error.with_source(std::io::Error::other(text.to_owned())),
            None => error,
        }
        .into())
    })
}

/// Work that runs in its own tokio task. Dropping this does not stop the work.
#[derive(Debug)]
pub struct Spawned<T> {
    action: Arc<Action>,
    /// `None` for a repeat.
    task: Option<JoinHandle<Result<T, RunError>>>,
}

impl<T> Spawned<T> {
    /// Returns true if this call began the action and runs the work. False for a repeat: the action
    /// exists already, and this call's work does not run.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.task.is_some()
    }

    /// Returns the uid of the action.
    #[must_use]
    pub fn uid(&self) -> ActionUid {
        self.action.uid
    }

    /// Returns the action as it was when it began; for a repeat, as it was found.
    #[must_use]
    pub fn action(&self) -> &Arc<Action> {
        &self.action
    }

    /// Stops the work at its next await. The action is recorded as interrupted.
    pub fn abort(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// Waits until the work has finished and its result is recorded.
    ///
    /// # Errors
    /// As [`ActionHandle::run`], and [`RunError::Interrupted`]. For a repeat
    /// [`RunError::NotBegun`] with [`Error::Found`], at once; [`Watcher::wait`](crate::Watcher::wait)
    /// waits for the action that was found.
    pub async fn join(self) -> Result<T, RunError> {
        match self.task {
            Some(task) => task.await.unwrap_or(Err(RunError::Interrupted)),
            None => Err(RunError::NotBegun(Error::Found(self.action))),
        }
    }
}

impl Tracker {
    /// Begins an action, runs the work, and records the work's result as the action's end. See
    /// [`ActionHandle::run`].
    ///
    /// ```
    /// # async fn example(tracker: action_store::Tracker) -> Result<(), action_store::tracker::RunError> {
    /// use action_store::NewAction;
    ///
    /// let bytes = tracker
    ///     .run(NewAction::task("read_config"), async |action| {
    ///         action.step("read").await?;
    ///         Ok(std::fs::read("plane.toml")?)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RunError::NotBegun`] with the errors of [`begin`](Tracker::begin), and as
    /// [`ActionHandle::run`].
    ///
    /// # Panics
    /// If the work panics. The end of the action is recorded first.
    pub async fn run<T, W, F>(&self, action: impl Into<ToBegin>, work: W) -> Result<T, RunError>
    where
        W: FnOnce(Reporter) -> F,
        F: Future<Output = Result<T, ActionError>>,
    {
        let handle = self.begin(action).await.map_err(RunError::NotBegun)?;
        handle.run(work).await
    }

    /// Begins an action and runs the work in a new tokio task. Returns once the action is begun.
    ///
    /// If the action exists already, the answer has that action and the work does not run. See
    /// [`Spawned::is_new`].
    ///
    /// # Errors
    /// As [`begin`](Tracker::begin), without `Found`.
    pub async fn spawn<T, W, F>(
        &self,
        action: impl Into<ToBegin>,
        work: W,
    ) -> Result<Spawned<T>, Error>
    where
        T: Send + 'static,
        W: FnOnce(Reporter) -> F + Send + 'static,
        F: Future<Output = Result<T, ActionError>> + Send + 'static,
    {
        match self.begin_or_find(action).await? {
            Recorded::New(handle) => {
                let action = handle.action();
                let task = self.core.runtime().spawn(handle.run(work));
                let task = Some(task);
                Ok(Spawned { action, task })
            }
            Recorded::Found(action) => Ok(Spawned { action, task: None }),
        }
    }
}
