//! The statement of a page.

use super::filter::{conditions, touching};
use super::finished;
use super::path::{Driven, Lists, drive};
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
        driven.condition = format!("{} AND {condition}", driven.condition);
    }
    let walk = walk(query.order);
    let after = select.bind(Value::Int(query.after.map_or(walk.begin, position_of)));
    let limit = D::limit(select.bind(Value::Int(i64::from(query.limit) + 1)));
    let filters = conditions::<D>(&mut select, query, path, driven.exact);
    let &Walk {
        beyond,
        within,
        direction,
        end,
        ..
    } = &walk;
    let order = driven.order_by(direction);
    let filtered = driven.filtered(&filters);
    let from = driven.from::<D>();
    let Driven { key, condition, .. } = &driven;
    let mut base = format!("FROM {from} WHERE {condition} AND {key} {beyond} ${after}");
    if let AccessPath::Times(_) = path {
        let size = crate::model::BlockTimes::ACTIONS;
        let towards = if direction == "ASC" { ">=" } else { "<=" };
        base.push_str(&format!(" AND s.block {towards} ${after} / {size}"));
    }
    let action = D::record();

    let last = match (path, &driven.lists) {
        // There is at most one row.
        (AccessPath::Uid(_), _) => None,
        (AccessPath::TouchesAny(_), _) if one.is_some() => None,
        (_, Lists::Each { .. }) => driven.end_of_lists(&walk, after),
        // No filter: the page ends at its limit.
        _ if filters.is_empty() => None,
        (_, Lists::Branches(_)) => driven.end_of_lists(&walk, after),
        (_, Lists::One) => {
            let skip = Limits::SCAN - 1;
            Some(format!(
                "(SELECT {key} {base} ORDER BY {order} LIMIT 1 OFFSET {skip})"
            ))
        }
    };
    // Computed once: the page ends there, and the next one begins there.
    let (with, last, bound) = match last {
        None => (String::new(), "NULL", String::new()),
        Some(found) => (
            format!("WITH reach AS MATERIALIZED (SELECT {found} AS last) "),
            "(SELECT last FROM reach)",
            format!(" AND {key} {within} coalesce((SELECT last FROM reach), {end})"),
        ),
    };
    let rows = format!("{base}{bound}{filtered}");
    // Only numbers are sorted.
    let merged = |numbers: &str| {
        format!(
            "SELECT n.number AS key, {action} AS record FROM ({numbers} \
             ORDER BY number {direction} {limit}) AS n \
             LEFT JOIN actions_action AS a ON a.number = n.number ORDER BY n.number {direction}"
        )
    };
    let rows = match (path, &driven.lists) {
        // An action found by several objects is one row.
        (AccessPath::TouchesAny(_), _) => {
            merged(&format!("SELECT DISTINCT {key} AS number {rows}"))
        }
        (_, Lists::Each { .. }) => merged(&format!("SELECT {key} AS number {rows}")),
        (_, Lists::Branches(conditions)) => {
            let branch = |condition: &String| {
                format!(
                    "SELECT {key} AS number FROM {from} WHERE {condition} \
                     AND {key} {beyond} ${after}{bound}{filtered}"
                )
            };
            let branches: Vec<String> = conditions.iter().map(branch).collect();
            merged(&branches.join(" UNION ALL "))
        }
        // The rows to examine are a query of their own, whose limit the planner does not look past.
        // It would otherwise expect that the filters find a full page soon in any index.
        _ if D::HIDES_FILTERS && !filters.is_empty() => {
            let scan = Limits::SCAN;
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
