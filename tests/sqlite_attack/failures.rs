//! Transactions that fail in the middle, at their end, or for want of room.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use action_store::conformance::check_store;
use action_store::owner::OwnerQuery;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Command, Done, ErrorKind, Finish,
    NewAction, Order, Outcome, OwnerRef, Query, Rejection, SqliteOptions, SqliteStore, StoreError,
    StoreErrorKind,
};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::{Dice, Place, create, creating, ends, place, raw, reopened_and_checked, run};

type Answer = Result<Vec<Result<Done, Rejection>>, StoreError>;

type Write<'s> = Pin<Box<dyn Future<Output = Answer> + Send + 's>>;

/// Lets these batches wait until all of them do, so that one transaction takes them together.
async fn waiting<'s>(
    store: &'s SqliteStore,
    other: &mut SqliteConnection,
    batches: Vec<Batch>,
) -> Vec<Write<'s>> {
    run(other, "BEGIN IMMEDIATE").await;
    let mut blocked = Box::pin(store.write(creating(NewAction::task("blocked"))));
    let mut context = Context::from_waker(Waker::noop());
    assert!(blocked.as_mut().poll(&mut context).is_pending());
    // The writer takes that one alone, and waits for the lock.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut writes = Vec::new();
    for batch in batches {
        let mut write: Write<'_> = Box::pin(store.write(batch));
        assert!(write.as_mut().poll(&mut context).is_pending());
        writes.push(write);
    }
    run(other, "ROLLBACK").await;
    ends(blocked).await.unwrap();
    writes
}

/// The answers to these batches, which one transaction takes together.
async fn together(
    store: &SqliteStore,
    other: &mut SqliteConnection,
    batches: Vec<Batch>,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    for write in waiting(store, other, batches).await {
        answers.push(ends(write).await);
    }
    answers
}

async fn tripwire(place: &Place, body: &str) -> SqliteConnection {
    let mut other = raw(&place.path).await;
    run(
        &mut other,
        "CREATE TABLE trap (id INTEGER PRIMARY KEY, \
         held INTEGER REFERENCES trap (id) DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let trigger = format!(
        "CREATE TRIGGER trap AFTER INSERT ON actions_log \
         WHEN EXISTS (SELECT 1 FROM actions_action WHERE number = NEW.action AND name = 'bad') \
         BEGIN {body}; END"
    );
    run(&mut other, &trigger).await;
    other
}

/// The revisions of the feed are as many as there are changes: nothing that failed used one up.
async fn assert_dense(store: &SqliteStore, changes: u64) {
    let at = store.changed(None).await.unwrap();
    assert_eq!(at.revision.get(), changes);
    let page = store.list(&Query::new().with_order(Order::Feed)).await;
    assert_eq!(page.unwrap().at, at);
    check_store(store).await.unwrap();
}

#[tokio::test]
async fn one_that_fails_in_the_middle_does_not_take_its_group_with_it() {
    // Each leaves SQLite's transaction in another state.
    for how in ["ABORT", "ROLLBACK", "FAIL"] {
        let place = place();
        let store = SqliteStore::open(&place.path).await.unwrap();
        let trap = format!("SELECT RAISE({how}, 'bad')");
        let mut other = tripwire(&place, &trap).await;
        let owner = OwnerRef::new("o");
        let claim = Command::claim(owner);
        let batches = vec![
            creating(NewAction::task("good")),
            creating(NewAction::task("bad")),
            Batch::each(vec![claim]),
            creating(NewAction::task("good")),
        ];
        let answers = together(&store, &mut other, batches).await;
        for (index, answer) in answers.into_iter().enumerate() {
            match index {
                1 => assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Corrupt, "{how}"),
                _ => assert!(answer.unwrap()[0].is_ok(), "{how}, batch {index}"),
            }
        }
        assert_eq!(store.all_owners(OwnerQuery::new()).await.unwrap().len(), 1);
        assert_dense(&store, 3).await;
        other.close().await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_that_fails_at_its_commit_is_refused_alone_and_the_store_goes_on() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let mut other = tripwire(&place, "INSERT INTO trap (held) VALUES (-1)").await;
    for round in 0..5 {
        let good = creating(NewAction::task("good"));
        let bad = NewAction::task("bad");
        let uid = bad.uid;
        let batches = vec![good.clone(), creating(bad)];
        let mut answers = together(&store, &mut other, batches).await;
        assert_eq!(
            answers.pop().unwrap().unwrap_err().kind(),
            StoreErrorKind::Corrupt
        );
        assert!(answers.pop().unwrap().unwrap()[0].is_ok());
        assert!(store.action(uid).await.unwrap().is_none());
        let done = store.write(good).await.unwrap().pop().unwrap().unwrap();
        assert_eq!(done.effect, action_store::command::Effect::Already);
        // The one that made the group wait, and this one.
        assert_dense(&store, 2 * (round + 1)).await;
    }
    other.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_closed_right_after_a_failed_commit_is_one_file_all_the_same() {
    let place = place();
    for round in 1..=10 {
        let options = SqliteOptions::new().with_readers(8);
        let store = options.open(&place.path).await.unwrap();
        store.create(NewAction::task("good")).await.unwrap();
        if round == 1 {
            let trap = "INSERT INTO trap (held) VALUES (-1)";
            tripwire(&place, trap).await.close().await.unwrap();
        }
        let bad = store.write(creating(NewAction::task("bad"))).await;
        assert_eq!(bad.unwrap_err().kind(), StoreErrorKind::Corrupt);
        store.close().await.unwrap();
        let expected = ["actions.db", "actions.db.lock"];
        assert_eq!(place.files(), expected, "round {round}");
    }
}

/// A full store with some completed actions.
async fn full_store(place: &Place) -> (SqliteStore, Vec<Arc<Action>>) {
    let options = SqliteOptions::new().with_max_bytes(600 * 1024);
    let store = options.open(&place.path).await.unwrap();
    let mut over = Vec::new();
    for _ in 0..20 {
        let uid = store.create(NewAction::task("over")).await.unwrap().uid;
        let end = Finish::new(Outcome::Cancelled);
        over.push(store.finish(uid, end, None).await.unwrap());
    }
    (store, over)
}

fn large(name: &str) -> Batch {
    let long = || NewAction::task(name).with_description("x".repeat(4000));
    Batch::all((0..300).map(|_| create(long())).collect())
}

#[tokio::test]
async fn one_that_finds_no_room_does_not_keep_others_from_removing_or_renewing() {
    let place = place();
    let (store, over) = full_store(&place).await;
    let mut other = raw(&place.path).await;
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    let (uid, if_version) = (over[0].uid, over[0].version);
    let batches = vec![
        large("too much"),
        Batch::each(vec![Command::remove(uid, if_version)]),
        Batch::each(vec![Command::renew(owner)]),
    ];
    let mut answers = together(&store, &mut other, batches).await.into_iter();
    let full = answers.next().unwrap().unwrap_err();
    assert_eq!(full.kind(), StoreErrorKind::Unavailable, "{full}");
    for answer in answers {
        assert!(answer.unwrap()[0].is_ok());
    }
    assert!(store.action(uid).await.unwrap().is_none());
    assert_eq!(
        store.all_owners(OwnerQuery::new()).await.unwrap()[0].renewals,
        1
    );
    check_store(&store).await.unwrap();
    other.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_renewal_does_not_wait_for_all_batches_of_a_group_that_are_tried_one_by_one() {
    let place = place();
    let (store, _) = full_store(&place).await;
    let mut other = raw(&place.path).await;
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    let batches = (0..6).map(|_| large("too much")).collect();
    let (mut writes, mut context) = (
        waiting(&store, &mut other, batches).await,
        Context::from_waker(Waker::noop()),
    );
    // Together they find no room. From the first answer on, each is tried alone.
    let first = ends(writes.remove(0)).await.unwrap_err();
    assert_eq!(first.kind(), StoreErrorKind::Unavailable, "{first}");
    store.command(Command::renew(owner)).await.unwrap();
    let pending = |write: &mut Write<'_>| write.as_mut().poll(&mut context).is_pending();
    writes.retain_mut(pending);
    assert!(!writes.is_empty(), "the renewal came last");
    for write in writes {
        let error = ends(write).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    }
    other.close().await.unwrap();
    store.close().await.unwrap();
}

/// Creates, finishes and removes; says what must be there and what must not be in the end.
async fn come_and_go(store: Arc<SqliteStore>, sizes: Vec<u64>) -> Vec<(ActionUid, u64)> {
    let mut acknowledged = Vec::new();
    let certain = |error: &action_store::Error| {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    };
    for size in sizes {
        let size = usize::try_from(size).unwrap();
        let new = NewAction::task("a").with_description("x".repeat(size));
        let uid = new.uid;
        let mut version = match store.create(new).await {
            Ok(action) => action.version,
            Err(error) => {
                certain(&error);
                acknowledged.push((uid, 0));
                continue;
            }
        };
        match store
            .finish(uid, Finish::new(Outcome::Cancelled), None)
            .await
        {
            Ok(action) => version = action.version,
            Err(error) => certain(&error),
        }
        if size.is_multiple_of(3) && version.get() == 2 {
            let if_version = version;
            match store.command(Command::remove(uid, if_version)).await {
                Ok(_) => {
                    acknowledged.push((uid, 0));
                    continue;
                }
                Err(error) => certain(&error),
            }
        }
        acknowledged.push((uid, version.get()));
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_at_any_point_leave_exactly_what_was_acknowledged() {
    let (dice, place) = (Dice::new(), place());
    let options = SqliteOptions::new().with_max_bytes(600 * 1024);
    let store = Arc::new(options.open(&place.path).await.unwrap());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let sizes = (0..60).map(|_| dice.roll(4096)).collect();
            tokio::spawn(come_and_go(store.clone(), sizes))
        })
        .collect();
    // Meanwhile another connection takes the lock again and again.
    let mut other = raw(&place.path).await;
    for _ in 0..40 {
        run(&mut other, "BEGIN IMMEDIATE").await;
        tokio::time::sleep(std::time::Duration::from_millis(dice.roll(10))).await;
        run(&mut other, "ROLLBACK").await;
        tokio::time::sleep(std::time::Duration::from_millis(dice.roll(10))).await;
    }
    let (mut refused, mut there) = (0, 0);
    for task in tasks {
        for (uid, version) in ends(task).await.unwrap() {
            let found = store.action(uid).await.unwrap();
            assert_eq!(found.map_or(0, |found| found.version.get()), version);
            refused += usize::from(version < 2);
            there += usize::from(version > 0);
        }
    }
    assert!(
        refused > 20 && there > 20,
        "{refused} refused, {there} there"
    );
    let checked = check_store(&*store).await.unwrap();
    assert_eq!(checked.actions, there);
    other.close().await.unwrap();
    store.close().await.unwrap();
    let (store, checked) = reopened_and_checked(&place.path).await;
    assert_eq!(checked.actions, there);
    store.close().await.unwrap();
}
