//! Pages of owners.

use sqlx::sqlite::SqliteRow;

use super::decode::{Columns, decode_owner};
use super::position::{First, POSITION, read_first};
use super::rows::STORED_OWNER;
use super::script::Script;
use crate::backend::sql::Lineage;
use crate::error::StoreError;
use crate::model::{Owner, OwnerQuery, Page};

/// Returns the condition that an owner has an unfinished action; `owner` is the name of its table
/// in the query.
pub(super) fn owns(owner: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM actions_action AS a INDEXED BY actions_action_incarnation \
         WHERE a.owner = {owner}.name AND a.incarnation = {owner}.incarnation AND a.status < 2)"
    )
}

/// One statement, so that the position and the owners are from the same moment. The plus before the
/// limit: see `SqliteDialect::limit`.
pub(super) fn script(query: &OwnerQuery) -> Result<Script, sqlx::Error> {
    let mut script = Script::new();
    let after = query.after.map_or(0, |cursor| cursor.position());
    script.bind(i64::try_from(after).unwrap_or(i64::MAX))?;
    script.bind(i64::from(query.limit) + 1)?;
    let (owner, mut conditions) = (&*STORED_OWNER, String::new());
    if let Some(name) = &query.name {
        script.bind(name.to_string())?;
        conditions.push_str(" AND o.name = $3");
    }
    if query.active {
        conditions.push_str(&format!(" AND (o.state = 0 OR {})", owns("o")));
    }
    script.push(&format!(
        "{POSITION} UNION ALL SELECT * FROM (SELECT {owner} \
         FROM actions_owner AS o WHERE o.id > $1{conditions} ORDER BY o.id LIMIT +$2)"
    ));
    Ok(script)
}

pub(super) fn read(
    query: &OwnerQuery,
    lineage: &Lineage,
    results: &[Vec<SqliteRow>],
) -> Result<Page<Owner>, StoreError> {
    let First { at, rows, .. } = read_first("owners", lineage, query.after, results)?;
    let decode = |row| decode_owner(&mut Columns::new("owners", row)?);
    Page::of_owners(rows.iter().map(decode), query, at)
}
