//! A store in a PostgreSQL database.

mod engine;
mod errors;
mod expected;
mod list;
mod literal;
mod load;
mod open;
mod options;
mod read;
mod rows;
mod save;
mod schema;
mod script;
mod setup;
mod source;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

pub use self::options::PostgresOptions;
use self::schema::SchemaName;
use super::sql::SqlStore;
use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Batch, Done, LogEntry, LogQuery, Owner, OwnerQuery, Page, Position, Query,
    Rejection, Revision,
};
use crate::store::{ActionStore, Capabilities};

/// A store in a PostgreSQL database, which several processes on several machines use together.
///
/// It needs PostgreSQL 13 or later with UTF-8, and no extension, no superuser, no LISTEN and no
/// session state: a pooler in transaction mode may be between. All tables are in one PostgreSQL
/// schema, `actions` unless [`PostgresOptions::with_schema`] names another one.
///
/// # Writes
///
/// One task of each process does all its writes. It writes all waiting batches as one transaction,
/// in two round trips. The writers of all processes take the same lock in turn, so a commit of one
/// process delays those of the others. A process that is stopped while it has the lock loses it
/// after three seconds.
///
/// A commit whose answer is lost is looked up under that lock before its callers are answered. A call fails
/// with [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown) only if the database cannot be
/// reached to find out.
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
    process: u32,
    sql: SqlStore,
}

impl PostgresStore {
    /// Opens the store in the database of a URL (`postgres://user@host/database`), or creates it
    /// there, with the default [options](PostgresOptions). Call this inside the tokio runtime that
    /// will run the store.
    ///
    /// The store uses connections of its own: one that writes, and two that read. sqlx fills what
    /// the URL leaves out from the `PG*` environment variables. TLS is used if the host enables one
    /// of sqlx's features for it and the URL asks for it (`sslmode`).
    ///
    /// # Errors
    /// - `Invalid`: the URL or the name of the schema is wrong.
    ///
    /// - `Unavailable`: the server cannot be reached, refuses the connection or the role, or accepts
    ///   no writes.
    ///
    /// - `Incompatible`: the server is older than PostgreSQL 13. The database is not in UTF-8. A
    ///   newer version of this library wrote the store. The schema differs and may not be changed.
    ///
    /// - `Corrupt`: the store's own rows are missing.
    ///
    /// - `Closed`: there is no tokio runtime.
    ///
    /// # Panics
    /// Calls panic if their runtime has no timer
    /// ([`enable_time`](tokio::runtime::Builder::enable_time)).
    pub async fn connect(url: &str) -> Result<PostgresStore, StoreError> {
        PostgresOptions::default().connect(url).await
    }

    /// Opens the store in the database of a host's pool, or creates it there beside the host's
    /// schemas, with the default [options](PostgresOptions).
    ///
    /// The store changes no setting of the connections: it sets what it needs for the duration of
    /// its own transactions. It borrows a connection for one transaction and keeps none between two
    /// calls, so a pool of one is enough. Closing the store leaves the pool open.
    ///
    /// # Errors
    /// As [`connect`](PostgresStore::connect).
    pub async fn on_pool(pool: PgPool) -> Result<PostgresStore, StoreError> {
        PostgresOptions::default().on_pool(pool).await
    }

    /// Returns the SQL that creates the tables in the PostgreSQL schema of this name, one text for
    /// each version. For a host whose own migration tool applies it: create the schema, then apply
    /// each text once, in order, each in a transaction. Then open with
    /// [`PostgresOptions::verify_schema`]. A released text never changes.
    ///
    /// # Errors
    /// `Invalid` for a name that [`PostgresOptions::with_schema`] does not allow.
    pub fn schema(name: &str) -> Result<Vec<String>, StoreError> {
        Ok(SchemaName::new(name)?.steps())
    }

    /// Fails if the store is closed, or was opened by the parent process.
    fn check_usable(&self, operation: &'static str) -> Result<(), StoreError> {
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
