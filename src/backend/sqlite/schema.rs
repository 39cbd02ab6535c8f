//! The schema: its steps, its ledger, and the setup of connections.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use super::errors::store_error;
use super::identity::OpenFile;
use super::sync;
use crate::backend::sql::{Phase, corrupt};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::StoreId;

/// The steps that create the schema, oldest first. A released step is never edited. Each ends with
/// its entry in the ledger.
pub(super) const STEPS: &[&str] = &[include_str!("../../../migrations/sqlite/0001_actions.sql")];

/// The schema version that this library writes. The ledger says which other versions may read and
/// write it.
const VERSION: i64 = STEPS.len() as i64;

/// Maximum number of rows that wait between SQLite's thread and the task: a whole page, so that the
/// thread never waits in the middle of one.
const ROW_BUFFER: usize = 1024;

/// Busy timeout: the time SQLite waits for a lock that another connection holds.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Returns the settings of every connection to a file of the store's own.
pub(super) fn connect_options(path: &Path, read_only: bool) -> SqliteConnectOptions {
    let options = plain_options(path)
        .pragma("cell_size_check", "ON")
        // 16 MB, not 2: otherwise a look-up among 100,000 actions reads most of its pages again.
        .pragma("cache_size", "-16384")
        .row_buffer_size(ROW_BUFFER)
        .statement_cache_capacity(256);
    if read_only {
        return options.read_only(true);
    }
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .auto_vacuum(SqliteAutoVacuum::None)
        // A checkpoint about every 16 MB. More often costs throughput; less often slows reads.
        .pragma("wal_autocheckpoint", "4000")
        // Truncates the WAL after a burst of writes.
        .pragma("journal_size_limit", "67108864")
}

/// Returns the settings of a connection whose opening changes nothing in the file.
fn plain_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

/// Opens a connection that leaves the journal mode of the file as it is.
pub(super) async fn connect_plain(path: &Path) -> Result<SqliteConnection, StoreError> {
    connect(plain_options(path), None).await
}

/// Opens a connection that lets the file grow to a number of pages.
pub(super) async fn connect(
    mut options: SqliteConnectOptions,
    max_pages: Option<u64>,
) -> Result<SqliteConnection, StoreError> {
    if let Some(pages) = max_pages {
        options = options.pragma("max_page_count", pages.to_string());
    }
    let connection = options.connect().await;
    connection.map_err(|error| store_error("open", Phase::Before, error))
}

/// How to handle a missing or outdated schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Create or upgrade it.
    Apply,
    /// Change nothing: every table, index and trigger must exist.
    Verify,
    /// Change nothing: the schema must be readable.
    Read,
}

/// Refuses a file that this library cannot use, before anything in it is changed. Even the journal
/// mode of another application's file stays as it is.
pub(super) async fn inspect(path: &Path, policy: Policy) -> Result<(), StoreError> {
    let mut connection =
        connect(plain_options(path).read_only(policy == Policy::Read), None).await?;
    let refused = match ledger(&mut connection).await {
        Ok(Some(found)) => found.check(policy),
        Ok(None) => Err(StoreError::new(
            ErrorKind::Incompatible,
            "open",
            "the database belongs to another application; use another path",
        )),
        Err(error) => Err(error),
    };
    if refused.is_ok() && policy != Policy::Read {
        // Another writer keeps the database open, so this connection is not the last to close.
        let told_at_once = sqlx::query("PRAGMA busy_timeout = 0").execute(&mut connection);
        if told_at_once.await.is_ok()
            && let Ok(file) = OpenFile::at(path)
        {
            sync::before_closing(&mut connection, &file).await;
        }
    }
    // Read-only; its error, if any, is ignored, because the refusal below is more useful.
    drop(connection.close().await);
    refused
}

/// Creates or upgrades the schema in one transaction, and returns the store's identity. Any number
/// of processes may do this at once.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    policy: Policy,
) -> Result<StoreId, StoreError> {
    let found = ledger(connection).await?;
    if let Some(found) = found {
        found.check(policy)?;
    }
    let is_old = found.is_none_or(|found| found.version < VERSION);
    match policy {
        Policy::Apply if is_old => upgrade(connection).await?,
        Policy::Apply | Policy::Read => {}
        Policy::Verify => verify(connection).await?,
    }
    store_id(connection).await
}

async fn upgrade(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let before = |error| store_error("open", Phase::Before, error);
    let begun = connection.begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = begun.map_err(before)?;
    // Read again under the write lock: another opener may have changed it.
    let found = ledger(&mut transaction).await?;
    if let Some(found) = found {
        found.check(Policy::Apply)?;
    }
    let applied = found.map_or(0, |found| found.version);
    for step in STEPS.iter().skip(usize::try_from(applied).unwrap_or(0)) {
        transaction.execute(*step).await.map_err(before)?;
    }
    transaction.commit().await.map_err(before)
}

/// Checks that each object of the schema exists as this library would create it.
async fn verify(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const OBJECTS: &str = "SELECT type || ' ' || name, sql FROM sqlite_master \
         WHERE name LIKE 'actions\\_%' ESCAPE '\\' AND sql IS NOT NULL ORDER BY name";
    let before = |error| store_error("open", Phase::Before, error);
    let options = SqliteConnectOptions::new().disable_statement_logging();
    let mut model = options.connect().await.map_err(before)?;
    for step in STEPS {
        model.execute(*step).await.map_err(before)?;
    }
    let wanted: Vec<(String, String)> = sqlx::query_as(OBJECTS)
        .fetch_all(&mut model)
        .await
        .map_err(before)?;
    drop(model.close().await);
    let there: Vec<(String, String)> = sqlx::query_as(OBJECTS)
        .fetch_all(&mut *connection)
        .await
        .map_err(before)?;
    for (name, sql) in wanted {
        let found = there.iter().find(|(other, _)| *other == name);
        let problem = match found {
            Some((_, found)) if words(found) == words(&sql) => continue,
            Some(_) => "differs from the one that this library creates",
            None => "is missing",
        };
        let message = format!("the schema's {name} {problem}");
        return Err(StoreError::new(ErrorKind::Incompatible, "open", message));
    }
    Ok(())
}

/// Returns a statement without comments and layout, which a host's tool may change.
fn words(sql: &str) -> String {
    let lines = sql
        .lines()
        .map(|slot| slot.split("--").next().unwrap_or(""));
    let text: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    text.join(" ")
}

#[derive(Debug, Clone, Copy)]
struct Ledger {
    version: i64,
    min_reader: i64,
    min_writer: i64,
}

impl Ledger {
    /// Checks that this library may use the store for the purpose it is opened for.
    fn check(self, policy: Policy) -> Result<(), StoreError> {
        let needed = match policy {
            Policy::Read => self.min_reader,
            Policy::Apply | Policy::Verify => self.min_writer,
        };
        let message = if needed > VERSION {
            format!("the store needs schema version {needed}, this library has {VERSION}")
        } else if policy != Policy::Apply && self.version < VERSION {
            format!(
                "the store has schema version {}, this library needs {VERSION}",
                self.version
            )
        } else {
            return Ok(());
        };
        Err(StoreError::new(ErrorKind::Incompatible, "open", message))
    }
}

/// Reads the ledger. Returns `None` if there is no ledger of this library.
async fn ledger(connection: &mut SqliteConnection) -> Result<Option<Ledger>, StoreError> {
    let known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' \
                 AND name = 'actions_schema'";
    if single::<i64>(connection, known).await? == 0 {
        return Ok(None);
    }
    let newest = "SELECT version, min_reader, min_writer FROM actions_schema \
                  ORDER BY version DESC LIMIT 1";
    let row = sqlx::query(newest).fetch_optional(connection).await;
    let row = row.map_err(|error| store_error("open", Phase::Before, error))?;
    let ledger = row.and_then(|row| {
        Some(Ledger {
            version: row.try_get(0).ok()?,
            min_reader: row.try_get(1).ok()?,
            min_writer: row.try_get(2).ok()?,
        })
    });
    match ledger {
        Some(ledger) => Ok(Some(ledger)),
        None => Err(corrupt("open", "the schema's ledger cannot be read")),
    }
}

/// Returns the newest step in the ledger.
pub(super) async fn version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(ledger(connection).await?.map_or(0, |found| found.version))
}

pub(super) async fn store_id(connection: &mut SqliteConnection) -> Result<StoreId, StoreError> {
    let store_id: Option<Vec<u8>> = single(
        connection,
        "SELECT (SELECT store_id FROM actions_store WHERE id = 1)",
    )
    .await?;
    let store_id =
        store_id.ok_or_else(|| corrupt("open", "a row that every store has is missing"))?;
    let uuid = uuid::Uuid::from_slice(&store_id);
    let uuid = uuid.map_err(|_| corrupt("open", "the store's identity cannot be read"))?;
    Ok(StoreId::from_uuid(uuid))
}

/// Returns the single value of a statement.
pub(super) async fn single<T>(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<T, StoreError>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let row = sqlx::query(statement).fetch_one(connection).await;
    row.and_then(|row| row.try_get(0))
        .map_err(|error| store_error("open", Phase::Before, error))
}
