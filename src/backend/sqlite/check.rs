//! Looks for damage: rows that cannot be read, and columns that contradict their body.

use std::sync::LazyLock;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row, ValueRef};

use super::check_structure::{Whose, check_structure};
use super::copies::Copies;
use super::decode::{Columns, decode_action, decode_entry, decode_owner, read_key};
use super::extra_rows::check_extra;
use super::findings::{SqliteCheck, run};
use super::known_damage::Part;
use super::rows::{STORED_ACTION, STORED_ENTRY, STORED_OWNER};
use super::source::ConnectionSlot;
use super::store::SqliteStore;
use crate::backend::sql::{copies, corrupt, flags};
use crate::error::StoreError;
use crate::model::codec::{Field, Record, Value};
use crate::model::{Action, Detail};

/// Rows that are read together.
const STEP: i64 = 1000;

/// A table whose rows are checked.
pub(super) struct Table {
    /// The part whose rows are in this table. Rows out of order may hide others of it.
    home: Part,
    /// The part from which a damaged row may be missing. A damaged row of the others is still found.
    part: Option<Part>,
    /// Reads the rows after the key `$1`, each after its key.
    rows: String,
    name: &'static str,
    count: fn(&mut SqliteCheck) -> &mut u64,
    /// Returns the action, in the table of actions.
    check: fn(&SqliteRow) -> Result<Option<Action>, StoreError>,
}

/// The actions come first.
pub(super) static TABLES: LazyLock<[Table; 3]> = LazyLock::new(|| {
    let (action, entry, owner) = (&*STORED_ACTION, &*STORED_ENTRY, &*STORED_OWNER);
    let copies: Vec<String> = copies().map(|f| format!("a.{}", f.name())).collect();
    let copies = copies.join(", ");
    [
        Table {
            home: Part::Selection,
            part: Some(Part::Selection),
            rows: format!(
                "SELECT a.number, {action}, a.flags, {copies} FROM actions_action AS a \
                 WHERE a.number > $1 ORDER BY a.number LIMIT {STEP}"
            ),
            name: "action",
            count: |check| &mut check.actions,
            check: |row| check_action(row).map(Some),
        },
        Table {
            home: Part::Log,
            part: None,
            rows: format!(
                "SELECT l.entry, {entry} FROM actions_log AS l \
                 LEFT JOIN actions_action AS a ON a.number = l.action \
                 WHERE l.entry > $1 ORDER BY l.entry LIMIT {STEP}"
            ),
            name: "log entry",
            count: |check| &mut check.entries,
            check: |row| decode_entry(&mut Columns::new("check", row)?).map(|_| None),
        },
        Table {
            home: Part::Owners,
            part: None,
            rows: format!(
                "SELECT o.id, {owner} FROM actions_owner AS o \
                 WHERE o.id > $1 ORDER BY o.id LIMIT {STEP}"
            ),
            name: "owner",
            count: |check| &mut check.owners,
            check: |row| decode_owner(&mut Columns::new("check", row)?).map(|_| None),
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
fn check_action(row: &SqliteRow) -> Result<Action, StoreError> {
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
    Ok(action)
}

impl SqliteStore {
    /// Reads every row and looks for damage.
    ///
    /// It finds rows whose checksum does not match, and columns and rows of other tables that
    /// contradict the stored record. It also runs SQLite's `PRAGMA integrity_check`: of the whole
    /// file, or of the store's tables only if the database is the host's.
    ///
    /// The store remembers the result until the next check. While it knows of damage, lists with
    /// filters read every row, because a damaged index hides rows. Answers that may lack rows are
    /// `Corrupt`. If SQLite cannot finish a part of the check, that is a finding, and every part of
    /// the store counts as damaged.
    ///
    /// Reads the whole database, on a connection of its own; callers go on meanwhile. The pragma
    /// holds a snapshot while it runs, so the WAL grows with what is written in that time.
    ///
    /// # Errors
    /// `Unavailable`, `Incompatible` or `Closed`. `Corrupt` if the file cannot be opened. All other
    /// damage is a finding.
    pub async fn check(&self) -> Result<SqliteCheck, StoreError> {
        self.on_connection(async |connection| {
            let mut check = SqliteCheck::default();
            let whose = Whose::of(&self.source);
            check_all(connection, whose, &*TABLES, &mut check).await?;
            check_extra(connection, &mut check).await?;
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

/// Checks the rows of these tables, their relations, and the structure of the file. Damage that
/// SQLite cannot read past is a finding, and the check goes on after it.
pub(super) async fn check_all(
    connection: &mut SqliteConnection,
    whose: Whose,
    tables: &[Table],
    check: &mut SqliteCheck,
) -> Result<(), StoreError> {
    for table in tables {
        let checked = check_table(connection, table, check).await;
        check.unfinished(table.name, checked)?;
    }
    for (what, part, count) in relations() {
        let counted = count_of(connection, &count).await;
        let count = check.unfinished(what, counted)?;
        if let Some(count @ 1..) = count {
            check.find_in(part, format!("{count} {what}"));
        }
    }
    let checked = check_structure(connection, whose, check).await;
    check.unfinished("structure of the file", checked)?;
    Ok(())
}

async fn check_table(
    connection: &mut SqliteConnection,
    table: &Table,
    check: &mut SqliteCheck,
) -> Result<(), StoreError> {
    let mut after = Some(0);
    while let Some(key) = after {
        after = step(connection, table, key, check).await?;
    }
    Ok(())
}

async fn count_of(connection: &mut SqliteConnection, count: &str) -> Result<i64, StoreError> {
    let rows = run(connection, count, None).await?;
    rows.first().map_or(Ok(0), |row| read_key("check", row))
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

/// Checks the next rows of a table. Returns the key of the last one, if there may be more rows that
/// can be read in order.
async fn step(
    connection: &mut SqliteConnection,
    table: &Table,
    after: i64,
    check: &mut SqliteCheck,
) -> Result<Option<i64>, StoreError> {
    let rows = run(connection, &table.rows, Some(after)).await?;
    let (mut last, mut is_in_order) = (None, true);
    let mut copies = Copies::default();
    for row in &rows {
        let key: i64 = read_key("check", row)?;
        if last.unwrap_or(after) >= key {
            // Damage can lead SQLite in a circle. Going on from this key might never end.
            let what = "is out of order; the rows after it were not checked";
            check.find(format!("{} {key} {what}", table.name));
            check.parts.add(table.home);
            is_in_order = false;
            break;
        }
        *(table.count)(check) += 1;
        match (table.check)(row) {
            Ok(action) => action.iter().for_each(|action| copies.add(key, action)),
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
    copies.check(connection, check).await?;
    Ok(last.filter(|_| is_in_order && i64::try_from(rows.len()) == Ok(STEP)))
}
