//! Rows of other tables that repeat fields of actions: labels, related objects and keys.

use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use super::decode::read_key;
use super::errors::store_error;
use super::findings::SqliteCheck;
use super::known_damage::Part;
use super::script::Script;
use crate::backend::sql::Phase;
use crate::error::StoreError;
use crate::model::{Action, Key};

/// Counts the labels in `$1` without a row, of actions that are still there.
const LABELS: &str = "SELECT count(*) FROM json_each($1) AS j \
     CROSS JOIN actions_action AS a ON a.number = j.value ->> 0 \
     WHERE NOT EXISTS (SELECT 1 FROM actions_label AS l \
     WHERE l.label = j.value ->> 1 AND l.action = a.number)";

const OBJECTS: &str = "SELECT count(*) FROM json_each($1) AS j \
     CROSS JOIN actions_action AS a ON a.number = j.value ->> 0 \
     WHERE NOT EXISTS (SELECT 1 FROM actions_touch AS t \
     WHERE t.object = j.value ->> 1 AND t.action = a.number)";

/// An exclusive key (kind 0) is freed when its action ends, which may be after the action was read.
const KEYS: &str = "SELECT count(*) FROM json_each($1) AS j \
     CROSS JOIN actions_action AS a ON a.number = j.value ->> 0 \
     WHERE (a.status < 2 OR j.value ->> 2 <> 0) \
     AND NOT EXISTS (SELECT 1 FROM actions_key AS k \
     WHERE k.tenant = j.value ->> 1 AND k.kind = j.value ->> 2 AND k.key = j.value ->> 3 \
     AND k.action = a.number)";

/// The rows that some actions must have, each with the number of its action.
#[derive(Debug, Default)]
pub(super) struct Copies {
    labels: Vec<(i64, String)>,
    objects: Vec<(i64, String)>,
    keys: Vec<(i64, String, i64, String)>,
}

impl Copies {
    /// Adds the rows of an action. The row of its own object has a check of its own.
    pub(super) fn add(&mut self, number: i64, action: &Action) {
        let labels = action.labels.index_texts();
        self.labels
            .extend(labels.map(|text| (number, text.to_string())));
        let related = action.related.iter().map(|related| &related.object);
        self.objects
            .extend(related.map(|object| (number, object.as_str().to_owned())));
        let keys = Key::held_by(action).into_iter().map(|key| {
            let (tenant, text) = (key.tenant.to_string(), key.key.to_string());
            (number, tenant, key.kind.code().into(), text)
        });
        self.keys.extend(keys);
    }

    /// Looks for all of these rows.
    pub(super) async fn check(
        &self,
        connection: &mut SqliteConnection,
        check: &mut SqliteCheck,
    ) -> Result<(), StoreError> {
        let missing = missing(connection, LABELS, &self.labels).await?;
        if missing > 0 {
            let what = format!("{missing} labels of actions that are not found by them");
            check.find_in(Part::Selection, what);
        }
        let missing = self::missing(connection, OBJECTS, &self.objects).await?;
        if missing > 0 {
            let what = format!("{missing} related objects of actions that are not found by them");
            check.find_in(Part::Selection, what);
        }
        let missing = self::missing(connection, KEYS, &self.keys).await?;
        if missing > 0 {
            // No list reads them.
            let what = format!("{missing} keys of actions that another action could take");
            check.find(what);
        }
        Ok(())
    }
}

/// Returns how many of these rows a statement misses.
async fn missing<R: Serialize + Sync>(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: &[R],
) -> Result<i64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let before = |error| store_error("check", Phase::Before, error);
    // Numbers and texts are written to memory, which cannot fail.
    let list = serde_json::to_string(rows).unwrap_or_default();
    let mut script = Script::of(statement);
    script.bind(list).map_err(before)?;
    let results = script.run(connection).await;
    let results = results.map_err(|failed| before(failed.error))?;
    let row = results.iter().flatten().next();
    row.map_or(Ok(0), |row| read_key("check", row))
}
