//! Measures how fast a tracker settles actions left by its previous incarnation, and how this
//! affects new work.
//!
//! `cargo bench --all-features --bench recovery` leaves 100,000 executing actions in each store. It
//! starts a tracker with the same name, and measures the time until they are settled. It does this
//! once alone, and once while 8 callers begin and end actions through the same tracker from its
//! start.
//!
//! Before that, the callers do the same for a while in the same store with nothing to settle, for
//! comparison. `-- --quick` uses few actions; `--size N` sets their number.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

#[path = "shared/flags.rs"]
#[allow(dead_code, reason = "other benchmarks use all of it")]
mod flags;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use action_store::conformance::workload::Latencies;
use action_store::{
    ActionStore, ActionStoreExt, Batch, Change, Command, Filter, MemoryStore, NewAction, ObjectRef,
    Order, OwnerRef, Query, SqliteOptions, Tracker, TrackerOptions,
};
use flags::Flags;

const CALLERS: usize = 8;
/// Actions per transaction while filling.
const ROWS: usize = 500;

type Store = Arc<dyn ActionStore>;

#[tokio::main]
async fn main() {
    let flags = Flags::read(&["size"]);
    let size = flags.number("size", 3000, 100_000);
    let quiet = Duration::from_millis(if flags.quick() { 300 } else { 5000 });
    println!("{size} executing actions, {CALLERS} callers");
    println!(
        "| store | settled | rows a second | begins a second | p50 | p99 | longest |\n\
         | --- | --- | --- | --- | --- | --- | --- |"
    );
    for kind in ["memory", "SQLite", "SQLite, shared"] {
        // Use the disk of the build: /tmp is often in memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = open(kind, &dir.path().join("actions.db")).await;
        measure(kind, &store, size, quiet).await;
        store.close().await.unwrap();
    }
}

async fn open(kind: &str, path: &Path) -> Store {
    let options = SqliteOptions::new();
    match kind {
        "memory" => Arc::new(MemoryStore::new()),
        "SQLite" => Arc::new(options.open(path).await.unwrap()),
        _ => Arc::new(options.shared().open(path).await.unwrap()),
    }
}

async fn measure(kind: &str, store: &Store, size: usize, quiet: Duration) {
    leave(store, "plane", size).await;
    let tracker = start(store, "plane").await;
    let begun = Instant::now();
    let recovery = tracker.recovery().await;
    let alone = begun.elapsed();
    assert_eq!((recovery.lost, recovery.is_complete()), (size as u64, true));
    tracker.shutdown().await.unwrap();
    row(kind, Some((size, alone)), None);

    leave(store, "plane", size).await;
    let beside = start(store, "beside").await;
    let over = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let callers = call(&beside, &over);
    tokio::time::sleep(quiet).await;
    over.store(true, Ordering::Release);
    let times = gather(callers).await;
    row(kind, None, Some((times, begun.elapsed())));
    beside.shutdown().await.unwrap();

    let over = Arc::new(AtomicBool::new(false));
    let tracker = start(store, "plane").await;
    let begun = Instant::now();
    let callers = call(&tracker, &over);
    let recovery = tracker.recovery().await;
    let took = begun.elapsed();
    over.store(true, Ordering::Release);
    let times = gather(callers).await;
    assert_eq!((recovery.lost, recovery.is_complete()), (size as u64, true));
    row(kind, Some((size, took)), Some((times, took)));
    tracker.shutdown().await.unwrap();
    verify(store).await;
}

async fn start(store: &Store, name: &str) -> Tracker {
    let options = TrackerOptions::new().with_sweep(false);
    Tracker::start_with(store.clone(), name, options)
        .await
        .unwrap()
}

fn row(kind: &str, settled: Option<(usize, Duration)>, called: Option<(Latencies, Duration)>) {
    let settled = settled.map_or("- | -".to_owned(), |(size, took)| {
        format!("{took:.2?} | {:.0}", size as f64 / took.as_secs_f64())
    });
    let called = called.map_or("- | - | - | -".to_owned(), |(times, took)| {
        let rate = times.count() as f64 / took.as_secs_f64();
        let (p50, p99) = (times.quantile(0.5), times.quantile(0.99));
        format!(
            "{rate:.0} | {p50:.2?} | {p99:.2?} | {:.2?}",
            times.longest()
        )
    });
    println!("| {kind} | {settled} | {called} |");
}

/// Leaves executing actions of an owner that has stopped.
async fn leave(store: &Store, name: &str, size: usize) {
    let owner = OwnerRef::new(name);
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    for begin in (0..size).step_by(ROWS) {
        let mut commands = Vec::new();
        for row in begin..size.min(begin + ROWS) {
            let new = new_action(row);
            let (uid, by) = (new.uid, Some(owner.clone()));
            commands.push(Command::create(new).by(by.clone()));
            commands.push(Command::apply(uid, Change::Start).by(by));
        }
        for answer in store.write(Batch::each(commands)).await.unwrap() {
            answer.unwrap();
        }
    }
}

fn new_action(row: usize) -> NewAction {
    NewAction::state_machine("SMUpdateBDB", ObjectRef::bdb(row as u64 % 100))
        .with_description("resize to 3 shards of 4 GB, replicated")
}

type Callers = Vec<tokio::task::JoinHandle<Latencies>>;

/// Begins and ends actions until told to stop; returns the times of the begins.
fn call(tracker: &Tracker, over: &Arc<AtomicBool>) -> Callers {
    let caller = |number| {
        let (tracker, over) = (tracker.clone(), over.clone());
        tokio::spawn(async move {
            let mut times = Latencies::default();
            while !over.load(Ordering::Acquire) {
                let asked = Instant::now();
                let action = tracker.begin(new_action(number)).await.unwrap();
                times.record(asked.elapsed());
                action.succeed().await.unwrap();
            }
            times
        })
    };
    (0..CALLERS).map(caller).collect()
}

async fn gather(callers: Callers) -> Latencies {
    let mut times = Latencies::default();
    for caller in callers {
        times.merge(&caller.await.unwrap());
    }
    times
}

/// Verifies that no action is unfinished.
async fn verify(store: &Store) {
    let unfinished = Query::new()
        .with_filter(Filter::Unfinished)
        .with_order(Order::Oldest);
    assert_eq!(store.pages(unfinished).collect().await.unwrap().len(), 0);
}
