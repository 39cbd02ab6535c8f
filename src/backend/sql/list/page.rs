//! A page from the rows that its statement found.

use std::sync::Arc;

use super::places::Places;
use crate::backend::sql::errors::corrupt;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{Action, Cursor, End, Order, Page, Position, Query, Revision, Timestamp};

/// The first row of a page.
pub(crate) struct FirstRow {
    /// Position of the store.
    pub(crate) at: Position,
    /// End of its history.
    pub(crate) end: End,
    /// The last row that the page may examine, and its time in order of completion; `None` if it
    /// may examine all rows.
    pub(crate) last_examined: Option<i64>,
    pub(crate) examined_at: Option<Timestamp>,
}

/// Returns the page of these rows: at most one more than the limit. `decode` returns the key and
/// the action of a row.
pub(crate) fn read<R>(
    query: &Query,
    first: FirstRow,
    rows: &[R],
    decode: impl Fn(&R) -> Result<(i64, Action), StoreError>,
) -> Result<Page<Arc<Action>>, StoreError> {
    let FirstRow {
        at,
        end,
        last_examined,
        examined_at,
    } = first;
    if query
        .after
        .is_some_and(|after| after.is_expired(at.pruned_through))
    {
        return Err(StoreError::new(
            ErrorKind::CursorExpired,
            "list",
            "actions after this cursor were removed; restart without a cursor",
        ));
    }
    let limit = usize::from(query.limit);
    let full = rows.len() > limit;
    let mut items = Vec::with_capacity(rows.len().min(limit));
    let mut places = Places::new(query, at, end);
    for row in rows.iter().take(limit) {
        let (key, action) = decode(row)?;
        places.add(key, &action)?;
        items.push(Arc::new(action));
    }
    let last = places.end(full)?;
    // A full page continues after its last row. A short page continues after the last row that it
    // may examine.
    let end = if full { last } else { last_examined };
    let finished = |action: &Arc<Action>| action.finished_at;
    let finished_at = match full {
        true => items.last().and_then(finished),
        false => examined_at,
    };
    let next = match end {
        None => None,
        Some(end) => {
            let end = u64::try_from(end).map_err(|_| corrupt("list", "a number is negative"))?;
            Some(match query.order {
                Order::Oldest => Cursor::oldest(at, end),
                Order::Finished => {
                    let missing = || corrupt("list", "a completed action has no completion time");
                    Cursor::finished(at, finished_at.ok_or_else(missing)?, end)
                }
                Order::Feed => Cursor::feed_after(Revision::new(end), query.after, at),
                _ => Cursor::newest(at, end),
            })
        }
    };
    Ok(Page::new(items, next, at))
}
