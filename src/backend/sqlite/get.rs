//! Look-ups by uid.

use std::sync::{Arc, LazyLock};

use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::decode::decode_stored;
use super::encode::JsonRows;
use super::joined;
use super::rows::STORED_ACTION;
use super::script::Script;
use crate::backend::sql::corrupt;
use crate::error::StoreError;
use crate::model::{Action, ActionUid, Detail};

/// The result for one uid.
pub(super) type FoundOne = Result<Option<Arc<Action>>, StoreError>;

/// Returns the actions of the uids in `$#`, joined.
static FOUND: LazyLock<String> = LazyLock::new(|| {
    // A join, not `IN`, which would sort the uids again.
    let action = &*STORED_ACTION;
    joined::join(&format!(
        "SELECT hex(a.uid) AS key, {action} AS record FROM json_each($#) AS j \
         CROSS JOIN actions_action AS a ON a.uid = unhex(j.value)"
    ))
});

/// The same for one list of uids, `$1`.
static FOUND_ALONE: LazyLock<String> = LazyLock::new(|| FOUND.replace("$#", "$1"));

/// Finds uids in `$1` whose neighbours in the index are not the rows that the index says they are.
/// A damaged entry is next to the place at which it is searched for.
static ABSENT: LazyLock<String> = LazyLock::new(|| {
    let neighbour = |than: &str, direction: &str| {
        format!(
            "EXISTS (SELECT 1 FROM (SELECT u.uid AS uid, u.number AS number \
             FROM actions_action AS u WHERE u.uid {than} unhex(j.value) \
             ORDER BY u.uid {direction} LIMIT 1) AS n \
             WHERE n.uid IS NOT (SELECT r.uid FROM actions_action AS r WHERE r.number = n.number))"
        )
    };
    let (before, after) = (neighbour("<=", "DESC"), neighbour(">=", "ASC"));
    format!("SELECT j.value FROM json_each($1) AS j WHERE {before} OR {after}")
});

/// Returns the script that looks up each distinct uid once.
pub(super) fn script(uids: &[ActionUid]) -> Result<Script, sqlx::Error> {
    if uids.len() <= joined::MOST {
        return about(&FOUND_ALONE, uids);
    }
    // Several statements read the same moment only within a transaction.
    let mut script = Script::new();
    script.push("BEGIN");
    for uids in uids.chunks(joined::MOST) {
        script.push_about(&FOUND, list(uids), None)?;
    }
    script.push("COMMIT");
    Ok(script)
}

/// Returns the script that finds the uids whose absence is damage.
pub(super) fn absent_script(uids: &[ActionUid]) -> Result<Script, sqlx::Error> {
    about(&ABSENT, uids)
}

/// A statement whose value is a list of uids.
fn about(statement: &'static str, uids: &[ActionUid]) -> Result<Script, sqlx::Error> {
    let mut script = Script::of(statement);
    script.bind(list(uids))?;
    Ok(script)
}

fn list(uids: &[ActionUid]) -> String {
    let mut list = JsonRows::new();
    uids.iter().for_each(|uid| list.item(uid.as_uuid()));
    list.finish()
}

/// Returns the result for each uid. An unreadable action is an error only for the callers that
/// asked for it.
pub(super) fn read(
    uids: &[ActionUid],
    results: &[Vec<SqliteRow>],
) -> Result<Vec<FoundOne>, StoreError> {
    let mut found = vec![Ok(None); uids.len()];
    for rows in results {
        for (key, record) in joined::read("get", true, rows)? {
            let uid = Uuid::try_parse_ascii(key.as_bytes()).map(ActionUid::from_uuid);
            let at = uid.ok().and_then(|uid| uids.binary_search(&uid).ok());
            // The join returns only uids that were asked for.
            let at = at.ok_or_else(|| corrupt("get", "a look-up returned another action"))?;
            let action = decode_stored("get", &record, Detail::Full);
            found[at] = action.map(|action| Some(Arc::new(action)));
        }
    }
    Ok(found)
}
