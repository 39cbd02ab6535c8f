//! Test failures of commits that no file system can produce at the right moment.

use crate::backend::sql::{Phase, Stored};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use sqlx::sqlite::SqliteConnection;

use super::save::Save;
use super::script::roll_back;

/// A failure of a commit, with SQLite's extended code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Fails before COMMIT is sent.
    Before(i32),
    /// The commit is applied but reports a failure.
    Applied(i32),
    /// The commit is not applied.
    NotApplied(i32),
    /// The commit is applied, and then another writer commits.
    AppliedAndOvertaken(i32),
    /// The commit is not applied, and then another writer commits.
    NotAppliedAndOvertaken(i32),
}

/// The coming failures, one for each commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Arc<Mutex<VecDeque<Fault>>>);

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.0.lock().unwrap().push_back(fault);
    }

    pub(super) fn take(&self) -> Option<Fault> {
        self.0.lock().unwrap().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

impl Fault {
    pub(super) async fn commit(
        self,
        connection: &mut SqliteConnection,
        save: &mut Save,
    ) -> Result<Stored, (Phase, sqlx::Error)> {
        let script = save.script.take();
        let (applied, overtaken, code) = match self {
            Fault::Before(code) => {
                roll_back(connection).await;
                return Err((Phase::Before, coded(code)));
            }
            Fault::Applied(code) => (true, false, code),
            Fault::NotApplied(code) => (false, false, code),
            Fault::AppliedAndOvertaken(code) => (true, true, code),
            Fault::NotAppliedAndOvertaken(code) => (false, true, code),
        };
        if applied {
            drop(script.run(connection).await.map_err(|f| f.error).unwrap());
        } else {
            roll_back(connection).await;
        }
        // Lets a test act before the writer checks the outcome.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        if overtaken {
            let other = "UPDATE actions_store SET last_commit = last_commit / 2 + 1";
            sqlx::query(other).execute(connection).await.unwrap();
        }
        Err((Phase::Commit, coded(code)))
    }
}

/// Returns the error that SQLite would return.
pub(super) fn coded(code: i32) -> sqlx::Error {
    sqlx::Error::Database(Box::new(Coded(code)))
}

#[derive(Debug)]
struct Coded(i32);

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.0)
    }
}

impl std::error::Error for Coded {}

impl sqlx::error::DatabaseError for Coded {
    fn message(&self) -> &str {
        ""
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.0.to_string().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }
}

mod tests {
    use std::path::PathBuf;

    use sqlx::Connection as _;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};

    use super::super::schema;
    use super::*;
    use crate::error::StoreErrorKind as ErrorKind;
    use crate::model::{Batch, CancelRequest, Change, Command, Effect, NewAction, OwnerRef};
    use crate::store::{ActionStore, ActionStoreExt};
    use crate::{Action, SqliteOptions, SqliteStore};

    const FSYNC: i32 = 1034;
    const WRITE: i32 = 778;
    const FULL: i32 = 13;
    const READONLY: i32 = 8;

    /// A store and the failures of its commits.
    struct Failing {
        store: SqliteStore,
        faults: Faults,
        path: PathBuf,
        pool: Option<SqlitePool>,
        _dir: tempfile::TempDir,
    }

    const PLACES: [&str; 5] = ["exclusive", "shared", "wal", "truncate", "delete"];

    /// Opens a store in one of these ways, on a new file.
    async fn open(place: &str) -> Failing {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actions.db");
        let options = SqliteOptions::new();
        let faults = options.faults.clone();
        let mut pool = None;
        let store = match place {
            "exclusive" => options.open(&path).await,
            "shared" => options.shared().open(&path).await,
            mode => {
                let mode: SqliteJournalMode = mode.parse().unwrap();
                let on = SqliteConnectOptions::new()
                    .filename(&path)
                    .create_if_missing(true)
                    .journal_mode(mode)
                    .synchronous(SqliteSynchronous::Extra);
                let hosts = SqlitePool::connect_with(on).await.unwrap();
                pool = Some(hosts.clone());
                options.on_pool(hosts).await
            }
        };
        Failing {
            store: store.unwrap(),
            faults,
            path,
            pool,
            _dir: dir,
        }
    }

    impl Failing {
        /// Returns the number of commits that only made existing data durable.
        async fn syncs(&self) -> i64 {
            let options = schema::connect_options(&self.path, true);
            let mut connection = schema::connect(options, None).await.unwrap();
            let syncs = "SELECT syncs FROM actions_store";
            let syncs = schema::single(&mut connection, syncs).await.unwrap();
            connection.close().await.unwrap();
            syncs
        }

        /// Returns the effect of a batch with one command.
        async fn effect(&self, command: Command) -> Result<Effect, ErrorKind> {
            let answers = self.store.write(Batch::each(vec![command])).await;
            let answer = answers.map_err(|e| e.kind())?.pop().unwrap();
            Ok(answer.unwrap().effect)
        }

        async fn close(self) {
            assert!(self.faults.is_empty(), "a failure was not met");
            self.store.close().await.unwrap();
            if let Some(pool) = self.pool {
                pool.close().await;
            }
        }
    }

    fn create(new: NewAction) -> Command {
        let new = new.into();
        Command::Create { new, by: None }
    }

    fn claim() -> Command {
        let owner = OwnerRef::new("plane");
        Command::Claim {
            owner,
            take_over: true,
        }
    }

    fn request_cancel(action: &Action) -> Command {
        Command::apply(action.uid, Change::RequestCancel(CancelRequest::default()))
    }

    /// Batches planned from the cache, batches planned from loaded data, and batches that change no
    /// revision.
    fn commands() -> [Command; 3] {
        let keyed = NewAction::task("keyed").with_exclusive("key");
        [create(NewAction::task("a")), create(keyed), claim()]
    }

    #[tokio::test]
    async fn a_commit_that_failed_but_was_applied_is_answered_as_applied() {
        for place in PLACES {
            let failing = open(place).await;
            for command in commands() {
                failing.faults.add(Fault::Applied(FSYNC));
                let effect = failing.effect(command.clone()).await;
                assert_eq!(effect, Ok(Effect::Applied), "{place}: {command:?}");
                assert_eq!(failing.effect(command).await, Ok(Effect::Already));
            }
            failing.close().await;
        }
    }

    #[tokio::test]
    async fn a_commit_that_was_not_applied_is_unavailable_and_never_there() {
        for place in PLACES {
            let failing = open(place).await;
            for code in [FSYNC, WRITE, FULL] {
                for command in commands() {
                    let keyed = NewAction::task("keyed");
                    let command = match command {
                        // Each attempt uses another holder with its own key.
                        Command::Create { new, .. } if !new.exclusive.is_empty() => {
                            create(keyed.with_exclusive(code.to_string()))
                        }
                        other => other,
                    };
                    failing.faults.add(Fault::NotApplied(code));
                    let effect = failing.effect(command.clone()).await;
                    let unavailable = Err(ErrorKind::Unavailable);
                    assert_eq!(effect, unavailable, "{place} {code}: {command:?}");
                    // A repeat finds nothing of it.
                    assert_eq!(failing.effect(command).await, Ok(Effect::Applied));
                }
            }
            failing.close().await;
        }
    }

    #[tokio::test]
    async fn a_commit_that_others_have_overtaken_is_planned_again() {
        for place in PLACES {
            let failing = open(place).await;
            for command in commands() {
                failing.faults.add(Fault::NotAppliedAndOvertaken(FSYNC));
                let effect = failing.effect(command).await;
                assert_eq!(effect, Ok(Effect::Applied), "{place}");
            }
            for _ in 0..2 {
                let command = create(NewAction::task("b"));
                failing.faults.add(Fault::AppliedAndOvertaken(FSYNC));
                let effect = failing.effect(command).await;
                assert_eq!(effect, Ok(Effect::Already), "{place}");
            }
            failing.close().await;
        }
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_reached_leaves_the_outcome_unknown() {
        let failing = open("wal").await;
        let pool = failing.pool.clone().unwrap();
        failing.faults.add(Fault::Applied(FSYNC));
        let written = failing.effect(create(NewAction::task("a")));
        let closing = async {
            while !failing.faults.is_empty() {
                tokio::task::yield_now().await;
            }
            pool.close().await;
        };
        let (effect, ()) = tokio::join!(written, closing);
        assert_eq!(effect, Err(ErrorKind::OutcomeUnknown));
        failing.store.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_was_planned_on_a_commit_in_doubt_is_planned_on_what_became_of_it() {
        let cases = [
            (Fault::Applied(FSYNC), true, 3),
            (Fault::NotApplied(FSYNC), false, 2),
            (Fault::NotApplied(FULL), false, 2),
        ];
        for (fault, applied, version) in cases {
            let dir = tempfile::tempdir().unwrap();
            let mut options = SqliteOptions::new();
            options.sql.always_parts = true;
            let faults = options.faults.clone();
            let store = options.open(dir.path().join("actions.db")).await.unwrap();
            let action = store.create(NewAction::task("a")).await.unwrap();
            faults.add(fault);
            let first = store.write(Batch::each(vec![request_cancel(&action)]));
            let end = crate::Finish::new(crate::Outcome::Cancelled);
            // Sent in sequence, before the writer runs.
            let (first, second) = tokio::join!(first, store.finish(action.uid, end, None));
            assert_eq!(first.is_ok(), applied, "{fault:?}");
            let ended = second.unwrap();
            assert_eq!(ended.version.get(), version, "{fault:?}");
            assert_eq!(store.action(action.uid).await.unwrap(), Some(ended));
            store.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_that_turned_out_read_only_is_replaced() {
        for place in PLACES {
            let failing = open(place).await;
            for command in commands() {
                failing.faults.add(Fault::Before(READONLY));
                let effect = failing.effect(command).await;
                assert_eq!(effect, Ok(Effect::Applied), "{place}");
            }
            failing.close().await;
        }
    }

    #[tokio::test]
    async fn already_is_answered_after_a_sync_wherever_others_may_have_written() {
        for (place, syncs_each) in [("exclusive", 0), ("shared", 1), ("wal", 1)] {
            let failing = open(place).await;
            let command = create(NewAction::task("a"));
            assert_eq!(failing.effect(command.clone()).await, Ok(Effect::Applied));
            for _ in 0..3 {
                let before = failing.syncs().await;
                let effect = failing.effect(command.clone()).await;
                assert_eq!(effect, Ok(Effect::Already), "{place}");
                let after = failing.syncs().await;
                assert_eq!(after - before, syncs_each, "{place}");
            }
            failing.close().await;
        }
    }

    #[tokio::test]
    async fn already_in_the_hosts_transaction_makes_its_commit_sync() {
        let failing = open("wal").await;
        let batch = Batch::each(vec![create(NewAction::task("a"))]);
        failing.store.write(batch.clone()).await.unwrap();
        let pool = failing.pool.clone().unwrap();
        let before = failing.syncs().await;
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let answers = failing.store.write_in(&mut transaction, batch).await;
        let done = answers.unwrap().pop().unwrap().unwrap();
        assert_eq!(done.effect, Effect::Already);
        transaction.commit().await.unwrap();
        assert_eq!(failing.syncs().await, before + 1);
        failing.close().await;
    }

    #[tokio::test]
    async fn opening_makes_durable_what_is_found() {
        for place in PLACES {
            let failing = open(place).await;
            assert_eq!(failing.syncs().await, 1, "{place}");
            failing.close().await;
        }
    }

    #[tokio::test]
    async fn a_full_disk_leaves_the_store_readable() {
        for place in ["exclusive", "wal"] {
            let failing = open(place).await;
            let action = failing.store.create(NewAction::task("a")).await.unwrap();
            failing.faults.add(Fault::NotApplied(FULL));
            let effect = failing.effect(create(NewAction::task("b"))).await;
            assert_eq!(effect, Err(ErrorKind::Unavailable), "{place}");
            let found = failing.store.action(action.uid).await.unwrap();
            assert_eq!(found, Some(action));
            failing.close().await;
        }
    }
}
