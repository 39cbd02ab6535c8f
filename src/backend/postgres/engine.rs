//! PostgreSQL as the shared writer uses it.
//!
//! A transaction takes two round trips: one begins it, takes the lock of all writers and loads, the
//! other saves and commits.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;

use super::decode::Columns;
use super::errors::{self, is_lost, store_error, was_refused};
use super::host_locks::HostLocks;
use super::load::{self, Within};
use super::queries::{GATE, POSITION};
use super::replica::SeenCommit;
use super::save::{self, Save};
use super::script::{Script, silent};
use super::setup::{BUSY, Setup};
use super::source::{Connection, ConnectionSlot};
use crate::backend::sql::{Doubt, Encoded, Engine, Frame, Loaded, Phase, Stored, Verdict};
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{ActionUid, Owner, ReadSet, Timestamp, WriteSet};
use crate::spi::deadline::deadline;

/// Pause between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct PostgresEngine {
    pub(super) slot: ConnectionSlot,
    pub(super) setup: Arc<Setup>,
    pub(super) locks: HostLocks,
    /// Clock instead of the server's.
    pub(super) clock: Option<Clock>,
    /// Maximum duration of one half of a transaction. After it, the connection counts as lost.
    pub(super) timeout: Duration,
    /// Facts about the open transaction, for its second half.
    pub(super) within: Within,
    /// True if a host's transaction was found the last time.
    pub(super) has_hosts: bool,
    pub(super) seen: SeenCommit,
}

impl Encoded for Save {
    fn expected(&self) -> Stored {
        self.after
    }

    fn numbers(&self) -> &HashMap<ActionUid, i64> {
        &self.numbers
    }
}

/// Waits for a script, but no longer than `timeout`. The connection must not be used again then.
async fn in_time(
    timeout: Duration,
    ran: impl Future<Output = Result<Vec<Vec<PgRow>>, sqlx::Error>>,
) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
    match deadline(timeout, ran).await {
        Some(results) => results,
        None => Err(silent()),
    }
}

fn before(error: sqlx::Error) -> StoreError {
    store_error("write", Phase::Before, error)
}

impl PostgresEngine {
    /// Connects, and tries again for a while: a server that is restarted, or whose standby takes its
    /// place, is back soon.
    async fn connect(&mut self) -> Result<Connection, StoreError> {
        let begun = Instant::now();
        loop {
            match self.slot.take("write").await {
                Err(error) if error.kind() == ErrorKind::Unavailable && begun.elapsed() < BUSY => {
                    tokio::time::sleep(PAUSE).await;
                }
                connected => return connected,
            }
        }
    }

    /// Ends a transaction that found its commands applied, and waits until they are durable: what
    /// another transaction has committed may be visible before that.
    async fn commit_unchanged(&self, connection: &mut Connection) -> Result<(), sqlx::Error> {
        let mut script = Script::new();
        save::push_guard(&mut script, &self.within);
        script.push("COMMIT");
        in_time(self.timeout, connection.run(script))
            .await
            .map(drop)
    }

    /// Reads under the lock what became of a transaction.
    async fn read_commit(
        &self,
        connection: &mut Connection,
        doubt: &Doubt<PostgresEngine>,
    ) -> Result<Verdict, StoreError> {
        let mut script = Script::new();
        self.setup.begin(&mut script);
        script.push(GATE);
        let skipped = script.len();
        script.push(POSITION);
        let number = script.bind_int(doubt.save.after.last_commit);
        script.push(&format!(
            "SELECT id FROM actions_commit WHERE number = ${number}"
        ));
        // Durable with this commit, which follows it: locking a row writes to the log.
        script.push("COMMIT");
        let results = in_time(BUSY, connection.run(script)).await;
        let results = results.map_err(before)?;
        let rows = |at: usize| results.get(skipped + at).map_or(&[][..], Vec::as_slice);
        let stored = load::read_position("write", rows(0))?;
        let found = match rows(1).first() {
            Some(row) => Some(Columns::new("write", row).id()?),
            None => None,
        };
        Ok(match found {
            Some(id) if id == doubt.save.id => Verdict::Applied(stored),
            // Another transaction has its number.
            Some(_) => Verdict::NotApplied,
            None if stored.last_commit < doubt.save.after.last_commit => Verdict::NotApplied,
            // So many have committed since that the row may have been deleted.
            None => Verdict::Overtaken,
        })
    }
}

impl Engine for PostgresEngine {
    type Connection = Connection;
    type Save = Save;
    type Error = sqlx::Error;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn plans_from_memory(&self) -> bool {
        false
    }

    fn now(&self) -> Timestamp {
        self.clock
            .as_ref()
            .map_or_else(|| Clock::system().now(), Clock::now)
    }

    fn is_in_doubt(&self) -> bool {
        false
    }

    async fn ready(&mut self) -> Result<(), StoreError> {
        let connection = self.connect().await?;
        self.slot.keep(connection);
        Ok(())
    }

    fn rest(&mut self) {
        self.slot.rest();
    }

    async fn give_way(&mut self) {
        // Writers that wait for a row lock get it in turn.
    }

    async fn connection(&mut self) -> Result<Connection, StoreError> {
        self.connect().await
    }

    fn hand_back(&mut self, connection: Connection) {
        self.slot.hand_back(connection);
    }

    async fn give_up(&mut self, mut connection: Connection, error: &StoreError) {
        let source = std::error::Error::source(error);
        let source = source.and_then(|source| source.downcast_ref::<sqlx::Error>());
        // An error of the library itself leaves the connection in its transaction, but intact.
        let is_lost = source.is_some_and(is_lost);
        if !is_lost && self.roll_back(&mut connection).await {
            self.slot.hand_back(connection);
        } else {
            connection.throw_away().await;
        }
    }

    async fn roll_back(&mut self, connection: &mut Connection) -> bool {
        connection.roll_back().await
    }

    async fn read_owners(
        &mut self,
        _connection: &mut Connection,
    ) -> Result<(Stored, Vec<Owner>), StoreError> {
        let message = "no plan is made from memory";
        Err(StoreError::new(ErrorKind::Unsupported, "write", message))
    }

    async fn load(
        &mut self,
        connection: &mut Connection,
        read_sets: &[&ReadSet],
    ) -> Result<Loaded, StoreError> {
        connection.enter();
        let loaded = deadline(
            self.timeout,
            load::load(
                connection,
                read_sets,
                &self.setup,
                &self.locks,
                self.has_hosts,
            ),
        )
        .await;
        let read = loaded.unwrap_or_else(|| Err(before(silent())))?;
        self.has_hosts = read.has_hosts;
        // Also a refusal tells what was there.
        self.seen.has_seen(read.stored.last_commit);
        self.within = read.within;
        Ok(Loaded {
            txn: read.txn,
            stored: read.stored,
            numbers: read.numbers,
            now: self.clock.as_ref().map_or(read.now, Clock::now),
            blocked: read.blocked,
        })
    }

    fn encode(
        &self,
        write_set: &WriteSet,
        stored: Stored,
        known: HashMap<ActionUid, i64>,
        frame: Frame,
    ) -> Result<Save, StoreError> {
        debug_assert_eq!(frame, Frame::Commit);
        let places = (&*self.setup, &self.locks);
        save::script(write_set, stored, known, &self.within, places)
            .map_err(|error| StoreError::from_codec("write", error))
    }

    async fn commit(
        &self,
        connection: &mut Connection,
        save: &mut Save,
    ) -> Result<Stored, (Phase, sqlx::Error)> {
        match in_time(self.timeout, connection.run(save.script.take())).await {
            Ok(_) => {
                connection.leave();
                self.seen.has_seen(save.after.last_commit);
                Ok(save.after)
            }
            // The statement that failed undid the others, and no later one was carried out.
            Err(error) if was_refused(&error) => Err((Phase::Before, error)),
            // The COMMIT may have been carried out, though its answer is lost.
            Err(error) => Err((Phase::Commit, error)),
        }
    }

    async fn end_unchanged(
        &mut self,
        connection: &mut Connection,
        repeats: bool,
    ) -> Result<(), StoreError> {
        let ended = match repeats {
            true => self.commit_unchanged(connection).await,
            false if connection.roll_back().await => Ok(()),
            false => Err(silent()),
        };
        match ended {
            Ok(()) => {
                connection.leave();
                Ok(())
            }
            // The repeated commands are applied already, perhaps by an earlier attempt of the same
            // call. So the answer must not be that they were not applied.
            Err(error) if repeats => Err(store_error("write", Phase::Commit, error)),
            Err(error) => Err(before(error)),
        }
    }

    async fn examine(
        &mut self,
        failed: Connection,
        _doubt: &Doubt<PostgresEngine>,
    ) -> Option<Verdict> {
        failed.throw_away().await;
        None
    }

    async fn look_up(&mut self, doubt: &Doubt<PostgresEngine>) -> Option<Verdict> {
        let mut connection = match self.slot.take("write").await {
            Ok(connection) => connection,
            // A closed pool stays closed.
            Err(error) if error.kind() == ErrorKind::Closed => return Some(Verdict::Unknown),
            Err(_) => return None,
        };
        connection.enter();
        match self.read_commit(&mut connection, doubt).await {
            Ok(verdict) => {
                if let Verdict::Applied(stored) = verdict {
                    self.seen.has_seen(stored.last_commit);
                }
                connection.leave();
                self.slot.hand_back(connection);
                Some(verdict)
            }
            Err(_) => {
                connection.throw_away().await;
                None
            }
        }
    }

    async fn close(mut self) {
        self.slot.close().await;
    }

    fn error(phase: Phase, error: sqlx::Error) -> StoreError {
        store_error("write", phase, error)
    }

    fn may_lie_with_one(error: &StoreError) -> bool {
        errors::may_lie_with_one(error)
    }

    fn may_succeed_again(error: &StoreError) -> bool {
        errors::comes_back(error)
    }

    fn contradicts(_error: &sqlx::Error) -> bool {
        // No plan is made from memory.
        false
    }
}
