//! Writing in the host's own transaction.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::errors::{self, Phase, store_error};
use super::save::{self, Frame};
use super::sync::COUNT_SYNC;
use super::{SqliteAccess, SqliteStore, load};
use crate::error::{ErrorKind, StoreError};
use crate::model::{Batch, Done, Effect, Needs, Refused, plan};

/// Numbers the savepoints of this process. Two in one transaction never share a name: to roll one
/// back must not touch another, whose commands were answered.
static SAVEPOINTS: AtomicU64 = AtomicU64::new(0);

/// Changes nothing, and so takes the right to write without reading anything first: what is then
/// read is the newest there is. It finds its row in this store's database only.
const TAKE_WRITE_LOCK: &str = "UPDATE actions_store SET id = id WHERE id = 1 AND life = $1";

impl SqliteStore {
    /// Carries commands out as a part of the host's own transaction: they are there if and when the
    /// host commits, together with whatever else it did. The answers speak for that case; they are
    /// what [`write`](crate::ActionStore::write) would have answered.
    ///
    /// Begin the transaction with `begin_with("BEGIN IMMEDIATE")`. In a deferred one (`begin()`)
    /// this works only as long as nobody else writes: SQLite then refuses at once (code 517 or 5),
    /// and so does this. Keep it short: everybody else's writes wait for it, those of this store
    /// too, so a `write` that is awaited inside ends as `Unavailable`.
    ///
    /// A repeat is as harmless as that of a `write`. Once the future has answered, its commands are
    /// part of the transaction. If it is dropped before, none of them is. (For this the connection
    /// must be able to queue two statements:
    /// [`command_buffer_size`](sqlx::sqlite::SqliteConnectOptions::command_buffer_size), 50 by
    /// default.) After an error roll the transaction back: SQLite may have done so already.
    ///
    /// # Errors
    /// `Invalid` without a transaction begun through sqlx, for a connection to another database,
    /// and for a batch as in `write`; `Unsupported` unless the store is [shared] or on a
    /// [pool](SqliteStore::on_pool); `Unavailable` if the transaction may not write (now); as
    /// `write` otherwise, but never `OutcomeUnknown`: that is for the host's commit to say.
    ///
    /// ```
    /// # async fn example(dir: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use action_store::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
    /// use action_store::{Batch, Command, NewAction, SqliteStore};
    ///
    /// let options = SqliteConnectOptions::new().filename(dir.join("plane.db"));
    /// let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    /// let pool = SqlitePool::connect_with(options).await?;
    /// let store = SqliteStore::on_pool(pool.clone()).await?;
    ///
    /// let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    /// // The host's own statements, and then:
    /// let new = Arc::new(NewAction::task("create_bdb"));
    /// let batch = Batch::all(vec![Command::Create { new, by: None }]);
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
    ) -> Result<Vec<Result<Done, Refused>>, StoreError> {
        let (needs, _) = self.check("write_in", &batch)?;
        self.file.check_before("write_in")?;
        if self.access == SqliteAccess::Exclusive {
            let message = "open the store shared, or on the host's pool";
            return Err(refused(ErrorKind::Unsupported, message));
        }
        if !connection.is_in_transaction() {
            let message = "there is no transaction: begin one with begin_with(\"BEGIN IMMEDIATE\")";
            return Err(refused(ErrorKind::Invalid, message));
        }
        let before = |error| store_error("write_in", Phase::Before, error);
        let inside = Inside::begin(connection).await.map_err(before)?;
        // Dropped after an error, `inside` rolls back what was done in it. If that cannot be done,
        // SQLite has rolled back the host's transaction as a whole.
        let answers = self.write_inside(inside.connection, &batch, &needs).await?;
        inside.keep();
        Ok(answers)
    }

    async fn write_inside(
        &self,
        connection: &mut SqliteConnection,
        batch: &Batch,
        needs: &Needs,
    ) -> Result<Vec<Result<Done, Refused>>, StoreError> {
        let before = |error| store_error("write_in", Phase::Before, error);
        self.take_write_lock(connection).await?;
        let needs_of_all = std::iter::once(needs);
        let (mut loaded, stored, numbers) = load::load(connection, needs_of_all, None).await?;
        let answers = plan(batch, needs, &mut loaded, self.clock.now());
        let changes = loaded.into_changes();
        if changes.is_empty() {
            // The host's commit then syncs what `Already` stands on, as that of a `write` does.
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
            let save = save::script(&changes, stored, numbers, Frame::Inside).map_err(before)?;
            let saved = save.script.run(connection).await;
            saved.map_err(|failed| before(failed.error))?;
        }
        Ok(answers)
    }

    async fn take_write_lock(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let life = self.life.as_uuid().as_bytes().as_slice();
        let taken = sqlx::query(TAKE_WRITE_LOCK).bind(life);
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
/// connection rolls the savepoint back before it does anything else.
///
/// Not one of sqlx's: where the future of its `begin` is dropped, two levels are rolled back. The
/// second is the host's own transaction, and the host's commit says nothing of it.
struct Inside<'c> {
    connection: &'c mut SqliteConnection,
    number: u64,
    keep: bool,
}

impl<'c> Inside<'c> {
    async fn begin(connection: &'c mut SqliteConnection) -> Result<Inside<'c>, sqlx::Error> {
        // Made before the first poll: a statement that was sent is executed in any case.
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

    /// Leaves what was done in the host's transaction.
    ///
    /// Does not wait for the RELEASE: a future that is dropped while it waits could neither answer
    /// nor undo what was released. Nothing depends on its result. A savepoint that stays open ends
    /// with the host's transaction, and what was done in it goes the way of that transaction.
    fn keep(mut self) {
        self.keep = true;
        self.send("RELEASE");
    }

    /// Hands a statement about the savepoint to the connection's thread, which executes one after
    /// the other. The first poll does that: every earlier statement of `write_in` but the last has
    /// ended, so there is room.
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
            // These fail if there is no savepoint: it was never begun, or SQLite has rolled back
            // the host's transaction.
            self.send("ROLLBACK TO");
            self.send("RELEASE");
        }
    }
}

fn refused(kind: ErrorKind, message: &'static str) -> StoreError {
    StoreError::new(kind, "write_in", message)
}
