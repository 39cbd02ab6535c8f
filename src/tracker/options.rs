//! Options of a tracker.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::on_settled::OnSettled;
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Action, Invalid, NewAction};

/// Policy for the queued actions of an owner name when an incarnation of it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LeftQueued {
    /// Completes them as interrupted. The default: the work to be done usually lives in the memory
    /// of the process that queued it, so no other process would start them.
    #[default]
    Interrupt,
    /// Leaves them queued, for a later process to start.
    Leave,
}

/// Options of a [`Tracker`](crate::Tracker). The defaults suit a control plane with one process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrackerOptions {
    /// Lease: how long an owner may go without a renewal before another tracker may declare it
    /// dead. 1 s to 1 h, default 30 s. Use the same value in all processes that share a store.
    ///
    /// The tracker renews every sixth of the lease and retries a failed renewal after a thirtieth.
    /// After two thirds without a renewal it reports that it is no longer the owner.
    ///
    /// Keep the host's transactions on the same database below half a lease. A longer one makes
    /// owners report a lost ownership, but does not cause a fence. No other process can write
    /// meanwhile, and a sweep does not count time in which its own tracker could not renew.
    ///
    /// A store on the host's pool renews through that pool. If the host holds all connections for a
    /// whole lease (a pool of one is enough) without holding the write lock, this owner cannot
    /// renew but others can. They then fence it although it is alive. Leave one connection free, or
    /// make the lease longer than the longest time in which the host holds all connections.
    pub lease: Duration,
    /// Minimum time between two background writes of progress, for all actions together. Default
    /// 250 ms, range 1 ms to 1 min.
    pub flush_interval: Duration,
    /// If true, a start fences a live incarnation that holds the name. Default true: a name belongs
    /// to one process, so an earlier holder is gone. If false, a name in use is
    /// [`OwnerAlive`](crate::ErrorKind::OwnerAlive), also after a crash.
    pub take_over: bool,
    /// Policy for the queued actions of this owner name when an incarnation ends, by shutdown or by
    /// crash. Default [`LeftQueued::Interrupt`].
    pub left_queued: LeftQueued,
    /// If true, this tracker also watches other owner names. Default true. It fences an owner that
    /// has not renewed for a whole lease, and settles its actions. Several trackers may sweep the
    /// same store; one is enough.
    pub sweep: bool,
    /// The host's decision for each unfinished action whose owner is not alive. Default: settle
    /// all.
    pub decide: Decide,
    /// The callback that learns of the actions that this tracker settles. Default: none.
    pub on_settled: OnSettled,
    /// The source of the correlation for new actions that have none. Default: none.
    pub correlation: Correlation,
}

/// The host's decision for an unfinished action whose owner is not alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OrphanDecision {
    /// Completes the action: as lost, with evidence, or as interrupted if it was never started. The
    /// default.
    #[default]
    Settle,
    /// Leaves the action as it is, for the host to [adopt](crate::Tracker::adopt). The host is
    /// asked again at each start, but not between starts.
    Leave,
}

/// The callback that decides on actions whose owner is not alive. The default settles all of them.
#[derive(Clone, Default)]
pub struct Decide(Option<Arc<Decider>>);

type Decider = dyn Fn(&Action) -> OrphanDecision + Send + Sync;

impl Decide {
    /// Returns the host's decision for an action.
    ///
    /// # Errors
    /// `Invalid` if the host's function panicked. The other actions are still settled.
    pub(super) fn on(&self, action: &Action) -> Result<OrphanDecision, StoreError> {
        let Some(decide) = &self.0 else {
            return Ok(OrphanDecision::Settle);
        };
        catch_unwind(AssertUnwindSafe(|| decide(action))).map_err(|_| {
            let message = "the host's `decide` function panicked on this action";
            StoreError::new(StoreErrorKind::Invalid, "decide", message)
        })
    }
}

impl fmt::Debug for Decide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Decide(host)"
        } else {
            "Decide(settle)"
        })
    }
}

/// The callback that supplies the correlation of new actions. The default supplies none.
#[derive(Clone, Default)]
pub struct Correlation(Option<Arc<dyn Fn() -> Option<Arc<str>> + Send + Sync>>);

impl Correlation {
    pub(super) fn fill(&self, mut new: NewAction) -> NewAction {
        if new.correlation.is_none()
            && let Some(current) = &self.0
        {
            new.correlation = current();
        }
        new
    }
}

impl fmt::Debug for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Correlation(host)"
        } else {
            "Correlation(none)"
        })
    }
}

impl Default for TrackerOptions {
    fn default() -> TrackerOptions {
        TrackerOptions {
            lease: Duration::from_secs(30),
            flush_interval: Duration::from_millis(250),
            take_over: true,
            left_queued: LeftQueued::Interrupt,
            sweep: true,
            decide: Decide::default(),
            on_settled: OnSettled::default(),
            correlation: Correlation::default(),
        }
    }
}

impl TrackerOptions {
    /// Returns the default options.
    #[must_use]
    pub fn new() -> TrackerOptions {
        TrackerOptions::default()
    }

    /// Sets the lease. See [`lease`](TrackerOptions::lease).
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> TrackerOptions {
        self.lease = lease;
        self
    }

    /// Sets the minimum time between two background writes of progress.
    #[must_use]
    pub fn with_flush_interval(mut self, flush_interval: Duration) -> TrackerOptions {
        self.flush_interval = flush_interval;
        self
    }

    /// Sets whether a start fences a live incarnation that holds the name.
    #[must_use]
    pub fn with_take_over(mut self, take_over: bool) -> TrackerOptions {
        self.take_over = take_over;
        self
    }

    /// Sets the policy for queued actions when their owner ends.
    #[must_use]
    pub fn with_left_queued(mut self, left_queued: LeftQueued) -> TrackerOptions {
        self.left_queued = left_queued;
        self
    }

    /// Sets whether this tracker also watches other owner names.
    #[must_use]
    pub fn with_sweep(mut self, sweep: bool) -> TrackerOptions {
        self.sweep = sweep;
        self
    }

    /// Sets the function that decides on each unfinished action whose owner is not alive.
    ///
    /// It runs on the tracker's own task, so it must not block. If it panics, the action stays as
    /// it is, is listed in [`Recovery::unsettled_actions`](crate::tracker::Recovery::unsettled_actions), and
    /// is asked about again.
    #[must_use]
    pub fn with_decide(
        mut self,
        decide: impl Fn(&Action) -> OrphanDecision + Send + Sync + 'static,
    ) -> TrackerOptions {
        self.decide = Decide(Some(Arc::new(decide)));
        self
    }

    /// Sets the function that learns of each action that this tracker settles: in its recovery and
    /// its sweeps, by [`Tracker::settle`](crate::Tracker::settle), and in its shutdown. Use it to
    /// keep the host's own rows in step. See the [guide](crate::guide::settled).
    ///
    /// - It gets the action as it is stored now, after the end was committed.
    ///
    /// - Calls are made one after the other, in the order in which this tracker settled the actions.
    ///
    /// - The function is called **at most once** for each settled action. A crash between the commit and the call loses
    ///   the call. For at least once, follow the [feed](crate::watch::Feed) from a cursor that the
    ///   host keeps.
    ///
    /// - Only the tracker that settles calls its function. Other processes that share the store do not.
    ///
    /// The calls run in tasks of their own. A slow function delays only later calls; uids wait in
    /// memory, 16 bytes each. A panic is counted in
    /// [`Health::failed_settled`](crate::tracker::Health::failed_settled). The function must not
    /// block its thread. The shutdown waits at most 5 s for the remaining calls.
    ///
    /// ```
    /// use action_store::{Outcome, TrackerOptions};
    ///
    /// # async fn mark_unknown(_object: Option<&str>) {}
    /// let options = TrackerOptions::new().with_on_settled(async |action| {
    ///     if action.outcome == Some(Outcome::Lost) {
    ///         mark_unknown(action.object.as_ref().map(|object| object.as_str())).await;
    ///     }
    /// });
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn with_on_settled<F>(
        mut self,
        on_settled: impl Fn(Arc<Action>) -> F + Send + Sync + 'static,
    ) -> TrackerOptions
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.on_settled = OnSettled::new(on_settled);
        self
    }

    /// Sets the function that supplies the correlation for each new action that has none: the
    /// host's request id or trace id, for example from a task-local or the current span.
    ///
    /// It runs on the caller's task, so it must not block. A value that is not a label makes the
    /// call fail with `Invalid`, so truncate values that a client may choose.
    ///
    /// The example uses the number of the current `tracing` span, as the host's subscriber assigned
    /// it. This library does not depend on `tracing`. Span numbers are reused, so prefer a trace
    /// id if there is one.
    ///
    /// ```
    /// use action_store::TrackerOptions;
    ///
    /// let options = TrackerOptions::new().with_correlation(|| {
    ///     let span = tracing::Span::current().id()?;
    ///     Some(format!("span-{}", span.into_u64()).into())
    /// });
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn with_correlation(
        mut self,
        current: impl Fn() -> Option<Arc<str>> + Send + Sync + 'static,
    ) -> TrackerOptions {
        self.correlation = Correlation(Some(Arc::new(current)));
        self
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let within = |field: &'static str, value: Duration, least: Duration, most: Duration| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let reason = format!("{value:?} is out of range; allowed: {least:?} to {most:?}");
            Err(StoreError::invalid("start", Invalid::new(field, reason)))
        };
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        within("lease", self.lease, second, hour)?;
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(60));
        within("flush_interval", self.flush_interval, least, most)
    }

    /// Returns the time between two renewals.
    pub(super) fn renewal_interval(&self) -> Duration {
        self.lease / 6
    }

    /// Returns the time without a renewal after which the owner no longer trusts its ownership. It
    /// is shorter than a lease, because others may fence the owner only after a whole lease.
    pub(super) fn trust(&self) -> Duration {
        self.lease * 2 / 3
    }
}
