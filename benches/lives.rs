//! Whole lives (create, start, three reports, finish: six writes, each awaited), by many callers
//! at once, on each built-in store.
//!
//! `cargo bench --all-features --bench lives` runs interleaved rounds on fresh stores and prints
//! medians; `-- --quick` runs one short round. Afterwards every acknowledged life is looked for,
//! with its log: a bench that lost one fails. Times depend on the machine and its disk; compare
//! the rows of one run.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Command, Finish, LogQuery, MemoryStore, NewAction,
    ObjectRef, Order, OwnerRef, Progress, Query, Report, SqliteStore, Status,
};

const CALLERS: [usize; 4] = [1, 8, 64, 512];

/// Writes of one life.
const WRITES: usize = 6;

struct Round {
    writes_a_second: f64,
    p50: Duration,
    p99: Duration,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    // Cargo passes `--bench` on; anything else but `--quick` is a mistake.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let quick = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--quick"] => true,
        _ => panic!("lives: only --quick is known, not {arguments:?}"),
    };
    let (rounds, time) = match quick {
        true => (1, Duration::from_millis(300)),
        false => (5, Duration::from_secs(1)),
    };
    println!(
        "{:>8} {:>8} {:>14} {:>12} {:>12}",
        "store", "callers", "writes/s", "p50", "p99"
    );
    for callers in CALLERS {
        let (mut memory, mut sqlite) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            memory.push(round(Arc::new(MemoryStore::new()), callers, time).await);
            let dir = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(dir.path().join("actions.db"))
                .await
                .unwrap();
            sqlite.push(round(Arc::new(store), callers, time).await);
        }
        for (name, mut rounds) in [("memory", memory), ("sqlite", sqlite)] {
            rounds.sort_by(|a, b| a.writes_a_second.total_cmp(&b.writes_a_second));
            let median = &rounds[rounds.len() / 2];
            println!(
                "{name:>8} {callers:>8} {:>14.0} {:>12.1?} {:>12.1?}",
                median.writes_a_second, median.p50, median.p99
            );
        }
    }
}

async fn round(store: Arc<dyn ActionStore>, callers: usize, time: Duration) -> Round {
    let owner = OwnerRef::new("bench");
    let claim = Command::Claim {
        owner: owner.clone(),
        take_over: true,
    };
    store.command(claim).await.unwrap();
    let begun = Instant::now();
    let callers = (0..callers).map(|caller| {
        let (store, owner) = (store.clone(), owner.clone());
        tokio::spawn(async move {
            let (mut lived, mut waits) = (Vec::new(), Vec::new());
            while begun.elapsed() < time {
                lived.push(live(&*store, &owner, caller as u64, &mut waits).await);
            }
            (lived, waits)
        })
    });
    let callers: Vec<_> = callers.collect();
    let (mut lived, mut waits) = (Vec::new(), Vec::new());
    for caller in callers {
        let (uids, times) = caller.await.unwrap();
        lived.extend(uids);
        waits.extend(times);
    }
    let took = begun.elapsed();
    verify(&*store, &lived).await;
    store.close().await.unwrap();
    waits.sort();
    Round {
        writes_a_second: waits.len() as f64 / took.as_secs_f64(),
        p50: waits[waits.len() / 2],
        p99: waits[waits.len() * 99 / 100],
    }
}

async fn live(
    store: &dyn ActionStore,
    owner: &OwnerRef,
    object: u64,
    waits: &mut Vec<Duration>,
) -> ActionUid {
    let mut last = Instant::now();
    let mut lap = || {
        let now = Instant::now();
        waits.push(now - std::mem::replace(&mut last, now));
    };
    let new = NewAction::state_machine("SMUpdateBDB", ObjectRef::bdb(object))
        .with_description("resize to 3 shards of 4 GB, replicated");
    let uid = store.create(new).await.unwrap().uid;
    lap();
    store.start(uid, owner).await.unwrap();
    lap();
    for quarter in 1..=3 {
        let report = Report::new().with_progress(Progress::ratio(quarter, 4));
        store.report(uid, report, owner).await.unwrap();
        lap();
    }
    store
        .finish(uid, Finish::succeeded(), Some(owner))
        .await
        .unwrap();
    lap();
    uid
}

/// Everything acknowledged is there, completed, with the log that says so.
async fn verify(store: &dyn ActionStore, lived: &[ActionUid]) {
    for uids in lived.chunks(1000) {
        for found in store.get(uids).await.unwrap() {
            let action = found.expect("an acknowledged life is not there");
            assert_eq!(action.status, Status::Completed);
            assert_eq!(action.version.get() as usize, WRITES);
        }
    }
    let mut listed = 0;
    let mut pages = store.pages(Query::new().with_order(Order::Oldest).with_limit(1000));
    while let Some(page) = pages.next().await.unwrap() {
        listed += page.items.len();
    }
    assert_eq!(listed, lived.len());
    let mut entries = 0;
    let mut query = LogQuery::all().with_limit(1000);
    loop {
        let page = store.log(&query).await.unwrap();
        entries += page.items.len();
        let Some(next) = page.next else { break };
        query = query.with_after(Some(next));
    }
    // Created, started, finished: progress makes no entry.
    assert_eq!(entries, lived.len() * 3);
}
