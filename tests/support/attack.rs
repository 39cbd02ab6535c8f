//! Helpers that the attacks on a SQLite store share.

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

/// Returns the path of a file in a new empty directory.
pub(crate) fn place_for(name: &str) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    Place { dir, path }
}

impl Place {
    /// Returns the names of the files in the directory, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path()).unwrap();
        let name = |file: std::fs::DirEntry| file.file_name().into_string().unwrap();
        let mut names: Vec<String> = files.map(|file| name(file.unwrap())).collect();
        names.sort();
        names
    }
}

/// Returns the path of a companion file of the store, for example its WAL.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a connection to the file, like another program.
pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

pub(crate) async fn run(connection: &mut SqliteConnection, sql: &str) -> u64 {
    let done = sqlx::query(AssertSqlSafe(sql)).execute(connection).await;
    done.unwrap().rows_affected()
}

pub(crate) fn create(new: NewAction) -> Command {
    Command::create(new)
}

pub(crate) fn creating(new: NewAction) -> Batch {
    Batch::each(vec![create(new)])
}

/// Awaits a future, and fails the test if it takes more than a minute.
pub(crate) async fn ends<F: Future>(future: F) -> F::Output {
    let ended = tokio::time::timeout(Duration::from_secs(60), future).await;
    ended.expect("an end within a minute")
}

/// Returns a number from the environment, or the default for a short run.
pub(crate) fn asked_for(variable: &str, ordinary: u64) -> u64 {
    std::env::var(variable).map_or(ordinary, |number| number.parse().unwrap())
}

/// Random numbers that differ in each run. The seed is printed, so it is in the output of
/// a failed test.
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

    /// Returns a number in `0..below`.
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
