//! A primary that is lost, and a standby that takes its place.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::{ActionStore, Durability, PostgresOptions, PostgresStore};
use sqlx::postgres::PgConnectOptions;

use super::load::{Load, verify};
use super::{Server, close_whole, new_schema};

async fn connect(servers: &[&Server], schema: &str) -> Arc<PostgresStore> {
    let servers = servers
        .iter()
        .map(|server| PgConnectOptions::from_str(&server.url()).unwrap());
    let options = PostgresOptions::new().with_schema(schema);
    Arc::new(options.connect_with(servers.collect()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_synchronous_standby_loses_nothing() {
    if Server::shared("a_failover_to_a_synchronous_standby_loses_nothing").is_none() {
        return;
    }
    let primary = Server::start(&["-c", "synchronous_standby_names=*"]);
    let standby = primary.start_standby(&[]);
    let schema = new_schema();
    let mut stores = Vec::new();
    for _ in 0..2 {
        stores.push(connect(&[&primary, &standby], &schema).await);
    }
    let durability = stores[0].capabilities().durability;
    assert_eq!(durability, Durability::Replicated);
    let load = Load::start(&stores, 4);
    load.go_on(300).await;
    primary.tell("quit");
    let lost = Instant::now();
    standby.tell("promote");
    load.go_on(1).await;
    let took = lost.elapsed();
    load.go_on(100).await;
    let ledger = load.stop().await;
    println!("writing again {took:?} after the primary was lost");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let after = connect(&[&standby], &schema).await;
    verify(&after, &ledger).await;
    stores.push(after);
    for store in stores {
        close_whole(Arc::into_inner(store).unwrap()).await;
    }
}
