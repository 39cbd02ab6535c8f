//! The index that a page reads: as SQL, and how many rows it finds.

use sqlx::postgres::PgRow;

use super::filter::{bind_objects, id, nearest};
use super::{Walk, position_of, walk};
use crate::backend::postgres::rows::Columns;
use crate::backend::postgres::script::Script;
use crate::error::StoreError;
use crate::model::{AccessPath, BlockTimes, Filter, Order, Query, SELECTIVE, Times, Timestamp};

/// The index access of a query.
pub(super) struct Driven {
    /// The tables. LEFT JOIN shows a row that is missing: it is damage, not a shorter page.
    pub(super) from: String,
    /// The tables that are needed to count the rows.
    counted: String,
    /// The column that a cursor holds.
    pub(super) key: &'static str,
    /// The selecting condition. It contains literals where a partial index requires them.
    pub(super) condition: String,
    /// True if the condition covers its whole term.
    pub(super) exact: bool,
}

impl Driven {
    fn of(from: &str, key: &'static str, condition: String) -> Driven {
        Driven {
            from: from.to_owned(),
            counted: from.to_owned(),
            key,
            condition,
            exact: true,
        }
    }

    fn of_action(condition: String) -> Driven {
        Driven::of("actions_action AS a", "a.number", condition)
    }

    fn of_touch(condition: String) -> Driven {
        let touch = "actions_touch AS t";
        Driven {
            from: format!("{touch} LEFT JOIN actions_action AS a ON a.number = t.action"),
            ..Driven::of(touch, "t.action", condition)
        }
    }

    /// Returns the filters as one condition, which does not hide a missing row.
    pub(super) fn filtered(&self, filters: &[String]) -> String {
        if filters.is_empty() {
            return "true".to_owned();
        }
        let all = filters.join(" AND ");
        match self.from.contains("LEFT JOIN") {
            true => format!("(a.number IS NULL OR ({all}))"),
            false => all,
        }
    }
}

/// Returns the indexes that a page can read.
pub(in crate::backend::postgres) fn candidates(query: &Query) -> Vec<AccessPath> {
    if query.order == Order::Feed {
        return vec![AccessPath::All];
    }
    let paths = query.paths();
    let objects = query.filters.iter().find_map(|filter| match filter {
        Filter::TouchesAny(objects) => Some(objects),
        _ => None,
    });
    match (&paths[..], objects) {
        // Examines each object, even if no such action exists. Otherwise the response time would
        // show whether it exists.
        ([AccessPath::Uid(_)], Some(objects)) => vec![AccessPath::TouchesAny(objects.clone())],
        _ => paths,
    }
}

/// Returns true if the rows of these indexes must be counted before one is chosen.
pub(in crate::backend::postgres) fn must_count(query: &Query, paths: &[AccessPath]) -> bool {
    // In order of completion, the rows of a selective index are sorted.
    paths.len() > 1 || (query.order == Order::Finished && paths != [AccessPath::All])
}

/// Adds the statement that counts the rows of several indexes, each up to [`SELECTIVE`].
pub(in crate::backend::postgres) fn push_count(
    script: &mut Script,
    query: &Query,
    paths: &[AccessPath],
) {
    let mut counts = Vec::new();
    for path in paths {
        let driven = drive(script, query.order, path);
        let Driven {
            counted,
            key,
            condition,
            ..
        } = driven;
        counts.push(match path {
            AccessPath::Times(_) => {
                let size = BlockTimes::ACTIONS;
                format!(
                    "(SELECT least({SELECTIVE}, {size} * count(*)) FROM actions_block AS s \
                     WHERE {condition})"
                )
            }
            _ => {
                let Walk { beyond, begin, .. } = walk(query.order);
                // A cursor of the order of completion says nothing about numbers.
                let after = query.after.filter(|_| query.order != Order::Finished);
                let after = script.bind_int(after.map_or(begin, position_of));
                format!(
                    "(SELECT count(*) FROM (SELECT 1 FROM {counted} WHERE {condition} \
                     AND {key} {beyond} ${after} LIMIT {SELECTIVE}) AS counted)"
                )
            }
        });
    }
    script.push(&format!("SELECT {}", counts.join(", ")));
}

/// Returns the index with the fewest rows, and true if these are less than [`SELECTIVE`]. The first
/// of several with as many.
pub(in crate::backend::postgres) fn fewest(
    paths: Vec<AccessPath>,
    rows: &[PgRow],
) -> Result<(AccessPath, bool), StoreError> {
    let mut chosen = (AccessPath::All, usize::MAX);
    if let Some(row) = rows.first() {
        let mut counts = Columns::new("list", row);
        for path in paths {
            let count = counts.number()?;
            if count < chosen.1 {
                chosen = (path, count);
            }
        }
    }
    let (path, count) = chosen;
    Ok((path, count < SELECTIVE))
}

pub(super) fn drive(script: &mut Script, order: Order, path: &AccessPath) -> Driven {
    match path {
        AccessPath::All if order == Order::Feed => {
            let from = "actions_feed AS f LEFT JOIN actions_action AS a ON a.number = f.action";
            Driven::of(from, "f.revision", "true".to_owned())
        }
        AccessPath::All => Driven::of_action("true".to_owned()),
        AccessPath::Uid(uid) => {
            let number = nearest(script, uid);
            let is_it = id(script, "uid", uid);
            Driven::of_action(format!("a.number = {number} AND {is_it}"))
        }
        AccessPath::Parent(uid) => Driven::of_action(id(script, "parent", uid)),
        AccessPath::RetryOf(uid) => Driven::of_action(id(script, "retry_of", uid)),
        AccessPath::Correlation(text) => {
            let value = script.bind_text(text);
            Driven::of_action(format!("a.correlation = ${value}"))
        }
        AccessPath::CancelsOf(name) => {
            let value = script.bind_text(name);
            Driven::of_action(format!(
                "a.owner = ${value} AND a.status < 2 AND a.flags & 16 = 16"
            ))
        }
        AccessPath::UnfinishedOf(name) => {
            let value = script.bind_text(name);
            Driven::of_action(format!("a.owner = ${value} AND a.status < 2"))
        }
        AccessPath::Touches(object) => {
            let value = script.bind_text(object.as_str());
            Driven::of_touch(format!("t.object = ${value}"))
        }
        AccessPath::TouchesAny(objects) => {
            let objects = bind_objects(script, objects);
            Driven::of_touch(format!("t.object = ANY (${objects})"))
        }
        // No unfinished action has a place in this order.
        AccessPath::Unfinished if order == Order::Finished => {
            Driven::of_action("a.status < 2 AND a.number < 0".to_owned())
        }
        AccessPath::Unfinished => Driven::of_action("a.status < 2".to_owned()),
        AccessPath::Ended(outcome) => {
            let value = script.bind_int(outcome.code().into());
            Driven::of_action(format!("a.outcome = ${value} AND a.outcome > 0"))
        }
        AccessPath::Tenant(tenant) => {
            let value = script.bind_text(tenant);
            Driven::of_action(format!("a.tenant = ${value} AND a.tenant <> 'default'"))
        }
        AccessPath::Name(name) => {
            let value = script.bind_text(name);
            Driven::of_action(format!("a.name = ${value}"))
        }
        AccessPath::Times(times) => Driven {
            exact: false,
            ..Driven::of_action(within(script, times))
        },
    }
}

/// Returns the condition for blocks that may have actions of these times.
fn within(script: &mut Script, times: &Times) -> String {
    let mut conditions = Vec::new();
    let mut bound = |column: &str, op: &str, time: Option<Timestamp>| {
        if let Some(time) = time {
            let value = script.bind_int(time.as_micros());
            conditions.push(format!("s.{column} {op} ${value}"));
        }
    };
    bound("created_max", ">=", times.created_from);
    bound("created_min", "<", times.created_before);
    bound("finished_max", ">=", times.finished_from);
    bound("finished_min", "<", times.finished_before);
    conditions.join(" AND ")
}
