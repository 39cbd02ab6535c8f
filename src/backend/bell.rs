//! Tells waiters within this process that a store has moved on.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::error::{ErrorKind, StoreError};
use crate::model::{Position, Revision};

/// Where the store stands, and whether it is still open. One value, so that any number of waiters
/// costs a writer the same.
#[derive(Debug)]
pub(super) struct Bell {
    state: watch::Sender<State>,
    /// Beside it: every call looks at this, and callers must not wait for each other to do so.
    closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    position: Position,
    /// How often looking for news has failed, and why it last did.
    failures: u64,
    failure: Option<StoreError>,
    /// Why there will never be news again, though nobody closed the store.
    broken: Option<StoreError>,
}

impl Bell {
    pub(super) fn new(position: Position) -> Bell {
        Bell {
            state: watch::Sender::new(State {
                position,
                failures: 0,
                failure: None,
                broken: None,
            }),
            closed: AtomicBool::new(false),
        }
    }

    /// Announces a position that has become readable. One that is behind what was announced
    /// before changes nothing.
    pub(super) fn ring(&self, position: Position) {
        let stand = |at: &Position| (at.revision, at.removed_to, at.removed_created);
        self.state.send_if_modified(|state| {
            let goes_on = stand(&position) > stand(&state.position);
            if goes_on {
                state.position = position;
            }
            // Nobody is missed: whoever counts himself in after this looks at the position first,
            // for which he waits until this is over.
            goes_on && self.state.receiver_count() > 0
        });
    }

    /// Where the store stands, as far as it was announced.
    #[cfg(feature = "sqlite-unbundled")]
    pub(super) fn position(&self) -> Position {
        self.state.borrow().position
    }

    /// Tells whoever waits that nobody can tell whether there is news.
    #[cfg(feature = "sqlite-unbundled")]
    pub(super) fn fail(&self, error: StoreError) {
        self.state.send_modify(|state| {
            state.failures += 1;
            state.failure = Some(error);
        });
    }

    /// Lets every waiter go, now and later, with this error.
    #[cfg(feature = "sqlite-unbundled")]
    pub(super) fn break_off(&self, error: StoreError) {
        self.state.send_modify(|state| {
            state.broken.get_or_insert(error);
        });
    }

    /// Whether a revision is beyond what was announced.
    #[cfg(feature = "sqlite-unbundled")]
    pub(super) fn is_behind(&self, revision: Revision) -> bool {
        revision > self.state.borrow().position.revision
    }

    /// Lets every waiter go, now and later.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Whoever looked before that is woken to look again.
        self.state.send_modify(|_| {});
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), StoreError> {
        match self.is_closed() {
            true => Err(StoreError::closed(operation)),
            false => Ok(()),
        }
    }

    /// [`ActionStore::changed`](crate::ActionStore::changed).
    pub(super) async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        let mut watcher = self.state.subscribe();
        let failures = watcher.borrow().failures;
        if after.is_some_and(|after| after > watcher.borrow().position.revision) {
            self.check_open("changed")?;
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "changed",
                "after: is a revision this store has not come to",
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
