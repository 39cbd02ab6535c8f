//! The plane: accepts operations, runs a few at a time and records all of them.

use std::sync::Arc;
use std::time::Duration;

use action_store::tracker::RunError;
use action_store::{
    Action, Error, ErrorKind, NewAction, ObjectRef, StoreError, StoreErrorKind, Tracker,
};
use tokio::sync::Semaphore;

use crate::catalogue::{Bdb, Catalogue};
use crate::jobs;

/// Number of operations that run at the same time. The others are queued.
const AT_ONCE: usize = 2;

/// An operation on a database or on the node.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Create(Bdb),
    Backup,
    Check,
    Delete,
    CheckNode,
}

impl Operation {
    /// The action that records the operation. It is exclusive on its object, so a second
    /// one is a conflict.
    fn action(&self, uid: u64) -> NewAction {
        let bdb = ObjectRef::bdb(uid);
        let new = match self {
            Operation::Create(Bdb { name, rows }) => NewAction::state_machine("SMCreateBDB", bdb)
                .with_description(format!("create {name} with {rows} rows")),
            Operation::Backup => NewAction::task("backup_bdb").with_object(bdb),
            Operation::Check => NewAction::task("check_bdb").with_object(bdb),
            Operation::Delete => NewAction::state_machine("SMDeleteBDB", bdb),
            Operation::CheckNode => NewAction::task("check_node").with_object(ObjectRef::node(uid)),
        };
        new.exclusive_on_object()
    }
}

#[derive(Debug)]
pub(crate) struct Plane {
    /// The number of this node, which is its uid.
    pub(crate) node: u64,
    pub(crate) tracker: Tracker,
    pub(crate) catalogue: Catalogue,
    slots: Semaphore,
}

impl Plane {
    pub(crate) fn new(node: u64, tracker: Tracker, catalogue: Catalogue) -> Arc<Plane> {
        Arc::new(Plane {
            node,
            tracker,
            catalogue,
            slots: Semaphore::new(AT_ONCE),
        })
    }

    /// Records an operation durably and starts it once a slot is free. Until then it is
    /// queued.
    pub(crate) async fn accept(
        self: &Arc<Plane>,
        uid: u64,
        operation: Operation,
        actor: &str,
    ) -> Result<Arc<Action>, Error> {
        let new = operation.action(uid).with_actor(actor);
        let plane = self.clone();
        // Runs in its own task, so that a recorded operation is started even if the
        // client disconnects.
        let accepting = tokio::spawn(async move {
            let action = plane.tracker.enqueue(new).await?.into_action();
            tokio::spawn(plane.perform(action.clone(), uid, operation));
            Ok(action)
        });
        accepting.await.unwrap_or_else(|gone| {
            let closed = StoreError::new(
                StoreErrorKind::Closed,
                "accept",
                "the plane is shutting down",
            );
            Err(closed.with_source(gone).into())
        })
    }

    async fn perform(self: Arc<Plane>, action: Arc<Action>, uid: u64, operation: Operation) {
        let Ok(_slot) = self.slots.acquire().await else {
            return;
        };
        let handle = loop {
            match self.tracker.start_queued(action.uid).await {
                Ok(handle) => break handle,
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                // The action was cancelled while it was queued.
                Err(error) if error.kind() == ErrorKind::Conflict => return,
                Err(error) => return complain(&action, &error),
            }
        };
        let work = handle.run(|reporter| jobs::run(&self.catalogue, uid, operation, reporter));
        match work.await {
            Ok(()) | Err(RunError::Failed(_)) => {}
            Err(error) => complain(&action, &error),
        }
    }
}

fn complain(action: &Action, error: &dyn std::error::Error) {
    let cause = error.source().map(|cause| format!(": {cause}"));
    let cause = cause.unwrap_or_default();
    eprintln!("{} {}: {error}{cause}", action.name, action.uid);
}
