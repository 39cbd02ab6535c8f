//! An action created in the host's own transaction and begun after its commit.

use std::sync::Arc;

use action_store::tracker::{Prepared, RunError};
use action_store::{
    ActionStore, ActionStoreExt, ErrorKind, NewAction, Outcome, SqliteStore, Status, Tracker,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};

struct Host {
    _dir: tempfile::TempDir,
    pool: SqlitePool,
    store: Arc<SqliteStore>,
    tracker: Tracker,
}

/// A host with a table of its own.
async fn host() -> Host {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(dir.path().join("plane.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let table = "CREATE TABLE bdb (name TEXT NOT NULL UNIQUE, action TEXT NOT NULL)";
    sqlx::query(table).execute(&pool).await.unwrap();
    let store = Arc::new(SqliteStore::on_pool(pool.clone()).await.unwrap());
    let tracker = Tracker::start(store.clone(), "plane@host-1").await.unwrap();
    Host {
        _dir: dir,
        pool,
        store,
        tracker,
    }
}

impl Host {
    /// Writes a row of its own and the action, in one transaction, and commits it or not.
    async fn create(
        &self,
        name: &str,
        prepared: &Prepared,
        commit: bool,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let answers = self
            .store
            .write_in(&mut transaction, prepared.batch())
            .await;
        for answer in answers.unwrap() {
            answer.unwrap();
        }
        sqlx::query("INSERT INTO bdb (name, action) VALUES ($1, $2)")
            .bind(name)
            .bind(prepared.uid().to_string())
            .execute(&mut *transaction)
            .await?;
        match commit {
            true => transaction.commit().await,
            false => transaction.rollback().await,
        }
    }

    async fn rows(&self) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM bdb");
        count.fetch_one(&self.pool).await.unwrap()
    }
}

fn new() -> NewAction {
    NewAction::task("create_bdb")
}

#[tokio::test]
async fn an_action_is_begun_after_the_hosts_commit() {
    let host = host().await;
    let prepared = host.tracker.prepare(new()).unwrap();
    let uid = prepared.uid();
    assert_eq!(prepared.owner(), host.tracker.owner());
    assert_eq!(
        host.store.action(uid).await.unwrap(),
        None,
        "nothing is written"
    );

    host.create("orders", &prepared, true).await.unwrap();
    let queued = host.store.action(uid).await.unwrap().unwrap();
    assert_eq!(queued.status, Status::Queued);
    assert_eq!(queued.owner.as_ref(), Some(host.tracker.owner()));

    let work = host.tracker.spawn(prepared, async |action| {
        action.step("create").await?;
        Ok(7)
    });
    assert_eq!(work.await.unwrap().join().await.unwrap(), 7);
    let done = host.store.action(uid).await.unwrap().unwrap();
    assert_eq!(done.outcome, Some(Outcome::Succeeded));
    assert_eq!(host.rows().await, 1);
}

#[tokio::test]
async fn an_action_the_host_did_not_commit_is_not_begun() {
    let host = host().await;
    let prepared = host.tracker.prepare(new()).unwrap();
    let uid = prepared.uid();
    host.create("orders", &prepared, false).await.unwrap();
    let refused = host.tracker.begin(prepared.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    let not_run = host.tracker.run(prepared, async |_| Ok(())).await;
    assert!(matches!(not_run, Err(RunError::NotBegun(_))), "{not_run:?}");
    assert_eq!(host.store.action(uid).await.unwrap(), None);
    assert_eq!(host.rows().await, 0);
}

#[tokio::test]
async fn the_hosts_failure_takes_the_action_with_it() {
    let host = host().await;
    let first = host.tracker.prepare(new()).unwrap();
    host.create("orders", &first, true).await.unwrap();
    let second = host.tracker.prepare(new()).unwrap();
    host.create("orders", &second, true).await.unwrap_err();
    assert_eq!(host.store.action(second.uid()).await.unwrap(), None);
    assert!(host.store.action(first.uid()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_committed_action_that_was_never_begun_is_settled_by_the_next_start() {
    let host = host().await;
    let prepared = host.tracker.prepare(new()).unwrap();
    host.create("orders", &prepared, true).await.unwrap();
    let next = Tracker::start(host.store.clone(), "plane@host-1")
        .await
        .unwrap();
    assert_eq!(next.recovery().await.interrupted, 1);
    let settled = host.store.action(prepared.uid()).await.unwrap().unwrap();
    assert_eq!(settled.outcome, Some(Outcome::Interrupted));
    // The old tracker is fenced, and what it prepared stays over.
    let refused = host.tracker.begin(prepared).await.unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::Fenced | ErrorKind::Found),
        "{refused:?}"
    );
    host.store.close().await.unwrap();
}

#[tokio::test]
async fn an_action_over_a_limit_is_refused_before_the_transaction() {
    let host = host().await;
    let refused = host.tracker.prepare(NewAction::task("")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}
