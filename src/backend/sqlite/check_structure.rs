//! SQLite's own check of the file's structure.

use sqlx::sqlite::SqliteConnection;

use super::decode::read_key;
use super::findings::{SqliteCheck, run};
use super::known_damage::Part;
use super::source::Source;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// The owner of the database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Store,
    /// The file also has tables of the host.
    Host,
}

impl Whose {
    pub(super) fn of(source: &Source) -> Whose {
        match source {
            Source::File { .. } => Whose::Store,
            Source::Pool(_) => Whose::Host,
        }
    }
}

/// The tables of the schema, and the part from which damage of each may hide rows.
const SCHEMA: &[(&str, Option<Part>)] = &[
    ("actions_action", Some(Part::Selection)),
    ("actions_touch", Some(Part::Selection)),
    ("actions_label", Some(Part::Selection)),
    ("actions_block", Some(Part::Selection)),
    ("actions_feed", Some(Part::Feed)),
    ("actions_log", Some(Part::Log)),
    ("actions_owner", Some(Part::Owners)),
    ("actions_key", None),
    ("actions_pin", None),
    ("actions_store", None),
    ("actions_branch", None),
    ("actions_schema", None),
];

/// Runs SQLite's own check: of the whole file if it is the store's, or else of the store's tables.
/// The host's tables may be damaged, too, but the store does not read them.
pub(super) async fn check_structure(
    connection: &mut SqliteConnection,
    whose: Whose,
    check: &mut SqliteCheck,
) -> Result<(), StoreError> {
    if whose == Whose::Store {
        // `main` leaves out attached databases.
        let findings = integrity(connection, "PRAGMA main.integrity_check(100)").await?;
        if findings.is_empty() {
            return Ok(());
        }
        findings.into_iter().for_each(|found| check.find(found));
    }
    // The messages name pages, not tables, so each table is checked by itself.
    for (table, part) in SCHEMA {
        let pragma = format!("PRAGMA main.integrity_check({table})");
        let found = match integrity(connection, &pragma).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => vec![error.to_string()],
            found => found?,
        };
        if !found.is_empty() {
            part.iter().for_each(|part| check.parts.add(*part));
        }
        if whose == Whose::Host {
            let found = found.into_iter().map(|found| format!("{table}: {found}"));
            found.for_each(|found| check.find(found));
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

#[cfg(test)]
mod tests {
    use super::super::store::SqliteStore;
    use super::*;

    #[test]
    fn every_table_of_the_schema_is_checked() {
        let steps = SqliteStore::schema().join("\n");
        let created = steps.split("CREATE TABLE ").skip(1);
        let mut created: Vec<&str> = created.filter_map(|text| text.split(' ').next()).collect();
        let mut checked: Vec<&str> = SCHEMA.iter().map(|(table, _)| *table).collect();
        created.sort_unstable();
        checked.sort_unstable();
        assert_eq!(created, checked);
    }
}
