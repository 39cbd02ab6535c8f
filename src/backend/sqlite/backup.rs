//! A copy of the store while it is in use.

use std::path::Path;

use sqlx::Connection;

use super::SqliteStore;
use super::branch;
use super::errors::{Phase, store_error};
use super::file::{self, Lock, NewFile};
use super::schema;
use super::source::Line;
use crate::error::{ErrorKind, StoreError};

impl SqliteStore {
    /// Writes a copy of the whole database, as it is at one moment, to a new file: compact, durable
    /// once this answers, readable by its owner only (mode 0600). Readers and writers go on
    /// meanwhile; the log file grows until it is done. On a host's pool the copy has the host's
    /// tables too, and one connection is in use as long as it takes.
    ///
    /// The copy is the same store, and another [branch](crate::BranchId) of it from here on. A cursor
    /// of the original is good in the copy if all that it stands for is older than the copy. Any
    /// other is [`CursorExpired`](ErrorKind::CursorExpired), whether the copy is behind it or has
    /// gone on past it. Open the copy in the place of the original, not beside it.
    ///
    /// Once this is first polled it goes on even if the future is dropped. It may take long and has
    /// no time-out. Beside the copy stays its lock file (`<path>.lock`), as beside every store.
    ///
    /// # Errors
    /// `Invalid` for a path that SQLite would not take, `Unavailable` if there is a file at that
    /// place already, or its log (`-wal`, `-journal`), if somebody makes or opens one there just
    /// now, or if it cannot be written, `Corrupt`, `Closed`.
    pub async fn backup_to(&self, path: impl AsRef<Path>) -> Result<(), StoreError> {
        self.check_usable("backup")?;
        self.file.check_before("backup")?;
        let path = file::resolve(path.as_ref())?;
        let mut line = Line::new(self.source.clone(), self.file.clone());
        let work = async move {
            let refuse = |message| Err(StoreError::new(ErrorKind::Unavailable, "backup", message));
            // Whoever makes a store there has it too: also an earlier copy that was given up, and
            // goes on.
            let Some(_alone) = Lock::try_take_place(&path)? else {
                return refuse("somebody makes or opens a file at that place");
            };
            if path.exists() {
                return refuse("there is a file at that place already");
            }
            if file::has_log(&path) {
                return refuse("there is a log file (-wal or -journal) at that place");
            }
            let new = NewFile::beside(&path)?;
            let mut connection = line.take().await?;
            let name = new.path.to_string_lossy().into_owned();
            let copied = sqlx::query("VACUUM INTO $1")
                .bind(name)
                .execute(&mut *connection)
                .await;
            line.hand_back(connection);
            line.close().await;
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
