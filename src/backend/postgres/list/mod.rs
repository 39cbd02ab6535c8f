//! Pages of actions: one index selects rows, and the other terms filter a bounded number of them.

mod filter;
mod finished;
mod path;
mod places;

use std::sync::Arc;

use sqlx::postgres::PgRow;

use self::filter::{conditions, nearest};
use self::path::{Driven, drive};
pub(super) use self::path::{candidates, fewest, must_count, push_count};
use self::places::Places;
use super::read::First;
use super::rows::{Columns, STORED_ACTION};
use super::script::Script;
use crate::backend::sql::corrupt;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{
    AccessPath, Action, BlockTimes, Cursor, Filter, Limits, Order, Page, Query, Revision,
};

/// The direction of an order.
struct Walk {
    /// The condition for rows after a cursor.
    beyond: &'static str,
    /// The condition for rows up to the last one that a page may examine.
    within: &'static str,
    direction: &'static str,
    /// The start value, before the first row.
    begin: i64,
}

fn walk(order: Order) -> Walk {
    match order {
        Order::Oldest | Order::Feed => Walk {
            beyond: ">",
            within: "<=",
            direction: "ASC",
            begin: 0,
        },
        _ => Walk {
            beyond: "<",
            within: ">=",
            direction: "DESC",
            begin: i64::MAX,
        },
    }
}

/// Returns the number that a cursor holds.
fn position_of(cursor: Cursor) -> i64 {
    i64::try_from(cursor.position()).unwrap_or(i64::MAX)
}

/// Adds the statement of one page, which reads this index. Its rows are the last row that the page
/// may examine (NULL if it reached the end), the key and the action. There is always one row.
pub(super) fn push(script: &mut Script, query: &Query, path: &AccessPath, selective: bool) {
    if query.order == Order::Finished {
        return finished::push(script, query, path, selective);
    }
    if let AccessPath::Times(_) = path {
        return push_times(script, query, path);
    }
    let mut driven = drive(script, query.order, path);
    let one = query.filters.iter().find_map(|filter| match filter {
        Filter::Uid(uid) => Some(uid),
        _ => None,
    });
    if let (AccessPath::TouchesAny(_), Some(uid)) = (path, one) {
        let number = nearest(script, uid);
        let touching = format!(" AND t.action = coalesce({number}, 0)");
        driven.condition.push_str(&touching);
    }
    let Walk {
        beyond, direction, ..
    } = walk(query.order);
    let after = script.bind_int(query.after.map_or(walk(query.order).begin, position_of));
    let filters = conditions(script, query, path, driven.exact);
    let filtered = driven.filtered(&filters);
    let Driven {
        from,
        key,
        condition,
        ..
    } = driven;
    let scan = Limits::SCAN;
    let (action, limit) = (&*STORED_ACTION, u32::from(query.limit) + 1);
    // The rows that the page may examine, before any filter. The executor stops as soon as the page
    // is full.
    let keys = match path {
        // An action that several objects find is one row.
        AccessPath::TouchesAny(_) => format!(
            "SELECT DISTINCT t.action AS key FROM actions_touch AS t WHERE {condition} \
             AND t.action {beyond} ${after} ORDER BY key {direction}"
        ),
        _ => format!(
            "SELECT {key} AS key FROM {from} WHERE {condition} AND {key} {beyond} ${after} \
             ORDER BY {key} {direction}"
        ),
    };
    let rows = match path {
        AccessPath::TouchesAny(_) => format!(
            "SELECT n.key, {action} FROM ({keys} LIMIT {scan}) AS n \
             LEFT JOIN actions_action AS a ON a.number = n.key \
             WHERE {filtered} ORDER BY n.key {direction} LIMIT {limit}"
        ),
        _ if filters.is_empty() => format!(
            "SELECT {key} AS key, {action} FROM {from} WHERE {condition} \
             AND {key} {beyond} ${after} ORDER BY {key} {direction} LIMIT {limit}"
        ),
        _ => {
            let from = if query.order == Order::Feed {
                "n LEFT JOIN actions_action AS a ON a.number = n.action"
            } else if let AccessPath::Touches(_) = path {
                "n LEFT JOIN actions_action AS a ON a.number = n.key"
            } else {
                "a"
            };
            let examined = match from {
                "a" => format!("SELECT a.*, {key} AS key FROM actions_action AS a"),
                _ if query.order == Order::Feed => {
                    "SELECT f.action, f.revision AS key FROM actions_feed AS f".to_owned()
                }
                _ => "SELECT t.action AS key FROM actions_touch AS t".to_owned(),
            };
            format!(
                "SELECT key, {action} FROM ({examined} WHERE {condition} \
                 AND {key} {beyond} ${after} ORDER BY {key} {direction} LIMIT {scan}) AS {from} \
                 WHERE {filtered} ORDER BY key {direction} LIMIT {limit}"
            )
        }
    };
    let last = match filters.is_empty() {
        // No filter: the page ends at its limit.
        true => "NULL::bigint".to_owned(),
        false => format!("(SELECT key FROM ({keys}) AS k LIMIT 1 OFFSET {scan} - 1)"),
    };
    push_page(script, query, &rows, &last, direction);
}

/// Adds a page from its rows. `last` is computed only if the page is not full.
fn push_page(script: &mut Script, query: &Query, rows: &str, last: &str, direction: &str) {
    let limit = query.limit;
    script.push(&format!(
        "WITH page AS MATERIALIZED ({rows}) \
         SELECT CASE WHEN (SELECT count(*) FROM page) <= {limit} THEN {last} END, page.* \
         FROM (SELECT 1) AS once LEFT JOIN page ON true ORDER BY page.key {direction}"
    ));
}

/// Number of blocks that one page examines.
const BLOCKS: usize = Limits::SCAN / (BlockTimes::ACTIONS as usize) - 1;

/// The same for a range of times: the page examines the next few blocks that may have such actions.
fn push_times(script: &mut Script, query: &Query, path: &AccessPath) {
    let Walk {
        beyond,
        within,
        direction,
        begin,
    } = walk(query.order);
    let driven = drive(script, query.order, path);
    let after = script.bind_int(query.after.map_or(begin, position_of));
    let filters = conditions(script, query, path, false);
    let filtered = driven.filtered(&filters);
    let (condition, action, limit) = (
        &driven.condition,
        &*STORED_ACTION,
        u32::from(query.limit) + 1,
    );
    let size = BlockTimes::ACTIONS;
    let towards = if direction == "ASC" { ">=" } else { "<=" };
    let blocks = format!(
        "SELECT s.block FROM actions_block AS s WHERE {condition} \
         AND s.block {towards} ${after} / {size} ORDER BY s.block {direction}"
    );
    // The last number of the last block, if there are more.
    let edge = match direction {
        "ASC" => format!("block * {size} + {size} - 1"),
        _ => format!("block * {size}"),
    };
    let last = format!("(SELECT {edge} FROM ({blocks}) AS b LIMIT 1 OFFSET {BLOCKS} - 1)");
    let end = if direction == "ASC" { i64::MAX } else { 0 };
    let rows = format!(
        "SELECT a.number AS key, {action} FROM ({blocks} LIMIT {BLOCKS}) AS s \
         JOIN actions_action AS a ON a.number >= s.block * {size} \
         AND a.number < s.block * {size} + {size} \
         WHERE a.number {beyond} ${after} AND a.number {within} coalesce({last}, {end}) \
         AND {filtered} ORDER BY a.number {direction} LIMIT {limit}"
    );
    push_page(script, query, &rows, &last, direction);
}

/// Reads the rows of a page.
pub(super) fn read(
    query: &Query,
    first: First,
    rows: &[PgRow],
) -> Result<Page<Arc<Action>>, StoreError> {
    let First { at, end: history } = first;
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
    let mut items = Vec::with_capacity(rows.len().min(limit));
    let mut places = Places::new(query, at, history);
    let (mut bound, mut bound_at, mut count) = (None, None, 0);
    for row in rows {
        let mut columns = Columns::new("list", row);
        bound = columns.int_opt()?;
        if query.order == Order::Finished {
            bound_at = columns.time_opt()?;
        }
        // A page without rows is one row without a key.
        let Some(key) = columns.int_opt()? else {
            break;
        };
        count += 1;
        if count > limit {
            break;
        }
        let action = columns.action(query.detail)?;
        places.add(key, &action)?;
        items.push(Arc::new(action));
    }
    let full = count > limit;
    let last = places.end(full)?;
    // A full page continues after its last row. A short page continues after the last row that it
    // may examine.
    let end = if full { last } else { bound };
    let finished = |action: &Arc<Action>| action.finished_at;
    let finished_at = match full {
        true => items.last().and_then(finished),
        false => bound_at,
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
