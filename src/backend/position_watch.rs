//! Announces new positions of a store to waiters in this process.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Position, Revision};

/// Position of the store, and whether it is open. A single value, so the cost for a writer does not
/// depend on the number of waiters.
#[derive(Debug)]
pub(super) struct PositionWatch {
    state: watch::Sender<State>,
    /// A copy of "open" outside the lock: every call reads it, and callers must not wait for each
    /// other.
    closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    position: Position,
    /// Number of failed polls, and the last error.
    failures: u64,
    failure: Option<StoreError>,
    /// Error for all waiters: positions can no longer be announced, though the store was not
    /// closed.
    broken: Option<StoreError>,
}

impl PositionWatch {
    pub(super) fn new(position: Position) -> PositionWatch {
        PositionWatch {
            state: watch::Sender::new(State {
                position,
                failures: 0,
                failure: None,
                broken: None,
            }),
            closed: AtomicBool::new(false),
        }
    }

    /// Announces a position that has become readable. A position behind an earlier announcement has
    /// no effect.
    pub(super) fn publish(&self, position: Position) {
        // At one revision, actions are only removed.
        let stand = |at: &Position| {
            let remaining = Reverse(at.actions);
            (at.revision, at.pruned_through, at.pruned_created, remaining)
        };
        self.state.send_if_modified(|state| {
            let goes_on = stand(&position) > stand(&state.position);
            if goes_on {
                state.position = position;
            }
            // No waiter is missed. A new waiter takes this lock and reads the position before it
            // waits.
            goes_on && self.state.receiver_count() > 0
        });
    }

    /// Returns the announced position.
    #[cfg(feature = "_sql")]
    pub(super) fn position(&self) -> Position {
        self.state.borrow().position
    }

    /// Tells all waiters that polling for changes failed.
    #[cfg(feature = "_sql")]
    pub(super) fn fail(&self, error: StoreError) {
        self.state.send_modify(|state| {
            state.failures += 1;
            state.failure = Some(error);
        });
    }

    /// Ends all present and future waits with this error.
    #[cfg(feature = "_sql")]
    pub(super) fn break_off(&self, error: StoreError) {
        self.state.send_modify(|state| {
            state.broken.get_or_insert(error);
        });
    }

    /// Returns true if a revision is higher than the announced one.
    #[cfg(feature = "_sql")]
    pub(super) fn is_behind(&self, revision: Revision) -> bool {
        revision > self.state.borrow().position.revision
    }

    /// Ends all present and future waits.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Wakes waiters that read the flag before this change.
        self.state.send_modify(|_| {});
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.is_closed() {
            Err(StoreError::closed(operation))
        } else {
            Ok(())
        }
    }

    /// [`ActionStore::changed`](crate::ActionStore::changed).
    pub(super) async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        let mut watcher = self.state.subscribe();
        let failures = watcher.borrow().failures;
        if after.is_some_and(|after| after > watcher.borrow().position.revision) {
            self.check_open("changed")?;
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                "changed",
                "after: the store has not reached this revision",
            ));
        }
        let news = |state: &State| after.is_none_or(|after| state.position.revision > after);
        let is_over = |state: &State| self.is_closed() || state.broken.is_some();
        let heard = watcher
            .wait_for(|state| is_over(state) || news(state) || state.failures != failures)
            .await;
        match heard.as_deref() {
            _ if self.is_closed() => Err(StoreError::closed("changed")),
            Ok(state) => match (&state.broken, &state.failure) {
                (Some(error), _) => Err(error.clone()),
                (None, Some(error)) if !news(state) => Err(error.clone()),
                _ => Ok(state.position),
            },
            Err(_) => Err(StoreError::closed("changed")),
        }
    }
}
