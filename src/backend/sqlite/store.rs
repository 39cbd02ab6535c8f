//! The store: its checks before and after what all SQL stores do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::access::SqliteAccess;
use super::identity::OpenFile;
use super::known_damage::KnownDamage;
use super::schema;
use super::source::Source;
use super::version::Version;
use crate::backend::sql::{Phase, SqlStore};
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{
    Action, ActionUid, Batch, Done, LogEntry, LogQuery, Owner, OwnerQuery, Page, Position, Query,
    ReadSet, Rejection, Revision,
};
use crate::store::{ActionStore, Capabilities};

/// A store in one SQLite file. Acknowledged writes are durable and survive a crash.
///
/// By default one process at a time can open the file. Several processes can share it if each one
/// opens it with [`shared`](super::SqliteOptions::shared). A lock on `<path>.lock` keeps other processes
/// out. On Linux the file itself is locked too, under all of its names. On other platforms a hard
/// link or a deleted lock file lets a second process in.
///
/// Opening the store exclusively ends every owner that is still alive, because no earlier user of
/// the store can be left. The actions of these owners can then be settled at once.
///
/// The store creates its files with mode 0600: only their owner can read them. The database uses
/// WAL mode with `synchronous=FULL`, so acknowledged writes survive a power cut. Keep it on a local
/// disk: WAL needs memory that all users of the file share.
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
    pub(super) path: PathBuf,
    pub(super) access: SqliteAccess,
    pub(super) file: Arc<OpenFile>,
    pub(super) damage: Arc<KnownDamage>,
    pub(super) version: Version,
    pub(super) source: Source,
    pub(super) clock: Clock,
    pub(super) sql: SqlStore,
}

impl SqliteStore {
    /// Returns the SQL that creates the schema, one text for each version. For a host whose own
    /// migration tool applies it: apply each text once, in order, each in a transaction. Then open
    /// with [`SqliteOptions::verify_schema`](super::SqliteOptions::verify_schema). A released text never changes.
    #[must_use]
    pub fn schema() -> &'static [&'static str] {
        schema::STEPS
    }

    /// Returns the path of the file, with symbolic links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the store is closed, has lost its file, or was opened by the parent process.
    pub(super) fn check_usable(&self, operation: &'static str) -> Result<(), StoreError> {
        self.file.check_process(operation)?;
        self.sql.position_watch.check_open(operation)?;
        let known = self.file.check_known();
        known.map_err(|lost| lost.into_error(operation, Phase::Before))
    }

    /// Checks that a batch may be tried. Returns what it needs and its size in bytes.
    pub(super) fn check_batch(
        &self,
        operation: &'static str,
        batch: &Batch,
    ) -> Result<(ReadSet, usize), StoreError> {
        self.check_usable(operation)?;
        if self.access == SqliteAccess::ReadOnly {
            let message = "the store was opened read-only";
            return Err(StoreError::new(ErrorKind::Unsupported, operation, message));
        }
        self.sql.check_batch(operation, batch)
    }

    /// Ends the waits for changes if the file turned out to be lost.
    pub(super) fn note_loss(&self) {
        if let Err(lost) = self.file.check_known() {
            let lost = lost.into_error("changed", Phase::Before);
            self.sql.position_watch.break_off(lost);
        }
    }
}

#[async_trait]
impl ActionStore for SqliteStore {
    fn capabilities(&self) -> Capabilities {
        self.sql.capabilities
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        let (read_set, bytes) = self.check_batch("write", &batch)?;
        self.sql.write(batch, read_set, bytes).await
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.sql.capabilities.check_count("get", uids.len())?;
        self.check_usable("get")?;
        if let Some(found) = self.sql.cached(uids).await {
            return Ok(found);
        }
        let found = self.sql.get(uids).await;
        self.note_loss();
        found
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.sql.check_query("list", query.check(), query.after)?;
        self.check_usable("list")?;
        let page = self.sql.list(query).await;
        self.note_loss();
        page
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.sql.check_query("log", query.check(), query.after)?;
        self.check_usable("log")?;
        let page = self.sql.log(query).await;
        self.note_loss();
        page
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.sql.check_query("owners", query.check(), query.after)?;
        self.check_usable("owners")?;
        let page = self.sql.owners(query).await;
        self.note_loss();
        page
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.check_usable("changed")?;
        self.sql
            .read_behind(after)
            .await
            .inspect_err(|_| self.note_loss())?;
        self.sql.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.file.check_process("close")?;
        self.sql.close().await
    }
}
