//! An action that a tracker prepares, created in the host's own transaction and begun after its
//! commit.

use std::sync::Arc;

use action_store::tracker::{Prepared, RunError};
use action_store::{
    ActionStore, ActionStoreExt, ErrorKind, NewAction, Outcome, PostgresOptions, PostgresStore,
    Status, Tracker,
};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor};

use super::{Server, close_whole, new_schema, open};

/// A host with a table of its own, and a store and a tracker on its pool.
struct Host {
    server: &'static Server,
    schema: String,
    pool: PgPool,
    store: Arc<PostgresStore>,
    tracker: Tracker,
}

impl Host {
    /// `None` if there is no server.
    async fn new(test: &str) -> Option<Host> {
        let server = Server::shared(test)?;
        let schema = new_schema();
        let pool = PgPoolOptions::new().max_connections(3);
        let pool = pool.connect(&server.url()).await.unwrap();
        let options = PostgresOptions::new().with_schema(&schema);
        let store = Arc::new(options.on_pool(pool.clone()).await.unwrap());
        let table = format!("CREATE TABLE host_{schema} (name text PRIMARY KEY, action text)");
        pool.execute(AssertSqlSafe(table)).await.unwrap();
        let tracker = Tracker::start(store.clone(), "plane@1").await.unwrap();
        Some(Host {
            server,
            schema,
            pool,
            store,
            tracker,
        })
    }

    /// Writes a row and the action in one transaction, and commits it or not.
    async fn create(
        &self,
        name: &str,
        prepared: &Prepared,
        commit: bool,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let answers = self
            .store
            .write_in(&mut transaction, prepared.batch())
            .await;
        for answer in answers.unwrap() {
            answer.unwrap();
        }
        let insert = format!("INSERT INTO host_{} VALUES ($1, $2)", self.schema);
        sqlx::query(AssertSqlSafe(insert))
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
        let count = format!("SELECT count(*) FROM host_{}", self.schema);
        let count = sqlx::query_scalar(AssertSqlSafe(count));
        count.fetch_one(&self.pool).await.unwrap()
    }

    /// Ends the host, and checks its store.
    async fn close(self) {
        self.tracker.shutdown().await.unwrap();
        drop(self.tracker);
        self.store.close().await.unwrap();
        self.pool.close().await;
        close_whole(open(self.server, &self.schema).await).await;
    }
}

fn new() -> NewAction {
    NewAction::task("create_bdb")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_action_is_begun_after_the_hosts_commit() {
    let Some(host) = Host::new("a_prepared_action_is_begun_after_the_hosts_commit").await else {
        return;
    };
    let prepared = host.tracker.prepare(new()).unwrap();
    let uid = prepared.uid();
    let found = host.store.action(uid).await.unwrap();
    assert_eq!(found, None, "nothing is written");
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

    // With parts: each is started after the commit.
    let parts = [new().with_exclusive("a"), new().with_exclusive("b")];
    let prepared = host.tracker.prepare(new()).unwrap();
    let prepared = prepared.with_children(parts).unwrap();
    host.create("sessions", &prepared, true).await.unwrap();
    let parts: Vec<_> = prepared.children().collect();
    let action = host.tracker.begin(prepared).await.unwrap();
    for part in parts {
        let part = host.tracker.start_queued(part).await.unwrap();
        part.succeed().await.unwrap();
    }
    action.succeed().await.unwrap();
    assert_eq!(host.rows().await, 2);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_action_the_host_did_not_commit_is_not_begun() {
    let Some(host) = Host::new("a_prepared_action_the_host_did_not_commit_is_not_begun").await
    else {
        return;
    };
    let prepared = host.tracker.prepare(new()).unwrap();
    let uid = prepared.uid();
    host.create("orders", &prepared, false).await.unwrap();
    let refused = host.tracker.begin(prepared.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    let not_run = host.tracker.run(prepared, async |_| Ok(())).await;
    assert!(matches!(not_run, Err(RunError::NotBegun(_))), "{not_run:?}");
    assert_eq!(host.store.action(uid).await.unwrap(), None);
    assert_eq!(host.rows().await, 0);

    // A failure of the host's own statement takes the action with it.
    let first = host.tracker.prepare(new()).unwrap();
    host.create("orders", &first, true).await.unwrap();
    let second = host.tracker.prepare(new()).unwrap();
    host.create("orders", &second, true).await.unwrap_err();
    assert_eq!(host.store.action(second.uid()).await.unwrap(), None);
    let action = host.tracker.begin(first).await.unwrap();
    action.succeed().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_action_that_was_never_begun_is_settled_by_the_next_start() {
    let name = "a_prepared_action_that_was_never_begun_is_settled_by_the_next_start";
    let Some(mut host) = Host::new(name).await else {
        return;
    };
    let prepared = host.tracker.prepare(new()).unwrap();
    host.create("orders", &prepared, true).await.unwrap();
    let late = host.tracker.prepare(new()).unwrap();
    let mut transaction = host.pool.begin().await.unwrap();
    let written = host.store.write_in(&mut transaction, late.batch()).await;
    written.unwrap().pop().unwrap().unwrap();

    // Another process takes the name over while the host still holds its transaction.
    let next = Tracker::start(host.store.clone(), "plane@1").await.unwrap();
    let recovery = next.recovery().await;
    assert_eq!(
        (recovery.interrupted, recovery.lost),
        (1, 0),
        "{recovery:?}"
    );
    let settled = host.store.action(prepared.uid()).await.unwrap().unwrap();
    assert_eq!(settled.outcome, Some(Outcome::Interrupted));
    let error = transaction.commit().await.unwrap_err();
    let code = error.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("40001"), "{error}");
    assert_eq!(host.store.action(late.uid()).await.unwrap(), None);
    let refused = host.tracker.begin(prepared).await.unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::Fenced | ErrorKind::Found),
        "{refused:?}"
    );
    let fenced = std::mem::replace(&mut host.tracker, next);
    drop(fenced);
    host.close().await;
}
