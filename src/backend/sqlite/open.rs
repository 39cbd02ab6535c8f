//! Opening: the file or the pool, the schema, the tasks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, Semaphore, mpsc, watch};

use super::diagnostics::SqliteAccess;
use super::errors::{self, Phase, corrupt};
use super::file::{self, Hold, Lock, NewFile};
use super::options::SqliteOptions;
use super::poll::Poll;
use super::reader::{self, Reader};
use super::schema::{self, BUSY, Policy, single};
use super::script::Script;
use super::source::{Connection, Line, Source};
use super::version::{self, Version};
use super::writer::{Lanes, Ringer, Writer};
use super::{PAGE_SIZE, QUESTIONS, ROOM_UNIT, SqliteStore};
use crate::backend::bell::Bell;
use crate::error::{ErrorKind, StoreError};
use crate::model::{Position, StoreId};
use crate::store::{Capabilities, Durability};

/// A database that is ready to be worked on.
struct Ready {
    access: SqliteAccess,
    source: Source,
    path: PathBuf,
    lock: Option<Lock>,
    position: Position,
    version: Version,
    durability: Durability,
    /// The connection that made it ready.
    connection: Connection,
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
        schema::inspect(&path, Policy::Read).await?;
        (SqliteAccess::ReadOnly, None)
    } else if options.shared {
        (SqliteAccess::Shared, Some(join(&path, &options).await?))
    } else {
        let Some(lock) = Lock::try_take(&path, Hold::Exclusive)? else {
            return Err(already_open());
        };
        match file::is_there(&path)? {
            true => schema::inspect(&path, options.policy()).await?,
            false => make(&path, &options).await?,
        }
        (SqliteAccess::Exclusive, Some(lock))
    };
    let source = Source::File {
        path: path.clone(),
        read_only: options.read_only,
        // SQLite takes a limit of 0 for none.
        max_pages: options.max_bytes.map(|bytes| (bytes / PAGE_SIZE).max(1)),
    };
    let mut connection = source.connect().await?;
    let several = access == SqliteAccess::Shared;
    let version = version::check(&mut connection, several, options.allow_wal_reset_bug).await?;
    let (mode, synchronous) = modes(&mut connection).await?;
    // The mode asked for is not always the mode one gets.
    if !options.read_only && (mode != "wal" || synchronous < 2) {
        return Err(unavailable(format!(
            "the database is in mode {mode}/{synchronous}, not wal/2"
        )));
    }
    let life = schema::apply(&mut connection, options.policy()).await?;
    let position = position(&mut connection, life).await?;
    let durability = match access {
        // What the others' commits survive is not known to one who only looks.
        SqliteAccess::ReadOnly => Durability::Process,
        _ => Durability::Disk,
    };
    let ready = Ready {
        access,
        source,
        path,
        lock,
        position,
        version,
        durability,
        connection,
    };
    start(ready, options).await
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
    let mut connection = source.connect().await?;
    let version = version::check(&mut connection, true, options.allow_wal_reset_bug).await?;
    let file = "SELECT coalesce((SELECT file FROM pragma_database_list WHERE name = 'main'), '')";
    let file: String = single(&mut connection, file).await?;
    if file.is_empty() {
        return invalid("pool: its database is no file; a store in memory is MemoryStore");
    }
    let path = PathBuf::from(file);
    let policy = options.policy();
    let lock = match options.read_only {
        true => None,
        false => {
            let begun = Instant::now();
            Some(loop {
                if let Some(lock) = Lock::try_take(&path, Hold::Shared)? {
                    break lock;
                }
                pause(begun).await?;
            })
        }
    };
    // Whatever the host's patience is: others that open it now may take a moment.
    let begun = Instant::now();
    let (synchronous, position) = loop {
        match settle(&mut connection, policy).await {
            Err(error) if errors::is_busy(&error) && begun.elapsed() < BUSY => pause(begun).await?,
            settled => break settled?,
        }
    };
    let access = match options.read_only {
        true => SqliteAccess::ReadOnly,
        false => SqliteAccess::HostPool,
    };
    let durability = match synchronous {
        2.. => Durability::Disk,
        _ => Durability::Process,
    };
    let ready = Ready {
        access,
        source,
        path,
        lock,
        position,
        version,
        durability,
        connection,
    };
    start(ready, options).await
}

/// Makes the store ready in a host's database. Says what `synchronous` is there, and where the
/// store stands.
async fn settle(
    connection: &mut SqliteConnection,
    policy: Policy,
) -> Result<(i64, Position), StoreError> {
    let (mode, synchronous) = modes(connection).await?;
    if mode == "memory" || mode == "off" {
        let message = "pool: with journal_mode memory or off a crash would damage the store";
        return Err(StoreError::new(ErrorKind::Invalid, "open", message));
    }
    let life = schema::apply(connection, policy).await?;
    Ok((synchronous, position(connection, life).await?))
}

/// Takes a share in a file that several processes open, and makes it if nobody has.
async fn join(path: &Path, options: &SqliteOptions) -> Result<Lock, StoreError> {
    let begun = Instant::now();
    loop {
        if let Some(lock) = Lock::try_take(path, Hold::Shared)?
            && file::is_there(path)?
        {
            schema::inspect(path, options.policy()).await?;
            return Ok(lock);
        }
        // Whoever makes it is alone. If it dies half-way, what it leaves is at no place where
        // anybody looks, and the next one makes it.
        if !file::is_there(path)?
            && let Some(_alone) = Lock::try_take(path, Hold::Exclusive)?
            && !file::is_there(path)?
        {
            make(path, options).await?;
            continue;
        }
        pause(begun).await?;
    }
}

/// Makes a new store at a place of which this process holds the lock.
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

/// Waits a moment for others who are opening the same store; not for ever.
async fn pause(begun: Instant) -> Result<(), StoreError> {
    if begun.elapsed() >= BUSY {
        return Err(already_open());
    }
    // Spread by who we are, so that those who wait do not meet again and again.
    let spread = u64::from(std::process::id() % 7) + u64::from(begun.elapsed().subsec_micros() % 5);
    tokio::time::sleep(Duration::from_millis(2 + spread)).await;
    Ok(())
}

fn already_open() -> StoreError {
    unavailable("the store is open already, here or in another process")
}

fn unavailable(message: impl Into<std::borrow::Cow<'static, str>>) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "open", message)
}

/// sqlx and the store's tasks would panic without one.
fn check_runtime() -> Result<(), StoreError> {
    let runtime = tokio::runtime::Handle::try_current();
    runtime.map(drop).map_err(|error| {
        let message = "there is no tokio runtime";
        StoreError::new(ErrorKind::Closed, "open", message).with_source(error)
    })
}

/// The journal mode and `synchronous`, as they are.
pub(super) async fn modes(connection: &mut SqliteConnection) -> Result<(String, i64), StoreError> {
    let mode: String = single(connection, "PRAGMA journal_mode").await?;
    let synchronous: i64 = single(connection, "PRAGMA synchronous").await?;
    Ok((mode.to_lowercase(), synchronous))
}

async fn position(
    connection: &mut SqliteConnection,
    life: StoreId,
) -> Result<Position, StoreError> {
    let mut script = Script::new();
    script.push(reader::POSITION);
    let rows = script.run(connection).await;
    let rows = rows.map_err(|f| errors::store_error("open", Phase::Before, f.error))?;
    reader::read_position("open", life, rows.first().map_or(&[], Vec::as_slice))
}

/// Starts the tasks.
async fn start(ready: Ready, options: SqliteOptions) -> Result<SqliteStore, StoreError> {
    let Ready {
        access,
        source,
        path,
        lock,
        position,
        version,
        durability,
        connection,
    } = ready;
    let life = position.life;
    let bell = Arc::new(Bell::new(position));
    let mut first = Line::new(source.clone());
    first.hand_back(connection);
    let mut first = Some(first);
    let writers_line = match access {
        SqliteAccess::Shared => {
            let mut line = Line::impatient(source.clone());
            line.ready().await?;
            line
        }
        _ => first.take().unwrap_or_else(|| Line::new(source.clone())),
    };

    let lock = Arc::new(lock);
    let (owners, owners_lane) = mpsc::unbounded_channel();
    let (actions, actions_lane) = mpsc::unbounded_channel();
    let (questions, asked) = mpsc::channel(QUESTIONS);
    let asked = Arc::new(Mutex::new(asked));
    let closing = watch::Sender::new(false);
    let mut readers = Vec::with_capacity(options.readers);
    for _ in 0..options.readers {
        let mut line = first.take().unwrap_or_else(|| Line::new(source.clone()));
        if !matches!(source, Source::Pool(_)) {
            // What cannot be opened is said now, not at the first question.
            line.ready().await?;
        }
        let reader = Reader {
            life,
            line,
            questions: asked.clone(),
            put_off: None,
            closing: closing.subscribe(),
            bell: bell.clone(),
            lock: lock.clone(),
        };
        readers.push(tokio::spawn(reader.run()));
    }
    let writer = Writer {
        access,
        path: path.clone(),
        clock: options.clock.clone(),
        bell: Ringer(bell.clone()),
        line: writers_line,
        life,
        heads: None,
        readers,
        lock,
        met: None,
    };
    let lanes = Lanes::new(owners_lane, actions_lane, closing.subscribe());
    let writer = tokio::spawn(writer.run(lanes));
    let poll = (access != SqliteAccess::Exclusive).then(|| {
        let poll = Poll::new(options.poll_interval);
        tokio::spawn(
            poll.clone()
                .run(questions.clone(), bell.clone(), closing.subscribe()),
        );
        poll
    });
    let room = options.queue_bytes / ROOM_UNIT;
    let mut capabilities = Capabilities::new(durability);
    capabilities.shared = access != SqliteAccess::Exclusive;
    Ok(SqliteStore {
        path,
        life,
        access,
        version,
        source,
        clock: options.clock,
        capabilities,
        timeout: options.timeout,
        bell,
        owners,
        actions,
        owners_room: Arc::new(Semaphore::new(room)),
        actions_room: Arc::new(Semaphore::new(room)),
        room,
        questions,
        poll,
        closing,
        writer: Mutex::new(Some(writer)),
    })
}
