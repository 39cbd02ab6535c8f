//! Prunes at an interval, in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::policy::{Retention, invalid};
use super::prune::{Pruned, Pruning};
use crate::clock::Clock;
use crate::error::{ErrorKind, StoreError};
use crate::model::{Invalid, Timestamp};
use crate::store::ActionStore;

/// What came of one round of a [`Keeper`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Round {
    /// Which one, from 1.
    pub number: u64,
    /// When it began, by the keeper's clock: it advances by no more than the time that passes, see
    /// [`Retention`].
    pub at: Timestamp,
    /// What it did, until it was through or failed.
    pub pruned: Pruned,
    /// Why it was not through. The next round tries again, unless the store is closed.
    pub error: Option<StoreError>,
}

/// Prunes in the background, at once and then again and again: [`Retention::keep`].
///
/// One round never begins before the one before it has ended. Dropped, it stops after the page or
/// the transaction that is under way; [`close`](Keeper::close) waits for that.
#[derive(Debug)]
#[must_use = "dropped, it stops"]
pub struct Keeper {
    stop: watch::Sender<bool>,
    rounds: watch::Receiver<Option<Round>>,
    task: JoinHandle<()>,
}

impl Retention {
    /// Prunes a store now, and again each time an interval has passed since the last round ended.
    ///
    /// Only one process that shares a store needs to; several do no harm.
    ///
    /// # Errors
    /// `Invalid` for a policy beyond its limits or an interval below a second, `Closed` outside a
    /// tokio runtime.
    pub fn keep(
        self,
        store: Arc<dyn ActionStore>,
        clock: Clock,
        interval: Duration,
    ) -> Result<Keeper, StoreError> {
        self.check()?;
        if interval < Duration::from_secs(1) {
            let reason = format!("is {interval:?}, less than a second");
            return Err(invalid(Invalid::new("interval", reason)));
        }
        let runtime = Handle::try_current().map_err(|error| {
            let message = "there is no tokio runtime";
            StoreError::new(ErrorKind::Closed, "keep", message).with_source(error)
        })?;
        let (stop, stopped) = watch::channel(false);
        let (report, rounds) = watch::channel(None);
        let task = runtime.spawn(keep(self, store, clock, interval, stopped, report));
        Ok(Keeper { stop, rounds, task })
    }
}

impl Keeper {
    /// What came of the last round that has ended.
    #[must_use]
    pub fn last(&self) -> Option<Round> {
        self.rounds.borrow().clone()
    }

    /// Waits for the next round to end that this has not yet returned; `None` if the keeper has
    /// stopped, because the store is closed. Rounds that end meanwhile are passed over.
    pub async fn round(&mut self) -> Option<Round> {
        self.rounds.changed().await.ok()?;
        self.rounds.borrow_and_update().clone()
    }

    /// Whether it has stopped: the store is closed, or its runtime is gone.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.task.is_finished()
    }

    /// Stops after the transaction that is under way, and says what came of the last round.
    pub async fn close(mut self) -> Option<Round> {
        self.stop.send_replace(true);
        // A task that ended by a panic of the store leaves the rounds before it.
        let _ = (&mut self.task).await;
        self.last()
    }
}

/// A wall clock that is believed to advance by no more than the time that passes.
#[derive(Debug, Default)]
struct Watched {
    /// The time it was believed to show, and when that was.
    last: Option<(Timestamp, Instant)>,
}

impl Watched {
    fn look(&mut self, clock: &Clock, now: Instant) -> Timestamp {
        let shown = clock.now();
        // The clock was not set, so this look says nothing.
        if !shown.is_plausible() {
            return shown;
        }
        let at = match self.last {
            None => shown,
            Some((last, then)) => {
                let passed = now.saturating_duration_since(then).as_micros();
                let passed = i64::try_from(passed).unwrap_or(i64::MAX);
                shown.min(Timestamp::from_micros(
                    last.as_micros().saturating_add(passed),
                ))
            }
        };
        self.last = Some((at, now));
        at
    }
}

async fn keep(
    policy: Retention,
    store: Arc<dyn ActionStore>,
    clock: Clock,
    interval: Duration,
    mut stop: watch::Receiver<bool>,
    report: watch::Sender<Option<Round>>,
) {
    let mut watched = Watched::default();
    for number in 1.. {
        let at = watched.look(&clock, Instant::now());
        let mut pruning = Pruning::new(&policy, at);
        let error = loop {
            match pruning.next(&*store).await {
                Ok(None) => break None,
                Ok(Some(0)) => {
                    tokio::task::yield_now().await;
                    if is_stopping(&stop) {
                        break None;
                    }
                }
                Ok(Some(_)) => {
                    if stopped(&mut stop, policy.pause).await {
                        break None;
                    }
                }
                Err(error) => break Some(error),
            }
        };
        let closed = error.as_ref().map(StoreError::kind) == Some(ErrorKind::Closed);
        report.send_replace(Some(Round {
            number,
            at,
            pruned: pruning.report,
            error,
        }));
        if closed || stopped(&mut stop, interval).await {
            return;
        }
    }
}

/// Whether it was told to, or whoever could tell it is gone.
fn is_stopping(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Waits; whether it is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>, wait: Duration) -> bool {
    is_stopping(stop) || timeout(wait, stop.changed()).await.is_ok()
}
