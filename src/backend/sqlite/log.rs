//! Pages of log entries.

use std::sync::LazyLock;

use sqlx::sqlite::SqliteRow;

use super::decode::{Columns, decode_entry};
use super::position::{First, POSITION, read_first};
use super::rows::STORED_ENTRY;
use super::script::Script;
use crate::backend::sql::Lineage;
use crate::error::StoreError;
use crate::model::{LogEntry, LogQuery, Page};

// The plus before each limit: see `SqliteDialect::limit`.
static LOG_OF_ACTION: LazyLock<String> = LazyLock::new(|| {
    // The plus stops the planner from scanning the whole log in entry order.
    log_statement(
        "actions_action AS a CROSS JOIN actions_log AS l ON l.action = a.number \
         WHERE a.uid = $3 AND +l.entry > $1 ORDER BY +l.entry LIMIT +$2",
    )
});

static LOG: LazyLock<String> = LazyLock::new(|| {
    log_statement(
        // An entry without its action is damage, not a shorter page.
        "actions_log AS l LEFT JOIN actions_action AS a ON a.number = l.action \
         WHERE l.entry > $1 ORDER BY l.entry LIMIT +$2",
    )
});

/// One statement, so that the position and the entries are from the same moment.
fn log_statement(entries: &str) -> String {
    let entry = &*STORED_ENTRY;
    format!("{POSITION} UNION ALL SELECT * FROM (SELECT {entry} FROM {entries})")
}

pub(super) fn script(query: &LogQuery) -> Result<Script, sqlx::Error> {
    let mut script = Script::of(match query.uid {
        Some(_) => &LOG_OF_ACTION,
        None => &LOG,
    });
    let after = query.after.map_or(0, |cursor| cursor.position());
    script.bind(i64::try_from(after).unwrap_or(i64::MAX))?;
    script.bind(i64::from(query.limit) + 1)?;
    if let Some(uid) = query.uid {
        script.bind(uid.as_uuid().as_bytes().to_vec())?;
    }
    Ok(script)
}

pub(super) fn read(
    query: &LogQuery,
    lineage: &Lineage,
    results: &[Vec<SqliteRow>],
) -> Result<Page<LogEntry>, StoreError> {
    let First { at, rows, .. } = read_first("log", lineage, query.after, results)?;
    let decode = |row| decode_entry(&mut Columns::new("log", row)?);
    Page::of_log(rows.iter().map(decode), query, at)
}
