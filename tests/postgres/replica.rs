//! Reads from a standby.

use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::owner::OwnerQuery;
use action_store::{
    ActionStore, ActionStoreExt, Batch, Command, LogQuery, NewAction, Order, OwnerRef,
    PostgresOptions, Query, StoreErrorKind,
};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::{Server, close_whole, new_schema, open, sql};

/// Waits until the standby has replayed what the primary has written.
async fn caught_up(primary: &Server, standby: &Server) {
    let end = "SELECT pg_current_wal_insert_lsn()::text";
    let end: String = sql(&primary.url(), end).await.unwrap()[0].get(0);
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn");
    let begun = Instant::now();
    loop {
        let rows = sql(&standby.url(), replayed.as_str()).await.unwrap();
        if rows[0].get::<bool, _>(0) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Stops the replay of the standby, and waits until it stands still.
async fn pause(standby: &Server) {
    let request = "SELECT pg_wal_replay_pause()";
    sql(&standby.url(), request).await.unwrap();
    let begun = Instant::now();
    loop {
        let state = "SELECT pg_get_wal_replay_pause_state()";
        let rows = sql(&standby.url(), state).await.unwrap();
        if rows[0].get::<String, _>(0) == "paused" {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_from_a_replica_show_all_that_the_store_has_seen() {
    let name = "reads_from_a_replica_show_all_that_the_store_has_seen";
    if Server::shared(name).is_none() {
        return;
    }
    let primary = Server::start(&[]);
    let standby = primary.start_standby(&[]);
    let schema = new_schema();
    let options = PostgresOptions::new().with_schema(&schema);
    let options = options.with_replica(standby.url());
    let store = options.connect(&primary.url()).await.unwrap();
    let other = open(&primary, &schema).await;
    // The caller's own writes, however far the replica is.
    for _ in 0..100 {
        let created = store.create(NewAction::task("own")).await.unwrap();
        let found = store.action(created.uid).await.unwrap();
        assert_eq!(found, Some(created));
    }
    let owner = OwnerRef::new("plane");
    store.command(Command::claim(owner)).await.unwrap();
    let owners = store.owners(&OwnerQuery::new()).await.unwrap();
    assert_eq!(owners.items.len(), 1);
    // Commits of others come with the replica: so the reads are its own. The first reads may have
    // failed there, before it had the schema. It is not asked for a second then.
    caught_up(&primary, &standby).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    pause(&standby).await;
    let late = other.create(NewAction::task("late")).await.unwrap();
    assert!(store.action(late.uid).await.unwrap().is_none());
    let list = store.list(&Query::new().with_limit(1000)).await.unwrap();
    assert_eq!(list.items.len(), 100);
    // Once the store has seen the commit, each read shows it.
    let at = store.changed(None).await.unwrap();
    assert!(at.revision > list.at.revision);
    assert!(store.action(late.uid).await.unwrap().is_some());
    let list = store.list(&Query::new().with_limit(1000)).await.unwrap();
    assert_eq!(list.items.len(), 101);
    let log = store.log(&LogQuery::of(late.uid)).await.unwrap();
    assert_eq!(log.items.len(), 1);
    // The same with a commit of a host that is not stamped yet.
    let mut connection = PgConnection::connect(&primary.url()).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let new = NewAction::task("host");
    let uid = new.uid;
    let batch = Batch::each(vec![Command::create(new)]);
    store.write_in(&mut transaction, batch).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(store.action(uid).await.unwrap().is_some());
    sql(&standby.url(), "SELECT pg_wal_replay_resume()")
        .await
        .unwrap();
    for _ in 0..50 {
        assert!(store.action(uid).await.unwrap().is_some());
        store.list(&Query::new()).await.unwrap();
    }
    // Without the replica the primary answers.
    standby.tell("quit");
    for _ in 0..20 {
        assert!(store.action(uid).await.unwrap().is_some());
    }
    standby.tell("start");
    other.close().await.unwrap();
    close_whole(store).await;
}

/// A commit that waits for another standby is on the replica before the primary shows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_primary_shows_no_earlier_moment_than_its_replica() {
    let name = "the_primary_shows_no_earlier_moment_than_its_replica";
    if Server::shared(name).is_none() {
        return;
    }
    let primary = Server::start(&[]);
    let standby = primary.start_standby(&[]);
    let schema = new_schema();
    let options = PostgresOptions::new().with_schema(&schema);
    let options = options.with_replica(standby.url());
    let store = options.connect(&primary.url()).await.unwrap();
    let other = Arc::new(open(&primary, &schema).await);
    for _ in 0..2 {
        other.create(NewAction::task("early")).await.unwrap();
    }
    caught_up(&primary, &standby).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;

    let set = async |names: &str| {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        sql(&primary.url(), set).await.unwrap();
        sql(&primary.url(), "SELECT pg_reload_conf()")
            .await
            .unwrap();
    };
    set("absent").await;
    let waiting = tokio::spawn(async move { other.create(NewAction::task("late")).await });
    let query = Query::new().with_order(Order::Feed).with_limit(2);
    let begun = Instant::now();
    let (page, position) = loop {
        let page = store.list(&query).await.unwrap();
        if page.at.revision.get() == 3 {
            break (page.next.unwrap(), page.at);
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(!waiting.is_finished());
    drop(standby);
    let query = query.with_after(Some(page));
    let (rest, later, ()) = tokio::join!(store.list(&query), store.changed(None), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        set("").await;
    });
    assert_eq!(rest.unwrap().items.len(), 1);
    assert_eq!(later.unwrap().revision, position.revision);
    waiting.await.unwrap().unwrap();
    close_whole(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_another_store_is_not_read() {
    let Some(server) = Server::shared("a_replica_of_another_store_is_not_read") else {
        return;
    };
    let strange = Server::start(&[]);
    let schema = new_schema();
    let stranger = open(&strange, &schema).await;
    for _ in 0..5 {
        stranger.create(NewAction::task("strange")).await.unwrap();
    }
    let options = PostgresOptions::new().with_schema(&schema);
    let options = options.with_replica(strange.url());
    let store = options.connect(&server.url()).await.unwrap();
    let list = store.list(&Query::new()).await.unwrap();
    assert_eq!(list.items.len(), 0);
    stranger.close().await.unwrap();
    close_whole(store).await;
    let options = PostgresOptions::new().with_schema(&schema);
    let options = options.with_replica("not a url:secret@");
    assert!(!format!("{options:?}").contains("secret"));
    let error = options.connect(&server.url()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
}
