//! Attacks on a store in SQLite that is not alone: other processes, a host's pool, a host's own
//! transaction.
#![cfg(all(unix, feature = "conformance", feature = "sqlite"))]
// Futures polled by hand stay on the thread that polls them.
#![allow(clippy::future_not_send)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backups;
mod children;
mod drops;
mod fencing;
mod host;
mod opening;
mod places;
mod race;
mod racer;
mod tally;
mod verified;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action_store::conformance::{Checked, check_store};
use action_store::{Batch, Command, NewAction, SqliteOptions, SqliteStore};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions};

struct Place {
    dir: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plane.db");
    Place { dir, path }
}

impl Place {
    /// The names of the files there, sorted.
    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path()).unwrap();
        let name = |file: std::fs::DirEntry| file.file_name().into_string().unwrap();
        let mut names: Vec<String> = files.map(|file| name(file.unwrap())).collect();
        names.sort();
        names
    }
}

/// A file beside the store's.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Another program's connection to the same file.
async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &str) -> u64 {
    let done = sqlx::query(AssertSqlSafe(sql)).execute(connection).await;
    done.unwrap().rows_affected()
}

/// A pool as a host would make it.
async fn pool(path: &Path, connections: u32) -> SqlitePool {
    patient_pool(path, connections, Duration::from_secs(5)).await
}

async fn patient_pool(path: &Path, connections: u32, busy_timeout: Duration) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(busy_timeout);
    let pool = SqlitePoolOptions::new().max_connections(connections);
    pool.connect_with(options).await.unwrap()
}

async fn shared(path: &Path) -> SqliteStore {
    SqliteOptions::new().shared().open(path).await.unwrap()
}

fn create(new: NewAction) -> Command {
    let new = new.into();
    Command::Create { new, by: None }
}

fn creating(new: NewAction) -> Batch {
    Batch::each(vec![create(new)])
}

/// What must not hang: fails the test after a minute.
async fn ends<F: Future>(future: F) -> F::Output {
    let ended = tokio::time::timeout(Duration::from_secs(60), future).await;
    ended.expect("an end within a minute")
}

/// Opens a store of which nobody else has a share any more, and checks it whole: to the last
/// trigger, and every action of it.
async fn reopened_and_checked(path: &Path) -> (SqliteStore, Checked) {
    let options = SqliteOptions::new().must_exist().verify_schema();
    let store = options.open(path).await.unwrap();
    let checked = check_store(&store).await.unwrap();
    (store, checked)
}

/// Polls a future so many times at most, and drops it.
async fn poll_times<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut polls = 0;
    std::future::poll_fn(|context| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A number from the environment, for a longer run than the ordinary one.
fn asked_for(variable: &str, ordinary: u64) -> u64 {
    std::env::var(variable).map_or(ordinary, |number| number.parse().unwrap())
}

/// Numbers that differ from run to run; the seed is printed, and shown when a test fails.
struct Dice(AtomicU64);

impl Dice {
    fn new() -> Dice {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = asked_for("ATTACK_SEED", now.as_nanos() as u64);
        println!("ATTACK_SEED={seed}");
        Dice::seeded(seed)
    }

    fn seeded(seed: u64) -> Dice {
        Dice(AtomicU64::new(seed))
    }

    /// One of `0..below`.
    fn roll(&self, below: u64) -> u64 {
        // SplitMix64.
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn one_of<'t, T>(&self, some: &'t [T]) -> &'t T {
        &some[self.roll(some.len() as u64) as usize]
    }
}
