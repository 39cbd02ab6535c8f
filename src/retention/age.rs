//! Computes the age of completed actions from timestamps that may be wrong.

use std::time::Duration;

use super::scan::query;
use crate::error::StoreError;
use crate::model::{Cursor, Filter, Order, Status, Timestamp};
use crate::store::ActionStore;

/// Maximum number of completions that are sampled.
const SAMPLE: usize = 1_000;

/// Completion times of the completed actions that were created last. They are the evidence for how
/// much time has passed.
///
/// A clock that jumps ahead looks like a gap without completions. So a gap counts for at most half
/// of an age.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// Newest first, once all are read. None is implausible or later than `now`.
    finished: Vec<Timestamp>,
}

impl Ages {
    /// Reads a page of the sample. Returns the cursor of the next page, if there is one.
    ///
    /// The state changes only after the page is read, so a cancelled call can be repeated.
    pub(super) async fn read<S>(
        &mut self,
        store: &S,
        after: Option<Cursor>,
        now: Timestamp,
    ) -> Result<Option<Cursor>, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let upto = Timestamp::from_micros(now.as_micros().saturating_add(1));
        let query = query(Order::Newest, after)
            .with_filter(Filter::Status(Status::Completed))
            .with_filter(Filter::FinishedFrom(Timestamp::MIN_PLAUSIBLE))
            .with_filter(Filter::FinishedBefore(upto));
        let page = store.list(&query).await?;
        let finished = page.items.iter().filter_map(|action| action.finished_at);
        self.finished.extend(finished);
        if self.finished.len() < SAMPLE && page.next.is_some() {
            return Ok(page.next);
        }
        self.finished
            .sort_unstable_by_key(|at| std::cmp::Reverse(*at));
        Ok(None)
    }

    /// The time from which ages are counted back.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.finished.first().copied()
    }

    /// Returns the time before which a completion exceeds `age`; `None` without any completion.
    pub(super) fn old_before(&self, age: Duration) -> Option<Timestamp> {
        let mut upper = self.newest()?.as_micros();
        let mut left = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        let silence = left / 2;
        // With an age of zero, everything up to the newest completion is old.
        if left == 0 {
            return self.newest();
        }
        for lower in &self.finished {
            let lower = lower.as_micros();
            let counted = upper.saturating_sub(lower).min(silence);
            if counted > left {
                break;
            }
            left -= counted;
            upper = lower;
        }
        Some(Timestamp::from_micros(upper.saturating_sub(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ages(days: impl IntoIterator<Item = i64>) -> Ages {
        let day = |day: i64| Timestamp::from_seconds(1_800_000_000 + day * 86_400);
        let mut finished: Vec<_> = days.into_iter().map(day).collect();
        finished.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
        Ages { finished }
    }

    fn old_before(ages: &Ages, age: u64) -> Option<i64> {
        let before = ages.old_before(Duration::from_secs(age * 86_400))?;
        Some((before.as_seconds() - 1_800_000_000).div_euclid(86_400))
    }

    #[test]
    fn time_in_which_something_was_completed_counts_in_full() {
        assert_eq!(old_before(&ages(0..100), 30), Some(69));
        assert_eq!(old_before(&ages([0, 10, 20, 30, 40]), 30), Some(10));
        // Before the oldest sample there is no evidence, so the whole time counts.
        assert_eq!(old_before(&ages([100]), 30), Some(70));
        assert_eq!(old_before(&ages([]), 30), None);
        assert_eq!(old_before(&ages([0, 100]), 0), Some(100));
    }

    #[test]
    fn a_silence_counts_for_at_most_half_of_an_age() {
        assert_eq!(old_before(&ages([0, 365]), 30), Some(-15));
        assert_eq!(old_before(&ages([0, 1, 365, 366]), 30), Some(-13));
        assert_eq!(old_before(&ages([0, 365, 380]), 30), Some(0));
        assert_eq!(old_before(&ages([0, 365, 396]), 30), Some(0));
        assert_eq!(old_before(&ages([0, 365, 730]), 30), Some(0));
    }
}
