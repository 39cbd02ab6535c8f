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
use super::branch::Lineage;
use super::decode::decode_stored;
use super::errors::corrupt;
use super::joined;
use super::reader::{First, read_first};
use super::rows::STORED_ACTION;
use super::script::Script;
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

impl Walk {
    /// Returns the function that finds the first number of several in this direction.
    fn nearest(&self) -> &'static str {
        match self.direction {
            "ASC" => "min",
            _ => "max",
        }
    }
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
    let &Walk {
        beyond,
        within,
        direction,
        ..
    } = &walk;
    let order = driven.order_by(direction);
    let filtered = driven.filtered(&filters);
    let Driven {
        from,
        key,
        condition,
        branches,
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
        // The objects are the first value.
        AccessPath::TouchesAny(objects) => Some(shared_end(
            &walk,
            after,
            Share {
                lists: "json_each($1) AS j",
                count: objects.len(),
                rows: "x.action FROM actions_touch AS x WHERE x.object = j.value",
                key: "x.action",
            },
        )),
        AccessPath::NamePrefix(_) => Some(shared_end(
            &walk,
            after,
            Share {
                lists: from
                    .split_once(" CROSS JOIN")
                    .map_or("", |(names, _)| names),
                count: AccessPath::NAMES,
                rows: "x.number FROM actions_action AS x WHERE x.name = j.value",
                key: "x.number",
            },
        )),
        // No filter: the page ends at its limit.
        _ if filters.is_empty() => None,
        AccessPath::States(_) => Some(merged_end(&walk, after, &branches)),
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
    // Only numbers are sorted.
    let merged = |numbers: &str| {
        format!(
            "SELECT n.number AS key, {action} AS record FROM (SELECT * FROM ({numbers}) \
             ORDER BY number {direction} LIMIT ${limit}) AS n \
             LEFT JOIN actions_action AS a ON a.number = n.number ORDER BY n.number {direction}"
        )
    };
    let rows = match path {
        // An action found by several objects is one row.
        AccessPath::TouchesAny(_) => merged(&format!("SELECT DISTINCT t.action AS number {rows}")),
        AccessPath::NamePrefix(_) => merged(&format!("SELECT a.number AS number {rows}")),
        AccessPath::States(_) => {
            let branch = |condition: &String| {
                format!(
                    "SELECT a.number AS number FROM {from} WHERE {condition} \
                     AND {key} {beyond} ${after}{bound}{filtered}"
                )
            };
            let branches: Vec<String> = branches.iter().map(branch).collect();
            merged(&branches.join(" UNION ALL "))
        }
        _ => format!(
            "SELECT {key} AS key, {action} AS record {rows} ORDER BY {order} LIMIT ${limit}"
        ),
    };
    script.push(&page_statement(query, &with, last, &rows));
    Ok(script)
}

/// Lists of rows that a page merges.
struct Share<'s> {
    /// The table `j` of the lists.
    lists: &'s str,
    /// The number of the lists.
    count: usize,
    /// The text after `SELECT` that reads the rows of a list.
    rows: &'s str,
    /// The number of the action in a row.
    key: &'s str,
}

/// Returns the last row that a merged page may examine. Each list gets an equal share of rows. The
/// page ends where the first share ends, so that the union of the shares is complete.
fn shared_end(walk: &Walk, after: usize, share: Share<'_>) -> String {
    let Share {
        lists,
        count,
        rows,
        key,
    } = share;
    let one = one_end(walk, after, count, &format!("SELECT {rows}"), key);
    format!("(SELECT {}(({one})) FROM {lists})", walk.nearest())
}

/// Returns the last row that a page may examine which merges the rows of several conditions.
fn merged_end(walk: &Walk, after: usize, branches: &[String]) -> String {
    let ends = branches.iter().map(|condition| {
        let rows = format!("SELECT a.number FROM actions_action AS a WHERE {condition}");
        let one = one_end(walk, after, branches.len(), &rows, "a.number");
        format!("SELECT ({one}) AS last")
    });
    let ends: Vec<String> = ends.collect();
    format!(
        "(SELECT {}(last) FROM ({}))",
        walk.nearest(),
        ends.join(" UNION ALL ")
    )
}

/// Returns the end of one of so many shares.
fn one_end(walk: &Walk, after: usize, count: usize, rows: &str, key: &str) -> String {
    let Walk {
        beyond, direction, ..
    } = walk;
    let skip = Limits::SCAN / count.max(1) - 1;
    format!("{rows} AND {key} {beyond} ${after} ORDER BY {key} {direction} LIMIT 1 OFFSET {skip}")
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
