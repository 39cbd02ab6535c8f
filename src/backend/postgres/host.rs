//! Writes in the host's own transaction.
//!
//! The writer's lock is not taken: the host may hold its transaction for long. The transaction locks
//! the names that it uses, writes rows without revisions, and leaves a mark. A transaction that has the lock of all
//! writers after the host's commit stamps the actions of the mark.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor};

use super::decode::Columns;
use super::errors::{is_unknown_name, store_error};
use super::load::{self, Under};
use super::save;
use super::store::PostgresStore;
use crate::backend::sql::{Phase, corrupt};
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{Batch, Command, Done, Effect, Rejection, plan};

impl PostgresStore {
    /// Executes commands as a part of the host's own transaction. They are applied when the host
    /// commits, together with the host's changes. The answers are those of
    /// [`write`](crate::ActionStore::write), and hold if the host commits.
    ///
    /// Begin the transaction through sqlx, with the isolation level READ COMMITTED. The host may
    /// hold it as long as it likes: other writers go on. Only commands about the same actions and
    /// the same keys wait for it, in other hosts' transactions and in the store's own writes.
    ///
    /// [`get`](crate::ActionStore::get) finds the actions right after the host's commit. They have
    /// their place in the feed and in the log once another transaction of the store has stamped
    /// them. A list, a log and a waiting [`changed`](crate::ActionStore::changed) do this when they
    /// find it necessary.
    ///
    /// Once the future has returned, its commands are part of the transaction. The host's commit
    /// fails with SQLSTATE 40001 if an owner that the commands name has ended meanwhile, or if the
    /// future was dropped after it had sent changes. Nothing is applied then. Repeat the whole
    /// transaction. After an error, roll the transaction back. `SET CONSTRAINTS ALL IMMEDIATE` must
    /// not be in force during the call.
    ///
    /// # Errors
    /// - `Invalid`: no transaction was begun through sqlx, or not with READ COMMITTED. The
    ///   connection is to another database. The batch is invalid, as in `write`.
    ///
    /// - `Unsupported`: a command about an owner, or an [`Import`](Command::Import). A claim or a
    ///   fence in a transaction that the host holds would stop the heartbeats of other processes.
    ///
    /// - `Unavailable`: the server failed, or two hosts' transactions wait for each other. The
    ///   server's lock table is full: each action and key takes a lock until the transaction ends. An
    ///   action to be removed was changed in another transaction, and is not stamped yet.
    ///
    /// - Otherwise as `write`, but never `OutcomeUnknown`: only the host's commit can report that.
    pub async fn write_in(
        &self,
        connection: &mut PgConnection,
        batch: Batch,
    ) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.check_usable("write_in")?;
        let (read_set, _) = self.sql.check_batch("write_in", &batch)?;
        let is_allowed = |command: &Command| {
            matches!(
                command,
                Command::Create { .. }
                    | Command::Apply { .. }
                    | Command::Pin { .. }
                    | Command::Remove { .. }
            )
        };
        if !batch.commands.iter().all(is_allowed) {
            let message = "owners cannot be changed in a host's transaction, nor actions imported";
            return Err(refused(ErrorKind::Unsupported, message));
        }
        if !connection.is_in_transaction() {
            let message = "there is no transaction: begin one with begin()";
            return Err(refused(ErrorKind::Invalid, message));
        }
        let before = |error| store_error("write_in", Phase::Before, error);
        let read_sets = [&read_set];
        let mut load = load::script(&read_sets, &self.setup, &self.locks, Under::Names);
        let results = match load.script.take().run(connection).await {
            Err(error) if is_unknown_name(&error) => {
                return Err(refused(ErrorKind::Invalid, ELSEWHERE).with_source(before(error)));
            }
            results => results.map_err(before)?,
        };
        let mut read = load.read(results)?;
        match read.host {
            Some((store_id, true)) if store_id == self.sql.lineage.store_id => {}
            Some((_, true)) => return Err(refused(ErrorKind::Invalid, ELSEWHERE)),
            _ => {
                let message = "the transaction is not READ COMMITTED";
                return Err(refused(ErrorKind::Invalid, message));
            }
        }
        let now = self.clock.as_ref().map_or(read.now, Clock::now);
        let answers = plan(&batch, &read_set, &mut read.txn, now);
        let write_set = read.txn.into_write_set();
        let mut done = answers.iter().flatten();
        // A change that was there already may not be durable. With a mark, the host's commit waits for that.
        if write_set.is_empty() && !done.any(|done| done.effect == Effect::Already) {
            return Ok(answers);
        }
        let owners = read_set.owners();
        let places = (&*self.setup, &self.locks);
        let (script, mark) =
            save::script_in(&write_set, read.numbers, &read.within, owners, places)
                .map_err(|error| StoreError::from_codec("write_in", error))?;
        let results = script.run(connection).await.map_err(before)?;
        let mark = results.get(mark).and_then(|rows| rows.first());
        let mark = mark.ok_or_else(|| corrupt("write_in", "a mark was not written"))?;
        let mark = Columns::new("write_in", mark).int()?;
        self.answer(connection, mark)?;
        Ok(answers)
    }

    /// Queues the statement that says that the call has answered.
    ///
    /// Does not wait for its result: if the future were dropped while it waits, the statement would
    /// count and the host had no answer. The host's next statement is sent behind it.
    fn answer(&self, connection: &mut PgConnection, mark: i64) -> Result<(), StoreError> {
        let schema = &self.setup.schema;
        let answered = format!(
            "UPDATE {schema}.actions_mark SET answered = true WHERE id OPERATOR(pg_catalog.=) {mark}"
        );
        let mut sent = pin!(connection.execute(sqlx::raw_sql(AssertSqlSafe(answered))));
        match sent.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => Err(store_error("write_in", Phase::Before, error)),
            Poll::Ready(Ok(_)) | Poll::Pending => Ok(()),
        }
    }
}

const ELSEWHERE: &str = "the connection is not to this store's database";

fn refused(kind: ErrorKind, message: &'static str) -> StoreError {
    StoreError::new(kind, "write_in", message)
}
