//! Attacks on a store in PostgreSQL: what several openers, hostile settings, lost connections and
//! stopped servers do to it. Without a server each test is skipped, and says so.
//!
//! At full size:
//!
//! ```console
//! $ ACTIONS_RACE_SECONDS=60 POSTGRES_KILLS=30 FENCES=200 cargo test --release --all-features --test postgres
//! ```
#![cfg(all(unix, feature = "conformance", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cancelled;
#[path = "../support/children.rs"]
#[allow(dead_code)]
mod children;
mod clocks;
mod crashes;
mod doubt;
mod failover;
mod feed;
mod fencing;
mod history;
mod host;
mod host_answers;
mod host_fencing;
mod host_limits;
mod load;
mod moving;
mod notify;
mod opening;
mod planes;
mod plans;
mod pooler;
mod prepared;
mod proxy;
mod replica;
#[path = "../support/postgres.rs"]
mod server;
mod stopped;

use std::sync::Arc;

use action_store::conformance::check_store;
use action_store::{PostgresOptions, PostgresStore};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor};

use self::server::{Server, new_schema};

/// Returns a number from the environment, or the default for a short run.
fn asked_for(variable: &str, ordinary: u64) -> u64 {
    std::env::var(variable).map_or(ordinary, |number| number.parse().unwrap())
}

#[test]
fn in_a_process_of_its_own() {
    children::play(async |role, url, schema| match role.as_str() {
        "writer" => stopped::write_until_fenced(&url, &schema).await,
        role => panic!("{role}"),
    });
}

/// Runs SQL of a test, as another program would.
async fn sql(url: &str, text: impl Into<String>) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let rows = connection
        .fetch_all(sqlx::raw_sql(AssertSqlSafe(text.into())))
        .await;
    connection.close().await?;
    rows
}

async fn open(server: &Server, schema: &str) -> PostgresStore {
    let options = PostgresOptions::new().with_schema(schema);
    options.connect(&server.url()).await.unwrap()
}

/// Opens several stores over the same tables.
async fn open_several(server: &Server, schema: &str, count: usize) -> Vec<Arc<PostgresStore>> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(Arc::new(open(server, schema).await));
    }
    stores
}

/// Closes a store that has nothing wrong.
async fn close_whole(store: PostgresStore) {
    use action_store::ActionStore;
    check_store(&store).await.unwrap();
    store.close().await.unwrap();
}
