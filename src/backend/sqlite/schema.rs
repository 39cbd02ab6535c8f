//! The schema: its steps, its ledger, and whether SQLite itself is fit for it.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use super::errors::{Phase, corrupt, store_error};
use super::sync;
use crate::error::{ErrorKind, StoreError};
use crate::model::StoreId;

/// The steps that make the schema, oldest first. A step is never edited once it was released; each
/// ends with its own entry in the ledger.
pub(super) const STEPS: &[&str] = &[include_str!("../../../migrations/sqlite/0001_actions.sql")];

/// The schema this library writes. Its ledger says which others may still read and write it.
const VERSION: i64 = STEPS.len() as i64;

/// Rows that may wait between SQLite's thread and ours: a whole page, so that the thread never
/// waits in the middle of one.
const ROW_BUFFER: usize = 1024;

/// How long SQLite itself waits for a lock that another connection holds.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// How every connection to a file of the store's own is set up.
pub(super) fn connect_options(path: &Path, read_only: bool) -> SqliteConnectOptions {
    let options = plain_options(path)
        .pragma("cell_size_check", "ON")
        // 16 MB, not 2: a look-up in 100,000 actions else reads most of its pages anew.
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
        // A checkpoint every 16 MB or so: more often costs throughput, less often read speed.
        .pragma("wal_autocheckpoint", "4000")
        // What a burst left of the log file is given back.
        .pragma("journal_size_limit", "67108864")
}

/// A connection that changes nothing about a file by being opened.
fn plain_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

/// Opens a connection that leaves a file's journal mode as it is.
pub(super) async fn connect_plain(path: &Path) -> Result<SqliteConnection, StoreError> {
    connect(plain_options(path), None).await
}

/// Opens one connection, which lets the file grow to so many pages.
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

/// What may be done about a schema that is missing or old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Make it, bring it up to date.
    Apply,
    /// Nothing: it must be there, every table, index and trigger of it.
    Verify,
    /// Nothing: what is there must be readable.
    Read,
}

/// Refuses a file that is not a store this library can work with, before anything about it is
/// changed: even the journal mode stays with a file that is somebody else's.
pub(super) async fn inspect(path: &Path, policy: Policy) -> Result<(), StoreError> {
    let mut connection =
        connect(plain_options(path).read_only(policy == Policy::Read), None).await?;
    let refused = match ledger(&mut connection).await {
        Ok(Some(found)) => found.check(policy),
        Ok(None) => Err(StoreError::new(
            ErrorKind::Incompatible,
            "open",
            "the file is a database of somebody else's",
        )),
        Err(error) => Err(error),
    };
    if refused.is_ok() && policy != Policy::Read {
        sync::before_closing(&mut connection, path).await;
    }
    // Only looked at; and the refusal, if any, is the better answer.
    drop(connection.close().await);
    refused
}

/// Makes sure that the schema is there and up to date, in one transaction, and says whose store
/// it is. Any number of processes may do this at once.
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
    life(connection).await
}

async fn upgrade(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let before = |error| store_error("open", Phase::Before, error);
    let begun = connection.begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = begun.map_err(before)?;
    // Read again, now that nobody else can write: another opener may have been here.
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

/// Checks that each object of the schema is there as this library would make it.
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
            Some(_) => "is not as this library makes it",
            None => "is missing",
        };
        let message = format!("the schema's {name} {problem}");
        return Err(StoreError::new(ErrorKind::Incompatible, "open", message));
    }
    Ok(())
}

/// A statement without its comments and its layout, which a host's tool may change.
fn words(sql: &str) -> String {
    let lines = sql
        .lines()
        .map(|line| line.split("--").next().unwrap_or(""));
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
    /// Whether this library may do with the store what it is opened for.
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

/// What the ledger says; none if there is no ledger of ours.
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

/// The newest step the ledger has an entry of.
pub(super) async fn version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(ledger(connection).await?.map_or(0, |found| found.version))
}

pub(super) async fn life(connection: &mut SqliteConnection) -> Result<StoreId, StoreError> {
    let life: Option<Vec<u8>> = single(
        connection,
        "SELECT (SELECT life FROM actions_store WHERE id = 1)",
    )
    .await?;
    let life = life.ok_or_else(|| corrupt("open", "a row that every store has is missing"))?;
    let uuid = uuid::Uuid::from_slice(&life);
    let uuid = uuid.map_err(|_| corrupt("open", "the store's identity cannot be read"))?;
    Ok(StoreId::from_uuid(uuid))
}

/// The one value a statement returns.
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
