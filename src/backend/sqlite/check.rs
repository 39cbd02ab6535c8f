//! Looks for damage: rows that cannot be read, and columns that contradict their body.

use std::sync::LazyLock;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row, ValueRef};

use super::decode::{Columns, decode_action, decode_entry, decode_owner, read_key};
use super::errors::store_error;
use super::known_damage::{Part, Parts};
use super::rows::{STORED_ACTION, STORED_ENTRY, STORED_OWNER};
use super::script::Script;
use super::source::ConnectionSlot;
use super::store::SqliteStore;
use crate::backend::sql::{Phase, copies, corrupt, flags};
use crate::error::StoreError;
use crate::model::codec::{Field, Record, Value};
use crate::model::{Detail, Labels};

/// Rows that are read together.
const STEP: i64 = 1000;

/// Number of findings that a check returns; it counts all of them.
const FINDINGS: usize = 100;

/// Result of [`SqliteStore::check`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteCheck {
    /// Number of actions that were read.
    pub actions: u64,
    /// Number of log entries that were read.
    pub entries: u64,
    /// Number of owners that were read.
    pub owners: u64,
    /// Number of findings. 0 means that no damage was found.
    pub damaged: u64,
    /// The first 100 findings, one sentence each. They contain no action data.
    pub findings: Vec<String>,
    /// The parts from which rows may be missing.
    pub(super) parts: Parts,
}

impl SqliteCheck {
    /// Counts a finding that hides no rows.
    fn find(&mut self, what: String) {
        self.damaged += 1;
        if self.findings.len() < FINDINGS {
            self.findings.push(what);
        }
    }
}

/// A table whose rows are checked.
pub(super) struct Table {
    /// The part from which a damaged row may be missing. A damaged row of the others is still found.
    part: Option<Part>,
    /// Reads the rows after the key `$1`, each after its key.
    rows: String,
    name: &'static str,
    count: fn(&mut SqliteCheck) -> &mut u64,
    /// Returns the labels of an action; those of other rows are empty.
    check: fn(&SqliteRow) -> Result<Labels, StoreError>,
}

/// The actions come first.
pub(super) static TABLES: LazyLock<[Table; 3]> = LazyLock::new(|| {
    let (action, entry, owner) = (&*STORED_ACTION, &*STORED_ENTRY, &*STORED_OWNER);
    let copies: Vec<String> = copies().map(|f| format!("a.{}", f.name())).collect();
    let copies = copies.join(", ");
    [
        Table {
            part: Some(Part::Selection),
            rows: format!(
                "SELECT a.number, {action}, a.flags, {copies} FROM actions_action AS a \
                 WHERE a.number > $1 ORDER BY a.number LIMIT {STEP}"
            ),
            name: "action",
            count: |check| &mut check.actions,
            check: check_action,
        },
        Table {
            part: None,
            rows: format!(
                "SELECT l.entry, {entry} FROM actions_log AS l \
                 LEFT JOIN actions_action AS a ON a.number = l.action \
                 WHERE l.entry > $1 ORDER BY l.entry LIMIT {STEP}"
            ),
            name: "log entry",
            count: |check| &mut check.entries,
            check: |row| decode_entry(&mut Columns::new("check", row)?).map(|_| Labels::new()),
        },
        Table {
            part: None,
            rows: format!(
                "SELECT o.id, {owner} FROM actions_owner AS o \
                 WHERE o.id > $1 ORDER BY o.id LIMIT {STEP}"
            ),
            name: "owner",
            count: |check| &mut check.owners,
            check: |row| decode_owner(&mut Columns::new("check", row)?).map(|_| Labels::new()),
        },
    ]
});

/// Contradictions between the actions and other tables: what they are, the part from which rows are
/// missing, and the statement that counts each.
const RELATIONS: &[(&str, Part, &str)] = &[
    (
        "actions without a place in the feed",
        Part::Feed,
        "SELECT count(*) FROM actions_action AS a \
         WHERE NOT EXISTS (SELECT 1 FROM actions_feed AS f WHERE f.action = a.number)",
    ),
    (
        "actions that are not found by their object",
        Part::Selection,
        "SELECT count(*) FROM actions_action AS a WHERE a.object IS NOT NULL AND NOT EXISTS (\
         SELECT 1 FROM actions_touch AS t WHERE t.object = a.object AND t.action = a.number)",
    ),
    (
        "actions outside the times of their block",
        Part::Selection,
        "SELECT count(*) FROM actions_action AS a \
         LEFT JOIN actions_block AS s ON s.block = a.number / 1024 \
         WHERE s.block IS NULL OR a.created_at NOT BETWEEN s.created_min AND s.created_max \
         OR (a.finished_at IS NOT NULL AND (s.finished_min IS NULL \
         OR a.finished_at NOT BETWEEN s.finished_min AND s.finished_max))",
    ),
    (
        "actions more or fewer than the store counts",
        Part::Actions,
        "SELECT abs(actions - (SELECT count(*) FROM actions_action NOT INDEXED)) \
         FROM actions_store WHERE id = 1",
    ),
];

/// Tables whose rows belong to an action, which must be there.
const PARTS: &[(&str, Part, &str)] = &[
    (
        "places in the feed without an action",
        Part::Feed,
        "actions_feed",
    ),
    (
        "objects without an action",
        Part::Selection,
        "actions_touch",
    ),
    ("labels without an action", Part::Selection, "actions_label"),
    ("keys without an action", Part::Selection, "actions_key"),
    ("pins without an action", Part::Selection, "actions_pin"),
];

/// The tables of the schema, and the part from which damage of each may hide rows.
const SCHEMA: &[(&str, Part)] = &[
    ("actions_action", Part::Selection),
    ("actions_touch", Part::Selection),
    ("actions_label", Part::Selection),
    ("actions_block", Part::Selection),
    ("actions_feed", Part::Feed),
    ("actions_log", Part::Log),
    ("actions_owner", Part::Owners),
];

/// Returns what contradicts the actions, each with the statement that counts it.
fn relations() -> impl Iterator<Item = (&'static str, Part, String)> {
    let parts = PARTS.iter().map(|(what, part, table)| {
        let count = format!(
            "SELECT count(*) FROM {table} AS p \
             WHERE NOT EXISTS (SELECT 1 FROM actions_action AS a WHERE a.number = p.action)"
        );
        (*what, *part, count)
    });
    let others = RELATIONS
        .iter()
        .map(|(what, part, sql)| (*what, *part, (*sql).to_owned()));
    others.chain(parts)
}

/// Compares an action with the columns that repeat its fields.
fn check_action(row: &SqliteRow) -> Result<Labels, StoreError> {
    let action = decode_action("check", row, 1, Detail::Full)?;
    let copies = copies().map(|field| (field.name(), action.value(field)));
    let flags = ("flags", Value::Int(flags(&action)));
    for (column, (name, value)) in (2..).zip(std::iter::once(flags).chain(copies)) {
        let is_null = row.try_get_raw(column).is_ok_and(|raw| raw.is_null());
        let same = match value {
            Value::Null => is_null,
            Value::Int(number) => !is_null && row.try_get(column).ok() == Some(number),
            Value::Text(text) => row.try_get(column).ok() == Some(text),
            Value::Id(id) => row.try_get(column).ok() == Some(&id.as_bytes()[..]),
        };
        if !same {
            let what = format!("its column {name} contradicts its body");
            return Err(corrupt("check", what));
        }
    }
    Ok(action.labels)
}

impl SqliteStore {
    /// Reads every row and looks for damage.
    ///
    /// It finds rows whose checksum does not match, and columns and rows of other tables that
    /// contradict the stored record. It also runs SQLite's `PRAGMA integrity_check`.
    ///
    /// The store remembers the result until the next check. While it knows of damage, lists with
    /// filters read every row, because a damaged index hides rows. Answers that may lack rows are
    /// `Corrupt`.
    ///
    /// Reads the whole database, on a connection of its own; callers go on meanwhile. The pragma
    /// holds a snapshot while it runs, so the WAL grows with what is written in that time.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt` (SQLite cannot go on), `Incompatible` or `Closed`. Damage in single
    /// rows is no error but a finding.
    pub async fn check(&self) -> Result<SqliteCheck, StoreError> {
        self.on_connection(async |connection| {
            let mut check = SqliteCheck::default();
            check_all(connection, &*TABLES, &mut check).await?;
            self.damage.set(check.parts, check.damaged);
            Ok(check)
        })
        .await
    }

    /// Runs `work` on a connection of its own.
    async fn on_connection<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.file.check_process("check")?;
        self.sql.position_watch.check_open("check")?;
        self.file.check_before("check")?;
        let mut slot = ConnectionSlot::new(self.source.clone(), self.file.clone());
        let mut connection = slot.take().await?;
        let done = work(&mut connection).await;
        slot.hand_back(connection);
        slot.close().await;
        done
    }
}

/// Checks the rows of these tables, their relations, and the structure of the file.
pub(super) async fn check_all(
    connection: &mut SqliteConnection,
    tables: &[Table],
    check: &mut SqliteCheck,
) -> Result<(), StoreError> {
    for table in tables {
        let mut after = Some(0);
        while let Some(key) = after {
            after = step(connection, table, key, check).await?;
        }
    }
    for (what, part, count) in relations() {
        let rows = run(connection, &count, None).await?;
        let count = rows.first().map_or(Ok(0), |row| read_key("check", row))?;
        if count > 0_i64 {
            check.find(format!("{count} {what}"));
            check.parts.add(part);
        }
    }
    let findings = integrity(connection, "PRAGMA integrity_check(100)").await?;
    let is_whole = findings.is_empty();
    findings.into_iter().for_each(|found| check.find(found));
    // The messages name pages, not tables, so each table is checked again by itself.
    for (table, part) in SCHEMA.iter().filter(|_| !is_whole) {
        let pragma = format!("PRAGMA integrity_check({table})");
        let found = integrity(connection, &pragma).await;
        if found.map_or(true, |found| !found.is_empty()) {
            check.parts.add(*part);
        }
    }
    Ok(())
}

/// Returns what SQLite's own check finds.
async fn integrity(
    connection: &mut SqliteConnection,
    pragma: &str,
) -> Result<Vec<String>, StoreError> {
    let rows = run(connection, pragma, None).await?;
    let mut found: Vec<String> = rows
        .iter()
        .map(|row| read_key("check", row))
        .collect::<Result<_, _>>()?;
    found.retain(|found| found != "ok");
    Ok(found)
}

/// Returns the number of findings among the newest 1,000 actions.
pub(super) async fn damaged_lately(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let newest = "SELECT max(coalesce(max(number), 0) - 1000, 0) FROM actions_action";
    let newest = run(connection, newest, None).await?;
    let after = match newest.first() {
        Some(row) => read_key("check", row)?,
        None => 0,
    };
    let mut check = SqliteCheck::default();
    let [actions, ..] = &*TABLES;
    step(connection, actions, after, &mut check).await?;
    Ok(check.damaged)
}

/// Checks the next rows of a table. Returns the key of the last one, if there may be more.
async fn step(
    connection: &mut SqliteConnection,
    table: &Table,
    after: i64,
    check: &mut SqliteCheck,
) -> Result<Option<i64>, StoreError> {
    let rows = run(connection, &table.rows, Some(after)).await?;
    let mut last = None;
    let mut labels = Vec::new();
    for row in &rows {
        let key: i64 = read_key("check", row)?;
        *(table.count)(check) += 1;
        match (table.check)(row) {
            Ok(found) => labels.extend(found.index_texts().map(|text| (key, text.to_string()))),
            Err(error) => {
                check.find(format!("{} {key}: {}", table.name, error));
                table
                    .part
                    .into_iter()
                    .for_each(|part| check.parts.add(part));
            }
        }
        last = Some(key);
    }
    let missing = missing_labels(connection, &labels).await?;
    if missing > 0 {
        check.find(format!(
            "{missing} labels of actions that are not found by them"
        ));
    }
    Ok(last.filter(|_| i64::try_from(rows.len()) == Ok(STEP)))
}

/// Returns how many of these rows of labels are missing, of actions that are still there.
async fn missing_labels(
    connection: &mut SqliteConnection,
    labels: &[(i64, String)],
) -> Result<i64, StoreError> {
    const MISSING: &str = "SELECT count(*) FROM json_each($1) AS j \
         CROSS JOIN actions_action AS a ON a.number = j.value ->> 0 \
         WHERE NOT EXISTS (SELECT 1 FROM actions_label AS l \
         WHERE l.label = j.value ->> 1 AND l.action = a.number)";
    if labels.is_empty() {
        return Ok(0);
    }
    let before = |error| store_error("check", Phase::Before, error);
    // Numbers and texts are written to memory, which cannot fail.
    let list = serde_json::to_string(labels).unwrap_or_default();
    let mut script = Script::new();
    script.push(MISSING);
    script.bind(list).map_err(before)?;
    let results = script.run(connection).await;
    let results = results.map_err(|failed| before(failed.error))?;
    let row = results.iter().flatten().next();
    row.map_or(Ok(0), |row| read_key("check", row))
}

async fn run(
    connection: &mut SqliteConnection,
    statement: &str,
    after: Option<i64>,
) -> Result<Vec<SqliteRow>, StoreError> {
    let before = |error| store_error("check", Phase::Before, error);
    let mut script = Script::new();
    script.push(statement);
    if let Some(after) = after {
        script.bind(after).map_err(before)?;
    }
    let results = script.run(connection).await;
    let results = results.map_err(|failed| before(failed.error))?;
    Ok(results.into_iter().flatten().collect())
}
