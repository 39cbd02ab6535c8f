//! Where connections come from: the store's own file, or the host's pool.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection as _, Sqlite};

use super::errors::{Phase, store_error};
use super::identity::OpenFile;
use super::schema;
use crate::error::StoreError;

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A file, to which every user of this keeps a connection of its own.
    File {
        path: PathBuf,
        read_only: bool,
        /// How far a connection may let the file grow.
        max_pages: Option<u64>,
        /// Whether its user tries again by itself while somebody else writes, and so wants to be
        /// told at once.
        impatient: bool,
    },
    /// The host's pool. A connection is borrowed for one command or transaction and never kept: a
    /// pool of one is enough, and the host finds it as it left it.
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
    /// Ends it; the pool, if it is of one, makes room for another.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Connection::Own(connection) => connection.close().await,
            Connection::Borrowed(connection) => connection.close().await,
        }
    }
}

impl Source {
    /// The same for a user that tries again by itself. A host's connections stay as they are.
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

    /// Gives a connection the patience that this source's have. Not while it is being opened: that
    /// may have to wait for a moment.
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

/// One user's way to the database: keeps a connection of its own between two uses, and gives a
/// borrowed one back.
#[derive(Debug)]
pub(super) struct Line {
    source: Source,
    file: Arc<OpenFile>,
    kept: Option<Connection>,
}

impl Line {
    pub(super) fn new(source: Source, file: Arc<OpenFile>) -> Line {
        let kept = None;
        Line { source, file, kept }
    }

    /// Makes sure that the next use need not wait for a connection.
    pub(super) async fn ready(&mut self) -> Result<(), StoreError> {
        let connection = self.take().await?;
        self.kept = Some(connection);
        Ok(())
    }

    /// There is no use for it now: a borrowed connection goes back.
    pub(super) fn rest(&mut self) {
        if let Some(connection) = self.kept.take() {
            self.hand_back(connection);
        }
    }

    /// A connection to use. Hand it back when it is whole; close it when it is in doubt, and the
    /// next use gets another.
    pub(super) async fn take(&mut self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.kept.take() {
            return Ok(connection);
        }
        self.connect().await
    }

    /// A new connection, to the file that the store has open and to no other.
    async fn connect(&self) -> Result<Connection, StoreError> {
        self.file.check_before("connect")?;
        let connection = self.source.connect().await?;
        match (self.file.check(), connection) {
            (Ok(()), connection) => {
                self.file.remember_log();
                Ok(connection)
            }
            (Err(lost), connection) => {
                // It was replaced in this very moment. Closed, the connection would fold this
                // store's log into the other file: it stays open, unused, until the process ends.
                if let Connection::Own(connection) = connection {
                    std::mem::forget(connection);
                }
                Err(lost.into_error("connect", Phase::Before))
            }
        }
    }

    /// Moves all of the log into the file that the connection it keeps has open, whatever its name
    /// is now. Where others read or write meanwhile it may not be all.
    pub(super) async fn fold_log(&mut self) {
        if let Some(connection) = &mut self.kept {
            let folded = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut **connection);
            // The caller keeps the log if it could not be folded.
            let _failed = folded.await;
        }
    }

    pub(super) fn hand_back(&mut self, connection: Connection) {
        self.kept = match connection {
            own @ Connection::Own(_) => Some(own),
            Connection::Borrowed(_) => None,
        };
    }

    /// Ends the connection it keeps, if it does.
    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.kept.take() {
            // Whatever had to be kept was committed; that closing fails changes nothing.
            drop(connection.close().await);
        }
    }
}
