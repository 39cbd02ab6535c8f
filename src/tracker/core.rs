//! The state that trackers and handles hold. Runs their calls in tasks that complete without the
//! caller.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::task::JoinHandle;

use super::closed::shut_down;
use super::shared::Shared;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::watch::Watcher;

/// State held by trackers and handles. The background writer finishes when the last one is dropped.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) background: tokio::sync::Mutex<Option<JoinHandle<Result<(), Error>>>>,
    /// Read-locked by calls that must finish before a shutdown. True once the shutdown has begun.
    pub(super) gate: RwLock<bool>,
    pub(super) watcher: Watcher,
    runtime: Handle,
}

impl Core {
    pub(super) fn new(
        shared: Arc<Shared>,
        background: JoinHandle<Result<(), Error>>,
        runtime: Handle,
    ) -> Core {
        Core {
            watcher: Watcher::of(shared.store.clone()),
            shared,
            background: tokio::sync::Mutex::new(Some(background)),
            gate: RwLock::new(false),
            runtime,
        }
    }

    /// Enters a call, unless the tracker is shut down.
    pub(super) async fn enter(
        &self,
        operation: &'static str,
    ) -> Result<RwLockReadGuard<'_, bool>, StoreError> {
        let gate = self.gate.read().await;
        if *gate {
            Err(shut_down(operation))
        } else {
            Ok(gate)
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

/// Runs work in its own task, so that it completes even if the caller goes away (an HTTP client
/// disconnects). The result is then dropped, and a dropped handle interrupts its action.
pub(super) async fn drive<T: Send + 'static>(
    runtime: &Handle,
    operation: &'static str,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    runtime.spawn(work).await.unwrap_or_else(|gone| {
        let message = "the tracker's task ended without an answer";
        let error = StoreError::new(StoreErrorKind::OutcomeUnknown, operation, message);
        Err(error.with_source(gone).into())
    })
}
