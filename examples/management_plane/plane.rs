//! The plane itself: accepts operations, runs a few at a time, keeps all of them on record.

use std::sync::Arc;
use std::time::Duration;

use action_store::{Action, ActionError, ErrorKind, NewAction, ObjectRef, RunError, Tracker};
use tokio::sync::Semaphore;

use crate::catalogue::Catalogue;
use crate::jobs;

/// How many operations run at a time; the others are queued.
const AT_ONCE: usize = 2;
/// How often an operation that cannot be started is tried.
const STARTS: u32 = 5;

/// Something to be done to a database.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Create { uid: u64, name: String, rows: u64 },
    Backup { uid: u64 },
    Check { uid: u64 },
    Delete { uid: u64 },
}

impl Operation {
    fn action(&self) -> NewAction {
        match self {
            Operation::Create { uid, name, rows } => {
                NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(*uid))
                    .with_description(format!("create {name} with {rows} rows"))
            }
            Operation::Backup { uid } => {
                NewAction::task("backup_bdb").with_object(ObjectRef::bdb(*uid))
            }
            Operation::Check { uid } => {
                NewAction::task("check_bdb").with_object(ObjectRef::bdb(*uid))
            }
            Operation::Delete { uid } => {
                NewAction::state_machine("SMDeleteBDB", ObjectRef::bdb(*uid))
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) tracker: Tracker,
    pub(crate) catalogue: Catalogue,
    slots: Semaphore,
}

impl Plane {
    pub(crate) fn new(tracker: Tracker, catalogue: Catalogue) -> Arc<Plane> {
        Arc::new(Plane {
            tracker,
            catalogue,
            slots: Semaphore::new(AT_ONCE),
        })
    }

    /// Records an operation, durably, and sees to it that it is done. It is queued until there is
    /// a slot for it.
    pub(crate) async fn accept(
        self: &Arc<Plane>,
        operation: Operation,
        actor: &str,
    ) -> Result<Arc<Action>, action_store::Error> {
        // In a task of its own: what is recorded is also done, even if the caller hangs up in
        // between.
        let (plane, actor) = (self.clone(), actor.to_owned());
        let accepting = async move {
            let new = operation.action().with_actor(actor);
            let action = plane.tracker.enqueue(new).await?;
            tokio::spawn(plane.perform(action.clone(), operation));
            Ok(action)
        };
        tokio::spawn(accepting).await.unwrap_or_else(|gone| {
            let message = "the plane is going down";
            let error = action_store::StoreError::new(ErrorKind::Closed, "accept", message);
            Err(error.with_source(gone).into())
        })
    }

    async fn perform(self: Arc<Plane>, action: Arc<Action>, operation: Operation) {
        let Ok(_slot) = self.slots.acquire().await else {
            return;
        };
        let mut tries = 1;
        let handle = loop {
            match self.tracker.start_queued(action.uid).await {
                Ok(handle) => break handle,
                Err(error) if error.kind() == ErrorKind::Unavailable && tries < STARTS => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                // It stays queued, and is settled when the plane ends or starts again.
                Err(error) => return complain(&action, &error),
            }
        };
        let work = handle.run(|reporter| {
            let catalogue = &self.catalogue;
            async move { jobs::run(catalogue, operation, reporter).await }
        });
        match work.await {
            Ok(()) | Err(RunError::Failed(ActionError { .. })) => {}
            Err(error) => complain(&action, &error),
        }
    }
}

fn complain(action: &Action, error: &dyn std::error::Error) {
    let cause = error.source().map(|cause| format!(": {cause}"));
    let cause = cause.unwrap_or_default();
    eprintln!("{} {}: {error}{cause}", action.name, action.uid);
}
