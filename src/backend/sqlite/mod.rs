//! A store in one SQLite file or in the host's SQLite database.

mod backup;
mod branch;
#[cfg(test)]
mod cached;
mod check;
mod decode;
mod diagnostics;
mod doubt;
mod durability;
mod encode;
mod errors;
mod exclusive;
#[cfg(test)]
mod faults;
mod file;
mod get;
mod host;
mod identity;
mod inode_lock;
mod joined;
mod list;
mod load;
mod log;
mod open;
mod options;
mod owners;
mod pipeline;
#[cfg(test)]
mod pipelined;
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

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use self::check::SqliteCheck;
pub use self::diagnostics::{SqliteAccess, SqliteDiagnostics};
use self::identity::OpenFile;
pub use self::identity::SqliteFile;
pub use self::options::SqliteOptions;
use self::poll::Poll;
use self::reader::Read;
use self::source::Source;
use self::version::Version;
use super::position_watch::PositionWatch;
use super::sql::{Claim, Phase, ROOM_UNIT, ReadCache, WriteRequest, about_owners, deadline};
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{
    Action, ActionUid, Batch, Cursor, Done, LogEntry, LogQuery, Owner, OwnerQuery, Page, Position,
    Query, ReadSet, Rejection, Revision, StoreId, read_set,
};
use crate::store::{ActionStore, Capabilities};

/// A store in one SQLite file. Acknowledged writes are durable and survive a crash.
///
/// By default one process at a time can open the file. Several processes can share it if each one
/// opens it with [`shared`](SqliteOptions::shared). A lock on `<path>.lock` keeps other processes
/// out. On Linux the file itself is locked too, under all of its names. On other platforms a hard
/// link or a deleted lock file lets a second process in.
///
///
/// Opening the store exclusively ends every owner that is still alive, because no earlier user of
/// the store can be left. The actions of these owners can then be settled at once.
///
///
/// The store creates its files with mode 0600: only their owner can read them. The database uses
/// WAL mode with `synchronous=FULL`, so acknowledged writes survive a power cut. Keep it on a local
/// disk: WAL needs memory that all users of the file share.
///
///
/// Copy the store with [`backup_to`](SqliteStore::backup_to), or while it is closed. While a
/// process has the store open, it must open the file through SQLite only. Closing any other
/// descriptor of the file releases SQLite's locks.
///
/// # Removed files, copies, forks
///
/// On Unix a store detects that its file was removed, replaced or moved. It compares device and
/// inode before and after each commit and at each read. A [`get`](crate::ActionStore::get) that is
/// answered from memory does not check this; it keeps working until another call detects the loss.
/// A write that was committed to the lost file is `OutcomeUnknown`. After the loss every call is
/// `Unavailable`, and [`diagnostics`](SqliteStore::diagnostics) gives the cause. Close the store
/// and open it again.
///
///
/// Closing moves the contents of the WAL into the lost file, wherever that file is now. If this
/// fails, the WAL is kept as `<path>-wal.lost`. The file that is now at the path is not changed. A
/// file that is overwritten in place (`cp` over it) is not detected.
///
/// A copy is another [branch](crate::query::BranchId) of the store. On Unix the store detects a copy that
/// was made by hand while the store was closed: its inode and creation time differ. It does not
/// detect a snapshot of the whole disk, or an older copy that is written over the file in place:
/// both keep inode and creation time.
///
/// In a forked process every call is `Closed`: the threads that run the store do not exist there.
///
/// The store can also use the host's own database, [on its pool](SqliteStore::on_pool), and write
/// in the host's [transactions](SqliteStore::write_in).
///
/// One task does all writes. It writes all waiting batches as one transaction, so many callers
/// share one disk sync. This task and the readers run on the tokio runtime that opened the store.
/// They end with that runtime; after that every call is `Closed`.
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
    store_id: StoreId,
    access: SqliteAccess,
    file: Arc<OpenFile>,
    version: Version,
    source: Source,
    clock: Clock,
    capabilities: Capabilities,
    timeout: Duration,
    position_watch: Arc<PositionWatch>,
    /// Cache that answers `get` without the database; empty unless access is exclusive.
    read_cache: Arc<ReadCache>,
    owners: mpsc::UnboundedSender<WriteRequest>,
    actions: mpsc::UnboundedSender<WriteRequest>,
    /// Memory for the batches in each queue, in units of [`ROOM_UNIT`] bytes.
    owners_room: Arc<Semaphore>,
    actions_room: Arc<Semaphore>,
    /// Total number of these units in each queue.
    room: usize,
    questions: mpsc::Sender<Read>,
    /// Polls for commits of other processes; `None` if there are no other writers.
    poll: Option<Poll>,
    /// True once the tasks must finish the waiting work and end.
    closing: watch::Sender<bool>,
    /// The writer task, which is the last task to end. `None` once `close` has seen it end.
    writer: Mutex<Option<JoinHandle<bool>>>,
}

/// SQLite's default page size, which every file of this store uses.
const PAGE_SIZE: u64 = 4096;

/// Maximum number of requests that wait for a reader.
const QUESTIONS: usize = 1024;

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

    /// Returns the SQL that creates the schema, one text for each version. For a host whose own
    /// migration tool applies it: apply each text once, in order, each in a transaction. Then open
    /// with [`SqliteOptions::verify_schema`]. A released text never changes.
    #[must_use]
    pub fn schema() -> &'static [&'static str] {
        schema::STEPS
    }

    /// Returns the path of the file, with symbolic links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends a request to the readers and waits for the answer.
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
                    let lost = lost.into_error("changed", Phase::Before);
                    self.position_watch.break_off(lost);
                }
                answer
            }
            None => Err(StoreError::new(
                ErrorKind::Unavailable,
                operation,
                "the call timed out",
            )),
        }
    }

    /// Fails if the store is closed, has lost its file, or was opened by the parent process.
    fn check_usable(&self, operation: &'static str) -> Result<(), StoreError> {
        self.file.check_process(operation)?;
        self.position_watch.check_open(operation)?;
        let known = self.file.check_known();
        known.map_err(|lost| lost.into_error(operation, Phase::Before))
    }

    /// Returns the memory of the waiting batches, in bytes.
    fn queued_bytes(&self) -> usize {
        let write_queue = [&self.owners_room, &self.actions_room];
        let taken = write_queue.map(|room| self.room.saturating_sub(room.available_permits()));
        taken.iter().sum::<usize>() * ROOM_UNIT
    }

    /// Checks that a batch may be tried. Returns what it needs and its size in bytes.
    fn check_batch(
        &self,
        operation: &'static str,
        batch: &Batch,
    ) -> Result<(ReadSet, usize), StoreError> {
        self.check_usable(operation)?;
        if self.access == SqliteAccess::ReadOnly {
            let message = "the store was opened read-only";
            return Err(StoreError::new(ErrorKind::Unsupported, operation, message));
        }
        let bytes = self.capabilities.check(batch)?;
        let read_set = read_set(batch).map_err(|e| StoreError::from_check(operation, e))?;
        Ok((read_set, bytes))
    }

    /// Checks that a cursor belongs to this store.
    fn check_life(&self, operation: &'static str, after: Option<Cursor>) -> Result<(), StoreError> {
        match after {
            Some(cursor) if cursor.store_id() != self.store_id => Err(StoreError::new(
                ErrorKind::Invalid,
                operation,
                "after: is a cursor of another store",
            )),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl ActionStore for SqliteStore {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        let (read_set, bytes) = self.check_batch("write", &batch)?;
        let about_owners = about_owners(&batch);
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
            let request = WriteRequest {
                batch,
                read_set,
                about_owners,
                claim,
                reply,
                room,
            };
            lane.send(request).map_err(|_| closed())?;
            answer.await.map_err(|_| closed())
        };
        match deadline(self.timeout, written).await {
            Some(Ok(answer)) => answer,
            // The writer is gone: with the runtime, or because the store was closed.
            Some(Err(closed)) if claim.withdraw() || !claim.is_sent() => Err(closed),
            None if claim.withdraw() => Err(StoreError::new(
                ErrorKind::Unavailable,
                "write",
                "the call timed out before the write began; nothing was applied",
            )),
            Some(Err(_)) => Err(StoreError::new(
                ErrorKind::OutcomeUnknown,
                "write",
                "the store's runtime ended after the commit was sent",
            )),
            None => Err(StoreError::new(
                ErrorKind::OutcomeUnknown,
                "write",
                "the call timed out after the write began",
            )),
        }
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.capabilities.check_count("get", uids.len())?;
        self.check_usable("get")?;
        if let Some(found) = self.read_cache.get(uids) {
            // Lets the writer run: a caller that polls in a loop may share its thread.
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

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
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
            return self.position_watch.changed(after).await;
        };
        // Reads the commits that other processes made since the last poll.
        if after.is_none_or(|after| self.position_watch.is_behind(after)) {
            self.ask("changed", Read::Position).await?;
        }
        let _waiting = after.map(|_| poll.wait());
        self.position_watch.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.file.check_process("close")?;
        self.position_watch.close();
        self.closing.send_replace(true);
        let mut writer = self.writer.lock().await;
        let Some(task) = writer.as_mut() else {
            return Ok(());
        };
        let ended = task.await;
        // Cleared only now: if this future is dropped earlier, the next `close` still waits for the
        // task.
        *writer = None;
        if let Ok(true) = ended {
            return Ok(());
        }
        let message = "a task of the store ended early";
        Err(StoreError::new(ErrorKind::Unavailable, "close", message))
    }
}
