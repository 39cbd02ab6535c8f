//! Connections: of the store's own, or from the host's pool.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{ConnectOptions, Connection as _, Postgres};

use super::errors::{Phase, store_error};
use crate::backend::sqlx_deadline::deadline;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// Maximum time to open one connection.
const OPENING: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The servers of one database, of which one accepts writes at a time. The first that answers
    /// is used.
    Own(Arc<[PgConnectOptions]>),
    /// The host's pool. A connection is borrowed for one command or transaction and then returned
    /// unchanged, so a pool of one is enough.
    Pool(PgPool),
}

/// A connection in use.
#[derive(Debug)]
pub(super) enum Connection {
    Own(PgConnection),
    Borrowed(PoolConnection<Postgres>),
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Connection::Own(connection) => connection,
            Connection::Borrowed(connection) => connection,
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Connection::Own(connection) => connection,
            Connection::Borrowed(connection) => connection,
        }
    }
}

impl Connection {
    /// Ends a connection that failed or may be in a transaction; its pool then has room for another.
    pub(super) async fn throw_away(self) {
        // Nothing depends on how it ends: the server ends its transaction with it.
        let _ended = match self {
            Connection::Own(connection) => connection.close_hard().await,
            Connection::Borrowed(connection) => connection.detach().close_hard().await,
        };
    }

    async fn close(self) {
        if let Connection::Own(connection) = self {
            let _ended = connection.close().await;
        }
    }
}

impl Source {
    /// Opens or borrows a connection.
    pub(super) async fn connect(&self, operation: &'static str) -> Result<Connection, StoreError> {
        let before = |error| store_error(operation, Phase::Before, error);
        match self {
            Source::Own(servers) => {
                let mut failure = None;
                for server in servers.iter() {
                    match deadline(OPENING, server.connect()).await {
                        Some(Ok(connection)) => return Ok(Connection::Own(connection)),
                        Some(Err(error)) => failure = Some(before(error)),
                        None => {
                            let message = "the server did not answer in time";
                            failure =
                                Some(StoreError::new(ErrorKind::Unavailable, operation, message));
                        }
                    }
                }
                let none = || StoreError::new(ErrorKind::Invalid, operation, "no server is named");
                Err(failure.unwrap_or_else(none))
            }
            Source::Pool(pool) => {
                let borrowed = pool.acquire().await;
                borrowed.map(Connection::Borrowed).map_err(before)
            }
        }
    }
}

/// One user's access to the database. Keeps its own connection between two uses, and returns a
/// borrowed one.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    source: Source,
    kept: Option<Connection>,
}

impl ConnectionSlot {
    pub(super) fn new(source: Source) -> ConnectionSlot {
        ConnectionSlot { source, kept: None }
    }

    /// Opens a connection now, so that the next use need not wait.
    pub(super) async fn ready(&mut self) -> Result<(), StoreError> {
        let connection = self.take("connect").await?;
        self.kept = Some(connection);
        Ok(())
    }

    /// Returns a borrowed connection while there is no use for it.
    pub(super) fn rest(&mut self) {
        if let Some(connection) = self.kept.take() {
            self.hand_back(connection);
        }
    }

    /// Takes a connection. Hand it back if it is intact, throw it away otherwise.
    pub(super) async fn take(&mut self, operation: &'static str) -> Result<Connection, StoreError> {
        match self.kept.take() {
            Some(connection) => Ok(connection),
            None => self.source.connect(operation).await,
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
            connection.close().await;
        }
    }
}
