//! Opening the file: the lock, the file itself, the schema and its ledger.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use super::errors::{Phase, corrupt, store_error};
use crate::clock::Clock;
use crate::error::{ErrorKind, StoreError};
use crate::model::StoreId;

/// The steps that make the schema, oldest first. A step is never edited once it was released.
const STEPS: &[&str] = &[include_str!("../../../migrations/sqlite/0001_actions.sql")];

/// The schema this library writes.
const VERSION: i64 = STEPS.len() as i64;

/// The oldest schema version whose libraries can still read and write what this one writes.
const MIN_READER: i64 = 1;
const MIN_WRITER: i64 = 1;

/// Rows that may wait between SQLite's thread and ours: a whole page, so that the thread never
/// waits in the middle of one.
const ROW_BUFFER: usize = 1024;

/// How long SQLite itself waits for a lock that another connection holds.
const BUSY: Duration = Duration::from_secs(5);

/// That this process, and no other, has the store open. Held until the last connection is closed;
/// the system lets go of it when the process dies.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Not left to the closing of the file: a process that is being started right now has a copy
        // of it until it is its own program, and would keep the lock as long.
        let _closed_next = self.0.unlock();
    }
}

/// Checks that a path can be given to SQLite as it is.
fn check_path(path: &Path) -> Result<(), StoreError> {
    let refuse = |reason: &'static str| Err(StoreError::new(ErrorKind::Invalid, "open", reason));
    let Some(text) = path.to_str() else {
        return refuse("path: is not UTF-8");
    };
    if text.is_empty() || text.contains('\0') {
        return refuse("path: is empty or contains U+0000");
    }
    if text.starts_with("file:") {
        return refuse("path: SQLite would read it as a URI");
    }
    if text.starts_with(":memory:") {
        return refuse("path: a store in memory is MemoryStore");
    }
    if path.file_name().is_none() {
        return refuse("path: names no file");
    }
    Ok(())
}

/// The one name a file has, whatever links lead to it: two names must not mean two locks.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    check_path(path)?;
    match path.canonicalize() {
        Ok(path) => Ok(path),
        // What the link leads to may come yet, with the store in it.
        Err(error) if path.is_symlink() => Err(io_error("it is a link that leads nowhere", error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = directory(path).canonicalize();
            let directory =
                directory.map_err(|error| io_error("there is no such directory", error))?;
            Ok(directory.join(path.file_name().unwrap_or_default()))
        }
        Err(error) => Err(io_error("the file cannot be looked at", error)),
    }
}

fn directory(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Takes the lock on `<path>.lock`.
pub(super) fn lock(path: &Path) -> Result<Lock, StoreError> {
    let file = create(&beside(path, ".lock"), false)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::new(
            ErrorKind::Unavailable,
            "open",
            "the store is open already, here or in another process",
        )),
        Err(TryLockError::Error(error)) => Err(io_error("the lock cannot be taken", error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a file that only its owner can read, and creates it if need be.
fn create(path: &Path, must_be_new: bool) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .create_new(must_be_new);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path);
    file.map_err(|error| io_error("the file cannot be created or opened", error))
}

fn io_error(message: &'static str, error: io::Error) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "open", message).with_source(error)
}

/// How every connection of a store is set up.
pub(super) fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .auto_vacuum(SqliteAutoVacuum::None)
        .busy_timeout(BUSY)
        // A checkpoint every 16 MB or so: more often costs throughput, less often read speed.
        .pragma("wal_autocheckpoint", "4000")
        // What a burst left of the log file is given back.
        .pragma("journal_size_limit", "67108864")
        .pragma("cell_size_check", "ON")
        // 16 MB, not 2: a look-up in 100,000 actions else reads most of its pages anew.
        .pragma("cache_size", "-16384")
        .row_buffer_size(ROW_BUFFER)
        .statement_cache_capacity(256)
        .disable_statement_logging()
}

/// Opens one connection.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    connect_writer(path, None).await
}

/// Opens the connection that writes, which lets the file grow to so many pages.
pub(super) async fn connect_writer(
    path: &Path,
    max_pages: Option<u64>,
) -> Result<SqliteConnection, StoreError> {
    let mut options = connect_options(path);
    if let Some(pages) = max_pages {
        options = options.pragma("max_page_count", pages.to_string());
    }
    let connection = options.connect().await;
    connection.map_err(|error| store_error("open", Phase::Before, error))
}

/// Makes sure that the file is a store of ours and up to date, and says which.
///
/// A new store is made beside its place and moved there whole, so that nobody ever finds half of
/// one, and an empty file at that place is always somebody else's.
pub(super) async fn prepare(path: &Path, clock: &Clock) -> Result<StoreId, StoreError> {
    match std::fs::metadata(path) {
        Ok(file) if file.len() == 0 => Err(corrupt("open", "the file is empty: a store never is")),
        Ok(_) => {
            inspect(path).await?;
            upgrade(path, clock).await
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // SQLite would replay them into the new store. They may be the last writes of one that
            // was moved away, so they are not removed either.
            if holds_something(&beside(path, "-wal")) || holds_something(&beside(path, "-journal"))
            {
                let message = "there is a log file (-wal or -journal) without its database";
                return Err(corrupt("open", message));
            }
            let new = beside(path, ".new");
            for suffix in ["", "-wal", "-shm", "-journal"] {
                match std::fs::remove_file(beside(&new, suffix)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(io_error("what an opener left cannot be removed", error));
                    }
                    _ => {}
                }
            }
            drop(create(&new, true)?);
            let life = upgrade(&new, clock).await?;
            // Closing folds the log into the file, and does not say so when it could not.
            if holds_something(&beside(&new, "-wal")) {
                let message = "the new store could not be written in full";
                return Err(StoreError::new(ErrorKind::Unavailable, "open", message));
            }
            std::fs::rename(&new, path)
                .and_then(|()| sync_directory(path))
                .map_err(|error| io_error("the new store cannot be moved to its place", error))?;
            Ok(life)
        }
        Err(error) => Err(io_error("the file cannot be looked at", error)),
    }
}

fn holds_something(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0)
}

/// Makes a renamed file survive a power cut.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory(path))?.sync_all()?;
    }
    Ok(())
}

/// Refuses what is not a store this library can write, before anything about it is changed: even
/// the journal mode stays with a file that is somebody else's.
async fn inspect(path: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new().filename(path);
    let options = options.busy_timeout(BUSY).disable_statement_logging();
    let opened = options.connect().await;
    let mut connection = opened.map_err(|error| store_error("open", Phase::Before, error))?;
    let refused = match ledger(&mut connection).await {
        Err(error) => Err(error),
        Ok(Some(found)) if found.min_writer > VERSION => Err(StoreError::new(
            ErrorKind::Incompatible,
            "open",
            format!(
                "the store needs schema version {}, this library has {VERSION}",
                found.min_writer
            ),
        )),
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(StoreError::new(
            ErrorKind::Incompatible,
            "open",
            "the file is a database of somebody else's",
        )),
    };
    // Only looked at; and the refusal, if any, is the better answer.
    drop(connection.close().await);
    refused
}

/// Brings the schema to this library's version, in one transaction.
async fn upgrade(path: &Path, clock: &Clock) -> Result<StoreId, StoreError> {
    let mut connection = connect(path).await?;
    let life = upgrade_connected(&mut connection, clock).await;
    let closed = connection.close().await;
    let life = life?;
    closed.map_err(|error| store_error("open", Phase::Before, error))?;
    Ok(life)
}

async fn upgrade_connected(
    connection: &mut SqliteConnection,
    clock: &Clock,
) -> Result<StoreId, StoreError> {
    let before = |error| store_error("open", Phase::Before, error);
    // The mode asked for is not always the mode one gets.
    let mode: String = single(connection, "PRAGMA journal_mode").await?;
    let synchronous: i64 = single(connection, "PRAGMA synchronous").await?;
    if mode != "wal" || synchronous < 2 {
        return Err(StoreError::new(
            ErrorKind::Unavailable,
            "open",
            format!("the database is in mode {mode}/{synchronous}, not wal/2"),
        ));
    }
    let applied = ledger(connection).await?.map_or(0, |found| found.version);
    if applied >= VERSION {
        return life(connection).await;
    }
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(before)?;
    let mut version = 0;
    for step in STEPS {
        version += 1;
        if version <= applied {
            continue;
        }
        transaction.execute(*step).await.map_err(before)?;
        let entry = "INSERT INTO actions_schema (version, min_reader, min_writer, applied_at) \
                     VALUES (?1, ?2, ?3, ?4)";
        let entry = sqlx::query(entry)
            .bind(version)
            .bind(MIN_READER)
            .bind(MIN_WRITER);
        let entry = entry.bind(clock.now().as_micros());
        transaction.execute(entry).await.map_err(before)?;
    }
    if applied == 0 {
        let store = sqlx::query("INSERT INTO actions_store (id, life) VALUES (1, ?1)");
        let store = store.bind(StoreId::new().as_uuid().as_bytes().to_vec());
        transaction.execute(store).await.map_err(before)?;
    }
    transaction.commit().await.map_err(before)?;
    life(connection).await
}

#[derive(Debug, Clone, Copy)]
struct Ledger {
    version: i64,
    min_writer: i64,
}

/// What the ledger says; none if the file has no ledger of ours.
async fn ledger(connection: &mut SqliteConnection) -> Result<Option<Ledger>, StoreError> {
    let known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' \
                 AND name = 'actions_schema'";
    if single::<i64>(connection, known).await? == 0 {
        return Ok(None);
    }
    let newest = "SELECT version, min_writer FROM actions_schema ORDER BY version DESC LIMIT 1";
    let row = sqlx::query(newest).fetch_optional(connection).await;
    let row = row.map_err(|error| store_error("open", Phase::Before, error))?;
    let ledger = row.and_then(|row| {
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

async fn life(connection: &mut SqliteConnection) -> Result<StoreId, StoreError> {
    let life: Vec<u8> = single(connection, "SELECT life FROM actions_store WHERE id = 1").await?;
    let uuid = uuid::Uuid::from_slice(&life);
    let uuid = uuid.map_err(|_| corrupt("open", "the store's identity cannot be read"))?;
    Ok(StoreId::from_uuid(uuid))
}

/// The one value a statement returns.
async fn single<T>(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<T, StoreError>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let row = sqlx::query(statement).fetch_one(connection).await;
    row.and_then(|row| row.try_get(0))
        .map_err(|error| match error {
            sqlx::Error::RowNotFound => corrupt("open", "a row that every store has is missing"),
            error => store_error("open", Phase::Before, error),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_lock_file_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actions.db");
        let held = lock(&path).unwrap();
        // As a process has that was forked and has not become its own program yet.
        let copy = held.0.try_clone().unwrap();
        assert!(lock(&path).is_err());
        drop(held);
        drop(lock(&path).unwrap());
        drop(copy);
    }
}
