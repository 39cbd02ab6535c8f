//! Pages in the order of completion.

use super::filter::{all_of, conditions};
use super::path::{Driven, drive};
use crate::backend::postgres::rows::STORED_ACTION;
use crate::backend::postgres::script::Script;
use crate::model::{AccessPath, Limits, Query, Times, Timestamp};

/// Adds the statement of one page. Its rows are the number and the time of the last row that the
/// page may examine, the key and the action. There is always one row.
///
/// The rows of a selective index are sorted. Otherwise the index of completions selects them.
pub(super) fn push(script: &mut Script, query: &Query, path: &AccessPath, selective: bool) {
    let after = query.after.map(|cursor| {
        let time = script.bind_int(cursor.finished_at().as_micros());
        let number = script.bind_int(super::position_of(cursor));
        format!("(a.finished_at, a.number) < (${time}, ${number})")
    });
    let (action, limit) = (&*STORED_ACTION, u32::from(query.limit) + 1);
    let (rows, last) = if selective {
        let driven = drive(script, query.order, path);
        let mut filters = vec!["a.finished_at IS NOT NULL".to_owned()];
        filters.extend(after);
        filters.extend(conditions(script, query, path, driven.exact));
        let filtered = driven.filtered(&filters);
        let Driven {
            from,
            key,
            condition,
            ..
        } = driven;
        let from = match path {
            AccessPath::Times(_) => {
                let size = crate::model::BlockTimes::ACTIONS;
                format!(
                    "actions_block AS s JOIN actions_action AS a ON a.number >= s.block * {size} \
                     AND a.number < s.block * {size} + {size}"
                )
            }
            _ => from,
        };
        // An action that several objects find is one row.
        let numbers = format!(
            "SELECT DISTINCT a.finished_at AS at, {key} AS number FROM {from} \
             WHERE {condition} AND {filtered}"
        );
        let rows = format!(
            "SELECT n.number AS key, n.at, {action} FROM ({numbers} \
             ORDER BY at DESC NULLS LAST, number DESC LIMIT {limit}) AS n \
             LEFT JOIN actions_action AS a ON a.number = n.number"
        );
        (rows, ["NULL::bigint".to_owned(), "NULL::bigint".to_owned()])
    } else {
        let range = range(script, Times::of(query).unwrap_or_default());
        let filters = conditions(script, query, &AccessPath::All, false);
        let base = format!(
            "FROM actions_action AS a WHERE a.finished_at IS NOT NULL{range}{} \
             ORDER BY a.finished_at DESC, a.number DESC",
            all_of(after)
        );
        let (scan, skip) = (Limits::SCAN, Limits::SCAN - 1);
        let last = match filters.is_empty() {
            true => ["NULL::bigint", "NULL::bigint"].map(str::to_owned),
            false => ["a.number", "a.finished_at"]
                .map(|column| format!("(SELECT {column} {base} LIMIT 1 OFFSET {skip})")),
        };
        let rows = match filters.is_empty() {
            true => format!(
                "SELECT a.number AS key, a.finished_at AS at, {action} {base} LIMIT {limit}"
            ),
            false => format!(
                "SELECT a.number AS key, a.finished_at AS at, {action} FROM (\
                 SELECT a.* {base} LIMIT {scan}) AS a WHERE {} LIMIT {limit}",
                filters.join(" AND ")
            ),
        };
        (rows, last)
    };
    let limit = query.limit;
    let last = last
        .map(|last| format!("CASE WHEN (SELECT count(*) FROM page) <= {limit} THEN {last} END"));
    let columns = columns(&["page.key"]);
    script.push(&format!(
        "WITH page AS MATERIALIZED ({rows}) SELECT {}, {}, {columns} \
         FROM (SELECT 1) AS once LEFT JOIN page ON true ORDER BY page.at DESC, page.key DESC",
        last[0], last[1]
    ));
}

/// Returns the columns of a page without the time by which it is sorted.
fn columns(first: &[&str]) -> String {
    use crate::backend::postgres::rows::ACTION;
    let mut columns: Vec<String> = first.iter().map(|&column| column.to_owned()).collect();
    let fields = ACTION.columns();
    use crate::model::codec::Field;
    columns.extend(fields.iter().map(|field| format!("page.{}", field.name())));
    columns.push("page.body".to_owned());
    columns.join(", ")
}

/// Returns the condition for the range of completion times, which the index selects.
fn range(script: &mut Script, times: Times) -> String {
    let bounds = [(">=", times.finished_from), ("<", times.finished_before)];
    let bounds = bounds.into_iter().filter_map(|(op, time)| {
        let value = script.bind_int(time.map(Timestamp::as_micros)?);
        Some(format!("a.finished_at {op} ${value}"))
    });
    all_of(bounds.collect::<Vec<_>>())
}
