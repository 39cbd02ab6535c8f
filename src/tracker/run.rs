//! Work whose own result is what gets recorded.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::JoinHandle;

use super::failure;
use super::handle::{ActionHandle, Reporter};
use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{Action, ActionError, ActionUid, Finish, Outcome};

/// Why work that was run as an action has no value to give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It was not begun; the work has not run.
    #[error("the action could not be begun")]
    NotBegun(#[source] Error),
    /// The work failed, and that is recorded.
    #[error("{0}")]
    Failed(ActionError),
    /// The work came to its end, but that is not recorded (yet: what the store failed to take is
    /// tried again in the background).
    #[error("the end of the action could not be recorded")]
    Unrecorded {
        /// How the work failed; none if it succeeded.
        failure: Option<ActionError>,
        /// Why it is not recorded.
        #[source]
        error: Error,
    },
    /// The work panicked or was aborted; the action is recorded as interrupted. Only from
    /// [`Spawned::join`].
    #[error("the work was interrupted")]
    Interrupted,
}

impl ActionHandle {
    /// Does work and records its result as the action's end: `Ok` as succeeded, `Err` as failed
    /// ([`ActionError::cancelled`] as cancelled), a panic as interrupted. (Inside, `?` turns any error into an [`ActionError`] that keeps it
    /// from the public.) Dropping the future records the action as interrupted.
    ///
    /// # Errors
    /// [`RunError::Failed`] with the work's own error, [`RunError::Unrecorded`].
    ///
    /// # Panics
    /// If the work panics, once that is recorded.
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
                // The panic goes on; an end that the store did not take waits in the background.
                let _ = self.finish(finish).await;
                resume_unwind(payload)
            }
        }
    }
}

/// Work that says it was cancelled has not failed.
fn finish_of(failure: ActionError) -> Finish {
    match &*failure.code {
        ActionError::CANCELLED => Finish::new(Outcome::Cancelled).with_error(failure),
        _ => Finish::failed(failure),
    }
}

/// Awaits work, catching a panic.
async fn caught<F: Future>(work: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // What the panic may have left half done is the work's own, and nobody polls it again.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await
}

/// Asks a store in the background. A store that panics must not end the task: renewals and
/// waiting writes would stop.
pub(super) async fn unless_it_panics<T, E: From<StoreError>>(
    operation: &'static str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    caught(asked).await.unwrap_or_else(|payload| {
        let message = "the store panicked";
        let error = StoreError::new(ErrorKind::OutcomeUnknown, operation, message);
        Err(match failure::panic_text(&*payload) {
            Some(text) => error.with_source(std::io::Error::other(text.to_owned())),
            None => error,
        }
        .into())
    })
}

/// Work that goes on in a task of its own. Dropping this lets it go on.
#[derive(Debug)]
pub struct Spawned<T> {
    action: Arc<Action>,
    task: JoinHandle<Result<T, RunError>>,
}

impl<T> Spawned<T> {
    pub(super) fn new(action: Arc<Action>, task: JoinHandle<Result<T, RunError>>) -> Spawned<T> {
        Spawned { action, task }
    }

    /// Which action.
    #[must_use]
    pub fn uid(&self) -> ActionUid {
        self.action.uid
    }

    /// The action as it was begun.
    #[must_use]
    pub fn action(&self) -> &Arc<Action> {
        &self.action
    }

    /// Stops the work at its next await; the action is recorded as interrupted.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Waits for the work and the recording of its result.
    ///
    /// # Errors
    /// As [`ActionHandle::run`], and [`RunError::Interrupted`].
    pub async fn join(self) -> Result<T, RunError> {
        self.task.await.unwrap_or(Err(RunError::Interrupted))
    }
}
