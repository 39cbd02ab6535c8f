//! Pages of actions: the shared statements in PostgreSQL's SQL.

use sqlx::postgres::PgRow;

use super::decode::Columns;
use super::literal::Rows;
use super::rows::STORED_ACTION;
use super::script::Script;
use crate::backend::sql::{
    Dialect, PageText, RowWriter, Select, Type, Value, corrupt, count_statement, page_statement,
};
use crate::error::StoreError;
use crate::model::{AccessPath, Action, Order, Query, Timestamp};

struct PostgresDialect;

impl Dialect for PostgresDialect {
    const JOIN: &'static str = "JOIN";

    const LEAST: &'static str = "least";

    const HIDES_FILTERS: bool = true;

    const COMPARES_ROWS: bool = true;

    const ONE_BY_ONE: &'static str = " OFFSET 0";

    /// The columns of a record. The last one gets the name that follows.
    fn record() -> &'static str {
        &STORED_ACTION
    }

    fn unindexed(column: &str) -> String {
        match column {
            "a.finished_at" => format!("({column} + 0)"),
            // Filters are hidden.
            _ => column.to_owned(),
        }
    }

    fn by_index(_index: &str) -> String {
        String::new()
    }

    fn each(value: usize) -> String {
        format!("unnest(${value}) AS j(value)")
    }

    fn limit(value: usize) -> String {
        format!("LIMIT ${value}")
    }

    fn numbers(numbers: &[String]) -> String {
        format!("SELECT {}", numbers.join(", "))
    }

    /// The position is read by a statement of its own, at the same moment. A join of one row with
    /// the rows keeps their order: without a condition, only a loop can do it.
    fn page(_limit: u16, page: &PageText) -> String {
        let PageText { with, last, rows } = page;
        format!("{with}SELECT {last}, p.* FROM (SELECT 1) AS once LEFT JOIN ({rows}) AS p ON true")
    }
}

/// Adds a shared statement with its values.
fn push(script: &mut Script, select: &Select) {
    for value in &select.values {
        match value {
            Value::Int(number) => script.bind_int(*number),
            Value::Text(text) => script.bind_text(text),
            Value::Id(id) => script.bind_id(id),
            Value::Texts(texts) => {
                let mut rows = Rows::new(&[Type::Text]);
                texts.iter().for_each(|text| rows.row(|row| row.text(text)));
                script.bind_rows(&rows)
            }
        };
    }
    script.push(&select.text);
}

/// Adds the statement of one page, which reads this index. Must be the first with values.
pub(super) fn push_page(script: &mut Script, query: &Query, path: &AccessPath, selective: bool) {
    push(
        script,
        &page_statement::<PostgresDialect>(query, path, selective),
    );
}

/// Adds the statement that counts the rows of several indexes. Must be the first with values.
pub(super) fn push_count(script: &mut Script, query: &Query, paths: &[AccessPath]) {
    push(script, &count_statement::<PostgresDialect>(query, paths));
}

/// Reads the result of [`push_count`].
pub(super) fn read_counts(paths: &[AccessPath], rows: &[PgRow]) -> Result<Vec<usize>, StoreError> {
    let row = rows.first();
    let row = row.ok_or_else(|| corrupt("list", "the rows were not counted"))?;
    let mut counts = Columns::new("list", row);
    paths.iter().map(|_| counts.number()).collect()
}

/// The values that each row of a page begins with.
pub(super) struct Examined {
    pub(super) last: Option<i64>,
    /// In order of completion.
    pub(super) at: Option<Timestamp>,
}

/// Reads the first values of a page, which has a row even if it has no action.
pub(super) fn read_examined(query: &Query, rows: &[PgRow]) -> Result<Examined, StoreError> {
    let row = rows.first();
    let row = row.ok_or_else(|| corrupt("list", "a page has no row"))?;
    let mut columns = Columns::new("list", row);
    let last = columns.int_opt()?;
    let at = match query.order {
        Order::Finished => columns.time_opt()?,
        _ => None,
    };
    Ok(Examined { last, at })
}

/// Returns the rows of a page that have an action.
pub(super) fn with_action<'r>(query: &Query, rows: &'r [PgRow]) -> Result<&'r [PgRow], StoreError> {
    match rows {
        [row] if key(query, row)?.is_none() => Ok(&[]),
        rows => Ok(rows),
    }
}

/// Reads the key of a row.
fn key(query: &Query, row: &PgRow) -> Result<Option<i64>, StoreError> {
    let mut columns = Columns::new("list", row);
    columns.skip(before_key(query));
    columns.int_opt()
}

fn before_key(query: &Query) -> usize {
    match query.order {
        Order::Finished => 2,
        _ => 1,
    }
}

/// Reads the key and the action of a row.
pub(super) fn decode(query: &Query, row: &PgRow) -> Result<(i64, Action), StoreError> {
    let mut columns = Columns::new("list", row);
    columns.skip(before_key(query));
    let key = columns.int()?;
    Ok((key, columns.action(query.detail)?))
}
