//! What can be expected of an action, from how others of its name went.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, StoreError};
use crate::model::{Action, Detail, Outcome, Query, Status, Term, Timestamp};
use crate::store::ActionStore;

/// What can be expected of actions of a name: how long they take, how often they fail.
///
/// Taken from the completed ones created last that were ever started. It says how things went, no
/// more: work that depends on the size of what it is done to takes as long as that takes. Times are
/// wall clock times as recorded, from start to completion, and of succeeded actions only: what
/// failed or was cancelled stopped on the way.
///
/// Times that span a jump of the clock are left out. These are the times of actions that were started
/// before [`Timestamp::MIN_PLAUSIBLE`] or after their end, and times longer than a day and a hundred
/// times the median. A smaller jump is not noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectations {
    name: Arc<str>,
    /// Of the succeeded ones, in order.
    durations: Vec<Duration>,
    outcomes: [u64; Outcome::ALL.len()],
}

/// How long an executing action may still take; see [`Expectations::remaining`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remaining {
    /// So long until it has taken as long as half of them do.
    Typical(Duration),
    /// It has taken longer than that already; so long until it has taken as long as all but a
    /// twentieth do.
    Slow(Duration),
    /// It has taken longer than all but a twentieth, by this much. How long it still takes is
    /// anybody's guess.
    Beyond(Duration),
}

impl Remaining {
    /// As one number, for a progress bar: zero if it is beyond.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self {
            Remaining::Typical(left) | Remaining::Slow(left) => *left,
            Remaining::Beyond(_) => Duration::ZERO,
        }
    }
}

/// Removes times that only a jump of the clock explains from a sorted list.
fn leave_jumps_out(durations: &mut Vec<Duration>) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let median = durations.get(durations.len().saturating_sub(1) / 2);
    if let Some(median) = median.copied() {
        let longest = median.saturating_mul(100).max(DAY);
        durations.retain(|duration| *duration <= longest);
    }
}

impl Expectations {
    /// Actions looked at unless said otherwise.
    pub const SAMPLE: u16 = 100;
    /// Succeeded actions below which nothing is said about times.
    pub const FEWEST: usize = 5;

    /// Reads the last 100 completed actions of a name.
    ///
    /// # Errors
    /// As [`of_last`](Expectations::of_last).
    pub async fn of<S>(store: &S, name: impl Into<Arc<str>>) -> Result<Expectations, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        Expectations::of_last(store, name, Expectations::SAMPLE).await
    }

    /// Reads the last completed actions of a name, 1..=[`Limits::PAGE`](crate::Limits::PAGE) of
    /// them, with one query. Of these, only the ones that ran are counted. Among more than
    /// 10,000 unfinished actions of the name there may be fewer.
    ///
    /// # Errors
    /// `Invalid` for a number beyond its limits or a name that is no label, and as
    /// [`ActionStore::list`].
    pub async fn of_last<S>(
        store: &S,
        name: impl Into<Arc<str>>,
        actions: u16,
    ) -> Result<Expectations, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let name = name.into();
        let query = Query::new()
            .with_term(Term::Name(name.clone()))
            .with_term(Term::Status(Status::Completed))
            .with_limit(actions)
            .with_detail(Detail::Summary);
        let page = store.list(&query).await?;
        let mut durations = Vec::new();
        let mut outcomes = [0; Outcome::ALL.len()];
        for action in &page.items {
            let (Some(outcome), Some(finished)) = (action.outcome, action.finished_at) else {
                let message = "a completed action has no outcome";
                return Err(StoreError::new(ErrorKind::Corrupt, "list", message));
            };
            // What was cancelled in the queue says nothing about the work.
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

    /// Of which name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How many actions this rests on.
    #[must_use]
    pub fn sample(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// How many of them ended so.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        let count = self.outcomes.get(usize::from(outcome.code()));
        count.copied().unwrap_or_default()
    }

    /// Which share of them ended so, 0.0..=1.0; none without any.
    #[must_use]
    pub fn share(&self, outcome: Outcome) -> Option<f64> {
        let sample = self.sample();
        (sample > 0).then(|| self.ended(outcome) as f64 / sample as f64)
    }

    /// Which share of them failed, was interrupted or lost, 0.0..=1.0; none without any. A
    /// cancelled one is no failure: somebody wanted that.
    #[must_use]
    pub fn failure_share(&self) -> Option<f64> {
        let sample = self.sample();
        let failed = [Outcome::Failed, Outcome::Interrupted, Outcome::Lost];
        let failed: u64 = failed.iter().map(|outcome| self.ended(*outcome)).sum();
        (sample > 0).then(|| failed as f64 / sample as f64)
    }

    /// The time within which half of the succeeded ones were done, the median; none if they are
    /// fewer than [`FEWEST`](Expectations::FEWEST).
    #[must_use]
    pub fn typical(&self) -> Option<Duration> {
        self.within(50)
    }

    /// The time within which nineteen of twenty succeeded ones were done; none if they are fewer
    /// than [`FEWEST`](Expectations::FEWEST). Of fewer than 20 that is the longest.
    #[must_use]
    pub fn slow(&self) -> Option<Duration> {
        self.within(95)
    }

    /// The shortest of the times such that so many percent of them are no longer.
    fn within(&self, percent: usize) -> Option<Duration> {
        let count = self.durations.len();
        if count < Expectations::FEWEST {
            return None;
        }
        let rank = (count * percent).div_ceil(100);
        self.durations.get(rank.saturating_sub(1)).copied()
    }

    /// How long an executing action may still take: what is left of the typical time; once that is
    /// over, of the slow one; then by how much it is beyond that too. Never negative, and no
    /// promise. Its progress is left out of account: what reports 90 % is rarely nine tenths
    /// through.
    ///
    /// `now` is to be of the clock that stamps the store's actions. None for an action that is not
    /// executing or has another name, that was started before [`Timestamp::MIN_PLAUSIBLE`], and if
    /// too few have succeeded.
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
