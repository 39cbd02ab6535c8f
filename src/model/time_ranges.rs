//! Ranges of times in a query, and the times of a block of actions.

use super::action::Action;
use super::query::{Filter, Query};
use super::time::Timestamp;

/// Ranges of creation and completion times. Each begins with `from` and ends before `before`;
/// `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct TimeRanges {
    /// Earliest creation time.
    pub created_from: Option<Timestamp>,
    /// Time before which the actions were created.
    pub created_before: Option<Timestamp>,
    /// Earliest completion time.
    pub finished_from: Option<Timestamp>,
    /// Time before which the actions were completed.
    pub finished_before: Option<Timestamp>,
}

impl TimeRanges {
    /// Returns the ranges of a query: the intersection of its filters. `None` if it has none.
    #[must_use]
    pub fn of(query: &Query) -> Option<TimeRanges> {
        let mut times = TimeRanges::default();
        for filter in &query.filters {
            match filter {
                Filter::CreatedFrom(at) => {
                    times.created_from = times.created_from.max(Some(*at));
                }
                Filter::FinishedFrom(at) => {
                    times.finished_from = times.finished_from.max(Some(*at));
                }
                Filter::CreatedBefore(at) => earlier(&mut times.created_before, *at),
                Filter::FinishedBefore(at) => earlier(&mut times.finished_before, *at),
                _ => {}
            }
        }
        (times != TimeRanges::default()).then_some(times)
    }
}

fn earlier(bound: &mut Option<Timestamp>, at: Timestamp) {
    *bound = Some(bound.map_or(at, |bound| bound.min(at)));
}

/// Earliest and latest creation and completion times of a block of actions.
///
/// Actions are created in the order of their times, except after a clock was set back, and for
/// imported ones. Most are completed soon after. So a range of times is in few blocks.
///
/// A store that keeps these times for each block of numbers can answer
/// [`AccessPath::Times`](crate::spi::AccessPath::Times). The times of a block may cover more than
/// its actions, but never less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTimes {
    created: (Timestamp, Timestamp),
    finished: Option<(Timestamp, Timestamp)>,
}

impl BlockTimes {
    /// Actions in a block, 1024: those whose number divided by this is the number of the block.
    pub const ACTIONS: u64 = 1024;

    /// Returns the times of one action.
    #[must_use]
    pub fn of(action: &Action) -> BlockTimes {
        BlockTimes {
            created: (action.created_at, action.created_at),
            finished: action.finished_at.map(|at| (at, at)),
        }
    }

    /// Extends the times to those of another action.
    pub fn extend(&mut self, other: BlockTimes) {
        let join = |one: (Timestamp, Timestamp), other: (Timestamp, Timestamp)| {
            (one.0.min(other.0), one.1.max(other.1))
        };
        self.created = join(self.created, other.created);
        self.finished = match (self.finished, other.finished) {
            (Some(one), Some(other)) => Some(join(one, other)),
            (one, other) => one.or(other),
        };
    }

    /// Returns true if an action of the block may be within the ranges.
    #[must_use]
    pub fn may_have(&self, times: &TimeRanges) -> bool {
        let overlaps = |(first, last), from: Option<Timestamp>, before: Option<Timestamp>| {
            from.is_none_or(|from| last >= from) && before.is_none_or(|before| first < before)
        };
        let any_finished = times.finished_from.is_some() || times.finished_before.is_some();
        let finished = match self.finished {
            Some(known) => overlaps(known, times.finished_from, times.finished_before),
            None => !any_finished,
        };
        finished && overlaps(self.created, times.created_from, times.created_before)
    }
}
