//! Opens a store: the file or the pool, and the schema.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sqlx::sqlite::SqlitePool;

use super::access::SqliteAccess;
use super::errors;
use super::file::{self, Lock, NewFile};
use super::identity::IN_MEMORY;
use super::lock_mode::LockMode;
use super::options::SqliteOptions;
use super::patience::{already_open, patiently, pause, unavailable};
use super::schema::{self, Policy, single};
use super::source::Source;
use super::start::{Place, start};
use super::store::SqliteStore;
use super::version;
use crate::backend::sql::{Phase, corrupt};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::telemetry;

/// SQLite's default page size, which every file of this store uses.
const PAGE_SIZE: u64 = 4096;

/// Opens the store at a path.
pub(super) async fn at_path(
    path: &Path,
    options: SqliteOptions,
) -> Result<SqliteStore, StoreError> {
    check_runtime()?;
    let path = file::resolve(path)?;
    let may_create = !options.must_exist && options.policy() == Policy::Apply;
    if !may_create && !file::is_there(&path)? {
        let path = path.display();
        return Err(unavailable(format!("there is no store at {path}")));
    }
    let (access, lock) = if options.read_only {
        patiently!(schema::inspect(&path, Policy::Read).await)?;
        (SqliteAccess::ReadOnly, None)
    } else if options.shared {
        (SqliteAccess::Shared, Some(join(&path, &options).await?))
    } else {
        let Some(mut lock) = Lock::try_take_place(&path)? else {
            return Err(already_open());
        };
        let is_new = !file::is_there(&path)?;
        if is_new {
            make(&path, &options).await?;
        }
        // Before the first connection: SQLite names the WAL after the path, so another name means
        // another WAL.
        if !lock.try_take_file(&path)? {
            return Err(already_open());
        }
        if !is_new {
            schema::inspect(&path, options.policy()).await?;
        }
        (SqliteAccess::Exclusive, Some(lock))
    };
    let source = Source::File {
        path: path.clone(),
        read_only: options.read_only,
        // SQLite treats a limit of 0 as no limit.
        max_pages: options.max_bytes.map(|bytes| (bytes / PAGE_SIZE).max(1)),
        impatient: false,
    };
    let connection = patiently!(source.connect().await)?;
    let place = Place {
        access,
        source,
        path,
        lock,
    };
    start(place, connection, options).await
}

/// Opens the store in the database of a host's pool.
pub(super) async fn on_pool(
    pool: SqlitePool,
    options: SqliteOptions,
) -> Result<SqliteStore, StoreError> {
    check_runtime()?;
    let invalid = |message: &'static str| Err(StoreError::new(ErrorKind::Invalid, "open", message));
    if options.max_bytes.is_some() {
        return invalid("max_bytes: a host's pool keeps its own settings");
    }
    let keeps_its_connection = keeps_its_connection(&pool);
    let source = Source::Pool(pool);
    let mut connection = patiently!(source.connect().await)?;
    let file = "SELECT coalesce((SELECT file FROM pragma_database_list WHERE name = 'main'), '')";
    let file: String = patiently!(single(&mut connection, file).await)?;
    let in_memory = file.is_empty();
    if in_memory && (options.read_only || !keeps_its_connection) {
        let message = "pool: the database is in memory, which is lost with its connection; give the \
             pool max_connections 1 and neither idle_timeout nor max_lifetime, or use MemoryStore";
        return invalid(message);
    }
    let path = PathBuf::from(if in_memory { IN_MEMORY } else { &file });
    let (access, lock) = match options.read_only {
        true => (SqliteAccess::ReadOnly, None),
        // No other process can open it.
        false if in_memory => (SqliteAccess::HostPool, None),
        false => {
            let begun = Instant::now();
            let lock = loop {
                if let Some(lock) = Lock::try_take(&path, LockMode::Shared)? {
                    break lock;
                }
                pause(begun).await?;
            };
            (SqliteAccess::HostPool, Some(lock))
        }
    };
    let place = Place {
        access,
        source,
        path,
        lock,
    };
    start(place, connection, options).await
}

/// Returns true if a pool has one connection and never replaces it while it works.
fn keeps_its_connection(pool: &SqlitePool) -> bool {
    let options = pool.options();
    options.get_max_connections() == 1
        && options.get_idle_timeout().is_none()
        && options.get_max_lifetime().is_none()
}

/// Takes a shared lock on a file that several processes open. Creates the file if it does not
/// exist.
async fn join(path: &Path, options: &SqliteOptions) -> Result<Lock, StoreError> {
    let begun = Instant::now();
    loop {
        if let Some(lock) = Lock::try_take(path, LockMode::Shared)?
            && file::is_there(path)?
        {
            patiently!(schema::inspect(path, options.policy()).await)?;
            return Ok(lock);
        }
        // The creator holds the lock exclusively. If it dies half-way, its temporary file is at a
        // path that no opener reads, and the next opener creates the store.
        if !file::is_there(path)?
            && let Some(_alone) = Lock::try_take_place(path)?
            && !file::is_there(path)?
        {
            make(path, options).await?;
            continue;
        }
        pause(begun).await?;
    }
}

/// Creates a new store at a path whose lock this process holds.
async fn make(path: &Path, options: &SqliteOptions) -> Result<(), StoreError> {
    if file::has_log(path) {
        let message = "there is a log file (-wal or -journal) without its database";
        return Err(corrupt("open", message));
    }
    let new = NewFile::beside(path)?;
    let fresh = Source::File {
        path: new.path.clone(),
        read_only: false,
        max_pages: None,
        impatient: false,
    };
    let mut connection = fresh.connect().await?;
    let made = async {
        version::check(&mut connection, options.shared, options.allow_wal_reset_bug).await?;
        schema::apply(&mut connection, Policy::Apply).await
    };
    let made = made.await;
    let closed = connection.close().await;
    made?;
    closed.map_err(|error| errors::store_error("open", Phase::Before, error))?;
    new.finish()
}

/// sqlx and the store's tasks would panic without a runtime.
fn check_runtime() -> Result<(), StoreError> {
    let runtime = tokio::runtime::Handle::try_current();
    runtime.map(drop).map_err(|error| {
        let message = "there is no tokio runtime";
        StoreError::new(ErrorKind::Closed, "open", message).with_source(error)
    })
}

impl SqliteStore {
    /// Opens the store at a path, or creates it there, with the default [options](SqliteOptions).
    /// Call this inside the tokio runtime that will run the store.
    ///
    /// # Errors
    /// - `Invalid`: SQLite would not use the path as it is (`file:...`, `:memory:`, not UTF-8).
    ///
    /// - `Unavailable`: the store is open already. It does not exist but must. The file cannot be
    ///   created, read or written.
    ///
    /// - `Corrupt`: the file is empty or is not a database.
    ///
    /// - `Incompatible`: the database belongs to another application. A newer version of this
    ///   library wrote the store. The schema differs and may not be changed. SQLite is too old or
    ///   would damage the store.
    ///
    /// - `Closed`: there is no tokio runtime.
    ///
    /// # Panics
    /// Calls panic if their runtime has no timer
    /// ([`enable_time`](tokio::runtime::Builder::enable_time)).
    pub async fn open(path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteOptions::default().open(path).await
    }

    /// Opens the store in the database of a host's pool, or creates it there beside the host's
    /// tables, with the default [options](SqliteOptions).
    ///
    /// All objects of the store are named `actions_*`. The store touches nothing else and changes
    /// no setting of the connections. It keeps no connection between two calls, so a pool of one is
    /// enough.
    ///
    /// The host's settings determine the [durability](crate::Capabilities::durability). It is
    /// [`Durability::Disk`](crate::Durability::Disk) at `synchronous=FULL` or `EXTRA` with
    /// `journal_mode` `WAL`, `TRUNCATE` or `PERSIST`, and at `EXTRA` with `DELETE`. Otherwise it is
    /// [`Durability::Process`](crate::Durability::Process). At `NORMAL` or `OFF` with a rollback
    /// journal a power cut may damage the whole database, as SQLite's documentation says.
    ///
    /// Other processes may use the same database, by a path ([`SqliteOptions::shared`]) or with a
    /// pool of their own.
    ///
    /// A write waits for a connection of the pool until the call times out. While another
    /// connection writes, it waits for the database as long as the connection's `busy_timeout`. In
    /// both cases it then fails with `Unavailable`. The caller's own open transaction also blocks
    /// it: use [`write_in`](SqliteStore::write_in) there.
    ///
    /// A database in memory is accepted for tests, on a pool that keeps its one connection:
    /// `max_connections(1)`, `idle_timeout(None)` and `max_lifetime(None)`. Its durability is
    /// [`Durability::Volatile`](crate::Durability::Volatile). A connection that is closed after an
    /// error takes the data with it.
    ///
    /// Closing the store leaves the pool open.
    ///
    /// # Errors
    /// As [`open`](SqliteStore::open). Also `Invalid` for a database in memory on another pool, for
    /// a file with `journal_mode` `MEMORY` or `OFF`, and with [`SqliteOptions::with_max_bytes`].
    pub async fn on_pool(pool: SqlitePool) -> Result<SqliteStore, StoreError> {
        SqliteOptions::default().on_pool(pool).await
    }
}

impl SqliteOptions {
    /// Opens the store at a path, or creates it there.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        telemetry::opening("sqlite", at_path(path.as_ref(), self)).await
    }

    /// Opens the store in the database of a host's pool, or creates it there beside the host's
    /// tables.
    ///
    /// # Errors
    /// As [`SqliteStore::on_pool`].
    pub async fn on_pool(self, pool: SqlitePool) -> Result<SqliteStore, StoreError> {
        telemetry::opening("sqlite", on_pool(pool, self)).await
    }
}
