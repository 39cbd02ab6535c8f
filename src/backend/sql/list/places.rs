//! Checks that the rows of a page are where they should be. SQLite notices much damage of a file,
//! but not pages that were exchanged.

use super::walk::position_of;
use crate::backend::sql::errors::{corrupt, out_of_place};
use crate::error::StoreError;
use crate::model::{Action, End, Order, Position, Query, Timestamp};

/// The rows of a page, as they are read.
pub(super) struct Places<'q> {
    query: &'q Query,
    at: Position,
    history: End,
    count: u64,
    last: Option<i64>,
    last_finished: Option<Timestamp>,
}

impl<'q> Places<'q> {
    pub(super) fn new(query: &'q Query, at: Position, history: End) -> Places<'q> {
        let after = query.after;
        let is_finished = query.order == Order::Finished;
        Places {
            query,
            at,
            history,
            count: 0,
            last: after.map(position_of),
            last_finished: after.filter(|_| is_finished).map(|c| c.finished_at()),
        }
    }

    /// Checks that a row is beyond the row before and matches the query.
    pub(super) fn add(&mut self, key: i64, action: &Action) -> Result<(), StoreError> {
        let goes_on = self.last.is_none_or(|last| match self.query.order {
            Order::Oldest | Order::Feed => key > last,
            Order::Finished => (action.finished_at, key) < (self.last_finished, last),
            _ => key < last,
        });
        if !goes_on || !self.query.matches(action) {
            return Err(out_of_place("list"));
        }
        (self.last, self.last_finished) = (Some(key), action.finished_at);
        self.count += 1;
        Ok(())
    }

    /// Checks that no row is missing, where it is known how many there are. Returns the key of the
    /// last row.
    pub(super) fn end(self, is_full: bool) -> Result<Option<i64>, StoreError> {
        let last = self.last.filter(|_| self.count > 0);
        if !self.query.filters.is_empty() || self.query.order == Order::Finished {
            return Ok(last);
        }
        let number = |key: Option<i64>| key.and_then(|key| u64::try_from(key).ok());
        let after = number(self.query.after.map(position_of));
        let newest = self.history.number;
        // The numbers of this page, with those of removed actions.
        let numbers = match (self.query.order, is_full) {
            (Order::Oldest, true) => number(last).unwrap_or(0).saturating_sub(after.unwrap_or(0)),
            (Order::Oldest, false) => newest.saturating_sub(after.unwrap_or(0)),
            (Order::Newest, true) => {
                let begin = after.map_or(newest + 1, |after| after.min(newest + 1));
                begin.saturating_sub(number(last).unwrap_or(0))
            }
            (Order::Newest, false) => {
                after.map_or(newest, |after| after.saturating_sub(1).min(newest))
            }
            // Revisions have gaps.
            _ => 0,
        };
        let removed = newest.saturating_sub(self.at.actions);
        let is_whole = self.query.after.is_none() && !is_full;
        let is_short = is_whole && self.count != self.at.actions;
        if is_short || numbers.saturating_sub(self.count) > removed {
            return Err(corrupt("list", "rows are missing"));
        }
        Ok(last)
    }
}
