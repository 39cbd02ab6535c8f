//! Prunes at an interval, in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::policy::{Retention, invalid};
use super::prune::{Pruned, Pruning};
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Invalid, Timestamp};
use crate::runtime;
use crate::store::ActionStore;

/// Report of one run of a [`PruneTask`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PruneReport {
    /// Number of the run, counted from 1.
    pub number: u64,
    /// Start time, by the task's clock. This clock advances by no more than the time that passes;
    /// see [`Retention`].
    pub at: Timestamp,
    /// Report of the removals, also of an incomplete run.
    pub pruned: Pruned,
    /// Error that ended the run early. The next run tries again, unless the store is closed.
    pub error: Option<StoreError>,
}

/// Background task that prunes a store at once and then at an interval. Started by
/// [`Retention::spawn`].
///
/// Runs never overlap. Dropping this handle stops the task after the current page or transaction.
/// [`close`](PruneTask::close) waits for that.
#[derive(Debug)]
#[must_use = "dropped, it stops"]
pub struct PruneTask {
    stop: watch::Sender<bool>,
    rounds: watch::Receiver<Option<PruneReport>>,
    task: JoinHandle<()>,
}

impl Retention {
    /// Starts a background task that prunes a store now, and again each time `interval` has passed
    /// since the end of the last run.
    ///
    /// `interval` is at least one second.
    ///
    /// One process per store is enough; several do no harm.
    ///
    /// # Errors
    /// `Invalid` if a value of the policy is out of range or the interval is below one second.
    /// `Closed` outside a tokio runtime.
    pub fn spawn(
        self,
        store: impl ActionStore,
        clock: Clock,
        interval: Duration,
    ) -> Result<PruneTask, StoreError> {
        self.check()?;
        if interval < Duration::from_secs(1) {
            let reason = format!("is {interval:?}; must be at least 1 s");
            return Err(invalid(Invalid::new("interval", reason)));
        }
        let runtime = runtime::current("spawn")?;
        let (stop, stopped) = watch::channel(false);
        let (report, rounds) = watch::channel(None);
        let task = runtime.spawn(keep(
            self,
            Arc::new(store),
            clock,
            interval,
            stopped,
            report,
        ));
        Ok(PruneTask { stop, rounds, task })
    }
}

impl PruneTask {
    /// Returns the report of the last finished run; `None` before the first one ends.
    #[must_use]
    pub fn last(&self) -> Option<PruneReport> {
        self.rounds.borrow().clone()
    }

    /// Waits until a run ends that this method has not returned yet, and returns its report.
    ///
    /// If several runs ended since the last call, only the last is returned. Returns `None` if the
    /// task has stopped, for example because the store is closed.
    pub async fn round(&mut self) -> Option<PruneReport> {
        self.rounds.changed().await.ok()?;
        self.rounds.borrow_and_update().clone()
    }

    /// Returns true if the task has stopped: the store is closed, or the runtime is gone.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.task.is_finished()
    }

    /// Stops the task after the current transaction and returns the report of the last run.
    pub async fn close(mut self) -> Option<PruneReport> {
        self.stop.send_replace(true);
        // If the task panicked, the reports of earlier runs are still there.
        let _ = (&mut self.task).await;
        self.last()
    }
}

/// Wall clock whose advance is limited to the time that passes on the monotonic clock.
#[derive(Debug, Default)]
struct Watched {
    /// The last accepted time, and the instant of that reading.
    last: Option<(Timestamp, Instant)>,
}

impl Watched {
    fn look(&mut self, clock: &Clock, now: Instant) -> Timestamp {
        let shown = clock.now();
        // The clock was not set, so this reading is ignored.
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
    report: watch::Sender<Option<PruneReport>>,
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
        let closed = error.as_ref().map(StoreError::kind) == Some(StoreErrorKind::Closed);
        report.send_replace(Some(PruneReport {
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

/// Returns true if the task was told to stop, or its handle was dropped.
fn is_stopping(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Waits for `wait`, or less if told to stop. Returns true if the task is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>, wait: Duration) -> bool {
    is_stopping(stop) || timeout(wait, stop.changed()).await.is_ok()
}
