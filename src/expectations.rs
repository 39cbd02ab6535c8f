//! Estimates durations and failure rates from earlier actions with the same name.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Action, Detail, Filter, Outcome, Query, Status, Timestamp};
use crate::store::ActionStore;

/// Statistics of completed actions with the same name: how long they take, and how often they fail.
///
/// The sample is the completed actions created last, without those that never started. The
/// statistics describe the past only: the duration of new work may depend on its size.
///
/// Durations are wall clock times from start to completion, as recorded. Only succeeded actions
/// count, because failed and cancelled ones ended early.
///
/// Durations that span a jump of the clock are left out. These are durations of actions that
/// started before [`Timestamp::MIN_PLAUSIBLE`] or after their end. Durations longer than both a day
/// and a hundred times the median are left out too. A smaller jump is not noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectations {
    name: Arc<str>,
    /// Durations of the succeeded actions, in ascending order.
    durations: Vec<Duration>,
    outcomes: [u64; Outcome::ALL.len()],
}

/// Estimated remaining time of an executing action. See [`Expectations::remaining`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remaining {
    /// Time until the action reaches the median duration.
    Typical(Duration),
    /// The action exceeds the median duration. The value is the time until it reaches the 95th
    /// percentile.
    Slow(Duration),
    /// The action exceeds the 95th percentile by this much. There is no estimate.
    Beyond(Duration),
}

impl Remaining {
    /// Returns the remaining time as one number, for a progress bar. It is zero for
    /// [`Beyond`](Remaining::Beyond).
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self {
            Remaining::Typical(left) | Remaining::Slow(left) => *left,
            Remaining::Beyond(_) => Duration::ZERO,
        }
    }
}

/// Removes durations that only a jump of the clock explains from a sorted list.
fn leave_jumps_out(durations: &mut Vec<Duration>) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let median = durations.get(durations.len().saturating_sub(1) / 2);
    if let Some(median) = median.copied() {
        let longest = median.saturating_mul(100).max(DAY);
        durations.retain(|duration| *duration <= longest);
    }
}

impl Expectations {
    /// Default sample size: 100 actions.
    pub const SAMPLE: u16 = 100;
    /// Minimum number of succeeded actions for statements about durations: 5.
    pub const FEWEST: usize = 5;

    /// Reads the last 100 completed actions with a name.
    ///
    /// # Errors
    /// As [`of_last`](Expectations::of_last).
    pub async fn of<S>(store: &S, name: impl Into<Arc<str>>) -> Result<Expectations, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        Expectations::of_last(store, name, Expectations::SAMPLE).await
    }

    /// Reads the last completed actions with a name, 1..=[`Limits::PAGE`](crate::Limits::PAGE) of
    /// them, with one query.
    ///
    /// Only the actions that were started are counted. The result may have fewer actions if the
    /// name has more than 10,000 unfinished ones.
    ///
    /// # Errors
    /// `Invalid` if the number is out of range or the name is not a valid label. Otherwise as
    /// [`ActionStore::list`].
    pub async fn of_last<S>(
        store: &S,
        name: impl Into<Arc<str>>,
        actions: u16,
    ) -> Result<Expectations, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        Expectations::among(store, name.into(), &[], actions).await
    }

    /// As [`of_last`](Expectations::of_last), of the actions that also match all `filters`.
    pub(crate) async fn among<S>(
        store: &S,
        name: Arc<str>,
        filters: &[Filter],
        actions: u16,
    ) -> Result<Expectations, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let mut query = Query::new()
            .with_filter(Filter::Name(name.clone()))
            .with_filter(Filter::Status(Status::Completed))
            .with_limit(actions)
            .with_detail(Detail::Summary);
        query.filters.extend_from_slice(filters);
        let page = store.list(&query).await?;
        let mut durations = Vec::new();
        let mut outcomes = [0; Outcome::ALL.len()];
        for action in &page.items {
            let (Some(outcome), Some(finished)) = (action.outcome, action.finished_at) else {
                let message = "a completed action has no outcome";
                return Err(StoreError::new(StoreErrorKind::Corrupt, "list", message));
            };
            // An action cancelled in the queue says nothing about the work.
            let Some(started) = action.started_at else {
                continue;
            };
            if let Some(count) = outcomes.get_mut(usize::from(outcome.code())) {
                *count += 1;
            }
            let known = started.is_plausible() && started <= finished;
            if outcome == Outcome::Succeeded && known {
                durations.push(finished.since(started));
            }
        }
        durations.sort_unstable();
        leave_jumps_out(&mut durations);
        Ok(Expectations {
            name,
            durations,
            outcomes,
        })
    }

    /// Returns the name of the actions.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the sample size: the number of actions that were counted.
    #[must_use]
    pub fn sample(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Returns the number of sampled actions with this outcome.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        let count = self.outcomes.get(usize::from(outcome.code()));
        count.copied().unwrap_or_default()
    }

    /// Returns the share of sampled actions with this outcome, 0.0..=1.0. `None` if the sample is
    /// empty.
    #[must_use]
    pub fn share(&self, outcome: Outcome) -> Option<f64> {
        let sample = self.sample();
        (sample > 0).then(|| self.ended(outcome) as f64 / sample as f64)
    }

    /// Returns the share of sampled actions that failed, were interrupted or were lost, 0.0..=1.0.
    /// `None` if the sample is empty. A cancelled action is not a failure.
    #[must_use]
    pub fn failure_share(&self) -> Option<f64> {
        let sample = self.sample();
        let failed = [Outcome::Failed, Outcome::Interrupted, Outcome::Lost];
        let failed: u64 = failed.iter().map(|outcome| self.ended(*outcome)).sum();
        (sample > 0).then(|| failed as f64 / sample as f64)
    }

    /// Returns the median duration of the succeeded actions. `None` if there are fewer than
    /// [`FEWEST`](Expectations::FEWEST).
    #[must_use]
    pub fn typical(&self) -> Option<Duration> {
        self.within(50)
    }

    /// Returns the 95th percentile of the durations of the succeeded actions. `None` if there are
    /// fewer than [`FEWEST`](Expectations::FEWEST). With fewer than 20, this is the longest
    /// duration.
    #[must_use]
    pub fn slow(&self) -> Option<Duration> {
        self.within(95)
    }

    /// Returns the given percentile of the durations, by the nearest rank.
    fn within(&self, percent: usize) -> Option<Duration> {
        let count = self.durations.len();
        if count < Expectations::FEWEST {
            return None;
        }
        let rank = (count * percent).div_ceil(100);
        self.durations.get(rank.saturating_sub(1)).copied()
    }

    /// Estimates the remaining time of an executing action.
    ///
    /// It is the rest of the typical duration. After that, it is the rest of the slow duration, and
    /// then the time beyond that. It is never negative, and it is an estimate only. The action's
    /// own progress is ignored: an action that reports 90 % has rarely done nine tenths of its
    /// work.
    ///
    /// `now` must come from the clock that stamps the store's actions. Returns `None` if the action
    /// is not executing or has another name. Also `None` if it started before
    /// [`Timestamp::MIN_PLAUSIBLE`], or if too few actions have succeeded.
    #[must_use]
    pub fn remaining(&self, action: &Action, now: Timestamp) -> Option<Remaining> {
        if action.status != Status::Executing || action.name != self.name {
            return None;
        }
        let (typical, slow) = (self.typical()?, self.slow()?);
        let started = action.started_at.filter(|at| at.is_plausible())?;
        let taken = now.since(started);
        Some(
            match (typical.checked_sub(taken), slow.checked_sub(taken)) {
                (Some(left), _) => Remaining::Typical(left),
                (None, Some(left)) => Remaining::Slow(left),
                (None, None) => Remaining::Beyond(taken - slow),
            },
        )
    }
}
