//! What the attacks on a store in SQLite have in common.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action_store::{Batch, Command, NewAction};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// A place for a file of this name, and nothing there yet.
pub(crate) fn place_for(name: &str) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    Place { dir, path }
}

impl Place {
    /// The names of the files there, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path()).unwrap();
        let name = |file: std::fs::DirEntry| file.file_name().into_string().unwrap();
        let mut names: Vec<String> = files.map(|file| name(file.unwrap())).collect();
        names.sort();
        names
    }
}

/// A file beside the store's.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Another program's connection to the same file.
pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

pub(crate) async fn run(connection: &mut SqliteConnection, sql: &str) -> u64 {
    let done = sqlx::query(AssertSqlSafe(sql)).execute(connection).await;
    done.unwrap().rows_affected()
}

pub(crate) fn create(new: NewAction) -> Command {
    let new = new.into();
    Command::Create { new, by: None }
}

pub(crate) fn creating(new: NewAction) -> Batch {
    Batch::each(vec![create(new)])
}

/// What must not hang: fails the test after a minute.
pub(crate) async fn ends<F: Future>(future: F) -> F::Output {
    let ended = tokio::time::timeout(Duration::from_secs(60), future).await;
    ended.expect("an end within a minute")
}

/// A number from the environment, for a longer run than the ordinary one.
pub(crate) fn asked_for(variable: &str, ordinary: u64) -> u64 {
    std::env::var(variable).map_or(ordinary, |number| number.parse().unwrap())
}

/// Numbers that differ from run to run; the seed is printed, and shown when a test fails.
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new() -> Dice {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = asked_for("ATTACK_SEED", now.as_nanos() as u64);
        println!("ATTACK_SEED={seed}");
        Dice::seeded(seed)
    }

    pub(crate) fn seeded(seed: u64) -> Dice {
        Dice(AtomicU64::new(seed))
    }

    /// One of `0..below`.
    pub(crate) fn roll(&self, below: u64) -> u64 {
        // SplitMix64.
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    pub(crate) fn one_of<'t, T>(&self, some: &'t [T]) -> &'t T {
        &some[self.roll(some.len() as u64) as usize]
    }
}
