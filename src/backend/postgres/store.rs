//! The store: its checks before what all SQL stores do.

use std::sync::Arc;

use async_trait::async_trait;

use super::host_locks::HostLocks;
use super::schema::SchemaName;
use super::setup::Setup;
use crate::backend::sql::SqlStore;
use crate::clock::Clock;
use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Batch, Done, LogEntry, LogQuery, Owner, OwnerQuery, Page, Position, Query,
    Rejection, Revision,
};
use crate::store::{ActionStore, Capabilities};

/// A store in a PostgreSQL database, which several processes on several machines use together.
///
/// It needs PostgreSQL 13 or later with UTF-8, and no extension, no superuser, no LISTEN and no
/// session state: a pooler in transaction mode may be between (without
/// [`with_notify`](super::PostgresOptions::with_notify)). All tables are in one PostgreSQL
/// schema, `actions` unless [`PostgresOptions::with_schema`](super::PostgresOptions::with_schema) names another one.
///
/// # Writes
///
/// One task of each process does all its writes. It writes all waiting batches as one transaction,
/// in two round trips. The writers of all processes take the same lock in turn, so a commit of one
/// process delays those of the others. If a process is stopped while it has the lock, the server
/// ends its transaction after three seconds. A transaction that names more than 50 actions has one
/// second more for each megabyte of them. On servers other than Linux this takes longer if the process is
/// stopped while it receives data.
///
/// A commit whose answer is lost is looked up under that lock before its callers are answered. A write
/// fails with [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown) if that takes longer than its
/// time-out, or if the database cannot be reached for 10 seconds.
///
/// # Durability
///
/// [`Capabilities::durability`] follows from the settings that were found at opening. The store
/// keeps the value of `synchronous_commit` that it found in each of its transactions.
///
/// | `fsync`, `full_page_writes` | `synchronous_commit` | `synchronous_standby_names` | |
/// | --- | --- | --- | --- |
/// | on | `on`, `remote_apply`, `remote_write` | set | [`Replicated`](crate::Durability::Replicated) |
/// | on | one of these, `local` | | [`Disk`](crate::Durability::Disk) |
/// | | `off` | | [`Process`](crate::Durability::Process) |
/// | off | | | [`Process`](crate::Durability::Process) |
///
/// # Tasks
///
/// The writer and the readers run on the tokio runtime that opened the store. They end with that
/// runtime; after that every call is `Closed`. In a forked process every call is `Closed`, too.
#[derive(Debug)]
pub struct PostgresStore {
    /// The process that opened the store.
    pub(super) process: u32,
    pub(super) setup: Arc<Setup>,
    pub(super) locks: HostLocks,
    /// Clock instead of the server's.
    pub(super) clock: Option<Clock>,
    pub(super) sql: SqlStore,
}

impl PostgresStore {
    /// Returns the SQL that creates the tables in the PostgreSQL schema of this name, one text for
    /// each version. For a host whose own migration tool applies it: create the schema, then apply
    /// each text once, in order, each in a transaction. Then open with
    /// [`PostgresOptions::verify_schema`](super::PostgresOptions::verify_schema). A released text never changes.
    ///
    /// # Errors
    /// `Invalid` for a name that [`with_schema`](super::PostgresOptions::with_schema) does not allow.
    pub fn schema(name: &str) -> Result<Vec<String>, StoreError> {
        Ok(SchemaName::new(name)?.steps())
    }

    /// Fails if the store is closed, or was opened by the parent process.
    pub(super) fn check_usable(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.process != std::process::id() {
            return Err(StoreError::closed(operation));
        }
        self.sql.position_watch.check_open(operation)
    }
}

#[async_trait]
impl ActionStore for PostgresStore {
    fn capabilities(&self) -> Capabilities {
        self.sql.capabilities
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.check_usable("write")?;
        let (read_set, bytes) = self.sql.check_batch("write", &batch)?;
        self.sql.write(batch, read_set, bytes).await
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.sql.capabilities.check_count("get", uids.len())?;
        self.check_usable("get")?;
        self.sql.get(uids).await
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.sql.check_query("list", query.check(), query.after)?;
        self.check_usable("list")?;
        self.sql.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.sql.check_query("log", query.check(), query.after)?;
        self.check_usable("log")?;
        self.sql.log(query).await
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.sql.check_query("owners", query.check(), query.after)?;
        self.check_usable("owners")?;
        self.sql.owners(query).await
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.check_usable("changed")?;
        self.sql.read_behind(after).await?;
        self.sql.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.process != std::process::id() {
            return Err(StoreError::closed("close"));
        }
        self.sql.close().await
    }
}
