//! Tells waiters within this process that a store has moved on.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::error::{ErrorKind, StoreError};
use crate::model::{Position, Revision};

/// Where the store stands, and whether it is still open. One value, so that any number of waiters
/// costs a writer the same.
#[derive(Debug)]
pub(super) struct Bell {
    position: watch::Sender<Position>,
    /// Beside it: every call looks at this, and callers must not wait for each other to do so.
    closed: AtomicBool,
}

impl Bell {
    pub(super) fn new(position: Position) -> Bell {
        Bell {
            position: watch::Sender::new(position),
            closed: AtomicBool::new(false),
        }
    }

    /// Announces a position that has become readable. One that is behind what was announced
    /// before changes nothing.
    pub(super) fn ring(&self, position: Position) {
        let stand = |position: &Position| (position.revision, position.removed_to);
        self.position.send_if_modified(|known| {
            let goes_on = stand(&position) > stand(known);
            if goes_on {
                *known = position;
            }
            // Nobody is missed: whoever counts himself in after this looks at the position first,
            // for which he waits until this is over.
            goes_on && self.position.receiver_count() > 0
        });
    }

    /// Lets every waiter go, now and later.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Whoever looked before that is woken to look again.
        self.position.send_modify(|_| {});
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.is_closed() {
            return Err(StoreError::closed(operation));
        }
        Ok(())
    }

    /// [`ActionStore::changed`](crate::ActionStore::changed).
    pub(super) async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        let mut watcher = self.position.subscribe();
        if after.is_some_and(|after| after > watcher.borrow().revision) {
            self.check_open("changed")?;
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "changed",
                "after: is a revision this store has not come to",
            ));
        }
        let beyond = |position: &Position| match after {
            Some(after) => self.is_closed() || position.revision > after,
            None => true,
        };
        let position = watcher.wait_for(beyond).await.map(|position| *position);
        self.check_open("changed")?;
        position.map_err(|_| StoreError::closed("changed"))
    }
}
