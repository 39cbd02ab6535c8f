//! Fills pages: limit, scan limit, filters, the next cursor, and cursors that have expired.

use std::borrow::Borrow;
use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};
use crate::model::{
    Action, Branches, CheckError, Cursor, End, Limits, LogEntry, LogQuery, Order, Owner,
    OwnerQuery, Page, Position, Query, Revision, Timestamp,
};

type Row<T> = Result<(u64, T), StoreError>;

impl Page<Arc<Action>> {
    /// Fills a page of actions for [`ActionStore::list`](crate::ActionStore::list).
    ///
    /// `rows` are the rows of one index, in the order of the query, from its cursor on. Each has
    /// its number: the revision of its last change for [`Order::Feed`], and its number in creation
    /// order for all other orders. `at` is the position of the store in the same snapshot.
    ///
    /// Checks the query and its cursor before it reads the first row, so `rows` should be lazy. It
    /// reads rows until the page is full, but at most [`Limits::SCAN`]. It filters them with
    /// [`Query::matches`] and shortens them to the query's [`Detail`](crate::query::Detail).
    ///
    /// A cursor of another [branch](crate::query::BranchId) expires as if the two branches had no
    /// common history.
    ///
    /// # Errors
    /// - `Invalid`: the query breaks a rule, or its cursor belongs to another store or list.
    ///
    /// - `Unsupported`: a filter or the order is of a later version.
    ///
    /// - `CursorExpired`: the cursor belongs to another branch, or actions after it were removed.
    ///
    /// - `Corrupt`: the rows are not in the order of the query, or one is not after the cursor.
    ///
    /// - The error of a row.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::ops::Bound::{Excluded, Unbounded};
    /// use std::sync::Arc;
    ///
    /// use action_store::query::Position;
    /// use action_store::{Action, Order, Page, Query, StoreError};
    ///
    /// /// `created` has the actions in creation order, and `feed` has them by revision.
    /// fn list(
    ///     created: &BTreeMap<u64, Arc<Action>>,
    ///     feed: &BTreeMap<u64, Arc<Action>>,
    ///     query: &Query,
    ///     at: Position,
    /// ) -> Result<Page<Arc<Action>>, StoreError> {
    ///     let after = query.after.map(|cursor| cursor.position());
    ///     let row = |(number, action): (&u64, _)| Ok((*number, action));
    ///     match query.order {
    ///         Order::Oldest | Order::Feed => {
    ///             let rows = if query.order == Order::Feed { feed } else { created };
    ///             let after = Excluded(after.unwrap_or(0));
    ///             Page::fill(rows.range((after, Unbounded)).map(row), query, at)
    ///         }
    ///         _ => {
    ///             let before = Excluded(after.unwrap_or(u64::MAX));
    ///             Page::fill(created.range((Unbounded, before)).rev().map(row), query, at)
    ///         }
    ///     }
    /// }
    /// ```
    pub fn fill<A: Borrow<Arc<Action>>>(
        rows: impl IntoIterator<Item = Row<A>>,
        query: &Query,
        at: Position,
    ) -> Result<Page<Arc<Action>>, StoreError> {
        check("list", query.check(), query.after, at)?;
        let mut last = query.after;
        let (mut items, mut read) = (Vec::new(), 0);
        for row in rows {
            if items.len() == usize::from(query.limit) || read == Limits::SCAN {
                return Ok(Page::new(items, last, at));
            }
            let (number, action) = row?;
            let action = action.borrow();
            let end = cursor(query, at, number, action)?;
            if !last.is_none_or(|last| follows(query.order, last, end)) {
                return Err(corrupt("list", "a row is not in the order of the list"));
            }
            (last, read) = (Some(end), read + 1);
            if query.matches(action) {
                items.push(query.detail.of(action.clone()));
            }
        }
        Ok(Page::new(items, None, at))
    }
}

impl Page<LogEntry> {
    /// Fills a page of log entries for [`ActionStore::log`](crate::ActionStore::log).
    ///
    /// `rows` are the entries after the cursor of the query: those of its action, or all. Each has
    /// its number. Entries are numbered in the order of writing, over all actions.
    ///
    /// # Errors
    /// As [`Page::fill`]; `Corrupt` also for an entry of another action than the query's.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use action_store::query::Position;
    /// use action_store::{LogEntry, LogQuery, Page, StoreError};
    ///
    /// fn log(
    ///     entries: &BTreeMap<u64, LogEntry>,
    ///     query: &LogQuery,
    ///     at: Position,
    /// ) -> Result<Page<LogEntry>, StoreError> {
    ///     let after = query.after.map_or(0, |cursor| cursor.position());
    ///     let rows = entries.range(after + 1..).map(|(number, entry)| Ok((*number, entry.clone())));
    ///     let wanted = rows.filter(|row| match (row, query.uid) {
    ///         (Ok((_, entry)), Some(uid)) => entry.uid == uid,
    ///         _ => true,
    ///     });
    ///     Page::fill_log(wanted, query, at)
    /// }
    /// ```
    pub fn fill_log(
        rows: impl IntoIterator<Item = Row<LogEntry>>,
        query: &LogQuery,
        at: Position,
    ) -> Result<Page<LogEntry>, StoreError> {
        check("log", query.check(), query.after, at)?;
        Page::of_log(rows, query, at)
    }

    /// Fills a page for a query that was checked.
    pub(crate) fn of_log(
        rows: impl IntoIterator<Item = Row<LogEntry>>,
        query: &LogQuery,
        at: Position,
    ) -> Result<Page<LogEntry>, StoreError> {
        let belongs = |entry: &LogEntry| query.uid.is_none_or(|uid| uid == entry.uid);
        let rows = rows.into_iter().map(|row| match row? {
            (_, entry) if !belongs(&entry) => {
                Err(corrupt("log", "an entry belongs to another action"))
            }
            row => Ok(row),
        });
        ascending("log", rows, query.limit, query.after, at, Cursor::log)
    }
}

impl Page<Owner> {
    /// Fills a page of owners for [`ActionStore::owners`](crate::ActionStore::owners).
    ///
    /// `rows` are the owners after the cursor of the query, for which [`OwnerQuery::matches`] is
    /// true. Each has the number of its claim, which is given once and never reused.
    ///
    /// # Errors
    /// As [`Page::fill`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::{BTreeMap, BTreeSet};
    ///
    /// use action_store::owner::{Owner, OwnerQuery};
    /// use action_store::query::Position;
    /// use action_store::{OwnerRef, Page, StoreError};
    ///
    /// /// `busy` has the owners of unfinished actions.
    /// fn owners(
    ///     claims: &BTreeMap<u64, Owner>,
    ///     busy: &BTreeSet<OwnerRef>,
    ///     query: &OwnerQuery,
    ///     at: Position,
    /// ) -> Result<Page<Owner>, StoreError> {
    ///     let after = query.after.map_or(0, |cursor| cursor.position());
    ///     let matches = |owner: &Owner| query.matches(owner, busy.contains(&owner.owner));
    ///     let rows = claims.range(after + 1..).filter(|(_, owner)| matches(owner));
    ///     Page::fill_owners(rows.map(|(number, owner)| Ok((*number, owner.clone()))), query, at)
    /// }
    /// ```
    pub fn fill_owners(
        rows: impl IntoIterator<Item = Row<Owner>>,
        query: &OwnerQuery,
        at: Position,
    ) -> Result<Page<Owner>, StoreError> {
        check("owners", query.check(), query.after, at)?;
        Page::of_owners(rows, query, at)
    }

    /// Fills a page for a query that was checked.
    pub(crate) fn of_owners(
        rows: impl IntoIterator<Item = Row<Owner>>,
        query: &OwnerQuery,
        at: Position,
    ) -> Result<Page<Owner>, StoreError> {
        ascending("owners", rows, query.limit, query.after, at, Cursor::owners)
    }
}

/// Fills a page in ascending order, which needs no filter.
fn ascending<T>(
    operation: &'static str,
    rows: impl IntoIterator<Item = Row<T>>,
    limit: u16,
    after: Option<Cursor>,
    at: Position,
    cursor: fn(Position, u64) -> Cursor,
) -> Result<Page<T>, StoreError> {
    let mut last = after.map_or(0, |cursor| cursor.position());
    let (rows, limit) = (rows.into_iter(), usize::from(limit));
    let mut items = Vec::with_capacity(rows.size_hint().0.min(limit));
    for row in rows {
        if items.len() == limit {
            return Ok(Page::new(items, Some(cursor(at, last)), at));
        }
        let (number, item) = row?;
        if number <= last {
            return Err(corrupt(operation, "a row is not in the order of the list"));
        }
        last = number;
        items.push(item);
    }
    Ok(Page::new(items, None, at))
}

/// Checks a query and its cursor.
fn check(
    operation: &'static str,
    query: Result<(), CheckError>,
    after: Option<Cursor>,
    at: Position,
) -> Result<(), StoreError> {
    query.map_err(|refused| StoreError::from_check(operation, refused))?;
    let Some(cursor) = after else {
        return Ok(());
    };
    if cursor.store_id() != at.store_id {
        let message = "after: is a cursor of another store";
        return Err(StoreError::new(StoreErrorKind::Invalid, operation, message));
    }
    let end = End {
        revision: at.revision.get(),
        // Nothing is known of the numbers of a store.
        number: u64::MAX,
        entry: u64::MAX,
    };
    if !Branches::only(at.branch).understand(&cursor, end) {
        return Err(another_branch(operation));
    }
    if cursor.is_expired(at.pruned_through) {
        return Err(expired(operation));
    }
    Ok(())
}

/// Returns the cursor after a row.
fn cursor(query: &Query, at: Position, number: u64, row: &Action) -> Result<Cursor, StoreError> {
    Ok(match query.order {
        Order::Oldest => Cursor::oldest(at, number),
        Order::Finished => {
            let missing = || corrupt("list", "a completed action has no completion time");
            Cursor::finished(at, row.finished_at.ok_or_else(missing)?, number)
        }
        Order::Feed if number > at.revision.get() => {
            let message = "a revision is above the position of the page";
            return Err(corrupt("list", message));
        }
        Order::Feed => Cursor::feed_after(Revision::new(number), query.after, at),
        _ => Cursor::newest(at, number),
    })
}

/// Returns true if a row comes after another in an order. Each row is given by the cursor after it.
fn follows(order: Order, last: Cursor, next: Cursor) -> bool {
    let place = |cursor: Cursor| -> (Timestamp, u64) { (cursor.finished_at(), cursor.position()) };
    match order {
        Order::Oldest | Order::Feed => next.position() > last.position(),
        Order::Finished => place(next) < place(last),
        _ => next.position() < last.position(),
    }
}

/// The error for a cursor that names no position in this branch of the store.
pub(crate) fn another_branch(operation: &'static str) -> StoreError {
    let message = "after: the cursor is not valid in this branch: \
                   the store was restored or copied; restart without a cursor";
    StoreError::new(StoreErrorKind::CursorExpired, operation, message)
}

/// The error for a feed cursor after which actions were removed.
pub(crate) fn expired(operation: &'static str) -> StoreError {
    let message = "actions after this cursor were removed; restart without a cursor";
    StoreError::new(StoreErrorKind::CursorExpired, operation, message)
}

fn corrupt(operation: &'static str, message: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BranchId, NewAction, StoreId};

    fn at(revision: u64) -> Position {
        Position::new(StoreId::new(), BranchId::FIRST, Revision::new(revision))
    }

    fn rows(numbers: &[u64]) -> Vec<Row<Arc<Action>>> {
        let row = |number: &u64| {
            let new = NewAction::task("a");
            let created = Timestamp::from_seconds(1);
            Ok((*number, Arc::new(Action::new(&new, new.digest(), created))))
        };
        numbers.iter().map(row).collect()
    }

    fn kind<T>(page: Result<Page<T>, StoreError>) -> Option<StoreErrorKind> {
        page.err().map(|error| error.kind())
    }

    #[test]
    fn rows_out_of_order_are_damage() {
        let at = at(9);
        let corrupt = Some(StoreErrorKind::Corrupt);
        for (order, numbers) in [
            (Order::Newest, [1, 2]),
            (Order::Newest, [2, 2]),
            (Order::Oldest, [2, 1]),
            (Order::Oldest, [2, 2]),
            (Order::Feed, [2, 1]),
            // Above the position.
            (Order::Feed, [9, 10]),
            // Not completed.
            (Order::Finished, [2, 1]),
        ] {
            let query = Query::new().with_order(order);
            assert_eq!(
                kind(Page::fill(rows(&numbers), &query, at)),
                corrupt,
                "{order:?}"
            );
        }
        let newest = Query::new().with_after(Some(Cursor::newest(at, 5)));
        assert_eq!(kind(Page::fill(rows(&[5, 4]), &newest, at)), corrupt);
        assert_eq!(kind(Page::fill(rows(&[4, 3]), &newest, at)), None);
        let feed = Query::new().with_order(Order::Feed);
        let feed = feed.with_after(Some(Cursor::feed(at, Revision::new(5))));
        assert_eq!(kind(Page::fill(rows(&[5, 6]), &feed, at)), corrupt);
        assert_eq!(kind(Page::fill(rows(&[6, 7]), &feed, at)), None);
    }

    #[test]
    fn nothing_is_read_for_a_query_that_is_refused() {
        let at = at(9);
        let unread = || std::iter::from_fn(|| -> Option<Row<Arc<Action>>> { panic!("was read") });
        for (query, expected) in [
            (Query::new().with_limit(0), StoreErrorKind::Invalid),
            (
                Query::new().with_order(Order::Unknown),
                StoreErrorKind::Unsupported,
            ),
            (
                Query::new().with_after(Some(Cursor::log(at, 1))),
                StoreErrorKind::Invalid,
            ),
            (
                Query::new()
                    .with_order(Order::Feed)
                    .with_after(Some(Cursor::feed(at, Revision::new(10)))),
                StoreErrorKind::CursorExpired,
            ),
        ] {
            assert_eq!(kind(Page::fill(unread(), &query, at)), Some(expected));
        }
        let elsewhere = Query::new().with_after(Some(Cursor::newest(self::at(9), 1)));
        let invalid = Some(StoreErrorKind::Invalid);
        assert_eq!(kind(Page::fill(unread(), &elsewhere, at)), invalid);
        let feed = Query::new().with_order(Order::Feed);
        let feed = feed.with_after(Some(Cursor::feed(at, Revision::new(5))));
        let pruned = at.with_pruned(Revision::new(6), None);
        let expired = Some(StoreErrorKind::CursorExpired);
        assert_eq!(kind(Page::fill(unread(), &feed, pruned)), expired);
    }

    #[test]
    fn a_page_ends_at_its_limit_and_at_the_scan_limit() {
        let at = at(20_000);
        let query = Query::new().with_order(Order::Oldest).with_limit(2);
        let next = |page: Result<Page<_>, _>| page.unwrap().next.map(|next| next.position());
        assert_eq!(next(Page::fill(rows(&[3, 5, 8]), &query, at)), Some(5));
        assert_eq!(next(Page::fill(rows(&[3, 5]), &query, at)), None);
        let none = query.with_filter(crate::model::Filter::Name("b".into()));
        let all: Vec<u64> = (1..=Limits::SCAN as u64 + 1).collect();
        let page = Page::fill(rows(&all), &none, at).unwrap();
        assert!(page.items.is_empty());
        assert_eq!(page.next.unwrap().position(), Limits::SCAN as u64);
        assert_eq!(next(Page::fill(rows(&all[1..]), &none, at)), None);
    }

    #[test]
    fn an_entry_of_another_action_is_damage() {
        let new = NewAction::task("a");
        let action = Action::new(&new, new.digest(), Timestamp::from_seconds(1));
        let entry = || {
            let kind = crate::model::LogEntryKind::Created;
            LogEntry::new(kind, &action, action.created_at)
        };
        let rows = |numbers: [u64; 2]| numbers.map(|number| Ok((number, entry())));
        let own = LogQuery::of(action.uid);
        let other = LogQuery::of(crate::model::ActionUid::new());
        let corrupt = Some(StoreErrorKind::Corrupt);
        assert_eq!(kind(Page::fill_log(rows([1, 2]), &other, at(1))), corrupt);
        assert_eq!(kind(Page::fill_log(rows([2, 2]), &own, at(1))), corrupt);
        let page = Page::fill_log(rows([1, 2]), &own.with_limit(1), at(1)).unwrap();
        assert_eq!((page.items.len(), page.next.unwrap().position()), (1, 1));
    }
}
