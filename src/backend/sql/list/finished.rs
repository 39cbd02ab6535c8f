//! Pages in the order of completion.

use super::filter::conditions;
use super::path::drive;
use super::walk::position_of;
use crate::backend::sql::dialect::{Dialect, PageText};
use crate::backend::sql::select::{Select, Value};
use crate::model::{AccessPath, Limits, Query, TimeRanges, Timestamp};

const ORDER: &str = "ORDER BY a.finished_at DESC, a.number DESC";

/// Returns the statement of one page, whose first row has the position, and the number and the time of
/// the last row that the page may examine.
///
/// The rows of a selective index are sorted. Otherwise the index of completions selects them.
pub(super) fn statement<D: Dialect>(query: &Query, path: &AccessPath, selective: bool) -> Select {
    let mut select = Select::default();
    let after_row = query.after.map(|cursor| {
        let time = select.bind(Value::Int(cursor.finished_at().as_micros()));
        let number = select.bind(Value::Int(position_of(cursor)));
        move |column: &str| format!("({column}, a.number) < (${time}, ${number})")
    });
    let limit = D::limit(select.bind(Value::Int(i64::from(query.limit) + 1)));
    let action = D::record();
    let (with, last, rows) = if selective {
        let driven = drive::<D>(&mut select, query.order, path);
        let finished_at = D::unindexed("a.finished_at");
        let mut filters = vec![format!("{finished_at} IS NOT NULL")];
        filters.extend(after_row.map(|after_row| after_row(&finished_at)));
        filters.extend(conditions::<D>(&mut select, query, path, driven.exact));
        let filters = driven.filtered(&filters);
        let from = driven.from::<D>();
        let (key, condition) = (&driven.key, driven.listed.all());
        // An action that several objects find is one row.
        let numbers = match D::HIDES_FILTERS {
            true => format!(
                "SELECT DISTINCT a.finished_at AS at, a.key AS number FROM (\
                 SELECT {key} AS key, a.* FROM {from} WHERE {condition} OFFSET 0) AS a \
                 WHERE true{filters}"
            ),
            false => format!(
                "SELECT DISTINCT a.finished_at AS at, {key} AS number FROM {from} \
                 WHERE {condition}{filters}"
            ),
        };
        let rows = format!(
            "SELECT n.number AS key, {action} AS record FROM (\
             SELECT * FROM ({numbers}) AS m ORDER BY at DESC, number DESC {limit}) AS n \
             LEFT JOIN actions_action AS a ON a.number = n.number \
             ORDER BY n.at DESC, n.number DESC"
        );
        (String::new(), "NULL, NULL", rows)
    } else {
        let range = range(&mut select, TimeRanges::of(query).unwrap_or_default());
        let filters = conditions::<D>(&mut select, query, &AccessPath::All, false);
        let after_row = after_row.map(|after_row| after_row("a.finished_at"));
        let after = all_of(after_row.into_iter().collect());
        let by_index = D::by_index("actions_action_finished");
        let base = format!(
            "FROM actions_action AS a{by_index} \
             WHERE a.finished_at IS NOT NULL{range}{after}"
        );
        // Computed once: the page ends there, and the next one begins there.
        let skip = Limits::SCAN - 1;
        let (with, last, bound) = match filters.is_empty() {
            true => (String::new(), "NULL, NULL", String::new()),
            false => (
                format!(
                    "WITH reach AS MATERIALIZED (SELECT a.finished_at AS at, a.number AS number \
                     {base} {ORDER} LIMIT 1 OFFSET {skip}) "
                ),
                "(SELECT number FROM reach), (SELECT at FROM reach)",
                format!(
                    " AND (a.finished_at, a.number) >= (\
                     coalesce((SELECT at FROM reach), {}), \
                     coalesce((SELECT number FROM reach), 0))",
                    i64::MIN + 1
                ),
            ),
        };
        let hides = D::HIDES_FILTERS && !filters.is_empty();
        let filters = all_of(filters);
        let rows = match hides {
            true => format!(
                "SELECT a.number AS key, {action} AS record FROM (SELECT a.* {base}{bound} {ORDER} \
                 LIMIT {}) AS a WHERE true{filters} {ORDER} {limit}",
                Limits::SCAN
            ),
            false => format!(
                "SELECT a.number AS key, {action} AS record {base}{bound}{filters} {ORDER} \
                 {limit}"
            ),
        };
        (with, last, rows)
    };
    select.text = D::page(query.limit, &PageText { with, last, rows });
    select
}

fn all_of(filters: Vec<String>) -> String {
    let filters = filters.iter().map(|filter| format!(" AND {filter}"));
    filters.collect()
}

/// Returns the condition for the range of completion times, which the index selects.
fn range(select: &mut Select, times: TimeRanges) -> String {
    let mut range = String::new();
    let bounds = [(">=", times.finished_from), ("<", times.finished_before)];
    for (op, time) in bounds {
        if let Some(time) = time.map(Timestamp::as_micros) {
            let value = select.bind(Value::Int(time));
            range.push_str(&format!(" AND a.finished_at {op} ${value}"));
        }
    }
    range
}
