//! Tells waiters within this process that a store has moved on.

use tokio::sync::watch;

use crate::error::{ErrorKind, StoreError};
use crate::model::{Position, Revision};

/// Where the store stands, and whether it is still open. One value, so that any number of waiters
/// costs a writer the same.
#[derive(Debug)]
pub(super) struct Bell(watch::Sender<State>);

#[derive(Debug)]
struct State {
    position: Position,
    closed: bool,
    /// How often looking for news has failed, and why it last did.
    failures: u64,
    failure: Option<StoreError>,
}

impl Bell {
    pub(super) fn new(position: Position) -> Bell {
        Bell(watch::Sender::new(State {
            position,
            closed: false,
            failures: 0,
            failure: None,
        }))
    }

    /// Announces a position that has become readable. One that is behind what was announced
    /// before changes nothing.
    pub(super) fn ring(&self, position: Position) {
        let stand = |at: Position| (at.revision, at.removed_to, at.removed_created);
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

    /// Tells whoever waits that nobody can tell whether there is news.
    #[cfg(feature = "sqlite-unbundled")]
    pub(super) fn fail(&self, error: StoreError) {
        self.0.send_modify(|state| {
            state.failures += 1;
            state.failure = Some(error);
        });
    }

    /// Whether a revision is beyond what was announced.
    #[cfg(feature = "sqlite-unbundled")]
    pub(super) fn is_behind(&self, revision: Revision) -> bool {
        revision > self.0.borrow().position.revision
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
        let failures = watcher.borrow().failures;
        let beyond = |state: &State| match after {
            Some(after) => {
                let news = state.position.revision > after || state.failures != failures;
                state.closed || news
            }
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
            Ok(state) if state.closed => Err(StoreError::closed("changed")),
            Ok(state) => match (&state.failure, after) {
                (Some(error), Some(after)) if state.position.revision <= after => {
                    Err(error.clone())
                }
                _ => Ok(state.position),
            },
            Err(_) => Err(StoreError::closed("changed")),
        }
    }
}
