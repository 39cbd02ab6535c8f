//! The statement of a page.

use super::filter::{conditions, touching};
use super::finished;
use super::listed::Listed;
use super::path::{Driven, IN_BLOCK, Lists, drive};
use super::walk::{Walk, position_of, walk};
use crate::backend::sql::dialect::{Dialect, PageText};
use crate::backend::sql::select::{Select, Value};
use crate::model::{AccessPath, Filter, Limits, Order, Query};

/// Returns the statement of one page, which reads this index. The first row has the position and the
/// last row that the page may examine. The other rows follow, each after its key. One statement, so
/// all of it is from the same moment.
pub(crate) fn statement<D: Dialect>(query: &Query, path: &AccessPath, selective: bool) -> Select {
    if query.order == Order::Finished {
        return finished::statement::<D>(query, path, selective);
    }
    let mut select = Select::default();
    let mut driven = drive::<D>(&mut select, query.order, path);
    let one = query.filters.iter().find_map(|filter| match filter {
        Filter::Uid(uid) => Some(uid),
        _ => None,
    });
    if let (AccessPath::TouchesAny(_), Some(uid)) = (path, one) {
        let condition = touching(&mut select, uid);
        driven.listed = driven.listed.and(&condition);
    }
    let walk = walk(query.order);
    let after = select.bind(Value::Int(query.after.map_or(walk.begin, position_of)));
    let limit = D::limit(select.bind(Value::Int(i64::from(query.limit) + 1)));
    let filters = conditions::<D>(&mut select, query, path, driven.exact);
    let &Walk { direction, end, .. } = &walk;
    let order = driven.order_by::<D>(direction);
    let filtered = driven.filtered(&filters);
    let from = driven.from::<D>();
    let Driven { key, listed, .. } = &driven;
    let blocks = match path {
        AccessPath::Times(_) => {
            let size = crate::model::BlockTimes::ACTIONS;
            let towards = if direction == "ASC" { ">=" } else { "<=" };
            format!(" AND s.block {towards} ${after} / {size}")
        }
        _ => String::new(),
    };
    let rows_to = |last: Option<&str>| match path {
        // The blocks come first, in their order, and then the rows of one after the other.
        AccessPath::Times(_) if D::HIDES_FILTERS => {
            let (table, blocks_of_times) = (driven.table, listed.all());
            let range = Listed::with(IN_BLOCK.as_str()).range::<D>(key, &walk, after, last);
            format!(
                "FROM (SELECT s.block FROM {table} WHERE {blocks_of_times}{blocks} \
                 ORDER BY s.block {direction} OFFSET 0) AS s CROSS JOIN LATERAL (SELECT * \
                 FROM actions_action AS a WHERE {range} ORDER BY {key} {direction} OFFSET 0) AS a \
                 WHERE true"
            )
        }
        _ => {
            let range = listed.range::<D>(key, &walk, after, last);
            format!("FROM {from} WHERE {range}{blocks}")
        }
    };
    let action = D::record();

    let last = match (path, &driven.lists) {
        // There is at most one row.
        (AccessPath::Uid(_), _) => None,
        (AccessPath::TouchesAny(_), _) if one.is_some() => None,
        (_, Lists::Each { .. }) => driven.end_of_lists::<D>(&walk, after),
        // No filter: the page ends at its limit.
        _ if filters.is_empty() => None,
        (_, Lists::Branches(_)) => driven.end_of_lists::<D>(&walk, after),
        (_, Lists::One) => {
            let (skip, base) = (Limits::SCAN - 1, rows_to(None));
            Some(format!(
                "(SELECT {key} {base} ORDER BY {order} LIMIT 1 OFFSET {skip})"
            ))
        }
    };
    // Computed once: the page ends there, and the next one begins there.
    let (with, last, bound) = match last {
        None => (String::new(), "NULL", None),
        Some(found) => (
            format!("WITH reach AS MATERIALIZED (SELECT {found} AS last) "),
            "(SELECT last FROM reach)",
            Some(format!("coalesce((SELECT last FROM reach), {end})")),
        ),
    };
    let bound = bound.as_deref();
    let rows = format!("{}{filtered}", rows_to(bound));
    // Only numbers are sorted.
    let merged = |numbers: &str| {
        format!(
            "SELECT n.number AS key, {action} AS record FROM ({numbers} \
             ORDER BY number {direction} {limit}) AS n \
             LEFT JOIN actions_action AS a ON a.number = n.number ORDER BY n.number {direction}"
        )
    };
    // The first rows of a list. The rows to examine are a query of their own, whose limit the
    // planner does not look past. It would otherwise expect that the filters find a full page soon
    // in any index.
    let first = |from: &str, listed: &Listed| {
        let order = listed.order_by::<D>(key, direction);
        let range = listed.range::<D>(key, &walk, after, bound);
        match filters.is_empty() {
            true => {
                format!("SELECT {key} AS number FROM {from} WHERE {range} ORDER BY {order} {limit}")
            }
            false => {
                let scan = Limits::SCAN;
                format!(
                    "SELECT a.key AS number FROM (SELECT {key} AS key, a.* FROM {from} \
                     WHERE {range} ORDER BY {order} LIMIT {scan}) AS a WHERE true{filtered} \
                     ORDER BY a.key {direction} {limit}"
                )
            }
        }
    };
    let rows = match (path, &driven.lists) {
        // An action found by several objects is one row.
        (_, Lists::Each { values, .. }) if D::HIDES_FILTERS => {
            let first = first(&driven.tables_of_each::<D>(), listed);
            merged(&format!(
                "SELECT DISTINCT m.number FROM {values} CROSS JOIN LATERAL ({first}) AS m"
            ))
        }
        (_, Lists::Branches(lists)) if D::HIDES_FILTERS => {
            let branch = |listed| format!("SELECT b.number FROM ({}) AS b", first(&from, listed));
            let branches: Vec<String> = lists.iter().map(branch).collect();
            merged(&branches.join(" UNION ALL "))
        }
        (AccessPath::TouchesAny(_), _) => {
            merged(&format!("SELECT DISTINCT {key} AS number {rows}"))
        }
        (_, Lists::Each { .. }) => merged(&format!("SELECT {key} AS number {rows}")),
        (_, Lists::Branches(lists)) => {
            let branch = |listed: &Listed| {
                let range = listed.range::<D>(key, &walk, after, bound);
                format!("SELECT {key} AS number FROM {from} WHERE {range}{filtered}")
            };
            let branches: Vec<String> = lists.iter().map(branch).collect();
            merged(&branches.join(" UNION ALL "))
        }
        _ if D::HIDES_FILTERS && !filters.is_empty() => {
            let (scan, base) = (Limits::SCAN, rows_to(bound));
            format!(
                "SELECT a.key AS key, {action} AS record FROM (SELECT {key} AS key, a.* \
                 {base} ORDER BY {order} LIMIT {scan}) AS a WHERE true{filtered} \
                 ORDER BY a.key {direction} {limit}"
            )
        }
        _ => format!("SELECT {key} AS key, {action} AS record {rows} ORDER BY {order} {limit}"),
    };
    select.text = D::page(query.limit, &PageText { with, last, rows });
    select
}
