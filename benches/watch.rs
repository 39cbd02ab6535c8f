//! How soon one process sees what another one has done, and what a thousand who wait cost.
//!
//! `cargo bench --all-features --bench watch` prints both; `-- --quick` does less of it (under
//! 15 s), `--completions N` and `--time MILLISECONDS` override. The other process is this program
//! again, on the same `.shared()` SQLite file: it completes actions one after the other, at moments
//! that have nothing to do with the looks.
//!
//! A latency is from right before the call that completes the action to the moment at which the
//! wait for it ends in the other process, so the durable write itself is in it; that alone is given
//! beside it. Both by the system's clock, which the two share.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

#[path = "shared/flags.rs"]
mod flags;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Capabilities, Change, Command, Done,
    Finish, LogQuery, NewAction, OpId, Outcome, Owner, Page, Position, Query, Refused, Revision,
    SqliteOptions, SqliteStore, StoreError, Transition, Watcher,
};
use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use flags::Flags;

/// Below this the 99th percentile is to be.
const TARGET: Duration = Duration::from_millis(100);
const WAITERS: usize = 1000;

async fn open(path: &Path) -> SqliteStore {
    SqliteOptions::new().shared().open(path).await.unwrap()
}

fn now() -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_micros()
}

/// The other process: completes each action it is told of, and says when it began to and when it
/// was done.
async fn child(path: &Path) {
    let store = open(path).await;
    // The thread that reads is none of those that drive the store.
    let next_line = || std::io::stdin().lines().next();
    while let Some(line) = next_line() {
        let uid: ActionUid = line.unwrap().parse().unwrap();
        let begun = now();
        let finish = Finish::new(Outcome::Cancelled);
        store.finish(uid, finish, None).await.unwrap();
        println!("{begun} {}", now());
    }
    store.close().await.unwrap();
}

fn percentile(sorted: &[u128], percent: usize) -> Duration {
    let micros = sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)];
    Duration::from_micros(micros as u64)
}

async fn latency(path: &Path, count: usize) {
    let store = Arc::new(open(path).await);
    let watcher = Watcher::new(store.clone());
    let mut other = tokio::process::Command::new(std::env::current_exe().unwrap())
        .arg("--child")
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut to = other.stdin.take().unwrap();
    let mut from = BufReader::new(other.stdout.take().unwrap()).lines();
    let (mut seen, mut written) = (Vec::new(), Vec::new());
    for round in 0..count {
        let uid = store.create(NewAction::task("a")).await.unwrap().uid;
        let waiting = tokio::spawn({
            let watcher = watcher.clone();
            async move {
                let ended = watcher.wait(uid).await.unwrap();
                (now(), ended)
            }
        });
        // It waits for news by then; a length that falls on every part of the polling interval.
        tokio::time::sleep(Duration::from_micros(
            25_000 + (round as u64 * 7919) % 20_000,
        ))
        .await;
        to.write_all(format!("{uid}\n").as_bytes()).await.unwrap();
        let (at, ended) = waiting.await.unwrap();
        assert_eq!(ended.outcome, Some(Outcome::Cancelled));
        let said = from.next_line().await.unwrap().unwrap();
        let (begun, done) = said.split_once(' ').unwrap();
        let (begun, done): (u128, u128) = (begun.parse().unwrap(), done.parse().unwrap());
        seen.push(at.saturating_sub(begun));
        written.push(done - begun);
    }
    drop(to);
    assert!(other.wait().await.unwrap().success());
    seen.sort_unstable();
    written.sort_unstable();
    for (what, times) in [("seen by the other", &seen), ("the write alone", &written)] {
        let (p50, p99) = (percentile(times, 50), percentile(times, 99));
        println!("{what:<18} n {count}, p50 {p50:.1?}, p99 {p99:.1?}");
    }
    let missed = if percentile(&seen, 99) < TARGET {
        ""
    } else {
        "NOT "
    };
    println!("{missed}below the target of {TARGET:?} at p99");
    store.close().await.unwrap();
}

/// Counts what it is asked.
#[derive(Debug)]
struct Counted {
    store: SqliteStore,
    gets: AtomicUsize,
    changes: AtomicUsize,
}

#[async_trait]
impl ActionStore for Counted {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Refused>>, StoreError> {
        self.store.write(batch).await
    }
    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.store.get(uids).await
    }
    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.store.list(query).await
    }
    async fn log(&self, query: &LogQuery) -> Result<Page<Transition>, StoreError> {
        self.store.log(query).await
    }
    async fn owners(&self) -> Result<Vec<Owner>, StoreError> {
        self.store.owners().await
    }
    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.store.changed(after).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

/// Waits for that many actions beside one who writes others for a while.
async fn cost(path: &Path, waiters: usize, time: Duration) {
    let store = Arc::new(Counted {
        store: open(path).await,
        gets: AtomicUsize::new(0),
        changes: AtomicUsize::new(0),
    });
    let watcher = Watcher::new(store.clone());
    let new: Vec<NewAction> = (0..waiters).map(|_| NewAction::task("a")).collect();
    let uids: Vec<ActionUid> = new.iter().map(|new| new.uid).collect();
    let create = |new: NewAction| Command::Create {
        new: Arc::new(new),
        by: None,
    };
    let batch = Batch::each(new.into_iter().map(create).collect());
    for answer in store.write(batch).await.unwrap() {
        answer.unwrap();
    }
    let mut waiting = tokio::task::JoinSet::new();
    for uid in uids.iter().copied() {
        let watcher = watcher.clone();
        waiting.spawn(async move { watcher.wait(uid).await });
    }
    let (begun, mut writes) = (std::time::Instant::now(), 0);
    while begun.elapsed() < time {
        store.create(NewAction::task("b")).await.unwrap();
        writes += 1;
    }
    let finish = |uid| Command::Apply {
        uid,
        op: OpId::new(),
        change: Change::Finish(Finish::new(Outcome::Cancelled)),
        by: None,
        if_version: None,
    };
    let ends = Batch::each(uids.into_iter().map(finish).collect());
    for answer in store.write(ends).await.unwrap() {
        answer.unwrap();
    }
    let mut ended = 0;
    while let Some(waited) = waiting.join_next().await {
        waited.unwrap().unwrap();
        ended += 1;
    }
    assert_eq!((ended, watcher.watched()), (waiters, 0));
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "{waiters:>5} waiting       {:>4} get, {:>4} changed in {:.1?} beside {writes} writes",
        count(&store.gets),
        count(&store.changes),
        begun.elapsed(),
    );
    store.close().await.unwrap();
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let flags = Flags::read(&["--child", "--completions", "--time"]);
    if let Some(path) = flags.text("--child") {
        return child(Path::new(path)).await;
    }
    // On whatever disk the build is on: /tmp is often memory.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    latency(
        &scratch.path().join("latency.db"),
        flags.number("--completions", 50, 500),
    )
    .await;
    let time = flags.millis("--time", 1000, 5000);
    // Turn by turn, since a disk has moods.
    for round in 0..2 {
        for waiters in [1, WAITERS] {
            let path = scratch.path().join(format!("cost-{round}-{waiters}.db"));
            cost(&path, waiters, time).await;
        }
    }
}
