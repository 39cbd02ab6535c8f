//! Rows of labels and related objects that their actions do not have.
//!
//! A list that finds such a row is `Corrupt`, because its action does not match.

use std::sync::LazyLock;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::decode::{decode_action, read_key};
use super::errors::store_error;
use super::findings::SqliteCheck;
use super::known_damage::Part;
use super::rows::STORED_ACTION;
use super::script::Script;
use crate::backend::sql::{Phase, corrupt};
use crate::error::StoreError;
use crate::model::{Action, Detail, touched};

/// Rows that are read together.
const STEP: usize = 1000;

/// A table with texts of actions.
struct Texts {
    name: &'static str,
    /// Reads the rows after the text `$1` and the number `$2`, each with its action.
    rows: String,
    has: fn(&Action, &str) -> bool,
    /// Name in a finding of the rows whose actions do not have them.
    extra: &'static str,
}

static TEXTS: LazyLock<[Texts; 2]> = LazyLock::new(|| {
    let rows = |table: &str, text: &str, condition: &str| {
        let action = &*STORED_ACTION;
        format!(
            "SELECT t.{text}, t.action, {action} FROM {table} AS t \
             CROSS JOIN actions_action AS a ON a.number = t.action \
             WHERE (t.{text}, t.action) > ($1, $2) {condition}\
             ORDER BY t.{text}, t.action LIMIT {STEP}"
        )
    };
    [
        Texts {
            name: "labels",
            rows: rows("actions_label", "label", ""),
            has: |action, text| action.labels.index_texts().any(|label| *label == *text),
            extra: "labels that their actions do not have",
        },
        Texts {
            name: "objects",
            // Most rows are the action's own object, which needs no decoding.
            rows: rows("actions_touch", "object", "AND t.object IS NOT a.object "),
            has: |action, text| touched(action).iter().any(|object| object.as_str() == text),
            extra: "objects that their actions do not have",
        },
    ]
});

/// Looks for rows whose actions do not have them. Rows without an action are found elsewhere.
pub(super) async fn check_extra(
    connection: &mut SqliteConnection,
    check: &mut SqliteCheck,
) -> Result<(), StoreError> {
    for texts in &*TEXTS {
        let counted = count_extra(connection, texts, check).await;
        if let Some(extra @ 1..) = check.unfinished(texts.name, counted)? {
            check.find_in(Part::Selection, format!("{extra} {}", texts.extra));
        }
    }
    Ok(())
}

async fn count_extra(
    connection: &mut SqliteConnection,
    texts: &Texts,
    check: &mut SqliteCheck,
) -> Result<u64, StoreError> {
    let (mut extra, mut last) = (0, (String::new(), 0));
    loop {
        let rows = read_after(connection, texts, &last).await?;
        for row in &rows {
            let key = key_of(row)?;
            if key <= last {
                // As for other rows, going on from this key might never end.
                let what = "are out of order; the rows after it were not checked";
                check.find_in(Part::Selection, format!("{} {what}", texts.name));
                return Ok(extra);
            }
            // An action that cannot be read is a finding of its own.
            let action = decode_action("check", row, 2, Detail::Full);
            let is_extra = |action: &Action| !(texts.has)(action, &key.0);
            extra += u64::from(action.as_ref().is_ok_and(is_extra));
            last = key;
        }
        if rows.len() < STEP {
            return Ok(extra);
        }
    }
}

fn key_of(row: &SqliteRow) -> Result<(String, i64), StoreError> {
    let number = row.try_get(1);
    let number = number.map_err(|error| {
        corrupt("check", "the number of a row's action cannot be read").with_source(error)
    })?;
    Ok((read_key("check", row)?, number))
}

async fn read_after(
    connection: &mut SqliteConnection,
    texts: &Texts,
    (text, number): &(String, i64),
) -> Result<Vec<SqliteRow>, StoreError> {
    let before = |error| store_error("check", Phase::Before, error);
    let mut script = Script::new();
    script.push(&texts.rows);
    script.bind(text.clone()).map_err(before)?;
    script.bind(*number).map_err(before)?;
    let results = script.run(connection).await;
    let results = results.map_err(|failed| before(failed.error))?;
    Ok(results.into_iter().flatten().collect())
}
