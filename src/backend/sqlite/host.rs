//! Writes in the host's own transaction.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::access::SqliteAccess;
use super::errors::{self, store_error};
use super::load;
use super::save;
use super::store::SqliteStore;
use super::sync::COUNT_SYNC;
use crate::backend::sql::{Frame, Phase};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{Batch, Done, Effect, ReadSet, Rejection, plan};

/// Numbers the savepoints of this process, so that two in one transaction never share a name.
/// Rolling one back must not touch another one whose commands were answered.
static SAVEPOINTS: AtomicU64 = AtomicU64::new(0);

/// Takes the write lock before anything is read, so that later reads see the newest data. It
/// changes nothing, and matches a row only in this store's database.
const TAKE_WRITE_LOCK: &str = "UPDATE actions_store SET id = id WHERE id = 1 AND store_id = $1";

impl SqliteStore {
    /// Executes commands as a part of the host's own transaction. They are applied when the host
    /// commits, together with the host's changes. The answers are those of
    /// [`write`](crate::ActionStore::write), and hold if the host commits.
    ///
    /// Begin the transaction with `begin_with("BEGIN IMMEDIATE")`. In a deferred one (`begin()`)
    /// this fails at once if another connection writes (SQLite code 517 or 5). Keep the transaction
    /// short: all other writes wait for it. A `write` of this store that is awaited inside it also
    /// waits, and fails with `Unavailable`.
    ///
    /// A repeated batch is as safe as with `write`. Once the future has returned, its commands are
    /// part of the transaction. If the future is dropped earlier, none of them is. For this the
    /// connection must be able to queue two statements:
    /// [`command_buffer_size`](sqlx::sqlite::SqliteConnectOptions::command_buffer_size), 50 by
    /// default. After an error, roll the transaction back: SQLite may have done so already.
    ///
    /// # Errors
    /// - `Invalid`: no transaction was begun through sqlx. The connection is to another database.
    ///   The batch is invalid, as in `write`.
    ///
    /// - `Unsupported`: the store is neither [shared] nor on a [pool](SqliteStore::on_pool).
    ///
    /// - `Unavailable`: the transaction may not write, or not now.
    ///
    /// - Otherwise as `write`, but never `OutcomeUnknown`: only the host's commit can report that.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(dir: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    /// use action_store::sqlite::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
    /// use action_store::{Batch, Command, NewAction, SqliteStore};
    ///
    /// let options = SqliteConnectOptions::new().filename(dir.join("plane.db"));
    /// let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    /// let pool = SqlitePool::connect_with(options).await?;
    /// let store = SqliteStore::on_pool(pool.clone()).await?;
    ///
    /// let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    /// // The host's own statements, and then:
    /// let create = Command::create(NewAction::task("create_bdb"));
    /// let batch = Batch::all(vec![create]);
    /// for answer in store.write_in(&mut transaction, batch).await? {
    ///     answer?;
    /// }
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// # let dir = tempfile::tempdir().unwrap();
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example(dir.path())).unwrap();
    /// ```
    ///
    /// [shared]: crate::SqliteOptions::shared
    pub async fn write_in(
        &self,
        connection: &mut SqliteConnection,
        batch: Batch,
    ) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        let (read_set, _) = self.check_batch("write_in", &batch)?;
        self.file.check_before("write_in")?;
        if self.access == SqliteAccess::Exclusive {
            let message = "the store is neither shared nor on the host's pool; open it so";
            return Err(refused(ErrorKind::Unsupported, message));
        }
        if !connection.is_in_transaction() {
            let message = "there is no transaction: begin one with begin_with(\"BEGIN IMMEDIATE\")";
            return Err(refused(ErrorKind::Invalid, message));
        }
        let before = |error| store_error("write_in", Phase::Before, error);
        let inside = Inside::begin(connection).await.map_err(before)?;
        // Dropping `inside` after an error rolls back what was done in it. If that is impossible,
        // SQLite has already rolled back the host's whole transaction.
        let answers = self
            .write_inside(inside.connection, &batch, &read_set)
            .await?;
        inside.keep();
        Ok(answers)
    }

    async fn write_inside(
        &self,
        connection: &mut SqliteConnection,
        batch: &Batch,
        read_set: &ReadSet,
    ) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        let before = |error| store_error("write_in", Phase::Before, error);
        self.take_write_lock(connection).await?;
        let needs_of_all = std::iter::once(read_set);
        let (mut txn, stored, numbers) = load::load(connection, needs_of_all, None).await?;
        let answers = plan(batch, read_set, &mut txn, self.clock.now());
        let write_set = txn.into_write_set();
        if write_set.is_empty() {
            // `Already` may stand on an unsynced commit. With this write, the host's commit syncs
            // it too.
            if answers
                .iter()
                .flatten()
                .any(|done| done.effect == Effect::Already)
            {
                let counted = sqlx::query(COUNT_SYNC)
                    .persistent(false)
                    .execute(connection);
                counted.await.map_err(before)?;
            }
        } else {
            let save = save::script(&write_set, stored, numbers, Frame::Inside).map_err(before)?;
            let saved = save.script.run(connection).await;
            saved.map_err(|failed| before(failed.error))?;
        }
        Ok(answers)
    }

    async fn take_write_lock(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let store_id = self.sql.lineage.store_id.as_uuid().as_bytes().as_slice();
        let taken = sqlx::query(TAKE_WRITE_LOCK).bind(store_id);
        let elsewhere = match taken.execute(connection).await {
            Ok(taken) => taken.rows_affected() == 0,
            Err(error) if errors::is_unknown_name(&error) => true,
            Err(error) => {
                let error = store_error("write_in", Phase::Before, error);
                if !errors::is_busy(&error) {
                    return Err(error);
                }
                let message = "somebody else writes, or has written since this transaction \
                               began: begin it with BEGIN IMMEDIATE";
                return Err(refused(ErrorKind::Unavailable, message).with_source(error));
            }
        };
        if elsewhere {
            let message = "the connection is not to this store's database";
            return Err(refused(ErrorKind::Invalid, message));
        }
        Ok(())
    }
}

/// A savepoint in the host's transaction. If this is dropped before [`keep`](Inside::keep), the
/// connection rolls the savepoint back before its next statement.
///
/// Does not use sqlx's savepoints. If the future of their `begin` is dropped, sqlx rolls two levels
/// back. The second one is the host's transaction, and the host's commit does not report that.
struct Inside<'c> {
    connection: &'c mut SqliteConnection,
    number: u64,
    keep: bool,
}

impl<'c> Inside<'c> {
    async fn begin(connection: &'c mut SqliteConnection) -> Result<Inside<'c>, sqlx::Error> {
        // Created before the first poll: a statement that was sent is always executed.
        let inside = Inside {
            connection,
            number: SAVEPOINTS.fetch_add(1, Ordering::Relaxed),
            keep: false,
        };
        let begun = sqlx::query(AssertSqlSafe(inside.sql("SAVEPOINT")));
        let begun = begun.persistent(false);
        begun.execute(&mut *inside.connection).await?;
        Ok(inside)
    }

    /// Keeps what was done in the host's transaction.
    ///
    /// Does not wait for the RELEASE: if the future were dropped while it waits, it could neither
    /// answer nor undo. Nothing depends on the result. A savepoint that stays open ends with the
    /// host's transaction, and its changes share that transaction's outcome.
    fn keep(mut self) {
        self.keep = true;
        self.send("RELEASE");
    }

    /// Queues a savepoint statement on the connection's thread, which executes statements in order.
    /// The first poll queues it. At most one earlier statement of `write_in` is still running, so
    /// there is room.
    fn send(&mut self, statement: &str) {
        let sent = sqlx::query(AssertSqlSafe(self.sql(statement))).persistent(false);
        let sent = pin!(sent.execute(&mut *self.connection));
        let _later = sent.poll(&mut Context::from_waker(Waker::noop()));
    }

    fn sql(&self, statement: &str) -> String {
        format!("{statement} actions_write_in_{}", self.number)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if !self.keep {
            // These statements fail if there is no savepoint: it never began, or SQLite has rolled
            // back the host's transaction.
            self.send("ROLLBACK TO");
            self.send("RELEASE");
        }
    }
}

fn refused(kind: ErrorKind, message: &'static str) -> StoreError {
    StoreError::new(kind, "write_in", message)
}
