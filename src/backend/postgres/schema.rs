//! The schema: its name, its steps, its ledger.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::errors::store_error;
use super::expected;
use super::script::Script;
use super::source::Connection;
use crate::backend::sql::{Phase, corrupt};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// The steps that create the schema, oldest first. A released step is never edited. Each ends with
/// its entry in the ledger. `$schema` stands for the quoted name.
const STEPS: &[&str] = &[include_str!(
    "../../../migrations/postgres/0001_actions.sql"
)];

/// The schema version that this library writes. The ledger says which other versions may read and
/// write it.
const VERSION: i64 = STEPS.len() as i64;

/// The lock that keeps two openers from migrating at once. The second number is of the schema's
/// name.
const MIGRATION_LOCK: i32 = 0x0ac7_1015;

/// Name of the PostgreSQL schema that has the store's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SchemaName(String);

impl SchemaName {
    pub(super) fn new(name: &str) -> Result<SchemaName, StoreError> {
        let mut bytes = name.bytes();
        let starts = bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let goes_on =
            bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !starts || !goes_on || name.len() > 31 || name.starts_with("pg_") {
            let message = "schema: 1 to 31 lower-case letters, digits and underscores; not a digit \
                           and not pg_ at the beginning";
            return Err(StoreError::new(ErrorKind::Invalid, "open", message));
        }
        Ok(SchemaName(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// Returns the path that finds PostgreSQL's names first, then the store's.
    pub(super) fn search_path(&self) -> String {
        format!("pg_catalog, {}, pg_temp", self.quoted())
    }

    /// Returns the texts of the steps, one for each version.
    pub(super) fn steps(&self) -> Vec<String> {
        let step = |step: &&str| step.replace("$schema", &self.quoted());
        STEPS.iter().map(step).collect()
    }
}

/// How to handle a missing or outdated schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Create or upgrade it.
    Apply,
    /// Change nothing: every table, index and trigger must exist.
    Verify,
}

fn before(error: sqlx::Error) -> StoreError {
    store_error("open", Phase::Before, error)
}

fn incompatible(message: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Incompatible, "open", message.into())
}

/// Runs one statement, whose text has no values of a user but the schema's checked name.
async fn rows(connection: &mut Connection, statement: &str) -> Result<Vec<PgRow>, StoreError> {
    let mut script = Script::new();
    script.push(statement);
    let results = connection.run(script).await;
    let mut results = results.map_err(before)?;
    Ok(results.pop().unwrap_or_default())
}

/// Creates or upgrades the schema in one transaction, or verifies it. Any number of processes may
/// do this at once. The connection has an open transaction if this fails.
pub(super) async fn apply(
    connection: &mut Connection,
    name: &SchemaName,
    policy: Policy,
) -> Result<(), StoreError> {
    connection.enter();
    rows(
        connection,
        "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE",
    )
    .await?;
    let path = name.search_path();
    let settings = format!(
        "SELECT pg_catalog.set_config('search_path', '{path}', true), \
         pg_catalog.set_config('lock_timeout', '30s', true), \
         pg_catalog.set_config('client_min_messages', 'warning', true)"
    );
    rows(connection, &settings).await?;
    let found = ledger(connection, name).await?;
    if let Some(found) = found {
        found.check(policy)?;
    }
    let is_old = found.is_none_or(|found| found.version < VERSION);
    match policy {
        Policy::Apply if is_old => upgrade(connection, name).await?,
        Policy::Apply => {}
        Policy::Verify if found.is_none() => {
            let message = format!("the schema {} has no store", name.quoted());
            return Err(incompatible(message));
        }
        Policy::Verify => verify(connection, name).await?,
    }
    rows(connection, "COMMIT").await?;
    connection.leave();
    Ok(())
}

async fn upgrade(connection: &mut Connection, name: &SchemaName) -> Result<(), StoreError> {
    let key = crc32fast::hash(name.as_str().as_bytes()).cast_signed();
    let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK}, {key})");
    rows(connection, &lock).await?;
    // Read again under the lock: another opener may have changed it.
    let found = ledger(connection, name).await?;
    if let Some(found) = found {
        found.check(Policy::Apply)?;
    }
    let there = format!(
        "SELECT 1 FROM pg_namespace WHERE nspname = '{}'",
        name.as_str()
    );
    // `CREATE SCHEMA IF NOT EXISTS` needs the privilege even if the schema exists.
    if rows(connection, &there).await?.is_empty() {
        rows(connection, &format!("CREATE SCHEMA {}", name.quoted())).await?;
    }
    let applied = found.map_or(0, |found| found.version);
    let steps = name.steps();
    for step in steps
        .into_iter()
        .skip(usize::try_from(applied).unwrap_or(0))
    {
        let applied = connection.run(Script::of_text(step)).await;
        applied.map_err(before)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Ledger {
    version: i64,
    min_writer: i64,
}

impl Ledger {
    /// Checks that this library may use the store.
    fn check(self, policy: Policy) -> Result<(), StoreError> {
        if self.min_writer > VERSION {
            let needed = self.min_writer;
            return Err(incompatible(format!(
                "the store needs schema version {needed}, this library has {VERSION}"
            )));
        }
        if policy != Policy::Apply && self.version < VERSION {
            let version = self.version;
            return Err(incompatible(format!(
                "the store has schema version {version}, this library needs {VERSION}"
            )));
        }
        Ok(())
    }
}

/// Reads the ledger. Returns `None` if the schema has none.
async fn ledger(
    connection: &mut Connection,
    name: &SchemaName,
) -> Result<Option<Ledger>, StoreError> {
    // Its own statement: a missing table would end the transaction.
    let known = format!(
        "SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname = '{}' AND c.relname = 'actions_schema'",
        name.as_str()
    );
    if rows(connection, &known).await?.is_empty() {
        return Ok(None);
    }
    let newest = "SELECT version, min_writer FROM actions_schema ORDER BY version DESC LIMIT 1";
    let newest = rows(connection, newest).await?;
    let ledger = newest.first().and_then(|row| {
        Some(Ledger {
            version: row.try_get(0).ok()?,
            min_writer: row.try_get(1).ok()?,
        })
    });
    match ledger {
        Some(ledger) => Ok(Some(ledger)),
        None => Err(corrupt("open", "the schema's ledger cannot be read")),
    }
}

/// The parts of a schema by name, as PostgreSQL lists them: tables with their columns, constraints,
/// indexes, triggers, functions with their texts, views, sequences.
const PARTS: &str = "\
     SELECT 'column ' || c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) \
     || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END \
     FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid \
     WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped \
     UNION ALL SELECT 'constraint ' || t.conname, '' FROM pg_constraint AS t \
     WHERE t.connamespace = $1::regnamespace AND t.convalidated \
     UNION ALL SELECT 'index ' || c.relname, '' FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid \
     WHERE c.relnamespace = $1::regnamespace AND i.indisvalid \
     UNION ALL SELECT 'trigger ' || t.tgname, '' FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid \
     WHERE c.relnamespace = $1::regnamespace AND t.tgenabled IN ('O', 'A') \
     UNION ALL SELECT 'function ' || p.proname, p.prosrc FROM pg_proc AS p \
     WHERE p.pronamespace = $1::regnamespace \
     UNION ALL SELECT 'view ' || c.relname, '' FROM pg_class AS c \
     WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'v' \
     UNION ALL SELECT 'sequence ' || c.relname, '' FROM pg_class AS c \
     WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'S'";

/// Checks that each part of the schema exists as this library would create it.
async fn verify(connection: &mut Connection, name: &SchemaName) -> Result<(), StoreError> {
    let mut script = Script::new();
    script.bind_text(&name.quoted());
    script.push(PARTS);
    let results = connection.run(script).await;
    let results = results.map_err(before)?;
    let mut there = Vec::new();
    for row in results.iter().flatten() {
        let part: (String, String) = (
            row.try_get(0).map_err(before)?,
            row.try_get(1).map_err(before)?,
        );
        there.push(part);
    }
    for step in name.steps() {
        for (part, definition) in expected::parts(&step) {
            let found = there.iter().find(|(other, _)| *other == part);
            let problem = match found {
                Some((_, found)) if *found == definition => continue,
                Some(_) => "differs from the one that this library creates",
                None => "is missing or not in use",
            };
            return Err(incompatible(format!("the schema's {part} {problem}")));
        }
    }
    Ok(())
}
