//! The store in one SQLite file.

mod backup;
mod branch;
mod decode;
mod diagnostics;
mod doubt;
mod encode;
mod errors;
mod exclusive;
#[cfg(test)]
mod faults;
mod file;
mod flight;
mod heads;
mod host;
mod hot;
mod identity;
mod inode_lock;
mod lanes;
mod list;
mod load;
mod open;
mod options;
mod owners;
#[cfg(test)]
mod plans;
mod poll;
mod reader;
mod rows;
mod save;
mod schema;
mod script;
mod source;
mod statement;
mod sync;
mod version;
mod writer;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use self::diagnostics::{SqliteAccess, SqliteDiagnostics};
use self::hot::Hot;
use self::identity::OpenFile;
pub use self::identity::SqliteFile;
use self::lanes::{Claim, Job};
pub use self::options::SqliteOptions;
use self::poll::Poll;
use self::reader::Read;
use self::source::Source;
use self::version::Version;
use super::bell::Bell;
use crate::clock::Clock;
use crate::error::{ErrorKind, StoreError};
use crate::model::{
    Action, ActionUid, Batch, Cursor, Done, LogQuery, Needs, Owner, OwnerQuery, Page, Position,
    Query, Refused, Revision, StoreId, Transition, needs,
};
use crate::store::{ActionStore, Capabilities};

/// A store in one SQLite file: durable when acknowledged, readable after a crash.
///
/// One process at a time has it open, unless each says [`shared`](SqliteOptions::shared). A second
/// one is told by a lock on `<path>.lock` and, on Linux, on the file itself, whatever name it has.
/// Elsewhere a hard link or a deleted lock file lets a second one in. Opening it for one process ends
/// every owner that is still alive, since all earlier users of the store are gone. Their actions can
/// then be settled at once. The file and those beside it are created readable by their
/// owner only (mode 0600). It is in WAL mode with `synchronous=FULL`, so that what was acknowledged
/// survives a power cut. Keep it on a local disk: WAL needs memory that all its users share. Copy it
/// with [`backup_to`](SqliteStore::backup_to), or while it is closed. Do not open the file by other
/// means than SQLite in a process that has it open: closing it again takes SQLite's locks away.
///
/// # Files that go, copies, forks
///
/// On Unix a store notices when its file is removed, replaced or moved: it looks at device and inode
/// before and after each commit and at each read. (What is looked up from memory is answered until
/// something else has noticed.) A write that was committed to the lost file is `OutcomeUnknown`.
/// From then on every call is `Unavailable`, and [`diagnostics`](SqliteStore::diagnostics) says
/// which it was. Close the store and open it again. The log is folded into the file that it
/// belongs to, wherever that is now. Where that fails it is kept as `<path>-wal.lost`. What was put
/// at the path is not touched. A file that is overwritten in place (`cp` over it) is not noticed.
///
/// A copy is another [branch](crate::BranchId) of the store. One made by hand while the store was
/// closed is known, on Unix, by its inode and time of creation. A snapshot of the whole disk, and
/// an older copy that is written over the file in place, keep both, and are not known.
///
/// In a forked process every call is `Closed`: it has none of the threads that drive the store.
///
/// It can also live in the host's own database, [on its pool](SqliteStore::on_pool), and take part in
/// the host's [transactions](SqliteStore::write_in).
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
    access: SqliteAccess,
    file: Arc<OpenFile>,
    version: Version,
    source: Source,
    clock: Clock,
    capabilities: Capabilities,
    timeout: Duration,
    bell: Arc<Bell>,
    /// Actions that are looked up without asking the database; none unless access is exclusive.
    hot: Arc<Hot>,
    owners: mpsc::UnboundedSender<Job>,
    actions: mpsc::UnboundedSender<Job>,
    /// Memory for the batches that wait in a lane, in units of [`ROOM_UNIT`] bytes.
    owners_room: Arc<Semaphore>,
    actions_room: Arc<Semaphore>,
    /// How many of those there are.
    room: usize,
    questions: mpsc::Sender<Read>,
    /// Looks for others' commits, unless there are no others.
    poll: Option<Poll>,
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
    /// UTF-8), `Unavailable` if the store is open already, if it is not there but must be, or if
    /// the file cannot be created, read or written, `Corrupt` for an empty file and for one that
    /// is no database, `Incompatible` for a database of somebody else's, for a store of a newer
    /// version of this library, for a schema that is not as it should be and may not be changed,
    /// and for a SQLite that is too old or would damage the store, `Closed` outside a tokio
    /// runtime.
    ///
    /// # Panics
    /// Calls panic if the runtime they are made in has no timer
    /// ([`enable_time`](tokio::runtime::Builder::enable_time)).
    pub async fn open(path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteOptions::default().open(path).await
    }

    /// Opens the store in the database of a host's pool, or makes one there beside the host's own
    /// tables, with the default [options](SqliteOptions).
    ///
    /// Everything of ours is named `actions_*`; nothing else is touched, no setting of the
    /// connections is changed, and none is kept between two calls, so that a pool of one is enough.
    /// How durable the store is follows from the host's settings ([`Capabilities::durability`]). It
    /// is [`Durability::Disk`](crate::Durability::Disk) at `synchronous=FULL` or `EXTRA` with
    /// `journal_mode` `WAL`, `TRUNCATE` or `PERSIST`, and at `EXTRA` with `DELETE`. Otherwise it is
    /// [`Durability::Process`](crate::Durability::Process). Other processes may use the same database, by
    /// a path ([`SqliteOptions::shared`]) or a pool of their own.
    ///
    /// A write waits while somebody else writes: for a connection of the pool until its time is up,
    /// then for the database as long as the connection's `busy_timeout` says. Both end as
    /// `Unavailable`, also when it is the caller's own open transaction that is in the way: use
    /// [`write_in`](SqliteStore::write_in) there.
    ///
    /// Closing the store leaves the pool open.
    ///
    /// # Errors
    /// As [`open`](SqliteStore::open), and `Invalid` for a database in memory, for
    /// `journal_mode` `MEMORY` or `OFF`, and with [`SqliteOptions::with_max_bytes`].
    pub async fn on_pool(pool: SqlitePool) -> Result<SqliteStore, StoreError> {
        SqliteOptions::default().on_pool(pool).await
    }

    /// The SQL that makes the schema, one text for each version, for a host whose own tool applies
    /// it: each once, in order, each in a transaction. Open with
    /// [`SqliteOptions::verify_schema`] then. A released text never changes.
    #[must_use]
    pub fn schema() -> &'static [&'static str] {
        schema::STEPS
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
        self.check_usable(operation)?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let gone = || StoreError::closed(operation);
            let question = question(reply);
            self.questions.send(question).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        match deadline(self.timeout, asked).await {
            Some(answer) => {
                if let Err(lost) = self.file.check_known() {
                    let lost = lost.into_error("changed", errors::Phase::Before);
                    self.bell.break_off(lost);
                }
                answer
            }
            None => Err(StoreError::new(
                ErrorKind::Unavailable,
                operation,
                "the time for an answer is up",
            )),
        }
    }

    /// Refuses a call to a store that is closed, lost its file, or belongs to the parent process.
    fn check_usable(&self, operation: &'static str) -> Result<(), StoreError> {
        self.file.check_process(operation)?;
        self.bell.check_open(operation)?;
        let known = self.file.check_known();
        known.map_err(|lost| lost.into_error(operation, errors::Phase::Before))
    }

    /// The memory that waiting batches take.
    fn queued_bytes(&self) -> usize {
        let lanes = [&self.owners_room, &self.actions_room];
        let taken = lanes.map(|room| self.room.saturating_sub(room.available_permits()));
        taken.iter().sum::<usize>() * ROOM_UNIT
    }

    /// Whether a batch can be tried at all, what it needs, and how many bytes it has.
    fn check(&self, operation: &'static str, batch: &Batch) -> Result<(Needs, usize), StoreError> {
        self.check_usable(operation)?;
        if self.access == SqliteAccess::ReadOnly {
            let message = "the store is open for reading only";
            return Err(StoreError::new(ErrorKind::Unsupported, operation, message));
        }
        let bytes = self.capabilities.check(batch)?;
        let needs = needs(batch).map_err(|e| StoreError::from_check(operation, e))?;
        Ok((needs, bytes))
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
        self.capabilities
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Refused>>, StoreError> {
        let (needs, bytes) = self.check("write", &batch)?;
        let about_owners = lanes::about_owners(&batch);
        let (lane, room) = match about_owners {
            true => (&self.owners, &self.owners_room),
            false => (&self.actions, &self.actions_room),
        };
        let units = u32::try_from(bytes.div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX);
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
                about_owners,
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
            Some(Err(closed)) if claim.withdraw() || !claim.is_sent() => Err(closed),
            None if claim.withdraw() => Err(StoreError::new(
                ErrorKind::Unavailable,
                "write",
                "the time for it is up before it was begun",
            )),
            Some(Err(_)) => Err(StoreError::new(
                ErrorKind::OutcomeUnknown,
                "write",
                "the commit was sent, and the store's runtime ended before it was answered",
            )),
            None => Err(StoreError::new(
                ErrorKind::OutcomeUnknown,
                "write",
                "it was begun, but the time for an answer is up",
            )),
        }
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.capabilities.check_count("get", uids.len())?;
        self.check_usable("get")?;
        if let Some(found) = self.hot.get(uids) {
            // Whoever asks again and again must let the writer have its turn, were it on this thread.
            tokio::task::consume_budget().await;
            return Ok(found);
        }
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

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        query
            .check()
            .map_err(|e| StoreError::from_check("owners", e))?;
        self.check_life("owners", query.after)?;
        self.ask("owners", |reply| Read::Owners(query.clone(), reply))
            .await
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.check_usable("changed")?;
        let Some(poll) = &self.poll else {
            return self.bell.changed(after).await;
        };
        // What others have committed since somebody last looked.
        if after.is_none_or(|after| self.bell.is_behind(after)) {
            self.ask("changed", Read::Position).await?;
        }
        let _waiting = after.map(|_| poll.wait());
        self.bell.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.file.check_process("close")?;
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
