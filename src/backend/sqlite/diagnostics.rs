//! Diagnostics of a store.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::access::SqliteAccess;
use super::beside::{beside, size};
use super::check::damaged_lately;
use super::durability::modes;
use super::identity::SqliteFile;
use super::schema::{self, single};
use super::source::ConnectionSlot;
use super::store::SqliteStore;
use crate::error::StoreError;
use crate::model::Position;

/// State of a [`SqliteStore`], for a health page, a log line or a bug report. It contains no action
/// data. Serialized with durations in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SqliteDiagnostics {
    /// Path of the database file.
    pub path: PathBuf,
    /// The file that is at the path now. Unless it is [`SqliteFile::Same`], every other call fails,
    /// and the fields about the database are 0 or empty.
    pub file: SqliteFile,
    /// Other users that the database may have.
    pub access: SqliteAccess,
    /// Version of the SQLite library.
    pub sqlite_version: String,
    /// True if this SQLite can damage a database that several connections write. See
    /// [`SqliteOptions::allow_wal_reset_bug`](super::SqliteOptions::allow_wal_reset_bug).
    pub wal_reset_bug: bool,
    /// Version of the schema.
    pub schema_version: u32,
    /// Observed `PRAGMA journal_mode`: `wal` unless the host chose another one.
    pub journal_mode: String,
    /// Observed `PRAGMA synchronous` of a connection: 0 off, 1 normal, 2 full, 3 extra.
    pub synchronous: u8,
    /// Time that a connection waits while another connection writes.
    #[serde(serialize_with = "crate::model::as_seconds")]
    pub busy_timeout: Duration,
    /// Size of the database in bytes, without the WAL.
    pub database_bytes: u64,
    /// Unused part of `database_bytes`, in bytes. SQLite uses it again.
    pub free_bytes: u64,
    /// Size of the WAL file (`-wal`) in bytes.
    pub log_bytes: u64,
    /// Memory of the batches that wait to be written, in bytes, rounded up.
    pub queued_bytes: usize,
    /// Number of the newest 1,000 actions that cannot be read, or whose columns contradict their
    /// stored form. Or the number of findings of the latest check, if that is higher: the one at
    /// [opening](super::SqliteOptions::with_check_bytes) or [`SqliteStore::check`], which says more.
    pub damaged: u64,
    /// Position of the store.
    pub position: Position,
}

#[cfg(feature = "metrics")]
impl SqliteDiagnostics {
    /// Sets the gauges of a SQLite store: the size of the WAL, and the known damage.
    pub fn record_gauges(&self) {
        crate::telemetry::set_sqlite_gauges(self.log_bytes, self.damaged);
    }
}

impl SqliteStore {
    /// Returns the state of the store. On a host's pool it borrows a connection.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt` or `Closed`.
    pub async fn diagnostics(&self) -> Result<SqliteDiagnostics, StoreError> {
        self.file.check_process("diagnostics")?;
        self.sql.position_watch.check_open("diagnostics")?;
        // The result is not needed: `state` below reports a loss.
        let _noticed = self.file.check();
        if self.file.state() != SqliteFile::Same {
            return Ok(self.known(self.sql.position_watch.position()));
        }
        let position = self.sql.position("diagnostics").await?;
        let mut slot = ConnectionSlot::new(self.source.clone(), self.file.clone());
        let mut connection = slot.take().await?;
        let read = async {
            let (journal_mode, synchronous) = modes(&mut connection).await?;
            let busy: i64 = single(&mut connection, "PRAGMA busy_timeout").await?;
            let page: i64 = single(&mut connection, "PRAGMA page_size").await?;
            let pages: i64 = single(&mut connection, "PRAGMA page_count").await?;
            let free: i64 = single(&mut connection, "PRAGMA freelist_count").await?;
            let schema_version = schema::version(&mut connection).await?;
            let damaged = damaged_lately(&mut connection).await?;
            let count = |number: i64| u64::try_from(number).unwrap_or(0);
            Ok(SqliteDiagnostics {
                schema_version: u32::try_from(schema_version).unwrap_or(u32::MAX),
                journal_mode,
                synchronous: u8::try_from(synchronous).unwrap_or(u8::MAX),
                busy_timeout: Duration::from_millis(count(busy)),
                database_bytes: count(page) * count(pages),
                free_bytes: count(page) * count(free),
                log_bytes: size(&beside(&self.path, "-wal")),
                damaged: damaged.max(self.damage.findings()),
                ..self.known(position)
            })
        };
        let read = read.await;
        slot.hand_back(connection);
        slot.close().await;
        read
    }

    /// Returns the fields that need no query.
    fn known(&self, position: Position) -> SqliteDiagnostics {
        SqliteDiagnostics {
            path: self.path.clone(),
            file: self.file.state(),
            access: self.access,
            sqlite_version: self.version.to_string(),
            wal_reset_bug: self.version.has_wal_reset_bug(),
            schema_version: 0,
            journal_mode: String::new(),
            synchronous: 0,
            busy_timeout: Duration::ZERO,
            database_bytes: 0,
            free_bytes: 0,
            log_bytes: 0,
            queued_bytes: self.sql.queued_bytes(),
            damaged: 0,
            position,
        }
    }
}
