//! How a tracker behaves.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, StoreError};
use crate::model::{Action, Invalid, NewAction};

/// What happens to actions that an owner leaves queued when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LeftQueued {
    /// They are completed as interrupted: nobody will start them. The default, because what is
    /// to be done usually lives in the memory of the process that queued it.
    #[default]
    Interrupt,
    /// They stay queued, for whoever starts them next.
    Leave,
}

/// How a [`Tracker`](crate::Tracker) behaves. The defaults suit a plane with one process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrackerOptions {
    /// How long an owner may be silent before others may declare it dead: 1 s to 1 h, 30 s unless
    /// set, the same in all processes that share a store. The tracker renews six times in a
    /// lease, tries a renewal that failed again after a thirtieth of it, and holds itself for no
    /// longer the owner once nothing has succeeded for two thirds. So a host's transaction on the
    /// same database should not last for half a lease; a longer one makes owners doubt, and robs
    /// nobody, since nobody can renew meanwhile and a sweeper that cannot does not count that time.
    ///
    /// Keeping the connections is another matter. A store on a host's pool renews through that pool:
    /// if the host itself holds all of its connections for a whole lease (a pool of one is enough)
    /// without keeping the write lock, this owner cannot renew while others can, and they fence it,
    /// alive as it is. Leave the pool a connection to spare, or make the lease longer than the longest
    /// time the host may hold them all.
    pub lease: Duration,
    /// How often progress is written at most, for all actions together: 1 ms to 1 min, 250 ms
    /// unless set.
    pub flush_interval: Duration,
    /// Whether an incarnation that holds the name is fenced at once. True unless set: a name
    /// belongs to one process, so whoever held it before is gone. With false such a name is
    /// [`OwnerAlive`](crate::ErrorKind::OwnerAlive), after a crash as well.
    pub take_over: bool,
    /// What happens to the queued actions of this owner name when an incarnation ends, by
    /// shutdown or by crash.
    pub left_queued: LeftQueued,
    /// Whether this tracker also looks after other names: fences an owner whose renewals it has
    /// watched standing still for a whole lease, and settles what it left. True unless set. Where
    /// several do, each of them can; one is enough.
    pub sweep: bool,
    /// What the host says about each action that is to be settled.
    pub decide: Decide,
    /// Where the correlation of new actions comes from that bring none.
    pub correlation: Correlation,
}

/// What becomes of an unfinished action whose owner is not alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Orphan {
    /// It is completed: as lost, with evidence, or as interrupted if it was never started. The
    /// default.
    #[default]
    Settle,
    /// It stays as it is, for the host to [adopt](crate::Tracker::adopt). It is asked about again
    /// at each start, not in between.
    Leave,
}

/// What decides about actions without a living owner: settle all unless set.
#[derive(Clone, Default)]
pub struct Decide(Option<Arc<Decider>>);

type Decider = dyn Fn(&Action) -> Orphan + Send + Sync;

impl Decide {
    /// # Errors
    /// It panicked: one action's fault is not that of the others.
    pub(super) fn on(&self, action: &Action) -> Result<Orphan, StoreError> {
        let Some(decide) = &self.0 else {
            return Ok(Orphan::Settle);
        };
        catch_unwind(AssertUnwindSafe(|| decide(action))).map_err(|_| {
            let message = "the host's decision about the action panicked";
            StoreError::new(ErrorKind::Invalid, "decide", message)
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

/// What knows the correlation of what is going on where an action is created: nothing unless set.
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
            correlation: Correlation::default(),
        }
    }
}

impl TrackerOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> TrackerOptions {
        TrackerOptions::default()
    }

    /// Sets the lease.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> TrackerOptions {
        self.lease = lease;
        self
    }

    /// Sets how often progress is written at most.
    #[must_use]
    pub fn with_flush_interval(mut self, flush_interval: Duration) -> TrackerOptions {
        self.flush_interval = flush_interval;
        self
    }

    /// Sets whether an incarnation that holds the name is fenced.
    #[must_use]
    pub fn with_take_over(mut self, take_over: bool) -> TrackerOptions {
        self.take_over = take_over;
        self
    }

    /// Sets what happens to queued actions when their owner ends.
    #[must_use]
    pub fn with_left_queued(mut self, left_queued: LeftQueued) -> TrackerOptions {
        self.left_queued = left_queued;
        self
    }

    /// Sets whether this tracker looks after other names, too.
    #[must_use]
    pub fn with_sweep(mut self, sweep: bool) -> TrackerOptions {
        self.sweep = sweep;
        self
    }

    /// Lets the host decide about each unfinished action whose owner is not alive. Called in the
    /// tracker's own task: it must not block. Where it panics the action stays as it is, is among
    /// those that [could not be settled](crate::Recovery::unsettled), and is asked about again.
    #[must_use]
    pub fn with_decide(
        mut self,
        decide: impl Fn(&Action) -> Orphan + Send + Sync + 'static,
    ) -> TrackerOptions {
        self.decide = Decide(Some(Arc::new(decide)));
        self
    }

    /// Asks, in the caller's own task, for the correlation of each new action that brings none: the
    /// host's request or trace id, from a task-local or the current span. It must not block. What is
    /// no label is refused as `Invalid` with its action, so cut what a client may choose.
    ///
    /// Of the current `tracing` span (this library does not depend on `tracing`), its number as the
    /// host's subscriber gave it; spans use numbers again, so where there is a trace id, take that:
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
            let reason = format!("is {value:?}, not between {least:?} and {most:?}");
            Err(StoreError::invalid("start", Invalid::new(field, reason)))
        };
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        within("lease", self.lease, second, hour)?;
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(60));
        within("flush_interval", self.flush_interval, least, most)
    }

    /// How often the owner renews.
    pub(super) fn renewal_interval(&self) -> Duration {
        self.lease / 6
    }

    /// After how long without a renewal the owner takes itself for dead: before anybody else
    /// does, since nobody may before a whole lease.
    pub(super) fn trust(&self) -> Duration {
        self.lease * 2 / 3
    }
}
