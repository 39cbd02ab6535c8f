//! Measures the latency of changes and cancel requests between processes, and the cost of a
//! thousand waiters.
//!
//! `cargo bench --all-features --bench watch` prints all results. `-- --quick` runs less (under 15
//! s). `--completions N` and `--time MILLISECONDS` override the defaults.
//!
//! The second process is this program again, on the same `.shared()` SQLite file. It completes
//! actions one after the other, at times independent of the polls.
//!
//! Latency starts just before the call that completes the action, and ends when the wait in the
//! other process ends. So it includes the durable write, whose time is also printed alone. Both
//! processes use the system's clock.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

#[path = "watch/cancels.rs"]
mod cancels;
#[path = "shared/flags.rs"]
mod flags;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Capabilities, Change, Command, Done,
    Finish, LogEntry, LogQuery, NewAction, Outcome, Page, Query, Rejection, SqliteOptions,
    SqliteStore, StoreError, Watcher,
};
use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use flags::Flags;

/// Target for the 99th percentile.
const TARGET: Duration = Duration::from_millis(100);
const WAITERS: usize = 1000;

async fn open(path: &Path) -> SqliteStore {
    SqliteOptions::new().shared().open(path).await.unwrap()
}

fn now() -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_micros()
}

/// Second process: acts on each action it receives, and reports the start and the end of the call.
async fn child(path: &Path, act: impl AsyncFn(&SqliteStore, ActionUid)) {
    let store = open(path).await;
    // The reading thread does not drive the store.
    let next_line = || std::io::stdin().lines().next();
    while let Some(line) = next_line() {
        let uid: ActionUid = line.unwrap().parse().unwrap();
        let begun = now();
        act(&store, uid).await;
        println!("{begun} {}", now());
    }
    store.close().await.unwrap();
}

async fn complete(store: &SqliteStore, uid: ActionUid) {
    let finish = Finish::new(Outcome::Cancelled);
    store.finish(uid, finish, None).await.unwrap();
}

/// Handle of the second process.
struct Other {
    process: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(role: &str, path: &Path) -> Other {
        let mut process = tokio::process::Command::new(std::env::current_exe().unwrap())
            .arg(role)
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let to = process.stdin.take().unwrap();
        let from = BufReader::new(process.stdout.take().unwrap()).lines();
        Other { process, to, from }
    }

    async fn tell(&mut self, uid: ActionUid) {
        let line = format!("{uid}\n");
        self.to.write_all(line.as_bytes()).await.unwrap();
    }

    /// Start and end of the call.
    async fn said(&mut self) -> (u128, u128) {
        let said = self.from.next_line().await.unwrap().unwrap();
        let (begun, done) = said.split_once(' ').unwrap();
        (begun.parse().unwrap(), done.parse().unwrap())
    }

    async fn end(mut self) {
        drop(self.to);
        assert!(self.process.wait().await.unwrap().success());
    }
}

fn percentile(sorted: &[u128], percent: usize) -> Duration {
    let micros = sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)];
    Duration::from_micros(micros as u64)
}

async fn latency(path: &Path, count: usize) {
    let store = Arc::new(open(path).await);
    let watcher = Watcher::new(store.clone());
    let mut other = Other::start("--child", path);
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
        // By then the other process waits. The delay varies over the whole polling interval.
        tokio::time::sleep(Duration::from_micros(
            25_000 + (round as u64 * 7919) % 20_000,
        ))
        .await;
        other.tell(uid).await;
        let (at, ended) = waiting.await.unwrap();
        assert_eq!(ended.outcome, Some(Outcome::Cancelled));
        let (begun, done) = other.said().await;
        seen.push(at.saturating_sub(begun));
        written.push(done - begun);
    }
    other.end().await;
    println!("an end, waited for");
    told("seen by the other", seen);
    told("the write alone", written);
    store.close().await.unwrap();
}

/// Prints times, and whether those seen by the other process meet the target.
fn told(what: &str, mut times: Vec<u128>) {
    times.sort_unstable();
    let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
    let target = match p99 < TARGET {
        true => "below",
        false => "NOT below",
    };
    println!(
        "{what:<18} n {}, p50 {p50:.1?}, p99 {p99:.1?}, {target} {TARGET:?}",
        times.len()
    );
}

/// Store that counts the calls it receives.
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
    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.store.write(batch).await
    }
    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.store.get(uids).await
    }
    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.store.list(query).await
    }
    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.store.log(query).await
    }
    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.store.owners(query).await
    }
    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.store.changed(after).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

/// Waits for the given number of actions while a writer writes others for a while.
async fn cost(path: &Path, waiters: usize, time: Duration) {
    let store = Arc::new(Counted {
        store: open(path).await,
        gets: AtomicUsize::new(0),
        changes: AtomicUsize::new(0),
    });
    let watcher = Watcher::new(store.clone());
    let new: Vec<NewAction> = (0..waiters).map(|_| NewAction::task("a")).collect();
    let uids: Vec<ActionUid> = new.iter().map(|new| new.uid).collect();
    let create = |new: NewAction| Command::create(new);
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
    let finish = |uid| Command::apply(uid, Change::Finish(Finish::new(Outcome::Cancelled)));
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
    let flags = Flags::read(&["child", "canceller", "completions", "time"]);
    if let Some(path) = flags.text("child") {
        return child(Path::new(path), complete).await;
    }
    if let Some(path) = flags.text("canceller") {
        return cancels::child(Path::new(path)).await;
    }
    // Use the disk of the build: /tmp is often in memory.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    latency(
        &scratch.path().join("latency.db"),
        flags.number("completions", 50, 500),
    )
    .await;
    for executing in [0, 10_000] {
        let path = scratch.path().join(format!("cancel-{executing}.db"));
        cancels::latency(&path, flags.number("completions", 25, 250), executing).await;
    }
    let time = flags.millis("time", 1000, 5000);
    // Measure in turn, because the speed of a disk varies.
    for round in 0..2 {
        for waiters in [1, WAITERS] {
            let path = scratch.path().join(format!("cost-{round}-{waiters}.db"));
            cost(&path, waiters, time).await;
        }
    }
}
