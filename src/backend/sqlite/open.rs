//! Opens a store: the file or the pool, the schema, the tasks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::access::SqliteAccess;
use super::branch;
use super::durability::{durability, modes};
use super::engine::{COME_BACK, SqliteEngine};
use super::errors;
use super::exclusive;
use super::file::{self, Lock, NewFile};
use super::identity::OpenFile;
use super::lock_mode::LockMode;
use super::options::SqliteOptions;
use super::position;
use super::read_engine::SqliteReader;
use super::schema::{self, BUSY, Policy, single};
use super::script::{Script, roll_back};
use super::source::{Connection, ConnectionSlot, Source};
use super::store::SqliteStore;
use super::sync::make_durable;
use super::version;
use super::write_slot::WriteSlot;
use crate::backend::position_watch::PositionWatch;
use crate::backend::sql::{Lineage, Phase, Settings, SqlStore, corrupt};
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::Position;
use crate::store::{Capabilities, Durability};

/// SQLite's default page size, which every file of this store uses.
const PAGE_SIZE: u64 = 4096;

/// Maximum time for retrying a new connection that turns out to be read-only.
const READ_ONLY_PATIENCE: Duration = Duration::from_millis(100);

/// Repeats a step of opening while another connection has the database locked. Does not depend on
/// the connection's `busy_timeout`: other openers, or a rollback after a crash, may take a moment.
macro_rules! patiently {
    ($step:expr) => {{
        let begun = Instant::now();
        loop {
            match $step {
                Err(error) if errors::is_busy(&error) && begun.elapsed() < BUSY => {
                    pause(begun).await?;
                }
                done => break done,
            }
        }
    }};
}

/// The database of a store, and how the store may use it.
struct Place {
    access: SqliteAccess,
    source: Source,
    path: PathBuf,
    lock: Option<Lock>,
}

/// Opens the store at a path.
pub(super) async fn at_path(
    path: &Path,
    options: SqliteOptions,
) -> Result<SqliteStore, StoreError> {
    check_runtime()?;
    let path = file::resolve(path)?;
    let may_create = !options.must_exist && options.policy() == Policy::Apply;
    if !may_create && !file::is_there(&path)? {
        return Err(unavailable("there is no store at this path"));
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
    let source = Source::Pool(pool);
    let mut connection = patiently!(source.connect().await)?;
    let file = "SELECT coalesce((SELECT file FROM pragma_database_list WHERE name = 'main'), '')";
    let file: String = patiently!(single(&mut connection, file).await)?;
    if file.is_empty() {
        return invalid("pool: the database is not a file; for a store in memory use MemoryStore");
    }
    let path = PathBuf::from(file);
    let (access, lock) = match options.read_only {
        true => (SqliteAccess::ReadOnly, None),
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

/// Waits a moment for other processes that are opening the same store, up to a limit.
async fn pause(begun: Instant) -> Result<(), StoreError> {
    if begun.elapsed() >= BUSY {
        return Err(already_open());
    }
    // The process id spreads the waits, so that waiting processes do not collide again and again.
    let spread = u64::from(std::process::id() % 7) + u64::from(begun.elapsed().subsec_micros() % 5);
    tokio::time::sleep(Duration::from_millis(2 + spread)).await;
    Ok(())
}

fn already_open() -> StoreError {
    unavailable("the store is open already, here or in another process, perhaps under another name")
}

fn unavailable(message: impl Into<std::borrow::Cow<'static, str>>) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "open", message)
}

/// sqlx and the store's tasks would panic without a runtime.
fn check_runtime() -> Result<(), StoreError> {
    let runtime = tokio::runtime::Handle::try_current();
    runtime.map(drop).map_err(|error| {
        let message = "there is no tokio runtime";
        StoreError::new(ErrorKind::Closed, "open", message).with_source(error)
    })
}

/// Prepares the database, and returns the position of the store in it.
async fn settle(
    connection: &mut SqliteConnection,
    access: SqliteAccess,
    path: &Path,
    file: &OpenFile,
    policy: Policy,
    clock: &Clock,
) -> Result<(Durability, Lineage, Position), StoreError> {
    let (mode, synchronous) = modes(connection).await?;
    let durability = durability(access, &mode, synchronous)?;
    let store_id = schema::apply(connection, policy).await?;
    if access == SqliteAccess::Exclusive {
        exclusive::disconnect_owners(connection, file, clock).await?;
    }
    let may_write = policy != Policy::Read;
    let branches = branch::settle(connection, path, may_write).await?;
    let lineage = Lineage { store_id, branches };
    let mut script = Script::new();
    script.push(position::POSITION);
    let rows = script.run(connection).await;
    let rows = rows.map_err(|f| errors::store_error("open", Phase::Before, f.error))?;
    let rows = rows.first().map_or(&[][..], Vec::as_slice);
    let position = position::read_position("open", &lineage, rows)?;
    Ok((durability, lineage, position))
}

/// Prepares the database for writing. Checks that the connection can write and that the stored data
/// is on the disk. Returns the connection that can write.
///
/// If one `open(2)` for writing fails, SQLite opens the file read-only and reports it at the first
/// write. Such a connection is replaced.
async fn ready_to_write(
    source: &Source,
    path: &Path,
    mut connection: Connection,
) -> Result<Connection, StoreError> {
    let begun = Instant::now();
    loop {
        let Err(error) = make_durable(&mut connection, path).await else {
            return Ok(connection);
        };
        let error = errors::store_error("open", Phase::Before, error);
        if !roll_back(&mut connection).await {
            return Err(error);
        }
        if errors::is_read_only(&error) {
            drop(connection.close().await);
            if begun.elapsed() >= READ_ONLY_PATIENCE {
                return Err(error);
            }
            pause(begun).await?;
            connection = source.connect().await?;
        } else if errors::is_busy(&error) && begun.elapsed() < BUSY {
            // Soon, as the writer does: another process may go from one transaction to the next.
            tokio::time::sleep(COME_BACK).await;
        } else {
            return Err(error);
        }
    }
}

/// Prepares the database and starts the tasks.
async fn start(
    place: Place,
    mut connection: Connection,
    options: SqliteOptions,
) -> Result<SqliteStore, StoreError> {
    let Place {
        access,
        source,
        path,
        lock,
    } = place;
    // Before the connection is used: it must be to this file and no other.
    let file = Arc::new(OpenFile::at(&path)?);
    let several = access == SqliteAccess::Shared || matches!(source, Source::Pool(_));
    let version = version::check(&mut connection, several, options.allow_wal_reset_bug).await?;
    let (durability, lineage, position) = patiently!(
        settle(
            &mut connection,
            access,
            &path,
            &file,
            options.policy(),
            &options.clock,
        )
        .await
    )?;
    let writers = match access {
        SqliteAccess::Shared => source.for_impatient(),
        _ => source.clone(),
    };
    writers.tune(&mut connection).await?;
    if access != SqliteAccess::ReadOnly {
        connection = ready_to_write(&writers, &path, connection).await?;
    }
    file.remember_log();
    let lineage = Arc::new(lineage);
    let position_watch = Arc::new(PositionWatch::new(position));
    let mut writers_slot = ConnectionSlot::new(writers, file.clone());
    writers_slot.hand_back(connection);

    // Opens the readers now, so that errors appear here and not at the first read. No task has a
    // share of the lock yet: after an error the store can be opened again at once.
    let mut slots = Vec::with_capacity(options.readers);
    for _ in 0..options.readers {
        let mut slot = ConnectionSlot::new(source.clone(), file.clone());
        let ready = match source {
            Source::Pool(_) => Ok(()),
            Source::File { .. } => slot.ready().await,
        };
        slots.push(slot);
        if let Err(error) = ready {
            slots.push(writers_slot);
            for mut slot in slots {
                slot.close().await;
            }
            return Err(error);
        }
    }

    let lock = Arc::new(lock);
    let in_doubt = Arc::new(AtomicBool::new(false));
    let readers = slots.into_iter().map(|slot| SqliteReader {
        lineage: lineage.clone(),
        slot,
        file: file.clone(),
        lock: lock.clone(),
        in_doubt: in_doubt.clone(),
    });
    let readers = readers.collect();
    let engine = SqliteEngine {
        db: WriteSlot {
            access,
            path: path.clone(),
            slot: writers_slot,
            file: file.clone(),
            position_watch: position_watch.clone(),
            in_doubt,
        },
        clock: options.clock.clone(),
        lock,
        met: None,
        #[cfg(test)]
        faults: options.faults.clone(),
    };
    let mut capabilities = Capabilities::new(durability);
    capabilities.shared = access != SqliteAccess::Exclusive;
    let settings = Settings {
        capabilities,
        timeout: options.timeout,
        queue_bytes: options.queue_bytes,
        poll_interval: (access != SqliteAccess::Exclusive).then_some(options.poll_interval),
        #[cfg(test)]
        always_parts: options.always_parts,
    };
    let sql = SqlStore::start(&settings, lineage, position_watch, engine, readers);
    Ok(SqliteStore {
        path,
        access,
        file,
        version,
        source,
        clock: options.clock,
        sql,
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
    ///
    /// The host's settings determine the [durability](Capabilities::durability). It is
    /// [`Durability::Disk`](crate::Durability::Disk) at `synchronous=FULL` or `EXTRA` with
    /// `journal_mode` `WAL`, `TRUNCATE` or `PERSIST`, and at `EXTRA` with `DELETE`. Otherwise it is
    /// [`Durability::Process`](crate::Durability::Process). At `NORMAL` or `OFF` with a rollback
    /// journal a power cut may damage the whole database, as SQLite's documentation says.
    ///
    ///
    /// Other processes may use the same database, by a path ([`SqliteOptions::shared`]) or with a
    /// pool of their own.
    ///
    /// A write waits for a connection of the pool until the call times out. While another
    /// connection writes, it waits for the database as long as the connection's `busy_timeout`. In
    /// both cases it then fails with `Unavailable`. The caller's own open transaction also blocks
    /// it: use [`write_in`](SqliteStore::write_in) there.
    ///
    /// Closing the store leaves the pool open.
    ///
    /// # Errors
    /// As [`open`](SqliteStore::open). Also `Invalid` for a database in memory, for `journal_mode`
    /// `MEMORY` or `OFF`, and with [`SqliteOptions::with_max_bytes`].
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
        at_path(path.as_ref(), self).await
    }

    /// Opens the store in the database of a host's pool, or creates it there beside the host's
    /// tables.
    ///
    /// # Errors
    /// As [`SqliteStore::on_pool`].
    pub async fn on_pool(self, pool: SqlitePool) -> Result<SqliteStore, StoreError> {
        on_pool(pool, self).await
    }
}
