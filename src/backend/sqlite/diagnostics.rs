//! What a store can tell about itself.

use std::path::PathBuf;
use std::time::Duration;

use super::open::modes;
use super::schema::{self, single};
use super::source::Line;
use super::{SqliteFile, SqliteStore, file};
use crate::error::StoreError;
use crate::model::Position;

/// Who else may use a store's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqliteAccess {
    /// Nobody.
    Exclusive,
    /// Other processes that share it.
    Shared,
    /// The host and whoever shares its database.
    HostPool,
    /// This one only reads; others may write.
    ReadOnly,
}

/// How a [`SqliteStore`] stands: for a health page, a log line, a bug report. It names no content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteDiagnostics {
    /// The database file.
    pub path: PathBuf,
    /// What its path leads to. Unless it is [`SqliteFile::Same`] the store refuses every call but
    /// this one, and the fields about the database have the values 0 and "".
    pub file: SqliteFile,
    /// Who else may use it.
    pub access: SqliteAccess,
    /// The version of SQLite.
    pub sqlite_version: String,
    /// Whether this SQLite can damage a database that several connections write; see
    /// [`SqliteOptions::allow_wal_reset_bug`](super::SqliteOptions::allow_wal_reset_bug).
    pub wal_reset_bug: bool,
    /// The schema's version.
    pub schema_version: u32,
    /// `PRAGMA journal_mode`, as observed: `wal` unless the host chose otherwise.
    pub journal_mode: String,
    /// `PRAGMA synchronous` of a connection, as observed: 0 off, 1 normal, 2 full, 3 extra.
    pub synchronous: u8,
    /// How long a connection waits while somebody else writes.
    pub busy_timeout: Duration,
    /// The database's size in bytes, the log file aside.
    pub database_bytes: u64,
    /// Of which nothing is stored in; SQLite uses them again.
    pub free_bytes: u64,
    /// The size of the log file (`-wal`) in bytes.
    pub log_bytes: u64,
    /// The memory that batches waiting to be written take, in bytes, rounded up.
    pub queued_bytes: usize,
    /// Where the store stands.
    pub position: Position,
}

impl SqliteStore {
    /// How the store stands. On a host's pool it borrows a connection.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Closed`.
    pub async fn diagnostics(&self) -> Result<SqliteDiagnostics, StoreError> {
        self.file.check_process("diagnostics")?;
        self.bell.check_open("diagnostics")?;
        // What cannot be looked at is said below.
        let _noticed = self.file.check();
        if self.file.state() != SqliteFile::Same {
            return Ok(self.known(self.bell.position()));
        }
        let position = self.ask("diagnostics", super::Read::Position).await?;
        let mut line = Line::new(self.source.clone(), self.file.clone());
        let mut connection = line.take().await?;
        let read = async {
            let (journal_mode, synchronous) = modes(&mut connection).await?;
            let busy: i64 = single(&mut connection, "PRAGMA busy_timeout").await?;
            let page: i64 = single(&mut connection, "PRAGMA page_size").await?;
            let pages: i64 = single(&mut connection, "PRAGMA page_count").await?;
            let free: i64 = single(&mut connection, "PRAGMA freelist_count").await?;
            let schema_version = schema::version(&mut connection).await?;
            let count = |number: i64| u64::try_from(number).unwrap_or(0);
            Ok(SqliteDiagnostics {
                schema_version: u32::try_from(schema_version).unwrap_or(u32::MAX),
                journal_mode,
                synchronous: u8::try_from(synchronous).unwrap_or(u8::MAX),
                busy_timeout: Duration::from_millis(count(busy)),
                database_bytes: count(page) * count(pages),
                free_bytes: count(page) * count(free),
                log_bytes: file::size(&file::beside(&self.path, "-wal")),
                ..self.known(position)
            })
        };
        let read = read.await;
        line.hand_back(connection);
        line.close().await;
        read
    }

    /// What is known without asking the database.
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
            queued_bytes: self.queued_bytes(),
            position,
        }
    }
}
