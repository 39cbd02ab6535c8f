//! Hosts' transactions at their limits: large ones, many of them, and many names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::query::Revision;
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change, Command, Finish, Json,
    LogQuery, NewAction, Order, Outcome, PostgresOptions, PostgresStore, Query, StoreErrorKind,
};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::{Server, close_whole, new_schema, open, sql};

/// Creates actions of 60 KB each.
pub(crate) async fn create_large(store: &PostgresStore, count: usize) -> Vec<ActionUid> {
    let attributes = Json::new(format!("{{\"a\":\"{}\"}}", "x".repeat(60_000))).unwrap();
    let mut uids = Vec::new();
    while uids.len() < count {
        let new = || NewAction::task("large").with_attributes(attributes.clone());
        let news: Vec<NewAction> = (0..90.min(count - uids.len())).map(|_| new()).collect();
        uids.extend(news.iter().map(|new| new.uid));
        let commands = news.into_iter().map(Command::create).collect();
        let answers = store.write(Batch::all(commands)).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
    }
    uids
}

fn cancelling(uids: &[ActionUid]) -> Batch {
    let cancel = || Change::RequestCancel(CancelRequest::new().with_reason("large"));
    let commands = uids.iter().map(|uid| Command::apply(*uid, cancel()));
    Batch::all(commands.collect())
}

/// Waits until the server executes the first message that changes actions.
async fn until_changing(watcher: &mut PgConnection, pid: i32, schema: &str) {
    let look = format!(
        "SELECT 1 FROM pg_stat_activity AS a JOIN pg_locks AS l ON l.pid = a.pid \
         WHERE a.pid = {pid} AND a.state = 'active' AND l.mode = 'RowExclusiveLock' \
         AND l.relation = '{schema}.actions_action'::regclass"
    );
    loop {
        let look = sqlx::raw_sql(AssertSqlSafe(look.clone()));
        if look.fetch_optional(&mut *watcher).await.unwrap().is_some() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_write_in_dropped_after_its_first_message_leaves_nothing() {
    let name = "a_large_write_in_dropped_after_its_first_message_leaves_nothing";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let store = open(server, &schema).await;
    let uids = create_large(&store, 450).await;
    let mut dropped = 0;
    for _ in 0..5 {
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        let mut watcher = PgConnection::connect(&server.url()).await.unwrap();
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let schema = schema.clone();
        let watch = tokio::spawn(async move { until_changing(&mut watcher, pid, &schema).await });
        let has_answered = tokio::select! {
            biased;
            answer = store.write_in(&mut transaction, cancelling(&uids)) => {
                answer.unwrap();
                true
            }
            _ = watch => false,
        };
        if has_answered {
            transaction.rollback().await.unwrap();
            continue;
        }
        dropped += 1;
        let committed = transaction.commit().await;
        let found = store.get(&uids).await.unwrap();
        let changed = found.iter().flatten().filter(|a| a.cancel.is_some());
        assert_eq!(changed.count(), 0, "{committed:?}");
        assert!(committed.is_err());
        break;
    }
    assert!(dropped > 0);
    close_whole(store).await;
}

/// Creates an action in a transaction of its own.
async fn create_in(store: &PostgresStore, connection: &mut PgConnection) {
    let mut transaction = connection.begin().await.unwrap();
    let batch = Batch::each(vec![Command::create(NewAction::task("host"))]);
    let answers = store.write_in(&mut transaction, batch).await.unwrap();
    assert!(answers[0].is_ok());
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_one_page_is_whole_while_hosts_commit() {
    let Some(server) = Server::shared("a_list_of_one_page_is_whole_while_hosts_commit") else {
        return;
    };
    let store = Arc::new(open(server, &new_schema()).await);
    let hosts: Vec<_> = (0..4)
        .map(|_| {
            let (store, url) = (store.clone(), server.url());
            tokio::spawn(async move {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                for _ in 0..200 {
                    create_in(&store, &mut connection).await;
                }
            })
        })
        .collect();
    let mut lists = 0;
    while !hosts.iter().all(|host| host.is_finished()) {
        for order in [Order::Newest, Order::Oldest, Order::Feed] {
            let query = Query::new().with_order(order);
            let page = store.list(&query.clone().with_limit(1000)).await.unwrap();
            assert_eq!(page.items.len() as u64, page.at.actions);
            store.list(&query.with_limit(20)).await.unwrap();
            lists += 1;
        }
        store.log(&LogQuery::all().with_limit(1000)).await.unwrap();
    }
    for host in hosts {
        host.await.unwrap();
    }
    println!("{lists} lists beside hosts that commit");
    let all = store.list(&Query::new().with_limit(1000)).await.unwrap();
    assert_eq!(all.items.len(), 800);
    close_whole(Arc::into_inner(store).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_commits_are_deleted_when_only_hosts_write() {
    let Some(server) = Server::shared("the_rows_of_commits_are_deleted_when_only_hosts_write")
    else {
        return;
    };
    let schema = new_schema();
    let store = open(server, &schema).await;
    // Only a stamp takes the next number.
    let jump = format!(
        "INSERT INTO {schema}.actions_commit (id, number, revision, actions, last_number, \
         last_entry, pruned_through, marks_from) VALUES (gen_random_uuid(), 20479, 0, 0, 0, 0, 0, 0)"
    );
    sql(&server.url(), jump).await.unwrap();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    create_in(&store, &mut connection).await;
    assert_eq!(store.list(&Query::new()).await.unwrap().items.len(), 1);
    let left = format!("SELECT count(*), max(number) FROM {schema}.actions_commit");
    let left = sql(&server.url(), left).await.unwrap();
    let (count, newest): (i64, i64) = (left[0].get(0), left[0].get(1));
    assert_eq!((count, newest), (2, 20480));
    close_whole(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_beside_a_host_leave_room_in_the_lock_table() {
    let name = "many_commands_beside_a_host_leave_room_in_the_lock_table";
    if Server::shared(name).is_none() {
        return;
    }
    // A lock table for about 1,000 locks.
    let settings = [
        "-c",
        "max_connections=40",
        "-c",
        "max_locks_per_transaction=16",
    ];
    let server = Server::start(&settings);
    let store = open(&server, &new_schema()).await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let new = || Command::create(NewAction::task("host"));
    let batch = Batch::each(vec![new(), new(), new()]);
    store.write_in(&mut transaction, batch).await.unwrap();
    let keyed = |number: usize| NewAction::task("many").with_idempotency_key(number.to_string());
    let many = (0..1000).map(|number| Command::create(keyed(number)));
    let answers = store.write(Batch::each(many.collect())).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    transaction.commit().await.unwrap();
    let at = store.list(&Query::new()).await.unwrap().at;
    assert_eq!(at.actions, 1003);
    close_whole(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_removes_actions_stops_nobody_and_leaves_no_trace() {
    let name = "a_host_that_removes_actions_stops_nobody_and_leaves_no_trace";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let store = open(server, &new_schema()).await;
    let (one, two) = (NewAction::task("one"), NewAction::task("two"));
    let uids = [one.uid, two.uid];
    let two_version = store.create(two).await.unwrap().version;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let cancel = || Change::Finish(Finish::new(Outcome::Cancelled));
    let mut commands = vec![Command::create(one)];
    commands.extend(uids.map(|uid| Command::apply(uid, cancel())));
    let answers = store.write_in(&mut transaction, Batch::all(commands)).await;
    let answers = answers.unwrap();
    let version = answers[2].as_ref().unwrap().action.as_ref().unwrap();
    let version = version.version;
    assert!(version > two_version);
    transaction.commit().await.unwrap();
    let remove = || Batch::all(uids.map(|uid| Command::remove(uid, version)).to_vec());
    let mut transaction = connection.begin().await.unwrap();
    let error = store
        .write_in(&mut transaction, remove())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    transaction.rollback().await.unwrap();
    let before = store.list(&Query::new()).await.unwrap().at;
    let mut transaction = connection.begin().await.unwrap();
    let answers = store.write_in(&mut transaction, remove()).await.unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    // Also with marks of other hosts.
    let mut other = PgConnection::connect(&server.url()).await.unwrap();
    create_in(&store, &mut other).await;
    let begun = Instant::now();
    store.create(NewAction::task("other")).await.unwrap();
    assert_eq!(store.list(&Query::new()).await.unwrap().items.len(), 4);
    assert!(begun.elapsed() < Duration::from_secs(2));
    transaction.commit().await.unwrap();
    let page = store.list(&Query::new()).await.unwrap();
    assert_eq!((page.items.len(), page.at.actions), (2, 2));
    assert!(page.at.pruned_through > Revision::ZERO);
    assert!(page.at.pruned_through <= before.revision);
    for uid in uids {
        assert!(store.action(uid).await.unwrap().is_none());
        assert!(
            store
                .log(&LogQuery::of(uid))
                .await
                .unwrap()
                .items
                .is_empty()
        );
    }
    // A change and the removal in one transaction: the feed never shows that revision.
    let mut transaction = connection.begin().await.unwrap();
    let new = NewAction::task("short");
    let commands = vec![
        Command::create(new.clone()),
        Command::apply(new.uid, cancel()),
    ];
    let answers = store.write_in(&mut transaction, Batch::all(commands)).await;
    let version = answers.unwrap()[1]
        .as_ref()
        .unwrap()
        .action
        .as_ref()
        .unwrap()
        .version;
    let remove = Batch::all(vec![Command::remove(new.uid, version)]);
    store.write_in(&mut transaction, remove).await.unwrap();
    transaction.commit().await.unwrap();
    let page = store.list(&Query::new()).await.unwrap();
    assert_eq!((page.items.len(), page.at.actions), (2, 2));
    assert_eq!(page.at.pruned_through, page.at.revision);
    close_whole(store).await;
}

/// Begins a transaction that goes on seeing the marks of this moment.
async fn snapshot<'c>(
    connection: &'c mut PgConnection,
    schema: &str,
) -> sqlx::Transaction<'c, sqlx::Postgres> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
    let mut old = connection.begin_with(begin).await.unwrap();
    let count = format!("SELECT count(*) FROM {schema}.actions_mark");
    let count = sqlx::raw_sql(AssertSqlSafe(count));
    count.fetch_one(&mut *old).await.unwrap();
    old
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_of_hosts_are_found_behind_those_that_an_old_snapshot_keeps() {
    let name = "marks_of_hosts_are_found_behind_those_that_an_old_snapshot_keeps";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let store = open(server, &schema).await;
    let mut old = PgConnection::connect(&server.url()).await.unwrap();
    let old = snapshot(&mut old, &schema).await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    // A host that has begun before the others, and commits after them.
    let mut slow = PgConnection::connect(&server.url()).await.unwrap();
    let mut slow = slow.begin().await.unwrap();
    let uid = NewAction::task("slow").uid;
    let batch = Batch::each(vec![Command::create(NewAction::task("slow").with_uid(uid))]);
    store.write_in(&mut slow, batch).await.unwrap();
    for _ in 0..50 {
        create_in(&store, &mut connection).await;
        assert!(store.log(&LogQuery::all().with_limit(1)).await.is_ok());
    }
    slow.commit().await.unwrap();
    let log = store.log(&LogQuery::of(uid)).await.unwrap();
    assert_eq!(log.items.len(), 1);
    let feed = Query::new().with_order(Order::Feed);
    let feed = store.list(&feed).await.unwrap();
    assert_eq!(feed.items.last().unwrap().uid, uid);
    // A database from a dump: its transactions have lower numbers than the marks know.
    let forget = format!(
        "ALTER TABLE {schema}.actions_commit DISABLE TRIGGER actions_commit_written; \
         UPDATE {schema}.actions_commit SET txid = txid + (1::bigint << 20), marks_from = txid + (1::bigint << 20); \
         ALTER TABLE {schema}.actions_commit ENABLE TRIGGER actions_commit_written"
    );
    old.rollback().await.unwrap();
    sql(&server.url(), forget).await.unwrap();
    create_in(&store, &mut connection).await;
    let log = store.log(&LogQuery::all().with_limit(1000)).await.unwrap();
    assert_eq!(log.items.len(), 52);
    close_whole(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_beside_an_old_snapshot_reads_few_rows_after_many_hosts() {
    let name = "a_poll_beside_an_old_snapshot_reads_few_rows_after_many_hosts";
    if Server::shared(name).is_none() {
        return;
    }
    // Its own server: the writing transactions of other tests keep marks in sight, too.
    let server = Server::start(&[]);
    let schema = new_schema();
    let options = PostgresOptions::new().with_schema(&schema);
    let store = options.connect(&server.url()).await.unwrap();
    let mut old = PgConnection::connect(&server.url()).await.unwrap();
    let old = snapshot(&mut old, &schema).await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    // Stamped ten at a time, as by a poll.
    for _ in 0..30 {
        for _ in 0..10 {
            create_in(&store, &mut connection).await;
        }
        store.changed(None).await.unwrap();
    }
    let explain = format!(
        "EXPLAIN (ANALYZE, BUFFERS) SELECT (SELECT m.txid FROM {schema}.actions_mark AS m \
         WHERE m.txid >= CASE WHEN c.xmin::text::bigint = c.txid & 4294967295 THEN c.marks_from ELSE 0 END \
         ORDER BY m.txid LIMIT 1) IS NOT NULL \
         FROM {schema}.actions_commit AS c ORDER BY c.number DESC LIMIT 1"
    );
    let begun = Instant::now();
    let plan = sql(&server.url(), explain).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    println!("{}\n{:?}", plan.join("\n"), begun.elapsed());
    // The first line with buffers is that of the whole query.
    let buffers = plan
        .iter()
        .find(|line| line.contains("shared hit="))
        .unwrap();
    let buffers = buffers.split("shared hit=").nth(1).unwrap();
    let buffers: u32 = buffers.split(' ').next().unwrap().parse().unwrap();
    assert!(buffers <= 8, "{buffers}");
    old.rollback().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    close_whole(store).await;
}
