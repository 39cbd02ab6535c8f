//! Pages of actions, in SQLite's SQL.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;

use super::decode::{Columns, decode_stored};
use super::joined;
use super::position::{First, read_first};
use super::rows::STORED_ACTION;
use super::script::Script;
use crate::backend::sql::{
    Dialect, FirstRow, Lineage, PageText, corrupt, count_statement, page_statement, read_page,
};
use crate::error::StoreError;
use crate::model::{AccessPath, Action, Order, Page, Query};

/// SQLite's SQL.
pub(super) struct SqliteDialect;

impl Dialect for SqliteDialect {
    /// SQLite keeps the order of tables that are joined so.
    const JOIN: &'static str = "CROSS JOIN";

    const LEAST: &'static str = "min";

    /// A plus hides a column instead.
    const HIDES_FILTERS: bool = false;

    const COMPARES_ROWS: bool = false;

    const ONE_BY_ONE: &'static str = "";

    fn record() -> &'static str {
        &STORED_ACTION
    }

    fn unindexed(column: &str) -> String {
        format!("+{column}")
    }

    fn by_index(index: &str) -> String {
        format!(" INDEXED BY {index}")
    }

    fn each(value: usize) -> String {
        format!("json_each(${value}) AS j")
    }

    /// Without the plus, SQLite's planner looks at the value, and prepares the statement again
    /// whenever another one is bound.
    fn limit(value: usize) -> String {
        format!("LIMIT +${value}")
    }

    fn numbers(numbers: &[String]) -> String {
        format!("SELECT json_array({})", numbers.join(", "))
    }

    fn page(limit: u16, page: &PageText) -> String {
        let PageText { with, last, rows } = page;
        let rows = match is_joined(limit) {
            true => joined::join(rows),
            false => format!("SELECT * FROM ({rows})"),
        };
        format!(
            "{with}SELECT NULL, json_array(revision, pruned_through, pruned_created, actions, \
             last_number, last_entry, {last}) FROM actions_store WHERE id = 1 \
             UNION ALL {rows}"
        )
    }
}

/// Returns true if the rows of a page travel as one text.
fn is_joined(limit: u16) -> bool {
    usize::from(limit) < joined::MOST
}

/// Returns the script of one page, which reads this index.
pub(super) fn script(
    query: &Query,
    path: &AccessPath,
    selective: bool,
) -> Result<Script, sqlx::Error> {
    Script::of_select(page_statement::<SqliteDialect>(query, path, selective))
}

/// Returns the script that counts the rows of several indexes.
pub(super) fn count_script(query: &Query, paths: &[AccessPath]) -> Result<Script, sqlx::Error> {
    Script::of_select(count_statement::<SqliteDialect>(query, paths))
}

/// Reads the result of [`count_script`].
pub(super) fn read_counts(
    paths: &[AccessPath],
    results: &[Vec<SqliteRow>],
) -> Result<Vec<usize>, StoreError> {
    let Some(row) = results.iter().flatten().next() else {
        return Ok(Vec::new());
    };
    let mut counts = Columns::new("list", row)?;
    paths.iter().map(|_| counts.number()).collect()
}

/// Reads the result of [`script`].
pub(super) fn read(
    query: &Query,
    lineage: &Lineage,
    results: &[Vec<SqliteRow>],
) -> Result<Page<Arc<Action>>, StoreError> {
    let First {
        at,
        end,
        mut columns,
        rows,
    } = read_first("list", lineage, query.after, results)?;
    let first = FirstRow {
        at,
        end,
        last_examined: columns.int_opt()?,
        examined_at: match query.order {
            Order::Finished => columns.time_opt()?,
            _ => None,
        },
    };
    let rows = joined::read("list", is_joined(query.limit), rows)?;
    read_page(query, first, &rows, |(key, record)| {
        let key = key.parse();
        let key = key.map_err(|_| corrupt("list", "a row's key cannot be read"))?;
        Ok((key, decode_stored("list", record, query.detail)?))
    })
}
