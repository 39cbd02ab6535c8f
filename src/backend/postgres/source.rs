//! Connections: of the store's own, or from the host's pool.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgRow};
use sqlx::{ConnectOptions, Connection as _, Postgres, Row};

use super::errors::store_error;
use super::script::{Script, silent};
use crate::backend::sql::Phase;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::spi::deadline::deadline;

/// Maximum time to open one connection.
const OPENING: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The servers of one database. One of them accepts writes at a time. The first that answers
    /// is used.
    Own(Arc<[PgConnectOptions]>),
    /// The host's pool. A connection is borrowed for one command or transaction and then returned
    /// unchanged, so a pool of one is enough.
    Pool(PgPool),
}

/// A connection in use.
///
/// If it is dropped in the middle of a transaction, because the runtime ends, a borrowed connection
/// does not go back to its pool.
#[derive(Debug)]
pub(super) struct Connection {
    /// `None` only while it is dropped.
    kind: Option<Kind>,
    in_transaction: bool,
}

#[derive(Debug)]
enum Kind {
    Own(PgConnection),
    Borrowed(PoolConnection<Postgres>),
}

impl Connection {
    fn new(kind: Kind) -> Connection {
        Connection {
            kind: Some(kind),
            in_transaction: false,
        }
    }

    /// Marks the beginning of a transaction.
    pub(super) fn enter(&mut self) {
        self.in_transaction = true;
    }

    /// Marks the end of a transaction.
    pub(super) fn leave(&mut self) {
        self.in_transaction = false;
    }

    /// Runs a script on the connection.
    pub(super) async fn run(&mut self, script: Script) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
        self.run_within(script, Duration::MAX).await
    }

    /// The same, but fails if the server sends nothing for a time.
    pub(super) async fn run_within(
        &mut self,
        script: Script,
        silence: Duration,
    ) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
        match &mut self.kind {
            Some(Kind::Own(connection)) => script.run_within(connection, silence).await,
            Some(Kind::Borrowed(connection)) => script.run_within(connection, silence).await,
            None => Err(sqlx::Error::WorkerCrashed),
        }
    }

    /// Rolls back an open transaction. Returns false if that fails.
    pub(super) async fn roll_back(&mut self) -> bool {
        let mut script = Script::new();
        script.push("ROLLBACK");
        let rolled_back = deadline(OPENING, self.run(script)).await;
        let rolled_back = matches!(rolled_back, Some(Ok(_)));
        self.in_transaction &= !rolled_back;
        rolled_back
    }

    /// Ends a connection that failed or may be in a transaction; its pool then has room for another.
    pub(super) async fn throw_away(mut self) {
        // Nothing depends on how it ends: the server ends its transaction with it.
        let _ended = match self.kind.take() {
            Some(Kind::Own(connection)) => connection.close_hard().await,
            Some(Kind::Borrowed(connection)) => connection.detach().close_hard().await,
            None => Ok(()),
        };
    }

    async fn close(mut self) {
        if let Some(Kind::Own(connection)) = self.kind.take() {
            let _ended = deadline(OPENING, connection.close()).await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(Kind::Borrowed(connection)) = self.kind.take_if(|_| self.in_transaction) {
            drop(connection.detach());
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
                    match open(server, servers.len() > 1).await {
                        Ok(connection) => return Ok(Connection::new(Kind::Own(connection))),
                        Err(error) => failure = Some(before(error)),
                    }
                }
                let none = || StoreError::new(ErrorKind::Invalid, operation, "no server is named");
                Err(failure.unwrap_or_else(none))
            }
            Source::Pool(pool) => {
                let borrowed = pool.acquire().await;
                borrowed
                    .map(|connection| Connection::new(Kind::Borrowed(connection)))
                    .map_err(before)
            }
        }
    }
}

/// Opens a connection to a server, which must not be a standby if there are others.
async fn open(
    server: &PgConnectOptions,
    is_one_of_several: bool,
) -> Result<PgConnection, sqlx::Error> {
    let opened = deadline(OPENING, server.connect()).await;
    let mut connection = opened.unwrap_or_else(|| Err(silent()))?;
    if is_one_of_several {
        let mut script = Script::new();
        script.push("SELECT pg_catalog.pg_is_in_recovery()");
        let asked = deadline(OPENING, script.run(&mut connection)).await;
        let rows = asked.unwrap_or_else(|| Err(silent()))?;
        let row = rows.iter().flatten().next();
        if row.is_none_or(|row| row.try_get(0).unwrap_or(true)) {
            let message = "the server is a standby";
            return Err(sqlx::Error::Io(std::io::Error::other(message)));
        }
    }
    Ok(connection)
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

    /// Keeps a connection for the next use, also a borrowed one.
    pub(super) fn keep(&mut self, connection: Connection) {
        self.kept = Some(connection);
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
        self.kept = match connection.kind {
            Some(Kind::Own(_)) => Some(connection),
            _ => None,
        };
    }

    /// Closes the kept connection, if there is one.
    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.kept.take() {
            connection.close().await;
        }
    }
}
