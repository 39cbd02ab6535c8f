//! Announces new positions of a store to waiters in this process.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Position, Revision};

/// The announced position of a store, for [`changed`](crate::ActionStore::changed), and whether the
/// store is open.
///
/// A store creates it when it is opened, with the position that it has found. It calls
/// [`publish`](PositionWatch::publish) after each commit, once the commit is readable, and before it
/// answers the write. The cost of an announcement does not depend on the number of waiters. A waiter
/// never misses one.
///
/// # Examples
///
/// ```
/// use action_store::StoreError;
/// use action_store::query::{BranchId, Position, Revision, StoreId};
/// use action_store::spi::PositionWatch;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StoreError> {
/// let at = |revision| Position::new(StoreId::new(), BranchId::FIRST, Revision::new(revision));
/// let watch = PositionWatch::new(at(7));
/// // Each method of the store begins with this check.
/// watch.check_open("write")?;
/// // A commit.
/// watch.publish(at(8));
/// let seen = watch.changed(Some(Revision::new(7))).await?;
/// assert_eq!(seen.revision, Revision::new(8));
/// // The end of the store.
/// watch.close();
/// assert!(watch.changed(Some(Revision::new(8))).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PositionWatch {
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
    /// Creates it for an open store that has this position.
    #[must_use]
    pub fn new(position: Position) -> PositionWatch {
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
    /// no effect, so several tasks may announce what they have read.
    pub fn publish(&self, position: Position) {
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
    #[must_use]
    pub fn position(&self) -> Position {
        self.state.borrow().position
    }

    /// Ends all present waits with this error, unless they have a position to return. For a store
    /// that polls for the commits of other processes, and whose poll has failed. Later waits are not
    /// affected.
    pub fn fail(&self, error: StoreError) {
        self.state.send_modify(|state| {
            state.failures += 1;
            state.failure = Some(error);
        });
    }

    /// Ends all present and future waits with this error. For a store that can announce nothing any
    /// more although it was not closed.
    pub fn break_off(&self, error: StoreError) {
        self.state.send_modify(|state| {
            state.broken.get_or_insert(error);
        });
    }

    /// Returns true if a revision is higher than the announced one.
    #[must_use]
    pub fn is_behind(&self, revision: Revision) -> bool {
        revision > self.state.borrow().position.revision
    }

    /// Closes the store: all present and future waits end with `Closed`, and so does
    /// [`check_open`](PositionWatch::check_open).
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Wakes waiters that read the flag before this change.
        self.state.send_modify(|_| {});
    }

    /// Returns true if the store was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Checks that the store is open. `operation` is the method that asks, for the error.
    ///
    /// # Errors
    /// `Closed`.
    pub fn check_open(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.is_closed() {
            Err(StoreError::closed(operation))
        } else {
            Ok(())
        }
    }

    /// Waits until a revision above `after` is announced; see
    /// [`ActionStore::changed`](crate::ActionStore::changed). `None` returns the announced position at
    /// once.
    ///
    /// A store must announce a commit before it shows it on a page, or together with it. Otherwise a
    /// reader may ask for a revision that it has seen, and be told that it is beyond the store.
    ///
    /// # Errors
    /// `Invalid` if `after` is above the announced revision, `Closed`, and the errors of
    /// [`fail`](PositionWatch::fail) and [`break_off`](PositionWatch::break_off).
    pub async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
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
