//! A primary that is lost, and a standby that takes its place.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::{ActionStore, Durability, PostgresOptions, PostgresStore};
use sqlx::Row as _;
use sqlx::postgres::PgConnectOptions;

use super::load::{Load, compare, verify};
use super::{Server, close_whole, new_schema, sql};

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

/// Waits until a standby has replayed all that its primary has written.
async fn caught_up(primary: &Server, standby: &Server) {
    let written = "SELECT pg_current_wal_flush_lsn()::text";
    let written: String = sql(&primary.url(), written).await.unwrap()[0].get(0);
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    for _ in 0..1000 {
        let rows = sql(&standby.url(), replayed.clone()).await.unwrap();
        if rows[0].get::<bool, _>(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the standby does not follow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_an_asynchronous_standby_loses_what_capabilities_said() {
    let name = "a_failover_to_an_asynchronous_standby_loses_what_capabilities_said";
    if Server::shared(name).is_none() {
        return;
    }
    let primary = Server::start(&[]);
    let standby = primary.start_standby(&[]);
    let schema = new_schema();
    let mut stores = Vec::new();
    for _ in 0..2 {
        stores.push(connect(&[&primary, &standby], &schema).await);
    }
    // The disk of one server, and no more.
    for store in &stores {
        assert_eq!(store.capabilities().durability, Durability::Disk);
    }
    let load = Load::start(&stores, 4);
    load.go_on(200).await;
    let early = load.stop().await;
    caught_up(&primary, &standby).await;
    // The standby receives no more changes. The primary does not wait for it.
    let url = standby.url();
    sql(&url, "ALTER SYSTEM SET primary_conninfo = ''")
        .await
        .unwrap();
    sql(&url, "SELECT pg_reload_conf()").await.unwrap();
    let receiving = "SELECT count(*) FROM pg_stat_wal_receiver";
    while sql(&url, receiving).await.unwrap()[0].get::<i64, _>(0) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let load = Load::start(&stores, 4);
    load.go_on(200).await;
    let late = load.stop().await;
    let acknowledged = (late.created.len() + late.cancelled.len()) as u64;

    primary.tell("quit");
    standby.tell("promote");
    let load = Load::start(&stores, 4);
    load.go_on(100).await;
    let after = load.stop().await;
    let store = connect(&[&standby], &schema).await;
    verify(&store, &early).await;
    let difference = compare(&store, &late).await;
    println!(
        "lost {} of {acknowledged} that only the primary had",
        difference.lost
    );
    assert_eq!(difference.lost, acknowledged);
    assert_eq!((difference.present, difference.duplicates), (0, 0));
    // The writes after the failover are all there.
    verify(&store, &after).await;
    stores.push(store);
    for store in stores {
        close_whole(Arc::into_inner(store).unwrap()).await;
    }
}
