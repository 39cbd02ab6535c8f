//! Copies a store while it is in use.

use std::path::Path;

use sqlx::Connection;

use super::branch;
use super::errors::store_error;
use super::file::{self, Lock, NewFile};
use super::schema;
use super::source::ConnectionSlot;
use super::store::SqliteStore;
use crate::backend::sql::Phase;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

impl SqliteStore {
    /// Writes a copy of the whole database, as it is at one moment, to a new file. The copy is
    /// compact and durable when this returns, and only its owner can read it (mode 0600). Readers
    /// and writers continue meanwhile; the WAL grows until the copy is done. On a host's pool the
    /// copy includes the host's tables, and one connection is in use during the copy.
    ///
    /// The copy is the same store, but another [branch](crate::query::BranchId) of it. A cursor of the
    /// original is valid in the copy if it covers only changes that are older than the copy. Any
    /// other cursor is [`CursorExpired`](crate::ErrorKind::CursorExpired). Open the copy in the place of
    /// the original, not beside it.
    ///
    /// After the first poll the copy continues even if the future is dropped. It may take long and
    /// has no timeout. The lock file of the copy (`<path>.lock`) stays beside it, as for every
    /// store.
    ///
    /// # Errors
    /// - `Invalid`: SQLite would not use the path as it is.
    ///
    /// - `Unavailable`: a file or its log (`-wal`, `-journal`) exists at the path. Another process
    ///   creates or opens one there. The copy cannot be written.
    ///
    /// - `Corrupt`, `Closed`: as for any call.
    pub async fn backup_to(&self, path: impl AsRef<Path>) -> Result<(), StoreError> {
        self.check_usable("backup")?;
        self.file.check_before("backup")?;
        let path = file::resolve(path.as_ref())?;
        let mut slot = ConnectionSlot::new(self.source.clone(), self.file.clone());
        let work = async move {
            let refuse = |message| Err(StoreError::new(ErrorKind::Unavailable, "backup", message));
            // Another opener of this path takes the same lock; so does an earlier backup whose
            // future was dropped.
            let Some(_alone) = Lock::try_take_place(&path)? else {
                return refuse("another process creates or opens a file at that path");
            };
            if path.exists() {
                return refuse("a file exists at that path; choose a new path");
            }
            if file::has_log(&path) {
                return refuse(
                    "a log file (-wal or -journal) exists at that path; choose a new path",
                );
            }
            let new = NewFile::beside(&path)?;
            let mut connection = slot.take().await?;
            let name = new.path.to_string_lossy().into_owned();
            let copied = sqlx::query("VACUUM INTO $1")
                .bind(name)
                .execute(&mut *connection)
                .await;
            slot.hand_back(connection);
            slot.close().await;
            copied.map_err(|error| store_error("backup", Phase::Before, error))?;
            let mut copy = schema::connect_plain(&new.path).await?;
            let forked = branch::fork(&mut copy, &new.path).await;
            let closed = copy.close().await;
            forked?;
            closed.map_err(|error| store_error("backup", Phase::Before, error))?;
            new.finish()
        };
        tokio::spawn(work)
            .await
            .map_err(|gone| StoreError::closed("backup").with_source(gone))?
    }
}
