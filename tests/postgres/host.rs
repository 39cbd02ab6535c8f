//! Writes in the host's own transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change, Command, Finish,
    LogQuery, NewAction, Order, Outcome, OwnerRef, PostgresOptions, PostgresStore, Query,
    StoreErrorKind,
};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::feed::follow;
use super::load::{Load, verify};
use super::{Server, asked_for, close_whole, new_schema, open, open_several, sql};

pub(crate) async fn host(server: &Server) -> PgConnection {
    PgConnection::connect(&server.url()).await.unwrap()
}

fn creating(new: NewAction) -> Batch {
    Batch::each(vec![Command::create(new)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_commits_applies_and_wakes_and_one_that_rolls_back_leaves_nothing() {
    let name = "a_host_that_commits_applies_and_wakes_and_one_that_rolls_back_leaves_nothing";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let (store, other) = (open(server, &schema).await, open(server, &schema).await);
    let mut connection = host(server).await;
    for commits in [false, true] {
        let at = other.changed(None).await.unwrap().revision;
        let mut transaction = connection.begin().await.unwrap();
        let path = sqlx::query_scalar::<_, String>("SHOW search_path");
        let before = path.fetch_one(&mut *transaction).await.unwrap();
        let new = NewAction::task("inside");
        let uid = new.uid;
        let answers = store
            .write_in(&mut transaction, creating(new))
            .await
            .unwrap();
        assert!(answers[0].is_ok());
        let path = sqlx::query_scalar::<_, String>("SHOW search_path");
        assert_eq!(path.fetch_one(&mut *transaction).await.unwrap(), before);
        assert!(store.action(uid).await.unwrap().is_none());
        match commits {
            true => transaction.commit().await.unwrap(),
            false => transaction.rollback().await.unwrap(),
        }
        assert_eq!(store.action(uid).await.unwrap().is_some(), commits);
        let changed = tokio::time::timeout(Duration::from_millis(500), other.changed(Some(at)));
        assert_eq!(changed.await.is_ok(), commits);
        let log = LogQuery::of(uid);
        let entries = other.log(&log).await.unwrap().items.len();
        assert_eq!(entries, usize::from(commits));
    }
    other.close().await.unwrap();
    close_whole(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_after_a_hosts_commit_comes_after_it_in_log_and_feed() {
    let name = "a_write_after_a_hosts_commit_comes_after_it_in_log_and_feed";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let store = open(server, &new_schema()).await;
    let mut connection = host(server).await;
    let mut versions = Vec::new();
    for _ in 0..5 {
        let new = NewAction::task("inside");
        let uid = new.uid;
        let mut transaction = connection.begin().await.unwrap();
        let answers = store.write_in(&mut transaction, creating(new)).await;
        assert!(answers.unwrap()[0].is_ok());
        transaction.commit().await.unwrap();
        let cancel = Change::RequestCancel(CancelRequest::new());
        store.command(Command::apply(uid, cancel)).await.unwrap();
        versions.extend([(uid, 1), (uid, 2)]);
    }
    let log = store.log(&LogQuery::all()).await.unwrap().items;
    let log: Vec<_> = log.iter().map(|e| (e.uid, e.version.get())).collect();
    assert_eq!(log, versions);
    let feed = Query::new().with_order(Order::Feed);
    let feed = store.list(&feed).await.unwrap().items;
    let feed: Vec<_> = feed.iter().map(|a| (a.uid, a.version.get())).collect();
    versions.retain(|(_, version)| *version == 2);
    assert_eq!(feed, versions);
    close_whole(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_dropped_at_any_poll_leaves_nothing() {
    let Some(server) = Server::shared("a_write_in_dropped_at_any_poll_leaves_nothing") else {
        return;
    };
    let schema = new_schema();
    let store = open(server, &schema).await;
    let mut connection = host(server).await;
    let (mut dropped, mut refused, mut answered) = (0, 0, 0);
    for round in 0..120_u64 {
        let new = NewAction::task("dropped");
        let uid = new.uid;
        let mut transaction = connection.begin().await.unwrap();
        let has_answered = {
            let mut write = Box::pin(store.write_in(&mut transaction, creating(new)));
            let mut context = Context::from_waker(Waker::noop());
            let mut has_answered = false;
            for _ in 0..round % 12 {
                if write.as_mut().poll(&mut context).is_ready() {
                    has_answered = true;
                    break;
                }
                tokio::time::sleep(Duration::from_micros(round % 7 * 40)).await;
            }
            has_answered
        };
        if round % 3 == 0 {
            // The server has executed all that was sent.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let committed = transaction.commit().await.is_ok();
        assert!(committed || !has_answered, "{round}");
        let there = store.action(uid).await.unwrap().is_some();
        assert_eq!(there, has_answered, "{round}: committed {committed}");
        dropped += usize::from(!has_answered);
        refused += usize::from(!committed);
        answered += usize::from(has_answered);
    }
    println!("dropped {dropped}, of these refused at the commit {refused}; answered {answered}");
    assert!(refused > 0 && dropped > refused && answered > 0);
    close_whole(store).await;
}

/// Writes in transactions that it holds for a while, until `stop`. Returns what it committed.
async fn slow_host(
    url: String,
    store: Arc<PostgresStore>,
    stop: Arc<AtomicBool>,
) -> (Vec<ActionUid>, Vec<ActionUid>) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (mut created, mut cancelled): (Vec<ActionUid>, Vec<ActionUid>) = Default::default();
    while !stop.load(Ordering::Relaxed) {
        let new = NewAction::task("slow");
        let uid = new.uid;
        let mut transaction = connection.begin().await.unwrap();
        let mut batches = vec![creating(new)];
        let before = created.last().copied();
        if let Some(before) = before {
            let cancel = Change::RequestCancel(CancelRequest::new().with_reason("slow"));
            batches.push(Batch::each(vec![Command::apply(before, cancel)]));
        }
        for batch in batches {
            let answers = store.write_in(&mut transaction, batch).await.unwrap();
            assert!(answers[0].is_ok(), "{answers:?}");
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        transaction.commit().await.unwrap();
        assert!(store.action(uid).await.unwrap().is_some());
        cancelled.extend(before);
        created.push(uid);
    }
    (created, cancelled)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_feed_misses_nothing_beside_writers_and_slow_hosts() {
    let name = "a_reader_of_the_feed_misses_nothing_beside_writers_and_slow_hosts";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let stores = open_several(server, &schema, 4).await;
    let stop = Arc::<AtomicBool>::default();
    let reader = tokio::spawn(follow(stores[0].clone(), stop.clone()));
    let hosts_stop = Arc::<AtomicBool>::default();
    let hosts: Vec<_> = stores[..2]
        .iter()
        .map(|store| tokio::spawn(slow_host(server.url(), store.clone(), hosts_stop.clone())))
        .collect();
    let load = Load::start(&stores, 2);
    let seconds = asked_for("ACTIONS_RACE_SECONDS", 6);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let mut ledger = load.stop().await;
    hosts_stop.store(true, Ordering::Relaxed);
    let mut by_hosts = 0;
    for host in hosts {
        let (created, cancelled) = host.await.unwrap();
        by_hosts += created.len();
        ledger.created.extend(created);
        ledger.cancelled.extend(cancelled);
    }
    stop.store(true, Ordering::Relaxed);
    let seen = reader.await.unwrap();
    let missed = |uids: &[ActionUid], version: u64| {
        let stale = |uid: &&ActionUid| seen.get(*uid).is_none_or(|seen| *seen < version);
        uids.iter().filter(stale).count()
    };
    let skipped = missed(&ledger.created, 1) + missed(&ledger.cancelled, 2);
    println!(
        "the reader saw {}, {by_hosts} of hosts; skipped {skipped}",
        seen.len()
    );
    assert!(by_hosts > 20);
    assert_eq!(skipped, 0);
    verify(&stores[3], &ledger).await;
    for store in stores {
        close_whole(Arc::into_inner(store).unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_that_change_one_action_take_turns() {
    let Some(server) = Server::shared("two_hosts_that_change_one_action_take_turns") else {
        return;
    };
    let store = Arc::new(open(server, &new_schema()).await);
    let (mut one, mut two) = (host(server).await, host(server).await);
    // An action that exists, and a key of two actions that do not.
    let there = store.create(NewAction::task("there")).await.unwrap().uid;
    let finish = || {
        let finish = Change::Finish(Finish::new(Outcome::Cancelled));
        Batch::each(vec![Command::apply(there, finish)])
    };
    let keyed = || creating(NewAction::task("keyed").with_exclusive("key"));
    for (batches, commits) in [
        ([keyed(), keyed()], false),
        ([keyed(), keyed()], true),
        ([finish(), finish()], true),
    ] {
        let [first, second] = batches;
        let mut transaction = one.begin().await.unwrap();
        let answers = store.write_in(&mut transaction, first).await.unwrap();
        assert!(answers[0].is_ok());
        let later = async {
            let mut transaction = two.begin().await.unwrap();
            let answers = store.write_in(&mut transaction, second).await.unwrap();
            transaction.rollback().await.unwrap();
            (answers, Instant::now())
        };
        let sooner = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let ended = Instant::now();
            match commits {
                true => transaction.commit().await.unwrap(),
                false => transaction.rollback().await.unwrap(),
            }
            ended
        };
        let ((answers, answered), ended) = tokio::join!(later, sooner);
        assert!(answered > ended);
        assert_eq!(answers[0].is_ok(), !commits, "{answers:?}");
    }
    close_whole(Arc::into_inner(store).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_holds_its_transaction_stops_only_writes_of_the_same_names() {
    let name = "a_host_that_holds_its_transaction_stops_only_writes_of_the_same_names";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let options = PostgresOptions::new().with_schema(&schema);
    let options = options.with_timeout(Duration::from_millis(800));
    let store = Arc::new(options.connect(&server.url()).await.unwrap());
    let mut connection = host(server).await;
    let owner = OwnerRef::new("plane");
    store.command(Command::claim(owner.clone())).await.unwrap();
    let held = store.create(NewAction::task("held")).await.unwrap().uid;
    let mut transaction = connection.begin().await.unwrap();
    let start = Command::apply(held, Change::Start).by(owner.clone());
    let new = NewAction::task("new").with_idempotency_key("key");
    let repeat = new.clone();
    let batch = Batch::each(vec![start, Command::create(new)]);
    let answers = store.write_in(&mut transaction, batch).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    let begun = Instant::now();
    let (mut writes, mut longest) = (0, Duration::ZERO);
    let others = async {
        while begun.elapsed() < Duration::from_secs(2) {
            let one = Instant::now();
            store.create(NewAction::task("other")).await.unwrap();
            store.command(Command::Renew(owner.clone())).await.unwrap();
            longest = longest.max(one.elapsed());
            writes += 1;
        }
    };
    let same = async {
        let cancel = Finish::new(Outcome::Cancelled);
        for batch in [
            Batch::each(vec![Command::apply(held, Change::Finish(cancel))]),
            creating(repeat.clone()),
            creating(NewAction::task("b").with_idempotency_key("key")),
        ] {
            // Withdrawn: it was not applied, and never will be.
            let error = store.write(batch).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        }
    };
    tokio::join!(others, same);
    println!("{writes} writes beside a host that holds its transaction, longest {longest:?}");
    assert!(longest < Duration::from_millis(700), "{longest:?}");
    transaction.commit().await.unwrap();
    let held = store.action(held).await.unwrap().unwrap();
    assert_eq!(held.version.get(), 2);
    let answers = store.write(creating(repeat)).await.unwrap();
    assert!(format!("{answers:?}").contains("Already"), "{answers:?}");
    close_whole(Arc::into_inner(store).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_without_its_transaction_is_refused() {
    let Some(server) = Server::shared("a_write_in_without_its_transaction_is_refused") else {
        return;
    };
    let schema = new_schema();
    let (store, other) = (
        open(server, &schema).await,
        open(server, &new_schema()).await,
    );
    let mut connection = host(server).await;
    let batch = || creating(NewAction::task("a"));
    let error = store.write_in(&mut connection, batch()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    let mut repeatable = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    let error = store.write_in(&mut repeatable, batch()).await.unwrap_err();
    assert!(error.to_string().contains("READ COMMITTED"), "{error}");
    repeatable.rollback().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let claim = Batch::each(vec![Command::claim(OwnerRef::new("plane"))]);
    let error = store.write_in(&mut transaction, claim).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error}");
    transaction.rollback().await.unwrap();
    let role = format!("CREATE ROLE stranger_to_{schema}");
    sql(&server.url(), role).await.unwrap();
    let usage = format!("GRANT USAGE ON SCHEMA {schema} TO stranger_to_{schema}");
    sql(&server.url(), usage).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let stranger = format!("SET LOCAL ROLE stranger_to_{schema}");
    let stranger = sqlx::raw_sql(AssertSqlSafe(stranger));
    stranger.execute(&mut *transaction).await.unwrap();
    let error = store.write_in(&mut transaction, batch()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("privilege"), "{error}");
    transaction.rollback().await.unwrap();
    sql(&server.url(), format!("DROP SCHEMA {schema} CASCADE"))
        .await
        .unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let error = store.write_in(&mut transaction, batch()).await.unwrap_err();
    assert!(error.to_string().contains("not to this store"), "{error}");
    transaction.rollback().await.unwrap();
    store.close().await.unwrap();
    close_whole(other).await;
}
