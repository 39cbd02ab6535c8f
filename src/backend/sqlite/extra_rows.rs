//! Rows of labels, related objects and keys that their actions do not have.
//!
//! A list that finds such a row is `Corrupt`, because its action does not match. So is a command that
//! finds such a key.

use std::sync::LazyLock;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::decode::decode_action;
use super::errors::store_error;
use super::findings::SqliteCheck;
use super::known_damage::Part;
use super::rows::STORED_ACTION;
use super::script::Script;
use crate::backend::sql::{Phase, corrupt};
use crate::error::StoreError;
use crate::model::{Action, Detail, Key, touched};

/// Rows that are read together.
const STEP: usize = 1000;

/// A table with rows of actions.
struct Rows {
    name: &'static str,
    /// Reads the rows after one, each with its action. The values of [`Place`] are `$1` to `$3`.
    statement: String,
    place: fn(&SqliteRow) -> Result<Place, sqlx::Error>,
    has: fn(&Action, &Place) -> bool,
    /// The part to which the rows belong; `None` if no list reads them.
    part: Option<Part>,
    /// Name in a finding of the rows whose actions do not have them.
    extra: &'static str,
}

/// The place of a row in its table: the columns of its primary key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The label, the object, or the tenant of a key.
    text: String,
    /// The number of the action, or the kind of a key.
    number: i64,
    /// The text of a key.
    key: Option<String>,
}

static TABLES: LazyLock<[Rows; 3]> = LazyLock::new(|| {
    let action = &*STORED_ACTION;
    let texts = |table: &str, text: &str, condition: &str| {
        format!(
            "SELECT t.{text}, t.action, {action} FROM {table} AS t \
             CROSS JOIN actions_action AS a ON a.number = t.action \
             WHERE (t.{text}, t.action) > ($1, $2) {condition}\
             ORDER BY t.{text}, t.action LIMIT {STEP}"
        )
    };
    let keys = format!(
        "SELECT k.tenant, k.kind, k.key, {action} FROM actions_key AS k \
         CROSS JOIN actions_action AS a ON a.number = k.action \
         WHERE (k.tenant, k.kind, k.key) > ($1, $2, $3) \
         ORDER BY k.tenant, k.kind, k.key LIMIT {STEP}"
    );
    [
        Rows {
            name: "labels",
            statement: texts("actions_label", "label", ""),
            place: |row| Place::of(row, None),
            has: |action, at| action.labels.index_texts().any(|label| *label == *at.text),
            part: Some(Part::Selection),
            extra: "labels that their actions do not have",
        },
        Rows {
            name: "objects",
            // Most rows are the action's own object, which needs no decoding.
            statement: texts("actions_touch", "object", "AND t.object IS NOT a.object "),
            place: |row| Place::of(row, None),
            has: |action, at| {
                touched(action)
                    .iter()
                    .any(|object| object.as_str() == at.text)
            },
            part: Some(Part::Selection),
            extra: "objects that their actions do not have",
        },
        Rows {
            name: "keys",
            statement: keys,
            place: |row| Place::of(row, Some(row.try_get(2)?)),
            has: |action, at| Key::held_by(action).iter().any(|key| at.is_of(key)),
            part: None,
            extra: "keys that their actions do not hold",
        },
    ]
});

impl Place {
    /// Returns the place before the first row.
    fn first(rows: &Rows) -> Place {
        let key = rows.statement.contains("$3").then(String::new);
        let (text, number) = (String::new(), 0);
        Place { text, number, key }
    }

    fn of(row: &SqliteRow, key: Option<String>) -> Result<Place, sqlx::Error> {
        let (text, number) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Place { text, number, key })
    }

    fn is_of(&self, key: &Key) -> bool {
        let place = (&*key.tenant, i64::from(key.kind.code()), Some(&*key.key));
        place == (&self.text, self.number, self.key.as_deref())
    }
}

/// Looks for rows whose actions do not have them. Rows without an action are found elsewhere.
pub(super) async fn check_extra(
    connection: &mut SqliteConnection,
    check: &mut SqliteCheck,
) -> Result<(), StoreError> {
    for rows in &*TABLES {
        let counted = count_extra(connection, rows, check).await;
        if let Some(extra @ 1..) = check.unfinished(rows.name, counted)? {
            find(check, rows, format!("{extra} {}", rows.extra));
        }
    }
    Ok(())
}

fn find(check: &mut SqliteCheck, rows: &Rows, what: String) {
    check.find(what);
    rows.part.into_iter().for_each(|part| check.parts.add(part));
}

async fn count_extra(
    connection: &mut SqliteConnection,
    table: &Rows,
    check: &mut SqliteCheck,
) -> Result<u64, StoreError> {
    let (mut extra, mut last) = (0, Place::first(table));
    loop {
        let rows = read_after(connection, table, &last).await?;
        for row in &rows {
            let place = (table.place)(row).map_err(|error| {
                let what = "the primary key of a row cannot be read";
                corrupt("check", what).with_source(error)
            })?;
            if place <= last {
                // As for other rows, going on from this key might never end.
                let what = "are out of order; the rows after it were not checked";
                find(check, table, format!("{} {what}", table.name));
                return Ok(extra);
            }
            // An action that cannot be read is a finding of its own.
            let columns = if place.key.is_some() { 3 } else { 2 };
            let action = decode_action("check", row, columns, Detail::Full);
            let is_extra = |action: &Action| !(table.has)(action, &place);
            extra += u64::from(action.as_ref().is_ok_and(is_extra));
            last = place;
        }
        if rows.len() < STEP {
            return Ok(extra);
        }
    }
}

async fn read_after(
    connection: &mut SqliteConnection,
    table: &Rows,
    last: &Place,
) -> Result<Vec<SqliteRow>, StoreError> {
    let before = |error| store_error("check", Phase::Before, error);
    let mut script = Script::new();
    script.push(&table.statement);
    script.bind(last.text.clone()).map_err(before)?;
    script.bind(last.number).map_err(before)?;
    if let Some(key) = &last.key {
        script.bind(key.clone()).map_err(before)?;
    }
    let results = script.run(connection).await;
    let results = results.map_err(|failed| before(failed.error))?;
    Ok(results.into_iter().flatten().collect())
}
