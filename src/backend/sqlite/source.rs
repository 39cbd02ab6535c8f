//! Connections: to the store's own file, or from the host's pool.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection as _, Sqlite};

use super::errors::store_error;
use super::identity::OpenFile;
use super::schema;
use super::sync::before_closing;
use crate::backend::sql::Phase;
use crate::error::StoreError;

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A file. Each user keeps its own connection.
    File {
        path: PathBuf,
        read_only: bool,
        /// Maximum size to which a connection may grow the file.
        max_pages: Option<u64>,
        /// True if the user retries by itself while another connection writes, and so wants a busy
        /// error at once.
        impatient: bool,
    },
    /// The host's pool. A connection is borrowed for one command or transaction and then returned
    /// unchanged, so a pool of one is enough.
    Pool(SqlitePool),
}

/// A connection in use.
#[derive(Debug)]
pub(super) enum Connection {
    Own(SqliteConnection),
    Borrowed(PoolConnection<Sqlite>),
}

impl Deref for Connection {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self {
            Connection::Own(connection) => connection,
            Connection::Borrowed(connection) => connection,
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self {
            Connection::Own(connection) => connection,
            Connection::Borrowed(connection) => connection,
        }
    }
}

impl Connection {
    /// Ends the connection; its pool then has room for another.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Connection::Own(connection) => connection.close().await,
            Connection::Borrowed(connection) => connection.close().await,
        }
    }
}

impl Source {
    /// Returns the source for a user that retries by itself. The host's connections keep their
    /// settings.
    pub(super) fn for_impatient(&self) -> Source {
        let mut source = self.clone();
        if let Source::File { impatient, .. } = &mut source {
            *impatient = true;
        }
        source
    }

    /// Opens or borrows a connection.
    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        match self {
            Source::File {
                path,
                read_only,
                max_pages,
                impatient: _,
            } => {
                let options = schema::connect_options(path, *read_only);
                let mut connection = schema::connect(options, *max_pages).await?;
                self.tune(&mut connection).await?;
                Ok(Connection::Own(connection))
            }
            Source::Pool(pool) => {
                let borrowed = pool.acquire().await;
                borrowed
                    .map(Connection::Borrowed)
                    .map_err(|error| store_error("connect", Phase::Before, error))
            }
        }
    }

    /// Sets the busy timeout of this source. Not during opening, which may have to wait for a lock.
    pub(super) async fn tune(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let Source::File {
            impatient: true, ..
        } = self
        else {
            return Ok(());
        };
        let told = sqlx::query("PRAGMA busy_timeout = 0").execute(connection);
        told.await
            .map(drop)
            .map_err(|error| store_error("connect", Phase::Before, error))
    }
}

/// One user's access to the database. Keeps its own connection between two uses, and returns a
/// borrowed one.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    source: Source,
    file: Arc<OpenFile>,
    kept: Option<Connection>,
}

impl ConnectionSlot {
    pub(super) fn new(source: Source, file: Arc<OpenFile>) -> ConnectionSlot {
        let kept = None;
        ConnectionSlot { source, file, kept }
    }

    /// Opens a connection now, so that the next use need not wait.
    pub(super) async fn ready(&mut self) -> Result<(), StoreError> {
        let connection = self.take().await?;
        self.kept = Some(connection);
        Ok(())
    }

    /// Returns a borrowed connection while there is no use for it.
    pub(super) fn rest(&mut self) {
        if let Some(connection) = self.kept.take() {
            self.hand_back(connection);
        }
    }

    /// Takes a connection. Hand it back if it is intact. If it is in doubt, close it: the next use
    /// opens another.
    pub(super) async fn take(&mut self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.kept.take() {
            return Ok(connection);
        }
        self.connect().await
    }

    /// Opens a connection to the file that the store has open, and to no other.
    async fn connect(&self) -> Result<Connection, StoreError> {
        self.file.check_before("connect")?;
        let connection = self.source.connect().await?;
        match (self.file.check(), connection) {
            (Ok(()), connection) => {
                self.file.remember_log();
                Ok(connection)
            }
            (Err(lost), connection) => {
                // The file was replaced at this very moment. Closing this connection would
                // checkpoint the store's WAL into the other file. So it stays open, unused, until
                // the process ends.
                if let Connection::Own(connection) = connection {
                    std::mem::forget(connection);
                }
                Err(lost.into_error("connect", Phase::Before))
            }
        }
    }

    /// Checkpoints the WAL into the file of the kept connection, under whatever name that file has
    /// now. May leave a part if other connections read or write meanwhile.
    pub(super) async fn fold_log(&mut self) {
        if let Some(connection) = &mut self.kept {
            let folded = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut **connection);
            // The caller keeps the WAL if this fails.
            let _failed = folded.await;
        }
    }

    pub(super) fn hand_back(&mut self, connection: Connection) {
        self.kept = match connection {
            own @ Connection::Own(_) => Some(own),
            Connection::Borrowed(_) => None,
        };
    }

    /// Closes the kept connection, if there is one.
    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.kept.take() {
            self.end(connection).await;
        }
    }

    /// Closes a connection that has failed, or may be the last one. In doubt, the WAL may lack bytes
    /// that SQLite would copy from its memory if this is the last connection.
    pub(super) async fn end(&self, mut connection: Connection) {
        if self.file.is_in_doubt() {
            before_closing(&mut connection, &self.file).await;
        }
        // It has failed, or all is committed. So an error on close has no effect.
        drop(connection.close().await);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::time::SystemTime;

    use super::super::beside::beside;
    use super::*;
    use crate::model::NewAction;
    use crate::store::{ActionStore, ActionStoreExt};
    use crate::{SqliteOptions, SqliteStore};

    /// Sets the modification time of a file far back.
    fn age(path: &std::path::Path) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    fn is_written(path: &std::path::Path) -> bool {
        let file = File::open(path).unwrap();
        file.metadata().unwrap().modified().unwrap() > SystemTime::UNIX_EPOCH
    }

    /// Opens a store whose WAL has bytes, and stays until the store is closed.
    async fn store_with_log(path: &std::path::Path) -> SqliteStore {
        let store = SqliteOptions::new().open(path).await.unwrap();
        store.create(NewAction::task("a")).await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_connection_closed_in_doubt_rewrites_the_log_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actions.db");
        let log = beside(&path, "-wal");
        let store = store_with_log(&path).await;
        for in_doubt in [false, true] {
            let mut slot = ConnectionSlot::new(store.source.clone(), store.file.clone());
            store.file.set_in_doubt(in_doubt);
            age(&log);
            slot.ready().await.unwrap();
            slot.close().await;
            assert_eq!(is_written(&log), in_doubt, "kept");
            age(&log);
            let failed = slot.take().await.unwrap();
            slot.end(failed).await;
            assert_eq!(is_written(&log), in_doubt, "failed");
        }
        store.close().await.unwrap();
        assert!(!store.file.is_in_doubt(), "the writer made it durable");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_connection_closed_in_doubt_leaves_the_log_of_another_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actions.db");
        let log = beside(&path, "-wal");
        let store = store_with_log(&path).await;
        let mut slot = ConnectionSlot::new(store.source.clone(), store.file.clone());
        slot.ready().await.unwrap();
        store.file.set_in_doubt(true);
        for name in [&path, &log] {
            std::fs::rename(name, beside(name, ".old")).unwrap();
            std::fs::write(name, "of another store").unwrap();
        }
        age(&log);
        slot.close().await;
        assert!(!is_written(&log));
        assert_eq!(std::fs::read(&log).unwrap(), b"of another store");
        store.close().await.unwrap();
        assert!(!is_written(&log));
    }
}
