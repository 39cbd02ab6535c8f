//! Tells waiters within this process that a store has moved on.

use tokio::sync::watch;

use crate::error::{ErrorKind, StoreError};
use crate::model::{Position, Revision};

/// Where the store stands, and whether it is still open. One value, so that any number of waiters
/// costs a writer the same.
#[derive(Debug)]
pub(super) struct Bell(watch::Sender<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    position: Position,
    closed: bool,
}

impl Bell {
    pub(super) fn new(position: Position) -> Bell {
        let closed = false;
        Bell(watch::Sender::new(State { position, closed }))
    }

    /// Announces a position that has become readable. One that is behind what was announced
    /// before changes nothing.
    pub(super) fn ring(&self, position: Position) {
        let stand = |position: Position| (position.revision, position.removed_to);
        self.0.send_if_modified(|state| {
            let goes_on = stand(position) > stand(state.position);
            if goes_on {
                state.position = position;
            }
            // Nobody is missed: whoever counts himself in after this looks at the state first, for
            // which he waits until this is over.
            goes_on && self.0.receiver_count() > 0
        });
    }

    /// Lets every waiter go, now and later.
    pub(super) fn close(&self) {
        self.0.send_modify(|state| state.closed = true);
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.0.borrow().closed {
            return Err(StoreError::closed(operation));
        }
        Ok(())
    }

    /// [`ActionStore::changed`](crate::ActionStore::changed).
    pub(super) async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        let mut watcher = self.0.subscribe();
        let beyond = |state: &State| match after {
            Some(after) => state.closed || state.position.revision > after,
            None => true,
        };
        if after.is_some_and(|after| after > watcher.borrow().position.revision) {
            self.check_open("changed")?;
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "changed",
                "after: is a revision this store has not come to",
            ));
        }
        let state = watcher.wait_for(beyond).await;
        match state.as_deref() {
            Ok(State {
                closed: false,
                position,
            }) => Ok(*position),
            _ => Err(StoreError::closed("changed")),
        }
    }
}
