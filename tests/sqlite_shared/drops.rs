//! Futures dropped after every number of polls, on every kind of store in SQLite.

use std::path::Path;
use std::time::{Duration, Instant};

use action_store::command::Effect;
use action_store::conformance::check_store;
use action_store::owner::OwnerQuery;
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, Change, Command, LogQuery, NewAction, Order,
    OwnerRef, Query, SqliteOptions, SqliteStore,
};
use sqlx::sqlite::SqlitePool;

use super::{Place, create, place, poll_times, pool};

/// More polls than an answer takes.
pub(super) const POLLS: usize = 1000;

/// How often each number of polls is tried: what is lost each time runs out sooner or later.
pub(super) const ROUNDS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    Exclusive,
    Shared,
    Pool { connections: u32 },
}

pub(super) const WAYS: [Way; 4] = [
    Way::Exclusive,
    Way::Shared,
    Way::Pool { connections: 1 },
    Way::Pool { connections: 4 },
];

/// A store, the host's pool if it is on one, and how long calls took at worst after a drop.
pub(super) struct Victim {
    pub(super) store: SqliteStore,
    pub(super) pool: Option<SqlitePool>,
    pub(super) place: Place,
    worst: Duration,
}

async fn open(way: Way, path: &Path) -> (SqliteStore, Option<SqlitePool>) {
    let options = SqliteOptions::new();
    match way {
        Way::Exclusive => (options.open(path).await.unwrap(), None),
        Way::Shared => (options.shared().open(path).await.unwrap(), None),
        Way::Pool { connections } => {
            let pool = pool(path, connections).await;
            (options.on_pool(pool.clone()).await.unwrap(), Some(pool))
        }
    }
}

pub(super) async fn victim(way: Way) -> Victim {
    let place = place();
    let (store, pool) = open(way, &place.path).await;
    Victim {
        store,
        pool,
        place,
        worst: Duration::ZERO,
    }
}

/// A call after a drop must be answered within ten seconds.
async fn in_time<F: Future>(what: &str, worst: &mut Duration, call: F) -> F::Output {
    let begun = Instant::now();
    let answer = tokio::time::timeout(Duration::from_secs(10), call).await;
    *worst = begun.elapsed().max(*worst);
    answer.unwrap_or_else(|_| panic!("{what}: no answer to the next call"))
}

impl Victim {
    /// A write and a read, as they come next.
    pub(super) async fn next_calls(&mut self, what: &str) {
        let new = NewAction::task("next");
        let uid = new.uid;
        let written = in_time(what, &mut self.worst, self.store.create(new)).await;
        let found = in_time(what, &mut self.worst, self.store.action(uid)).await;
        assert_eq!(found.unwrap(), Some(written.unwrap()), "{what}");
    }

    pub(super) async fn end(self, what: &str) -> Duration {
        check_store(&self.store).await.unwrap();
        self.store.close().await.unwrap();
        drop(self.store);
        if let Some(pool) = &self.pool {
            pool.close().await;
        }
        println!("{what}: the next call took {:?} at worst", self.worst);
        self.worst
    }
}

/// A batch that is done as a whole or not at all, and its actions.
pub(super) fn pair(owner: &OwnerRef) -> (Batch, [ActionUid; 2]) {
    let (a, b) = (NewAction::task("a"), NewAction::task("b"));
    let uids = [a.uid, b.uid];
    let start = Command::apply(b.uid, Change::Start).by(owner.clone());
    (Batch::each(vec![create(a), create(b), start]), uids)
}

pub(super) async fn claimed(store: &SqliteStore) -> OwnerRef {
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    owner
}

/// Returns true if a pair is stored completely, and false if nothing of it is.
pub(super) async fn is_whole(store: &SqliteStore, uids: &[ActionUid; 2], what: &str) -> bool {
    let found = store.get(uids).await.unwrap();
    let versions: Vec<u64> = found.iter().flatten().map(|a| a.version.get()).collect();
    assert!(
        versions.is_empty() || versions == [1, 2],
        "{what}: torn, {versions:?}"
    );
    !versions.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_write_is_whole_or_nothing_and_the_next_call_is_answered() {
    for way in WAYS {
        let mut v = victim(way).await;
        let owner = claimed(&v.store).await;
        let (mut there, mut not) = (0, 0);
        for polls in 0..POLLS {
            let (what, mut answered) = (format!("write on {way:?}, {polls} polls"), true);
            for _ in 0..ROUNDS {
                let (batch, uids) = pair(&owner);
                let answer = poll_times(v.store.write(batch.clone()), polls).await;
                v.next_calls(&what).await;
                let whole = is_whole(&v.store, &uids, &what).await;
                match whole {
                    true => there += 1,
                    false => not += 1,
                }
                answered &= answer.is_some();
                assert!(whole || answer.is_none(), "{what}: an answer, and nothing");
                for again in v.store.write(batch).await.unwrap() {
                    let expected = if whole {
                        Effect::Already
                    } else {
                        Effect::Applied
                    };
                    assert_eq!(again.unwrap().effect, expected, "{what}");
                }
            }
            if answered {
                break;
            }
            assert!(polls + 1 < POLLS, "{what}: never answered");
        }
        assert!(there > 0 && not > 0, "{there} there, {not} not");
        v.end(&format!("write on {way:?}")).await;
    }
}

/// A call of the store's that changes nothing.
#[derive(Debug, Clone, Copy)]
enum Call {
    Get,
    List(Order),
    Log,
    LogOfOne,
    Owners,
    Position,
    Changed,
    Diagnostics,
    Backup,
}

impl Call {
    const ALL: [Call; 11] = [
        Call::Get,
        Call::List(Order::Newest),
        Call::List(Order::Oldest),
        Call::List(Order::Feed),
        Call::Log,
        Call::LogOfOne,
        Call::Owners,
        Call::Position,
        Call::Changed,
        Call::Diagnostics,
        Call::Backup,
    ];

    /// Calls, polls and drops it; whether it had answered.
    async fn dropped(self, v: &Victim, uid: ActionUid, polls: usize) -> bool {
        let store = &v.store;
        let list = |order| Query::new().with_order(order).with_limit(3);
        match self {
            Call::Get => poll_times(store.get(&[uid]), polls)
                .await
                .map(Result::unwrap)
                .is_some(),
            Call::List(order) => {
                let answer = poll_times(store.list(&list(order)), polls).await;
                answer.map(Result::unwrap).is_some()
            }
            Call::Log => {
                let answer = poll_times(store.log(&LogQuery::all().with_limit(3)), polls).await;
                answer.map(Result::unwrap).is_some()
            }
            Call::LogOfOne => {
                let answer = poll_times(store.log(&LogQuery::of(uid)), polls).await;
                answer.map(Result::unwrap).is_some()
            }
            Call::Owners => poll_times(store.owners(&OwnerQuery::new()), polls)
                .await
                .map(Result::unwrap)
                .is_some(),
            Call::Position => {
                let answer = poll_times(store.changed(None), polls).await;
                answer.map(Result::unwrap).is_some()
            }
            Call::Changed => {
                let at = store.changed(None).await.unwrap().revision;
                let (answer, written) = tokio::join!(
                    poll_times(store.changed(Some(at)), polls),
                    store.create(NewAction::task("news"))
                );
                written.unwrap();
                answer.map(Result::unwrap).is_some()
            }
            Call::Diagnostics => {
                let answer = poll_times(store.diagnostics(), polls).await;
                answer.map(Result::unwrap).is_some()
            }
            Call::Backup => {
                let path = v
                    .place
                    .dir
                    .path()
                    .join(format!("{}.copy", ActionUid::new()));
                let answer = poll_times(store.backup_to(&path), polls).await;
                answer.map(Result::unwrap).is_some()
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_read_that_was_dropped_the_next_call_is_answered() {
    for way in WAYS {
        let mut v = victim(way).await;
        claimed(&v.store).await;
        let uid = v.store.create(NewAction::task("a")).await.unwrap().uid;
        for call in Call::ALL {
            for polls in 0..POLLS {
                let (what, mut answered) = (format!("{call:?} on {way:?}, {polls} polls"), true);
                for _ in 0..ROUNDS {
                    answered &= call.dropped(&v, uid, polls).await;
                    v.next_calls(&what).await;
                }
                if answered {
                    break;
                }
                assert!(polls + 1 < POLLS, "{what}: never answered");
            }
        }
        v.end(&format!("reads on {way:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_close_is_finished_by_the_next_one_and_leaves_the_pool_to_the_host() {
    for way in WAYS {
        let mut worst = Duration::ZERO;
        let place = place();
        for polls in 0..POLLS {
            let what = format!("close on {way:?}, {polls} polls");
            let (store, pool) = open(way, &place.path).await;
            let uid = store.create(NewAction::task("a")).await.unwrap().uid;
            let answered = poll_times(store.close(), polls).await.is_some();
            in_time(&what, &mut worst, store.close()).await.unwrap();
            drop(store);
            if let Some(pool) = &pool {
                let host = in_time(&what, &mut worst, pool.begin_with("BEGIN IMMEDIATE")).await;
                host.unwrap().rollback().await.unwrap();
                pool.close().await;
            }
            // Everything was given back: the next one may have it for itself.
            let next = match way {
                Way::Pool { .. } => open(way, &place.path).await.0,
                _ => {
                    let next = SqliteOptions::new().open(&place.path);
                    in_time(&what, &mut worst, next).await.unwrap()
                }
            };
            let found = in_time(&what, &mut worst, next.action(uid)).await;
            assert!(found.unwrap().is_some(), "{what}");
            next.close().await.unwrap();
            if answered {
                break;
            }
            assert!(polls + 1 < POLLS, "{what}: never answered");
        }
        println!("close on {way:?}: the next call took {worst:?} at worst");
    }
}
