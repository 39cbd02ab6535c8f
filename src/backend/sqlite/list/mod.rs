//! Pages of actions: one index selects rows, and the other terms filter a bounded number of them.

mod filter;
mod finished;
mod path;
mod places;

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;

use self::filter::{conditions, touching};
use self::path::{Driven, drive};
pub(super) use self::path::{candidates, count_script, fewest, must_count};
use self::places::Places;
use super::decode::decode_stored;
use super::joined;
use super::position::{First, read_first};
use super::rows::STORED_ACTION;
use super::script::Script;
use crate::backend::sql::{Lineage, corrupt};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{AccessPath, Action, Cursor, Filter, Limits, Order, Page, Query, Revision};

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

/// Returns the script of one page, which reads this index. The first row has the position and the
/// last row that the page may examine. The other rows follow, each after its key. One statement, so
/// all of it is from the same moment.
pub(super) fn script(
    query: &Query,
    path: &AccessPath,
    selective: bool,
) -> Result<Script, sqlx::Error> {
    if query.order == Order::Finished {
        return finished::script(query, path, selective);
    }
    let mut script = Script::new();
    let mut driven = drive(&mut script, query.order, path)?;
    let one = query.filters.iter().find_map(|filter| match filter {
        Filter::Uid(uid) => Some(uid),
        _ => None,
    });
    if let (AccessPath::TouchesAny(_), Some(uid)) = (path, one) {
        driven.condition.push_str(&touching(&mut script, uid)?);
    }
    let walk = walk(query.order);
    let after = script.bind(query.after.map_or(walk.begin, position_of))?;
    let limit = script.bind(i64::from(query.limit) + 1)?;
    let filters = conditions(&mut script, query, path, driven.exact)?;
    let Walk {
        beyond,
        within,
        direction,
        ..
    } = walk;
    let order = driven.order_by(direction);
    let filtered = driven.filtered(&filters);
    let Driven {
        from,
        key,
        condition,
        ..
    } = driven;
    let mut base = format!("FROM {from} WHERE {condition} AND {key} {beyond} ${after}");
    if let AccessPath::Times(_) = path {
        let size = crate::model::BlockTimes::ACTIONS;
        let towards = if direction == "ASC" { ">=" } else { "<=" };
        base.push_str(&format!(" AND s.block {towards} ${after} / {size}"));
    }
    let action = &*STORED_ACTION;

    let last = match path {
        // There is at most one row.
        AccessPath::Uid(_) => None,
        AccessPath::TouchesAny(_) if one.is_some() => None,
        AccessPath::TouchesAny(objects) => {
            // Each object gets an equal share of rows. The page ends where the first share ends, so
            // that the union of the shares is complete.
            let skip = Limits::SCAN / objects.len().max(1) - 1;
            let first = if direction == "ASC" { "min" } else { "max" };
            // The objects are the first value.
            Some(format!(
                "(SELECT {first}((SELECT x.action FROM actions_touch AS x \
                 WHERE x.object = j.value AND x.action {beyond} ${after} \
                 ORDER BY x.action {direction} LIMIT 1 OFFSET {skip})) FROM json_each($1) AS j)"
            ))
        }
        // No filter: the page ends at its limit.
        _ if filters.is_empty() => None,
        _ => {
            let skip = Limits::SCAN - 1;
            Some(format!(
                "(SELECT {key} {base} ORDER BY {order} LIMIT 1 OFFSET {skip})"
            ))
        }
    };
    // Computed once: the page ends there, and the next one begins there.
    let (with, last, bound) = match last {
        None => (String::new(), "NULL", String::new()),
        Some(found) => {
            let end = end(query.order);
            (
                format!("WITH reach AS MATERIALIZED (SELECT {found} AS last) "),
                "(SELECT last FROM reach)",
                format!(" AND {key} {within} coalesce((SELECT last FROM reach), {end})"),
            )
        }
    };
    let rows = format!("{base}{bound}{filtered}");
    let rows = match path {
        // An action found by several objects is one row, and only numbers are sorted.
        AccessPath::TouchesAny(_) => format!(
            "SELECT n.number AS key, {action} AS record FROM (SELECT DISTINCT t.action AS number {rows} \
             ORDER BY t.action {direction} LIMIT ${limit}) AS n \
             LEFT JOIN actions_action AS a ON a.number = n.number ORDER BY n.number {direction}"
        ),
        _ => format!(
            "SELECT {key} AS key, {action} AS record {rows} ORDER BY {order} LIMIT ${limit}"
        ),
    };
    script.push(&page_statement(query, &with, last, &rows));
    Ok(script)
}

/// Returns true if the rows of a page travel as one text.
fn is_joined(query: &Query) -> bool {
    usize::from(query.limit) < joined::MOST
}

/// Returns the statement of a page: the position, the values of `last`, then the rows.
fn page_statement(query: &Query, with: &str, last: &str, rows: &str) -> String {
    let rows = match is_joined(query) {
        true => joined::join(rows),
        false => format!("SELECT * FROM ({rows})"),
    };
    format!(
        "{with}SELECT NULL, json_array(revision, pruned_through, pruned_created, actions, \
         last_number, last_entry, {last}) FROM actions_store WHERE id = 1 \
         UNION ALL {rows}"
    )
}

/// Returns the number that a cursor holds.
fn position_of(cursor: Cursor) -> i64 {
    i64::try_from(cursor.position()).unwrap_or(i64::MAX)
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

/// The value beyond the last row of a scan.
fn end(order: Order) -> i64 {
    match order {
        Order::Oldest | Order::Feed => i64::MAX,
        _ => 0,
    }
}

/// Reads the result of the script.
pub(super) fn read(
    query: &Query,
    lineage: &Lineage,
    results: &[Vec<SqliteRow>],
) -> Result<Page<Arc<Action>>, StoreError> {
    let First {
        at,
        end: history,
        mut columns,
        rows,
    } = read_first("list", lineage, query.after, results)?;
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
    let bound = columns.int_opt()?;
    let bound_at = match query.order {
        Order::Finished => columns.time_opt()?,
        _ => None,
    };
    let rows = joined::read("list", is_joined(query), rows)?;
    let limit = usize::from(query.limit);
    let full = rows.len() > limit;
    let mut items = Vec::with_capacity(rows.len().min(limit));
    let mut places = Places::new(query, at, history);
    for (key, record) in rows.iter().take(limit) {
        let key = key.parse();
        let key = key.map_err(|_| corrupt("list", "a row's key cannot be read"))?;
        let action = decode_stored("list", record, query.detail)?;
        places.add(key, &action)?;
        items.push(Arc::new(action));
    }
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
