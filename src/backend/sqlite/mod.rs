//! The store in one SQLite file.

mod decode;
mod encode;
mod errors;
mod heads;
mod list;
mod load;
#[cfg(test)]
mod plans;
mod reader;
mod rows;
mod save;
mod schema;
mod script;
mod writer;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::reader::{Read, Reader};
use self::writer::{Claim, Job, Lanes, Ringer, Writer};
use super::bell::Bell;
use crate::clock::Clock;
use crate::error::{ErrorKind, StoreError};
use crate::model::{
    Action, ActionUid, Batch, Command, Cursor, Done, LogQuery, Owner, Page, Position, Query,
    Refused, Revision, StoreId, Transition, needs,
};
use crate::store::{ActionStore, Capabilities, Durability};

/// How a [`SqliteStore`] is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    readers: usize,
    queue_bytes: usize,
    timeout: Duration,
    max_bytes: Option<u64>,
    clock: Clock,
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions {
            readers: 2,
            queue_bytes: 64 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            max_bytes: None,
            clock: Clock::system(),
        }
    }
}

impl SqliteOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> SqliteOptions {
        SqliteOptions::default()
    }

    /// How many connections read; at least 1, 2 unless set. Each has a thread of its own.
    #[must_use]
    pub fn with_readers(mut self, readers: usize) -> SqliteOptions {
        self.readers = readers.clamp(1, 64);
        self
    }

    /// How many bytes of batches may wait to be written; at least 8 MiB (one largest batch), 64
    /// MiB unless set. A write that finds no room waits for it until its time is up.
    #[must_use]
    pub fn with_queue_bytes(mut self, bytes: usize) -> SqliteOptions {
        self.queue_bytes = bytes.clamp(8 * 1024 * 1024, 4 * 1024 * 1024 * 1024);
        self
    }

    /// How long a call may take; 30 seconds unless set. A write that was not begun by then is
    /// withdrawn and `Unavailable`; one that was is `OutcomeUnknown`.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> SqliteOptions {
        self.timeout = timeout;
        self
    }

    /// How large the file may grow, in bytes, rounded down to whole pages of 4 KiB; no limit unless
    /// set. A write that would need more is `Unavailable`; reads and removals go on.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> SqliteOptions {
        self.max_bytes = Some(bytes);
        self
    }

    /// The clock that stamps; the system's unless set.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> SqliteOptions {
        self.clock = clock;
        self
    }

    /// Opens the store at a path, or makes a new one there.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_with(path.as_ref(), self).await
    }
}

/// A store in one SQLite file: durable when acknowledged, readable after a crash.
///
/// One process at a time has it open; a lock on `<path>.lock` tells a second one. The file and
/// those beside it are created readable by their owner only (mode 0600). It is in WAL mode with
/// `synchronous=FULL`, so that what was acknowledged survives a power cut. Keep it on a local disk:
/// WAL needs memory that all its users share. Copy it only while it is closed.
///
/// All writes go through one task, which takes whatever waits and writes it as one transaction:
/// many callers share one flush of the disk. It and the reading tasks run on the tokio runtime
/// that opened the store, and end with it: then every call is `Closed`.
///
/// # Examples
///
/// ```
/// # async fn example(dir: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
/// use action_store::{ActionStore, ActionStoreExt, NewAction, SqliteStore};
///
/// let store = SqliteStore::open(dir.join("actions.db")).await?;
/// let action = store.create(NewAction::task("backup_bdb")).await?;
/// assert_eq!(store.action(action.uid).await?, Some(action));
/// store.close().await?;
/// # Ok(())
/// # }
/// # let dir = tempfile::tempdir().unwrap();
/// # tokio::runtime::Runtime::new().unwrap().block_on(example(dir.path())).unwrap();
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    life: StoreId,
    timeout: Duration,
    bell: Arc<Bell>,
    owners: mpsc::UnboundedSender<Job>,
    actions: mpsc::UnboundedSender<Job>,
    /// Memory for the batches that wait in a lane, in units of [`ROOM_UNIT`] bytes.
    owners_room: Arc<Semaphore>,
    actions_room: Arc<Semaphore>,
    questions: mpsc::Sender<Read>,
    /// True once the tasks are to finish what waits and end.
    closing: watch::Sender<bool>,
    /// The task that writes, as long as nobody has seen it end; it is the last one to.
    writer: Mutex<Option<JoinHandle<bool>>>,
}

/// What the queue's room is counted in.
const ROOM_UNIT: usize = 512;

/// SQLite's default, which no file of ours departs from.
const PAGE_SIZE: u64 = 4096;

/// Questions that may wait for a reader.
const QUESTIONS: usize = 1024;

impl SqliteStore {
    /// Opens the store at a path, or makes a new one there, with the default
    /// [options](SqliteOptions). Call it inside the tokio runtime that is to drive the store.
    ///
    /// # Errors
    /// `Invalid` for a path that SQLite would not take as it is (`file:...`, `:memory:`, not
    /// UTF-8), `Unavailable` if the store is open already or the file cannot be created, read or
    /// written, `Corrupt` for an empty file and for one that is no database, `Incompatible` for a
    /// database of somebody else's and for a store of a newer version of this library, `Closed`
    /// outside a tokio runtime.
    ///
    /// # Panics
    /// Calls panic if the runtime they are made in has no timer
    /// ([`enable_time`](tokio::runtime::Builder::enable_time)).
    pub async fn open(path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_with(path.as_ref(), SqliteOptions::default()).await
    }

    async fn open_with(path: &Path, options: SqliteOptions) -> Result<SqliteStore, StoreError> {
        // sqlx and the tasks below would panic without one.
        tokio::runtime::Handle::try_current().map_err(|error| {
            let message = "there is no tokio runtime";
            StoreError::new(ErrorKind::Closed, "open", message).with_source(error)
        })?;
        let path = &schema::resolve(path)?;
        let lock = Arc::new(schema::lock(path)?);
        let life = schema::prepare(path, &options.clock).await?;
        // SQLite takes a limit of 0 for none.
        let max_pages = options.max_bytes.map(|bytes| (bytes / PAGE_SIZE).max(1));
        let mut connection = schema::connect_writer(path, max_pages).await?;
        let position = position(&mut connection, life).await?;
        let bell = Arc::new(Bell::new(position));

        let (owners, owners_lane) = mpsc::unbounded_channel();
        let (actions, actions_lane) = mpsc::unbounded_channel();
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let asked = Arc::new(Mutex::new(asked));
        let closing = watch::Sender::new(false);
        let mut readers = Vec::with_capacity(options.readers);
        for _ in 0..options.readers {
            let reader = Reader {
                path: path.to_owned(),
                life,
                connection: Some(schema::connect(path).await?),
                questions: asked.clone(),
                put_off: None,
                closing: closing.subscribe(),
                bell: bell.clone(),
                lock: lock.clone(),
            };
            readers.push(tokio::spawn(reader.run()));
        }
        let writer = Writer {
            path: path.to_owned(),
            clock: options.clock,
            bell: Ringer(bell.clone()),
            max_pages,
            connection: Some(connection),
            life,
            heads: None,
            readers,
            lock,
        };
        let lanes = Lanes {
            owners: owners_lane,
            actions: actions_lane,
            closing: closing.subscribe(),
        };
        let writer = tokio::spawn(writer.run(lanes));
        Ok(SqliteStore {
            path: path.to_owned(),
            life,
            timeout: options.timeout,
            bell,
            owners,
            actions,
            owners_room: Arc::new(Semaphore::new(options.queue_bytes / ROOM_UNIT)),
            actions_room: Arc::new(Semaphore::new(options.queue_bytes / ROOM_UNIT)),
            closing,
            questions,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Where the file is, links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks the readers and waits for the answer.
    async fn ask<T>(
        &self,
        operation: &'static str,
        question: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Read,
    ) -> Result<T, StoreError> {
        self.bell.check_open(operation)?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let gone = || StoreError::closed(operation);
            let question = question(reply);
            self.questions.send(question).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        match deadline(self.timeout, asked).await {
            Some(answer) => answer,
            None => Err(StoreError::new(
                ErrorKind::Unavailable,
                operation,
                "the time for an answer is up",
            )),
        }
    }

    /// The position a cursor stands for must be one of this store.
    fn check_life(&self, operation: &'static str, after: Option<Cursor>) -> Result<(), StoreError> {
        match after {
            Some(cursor) if cursor.life() != self.life => Err(StoreError::new(
                ErrorKind::Invalid,
                operation,
                "after: is a cursor of another store",
            )),
            _ => Ok(()),
        }
    }
}

async fn position(
    connection: &mut sqlx::sqlite::SqliteConnection,
    life: StoreId,
) -> Result<Position, StoreError> {
    let mut script = script::Script::new();
    script.push(reader::POSITION);
    let rows = script.run(connection).await;
    let rows = rows.map_err(|f| errors::store_error("open", errors::Phase::Before, f.error))?;
    reader::read_position("open", life, rows.first().map_or(&[], Vec::as_slice))
}

/// Waits for a future, but no longer than the time given; `None` when that is up.
///
/// By the monotonic clock of the system, whatever tokio's says: a host that pauses tokio's clock in
/// its tests would otherwise find every call timed out, since tokio cannot see that SQLite's thread
/// is at work.
async fn deadline<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let begun = Instant::now();
    let mut future = pin!(future);
    loop {
        let left = time
            .checked_sub(begun.elapsed())
            .filter(|left| !left.is_zero())?;
        // Never `timeout`: it would look at tokio's clock alone.
        tokio::select! {
            biased;
            output = &mut future => return Some(output),
            () = tokio::time::sleep(left) => {}
        }
    }
}

#[async_trait]
impl ActionStore for SqliteStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Disk)
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Refused>>, StoreError> {
        self.bell.check_open("write")?;
        self.capabilities().check(&batch)?;
        let needs = needs(&batch).map_err(|e| StoreError::from_check("write", e))?;
        let about_owners = |command: &Command| {
            matches!(
                command,
                Command::Claim { .. }
                    | Command::Renew(_)
                    | Command::Release(_)
                    | Command::Fence { .. }
            )
        };
        let (lane, room) = match batch.commands.iter().all(about_owners) {
            true => (&self.owners, &self.owners_room),
            false => (&self.actions, &self.actions_room),
        };
        let units = u32::try_from(batch.bytes().div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX);
        let claim = Arc::new(Claim::default());
        let (reply, answer) = oneshot::channel();
        let written = async {
            let closed = || StoreError::closed("write");
            let room = room
                .clone()
                .acquire_many_owned(units)
                .await
                .map_err(|_| closed())?;
            let claim = claim.clone();
            let job = Job {
                batch,
                needs,
                claim,
                reply,
                room,
            };
            lane.send(job).map_err(|_| closed())?;
            answer.await.map_err(|_| closed())
        };
        match deadline(self.timeout, written).await {
            Some(Ok(answer)) => answer,
            // The writer is gone: with the runtime, or because the store was closed.
            Some(Err(closed)) if claim.withdraw() => Err(closed),
            None if claim.withdraw() => Err(StoreError::new(
                ErrorKind::Unavailable,
                "write",
                "the time for it is up before it was begun",
            )),
            _ => Err(StoreError::new(
                ErrorKind::OutcomeUnknown,
                "write",
                "it was begun, but the time for an answer is up",
            )),
        }
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.capabilities().check_count("get", uids.len())?;
        self.ask("get", |reply| Read::Get(uids.to_vec(), reply))
            .await
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        query
            .check()
            .map_err(|e| StoreError::from_check("list", e))?;
        self.check_life("list", query.after)?;
        self.ask("list", |reply| Read::List(query.clone(), reply))
            .await
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<Transition>, StoreError> {
        query
            .check()
            .map_err(|e| StoreError::from_check("log", e))?;
        self.check_life("log", query.after)?;
        self.ask("log", |reply| Read::Log(query.clone(), reply))
            .await
    }

    async fn owners(&self) -> Result<Vec<Owner>, StoreError> {
        self.ask("owners", Read::Owners).await
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.bell.check_open("changed")?;
        self.bell.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.bell.close();
        self.closing.send_replace(true);
        let mut writer = self.writer.lock().await;
        let Some(task) = writer.as_mut() else {
            return Ok(());
        };
        let ended = task.await;
        // Forgotten only now: a close that is given up before leaves it to the next.
        *writer = None;
        if let Ok(true) = ended {
            return Ok(());
        }
        let message = "a task of the store had ended before";
        Err(StoreError::new(ErrorKind::Unavailable, "close", message))
    }
}
