//! Records an action in the same transaction as the host's own row: both are there, or neither.
//!
//!     cargo run --example host_transaction

use std::sync::Arc;

use action_store::sqlite::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
};
use action_store::sqlite::sqlx::{self, SqlitePool};
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, NewAction, ObjectRef, Outcome, SqliteStore, Tracker,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Creates a database: its row and its action are committed together. Then starts the work.
async fn create(
    (pool, store, tracker): (&SqlitePool, &SqliteStore, &Tracker),
    name: &str,
) -> Result<ActionUid, Error> {
    let new = NewAction::task("create_bdb").with_object(ObjectRef::new("bdb", name)?);
    let prepared = tracker.prepare(new.exclusive_on_object())?; // writes nothing yet

    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    for answer in store.write_in(&mut transaction, prepared.batch()).await? {
        answer?; // refused: the transaction is dropped here, which rolls it back
    }
    let insert = sqlx::query("INSERT INTO bdb (name) VALUES ($1)").bind(name);
    insert.execute(&mut *transaction).await?;
    transaction.commit().await?;

    let uid = prepared.uid();
    let work = async |_| Ok(()); // the work of the host; it may take hours
    tracker.run(prepared, work).await?;
    Ok(uid)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let dir = tempfile::tempdir()?;
    let connect = SqliteConnectOptions::new()
        .filename(dir.path().join("plane.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().connect_with(connect).await?;
    let table = "CREATE TABLE bdb (name TEXT PRIMARY KEY) STRICT";
    sqlx::query(table).execute(&pool).await?;
    // Adds its own tables, all named `actions_*`, and changes no setting of the pool.
    let store = Arc::new(SqliteStore::on_pool(pool.clone()).await?);
    let tracker = Tracker::start(store.clone(), "plane@host-1").await?;
    let plane = (&pool, &*store, &tracker);

    let uid = create(plane, "orders").await?;
    let action = store.action(uid).await?.ok_or("it was committed")?;
    assert_eq!(action.outcome, Some(Outcome::Succeeded));

    // The host's own INSERT fails after the action was written: the action is rolled back too.
    let taken = create(plane, "orders").await;
    println!("the second: {}", taken.as_ref().err().ok_or("refused")?);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM bdb")
        .fetch_one(&pool)
        .await?;
    let actions = store
        .touching(ObjectRef::new("bdb", "orders")?)
        .collect()
        .await?;
    assert_eq!((rows, actions.len()), (1, 1));

    tracker.shutdown().await?;
    store.close().await?;
    Ok(())
}
