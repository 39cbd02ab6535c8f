//! Measures pruning of a large store during concurrent writes.
//!
//! `cargo bench --all-features --bench retention` fills a SQLite store with a million completed
//! actions, some of them pinned, and some unfinished ones. It prunes the store with the default
//! policy while 8 writers run whole lives.
//!
//! Phases with and without pruning alternate in one run, so that the writers' times can be
//! compared, until pruning ends. Afterwards it verifies that every action that should stay is
//! there. `-- --quick` uses few actions. `--size N`, `--batch N`, `--pause MILLISECONDS` and
//! `--phase MILLISECONDS` override the defaults.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

#[path = "shared/flags.rs"]
mod flags;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use action_store::conformance::workload::{Caller, Latencies, closed_loop};
use action_store::retention::{Pruned, Pruner, Retention};
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, Change, Clock, Command, Finish, NewAction,
    ObjectRef, OwnerRef, Progress, Report, SqliteOptions, SqliteStore, Status, Timestamp,
};

use flags::Flags;

const WRITERS: usize = 8;
/// Actions per transaction while filling.
const ROWS: usize = 300;
/// One action in this many is left unfinished, and one is pinned.
const ODD: usize = 1000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Store = Arc<SqliteStore>;

fn main() {
    let flags = Flags::read(&["size", "phase", "batch", "pause"]);
    let size = flags.number("size", 10_000, 1_000_000);
    let phase = flags.millis("phase", 500, 10_000);
    let policy = Retention::new();
    let pause = policy.pause.as_millis() as u64;
    let policy = policy
        .clone()
        .with_batch(flags.number("batch", policy.batch, policy.batch))
        .with_pause(flags.millis("pause", pause, pause));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(size, phase, policy));
}

async fn run(size: usize, phase: Duration, policy: Retention) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let clock = Clock::manual(Timestamp::from_seconds(1_760_000_000));
    let options = SqliteOptions::new().with_clock(clock.clone());
    let store = Arc::new(options.open(dir.path().join("actions.db")).await.unwrap());
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();

    let begun = Instant::now();
    let dataset = fill(&store, &owner, size).await;
    let filled = begun.elapsed();
    println!("filled with {size} actions in {filled:.1?}");
    // One action is completed every ten days, because a gap of forty days would count as a jump of
    // the clock. The last completion is of today, from which ages are counted back.
    let mut lived = Vec::new();
    for row in 0..4 {
        clock.advance(10 * DAY);
        lived.push(live(&store, &owner, row, &mut || {}).await);
    }

    let (gate, over) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let pruning = tokio::spawn(prune(
        store.clone(),
        policy.clone(),
        clock.now(),
        gate.clone(),
        over.clone(),
    ));
    let (mut quiet, mut busy) = (Latencies::default(), Latencies::default());
    let mut pairs = Vec::new();
    while !over.load(Ordering::Acquire) {
        let mut pair = [0.0; 2];
        for (prunes, into) in [(false, &mut quiet), (true, &mut busy)] {
            gate.store(prunes, Ordering::Release);
            let (measured, uids) = write(&store, &owner, phase).await;
            pair[usize::from(prunes)] = measured.quantile(0.99).as_secs_f64();
            // The last phase is partly without pruning.
            if !prunes || !over.load(Ordering::Acquire) || pairs.is_empty() {
                into.merge(&measured);
            }
            lived.extend(uids);
        }
        pairs.push(pair[1] / pair[0]);
    }
    let (pruned, took) = pruning.await.unwrap();
    report(&policy, &quiet, &busy, &mut pairs);
    println!(
        "{} pruned in {took:.1?} of phases with pruning: {:.0} rows a second",
        pruned.removed.total(),
        pruned.removed.total() as f64 / took.as_secs_f64()
    );
    verify(&store, &dataset, &lived, pruned).await;
    store.close().await.unwrap();
}

fn report(policy: &Retention, quiet: &Latencies, busy: &Latencies, pairs: &mut [f64]) {
    println!(
        "batches of {}, pauses of {:.0?}, {WRITERS} writers of whole lives, times of a call",
        policy.batch, policy.pause
    );
    println!("| | calls | p50 | p99 | p99.9 |\n| --- | --- | --- | --- | --- |");
    for (name, times) in [("without pruning", quiet), ("with pruning", busy)] {
        println!(
            "| {name} | {} | {:.2?} | {:.2?} | {:.2?} |",
            times.count(),
            times.quantile(0.5),
            times.quantile(0.99),
            times.quantile(0.999)
        );
    }
    pairs.sort_by(f64::total_cmp);
    let median = pairs[pairs.len() / 2];
    println!(
        "p99 with to without, median of {} neighbours: {median:.2}",
        pairs.len()
    );
}

/// Content of the store at the start: the actions that must stay, and the total number.
struct Dataset {
    size: usize,
    unfinished: Vec<ActionUid>,
    pinned: Vec<ActionUid>,
}

async fn fill(store: &Store, owner: &OwnerRef, size: usize) -> Dataset {
    let (mut unfinished, mut pinned) = (Vec::new(), Vec::new());
    for begin in (0..size).step_by(ROWS) {
        let mut commands = Vec::new();
        for row in begin..size.min(begin + ROWS) {
            let new = new_action(row);
            let uid = new.uid;
            commands.push(Command::create(new));
            commands.push(apply(uid, Change::Start, owner));
            if row % ODD == 1 {
                unfinished.push(uid);
                continue;
            }
            commands.push(apply(uid, Change::Finish(Finish::succeeded()), owner));
            if row % ODD == 2 {
                pinned.push(uid);
                commands.push(Command::pin(uid, true));
            }
        }
        for answer in store.write(Batch::each(commands)).await.unwrap() {
            answer.unwrap();
        }
    }
    Dataset {
        size,
        unfinished,
        pinned,
    }
}

fn new_action(row: usize) -> NewAction {
    NewAction::state_machine("SMUpdateBDB", ObjectRef::bdb(row as u64 % 100))
        .with_description("resize to 3 shards of 4 GB, replicated")
}

fn apply(uid: ActionUid, change: Change, by: &OwnerRef) -> Command {
    Command::apply(uid, change).by(by.clone())
}

async fn live(store: &Store, owner: &OwnerRef, row: usize, lap: &mut impl FnMut()) -> ActionUid {
    let uid = store.create(new_action(row)).await.unwrap().uid;
    lap();
    store.start(uid, owner).await.unwrap();
    lap();
    for quarter in 1..=3 {
        let report = Report::new().with_progress(Progress::ratio(quarter, 4));
        store.report(uid, report, owner).await.unwrap();
        lap();
    }
    let finish = Finish::succeeded();
    store.finish(uid, finish, Some(owner)).await.unwrap();
    lap();
    uid
}

/// Runs one phase of the writers.
async fn write(store: &Store, owner: &OwnerRef, time: Duration) -> (Latencies, Vec<ActionUid>) {
    let caller = |mut caller: Caller| {
        let (store, owner) = (store.clone(), owner.clone());
        async move {
            let mut lived = Vec::new();
            while caller.goes_on().await {
                let number = caller.number();
                lived.push(live(&store, &owner, number, &mut || caller.lap()).await);
            }
            (caller, lived)
        }
    };
    let (measured, lived) = closed_loop(WRITERS, time, caller).await.unwrap();
    (measured.latencies, lived.into_iter().flatten().collect())
}

/// Prunes while the gate is open; returns the total time.
async fn prune(
    store: Store,
    policy: Retention,
    now: Timestamp,
    gate: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
) -> (Pruned, Duration) {
    let mut pruner = Pruner::new(&*store, &policy, now);
    let mut took = Duration::ZERO;
    loop {
        if !gate.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let begun = Instant::now();
        let step = pruner.next().await.unwrap();
        if step.is_some_and(|tried| tried > 0) {
            tokio::time::sleep(policy.pause).await;
        }
        took += begun.elapsed();
        if step.is_none() {
            over.store(true, Ordering::Release);
            return (pruner.report(), took);
        }
    }
}

/// Verifies that all actions that should stay are there, and all others are gone.
async fn verify(store: &Store, dataset: &Dataset, lived: &[ActionUid], pruned: Pruned) {
    let stays = [
        (&dataset.unfinished[..], Status::Executing),
        (&dataset.pinned[..], Status::Completed),
        (lived, Status::Completed),
    ];
    for (uids, status) in stays {
        for some in uids.chunks(1000) {
            for found in store.get(some).await.unwrap() {
                assert_eq!(
                    found.expect("an action that should have stayed").status,
                    status
                );
            }
        }
    }
    let removed = pruned.removed.total() as usize;
    let stay = dataset.unfinished.len() + dataset.pinned.len();
    // The last ten actions of each of the hundred objects are kept; some may be the writers' lives.
    let most = dataset.size - stay;
    assert!(
        removed <= most && removed + 1000 >= most,
        "{removed} of {most}"
    );
    assert_eq!((pruned.gone, pruned.changed), (0, 0));
    println!(
        "verified: {} unfinished, {} pinned, {} lives, all there",
        dataset.unfinished.len(),
        dataset.pinned.len(),
        lived.len()
    );
}
