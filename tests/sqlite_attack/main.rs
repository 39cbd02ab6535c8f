//! Attacks on the store in one SQLite file: kills, crowds, failures in the middle, wrong moments.
#![cfg(all(unix, feature = "conformance", feature = "sqlite"))]
// Futures polled by hand stay on the thread that polls them.
#![allow(clippy::future_not_send)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crowd;
mod failures;
mod kills;
mod lists;
mod moments;
mod places;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action_store::conformance::{Checked, check_store};
use action_store::{Batch, Command, NewAction, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

struct Place {
    dir: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
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

/// Opens a store, waiting for one that was given up to let go of it, and checks it whole.
async fn reopened_and_checked(path: &Path) -> (SqliteStore, Checked) {
    let store = SqliteStore::open(path).await.unwrap();
    let checked = check_store(&store).await.unwrap();
    (store, checked)
}

/// Numbers that differ from run to run; the seed is printed, and shown when a test fails.
struct Dice(AtomicU64);

impl Dice {
    fn new() -> Dice {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = std::env::var("ATTACK_SEED").ok();
        let seed = seed.map_or(now.as_nanos() as u64, |seed| seed.parse().unwrap());
        println!("ATTACK_SEED={seed}");
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
}
