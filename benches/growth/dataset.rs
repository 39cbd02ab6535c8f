//! Creates stores of any size, in which every page is full.
//!
//! Every action and its log are written by [`Command::Import`], like a copy from another store.
//! Each action is a function of its row number, so a reader can find any of ten million without a
//! table.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use action_store::command::Effect;
use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Batch, Command, Finish, LogEntry,
    MemoryStore, NewAction, ObjectRef, Outcome, OwnerRef, RelatedObject, Report, SqliteStore,
    Timestamp,
};
use tokio::task::JoinSet;
use uuid::Builder;

use crate::footprint;

/// Commands per batch: the maximum.
const BATCH: u64 = 1000;

/// Number of filling tasks, so that batches are built while others are written.
const FILLERS: usize = 4;

/// Log entries of every thousandth action: a full page.
pub const LONG_LOG: usize = 100;

/// Log entries of any other completed action: created, started, completed.
const SHORT_LOG: u64 = 3;

/// Creation time of the first action, in milliseconds since the Unix epoch. Each further action is
/// a millisecond later.
const BEGUN: u64 = 1_735_689_600_000;

/// Number of actions, and density of the actions that the reads look for.
///
/// In the small store, 200 actions are unfinished and each object has a hundred. A larger store has
/// the same densities, so the rows of its first page are as far apart. Only the number of nodes
/// grows: each has a hundred actions, spread over the store.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub rows: u64,
    small: u64,
}

impl Plan {
    pub fn new(rows: u64, small: u64) -> Plan {
        let fits =
            small > 0 && rows >= small && rows.is_multiple_of(1000) && small.is_multiple_of(1000);
        assert!(fits, "growth: rows come in thousands, {small} at least");
        Plan { rows, small }
    }

    pub fn uid(self, row: u64) -> ActionUid {
        let (one, two) = (mix(row).to_be_bytes(), mix(!row).to_be_bytes());
        let mut random = [0; 10];
        random[..8].copy_from_slice(&one);
        random[8..].copy_from_slice(&two[..2]);
        ActionUid::from_uuid(Builder::from_unix_timestamp_millis(BEGUN + row, &random).into_uuid())
    }

    /// Returns the creation time of a row, which is also when it was completed.
    pub fn time(self, row: u64) -> Timestamp {
        Timestamp::from_micros(i64::try_from((BEGUN + row) * 1000).unwrap())
    }

    pub fn objects(self) -> u64 {
        self.small / 100
    }

    /// Number of nodes, each with a hundred actions spread over the store.
    pub fn nodes(self) -> u64 {
        self.rows / 1000
    }

    fn node(self, row: u64) -> Option<u64> {
        (row % 10 == 7).then(|| row / 10 % self.nodes())
    }

    /// Returns a row whose log is a full page.
    pub fn long(self, which: u64) -> u64 {
        which % (self.rows / 1000) * 1000 + 1
    }

    fn kind(self, row: u64) -> Kind {
        // In turn never the same: 0 or 5, 3, 1 of ten.
        if row.is_multiple_of(self.small / 200) {
            Kind::Executing
        } else if row % 20 == 3 {
            Kind::Failed
        } else if row % 1000 == 1 {
            Kind::Long
        } else {
            Kind::Succeeded
        }
    }

    /// Returns the numbers of unfinished actions, failed actions and log entries.
    fn counts(self) -> [u64; 3] {
        let executing = self.rows.div_ceil(self.small / 200);
        let long = self.rows / 1000 * (LONG_LOG as u64 - SHORT_LOG);
        [
            executing,
            self.rows / 20,
            self.rows * SHORT_LOG - executing + long,
        ]
    }
}

/// Mixes a number into a pseudo-random one (SplitMix64).
pub fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Succeeded,
    Failed,
    Executing,
    Long,
}

/// Templates of the actions, one of each kind, recorded by a store.
struct Patterns {
    patterns: Vec<(Arc<Action>, Vec<LogEntry>)>,
    names: Vec<Arc<str>>,
    actors: Vec<Arc<str>>,
}

impl Patterns {
    async fn record() -> Patterns {
        let store = MemoryStore::new();
        let owner = OwnerRef::new("dataset");
        let claim = Command::claim(owner.clone());
        store.command(claim).await.unwrap();
        let mut patterns = Vec::new();
        for kind in [Kind::Succeeded, Kind::Failed, Kind::Executing, Kind::Long] {
            let new = NewAction::state_machine("SMUpdateBDB", ObjectRef::bdb(0))
                .with_description("resize to 3 shards of 4 GB, replicated");
            let uid = store.create(new).await.unwrap().uid;
            store.start(uid, &owner).await.unwrap();
            // Each step adds an entry; three entries are created, started, completed.
            let steps = if let Kind::Long = kind {
                LONG_LOG - 3
            } else {
                0
            };
            for step in 0..steps {
                let report = Report::new().with_step(format!("step_{step}"));
                store.report(uid, report, &owner).await.unwrap();
            }
            let finish = match kind {
                Kind::Executing => None,
                Kind::Failed => Some(Finish::failed(ActionError::new(
                    "no_room",
                    "not enough memory on the nodes",
                ))),
                _ => Some(Finish::succeeded()),
            };
            if let Some(finish) = finish {
                store.finish(uid, finish, Some(&owner)).await.unwrap();
            }
            let action = store.action(uid).await.unwrap().unwrap();
            let log = action_store::LogQuery::of(uid);
            patterns.push((action, store.log(&log).await.unwrap().items));
        }
        Patterns {
            patterns,
            names: (0..10).map(|name| format!("SMWork{name}").into()).collect(),
            actors: (0..20)
                .map(|actor| format!("user-{actor}").into())
                .collect(),
        }
    }

    fn import(&self, plan: Plan, row: u64) -> Command {
        let (action, log) = &self.patterns[plan.kind(row) as usize];
        let (mut action, mut log) = (Action::clone(action), log.clone());
        let at = plan.time(row);
        action.uid = plan.uid(row);
        action.name = self.names[row as usize % self.names.len()].clone();
        action.actor = Some(self.actors[row as usize % self.actors.len()].clone());
        action.object = Some(ObjectRef::bdb(row % plan.objects()));
        if let Some(node) = plan.node(row) {
            action.related = [RelatedObject::new("node", ObjectRef::node(node))].into();
        }
        action.created_at = at;
        action.last_seen_at = at;
        for time in [&mut action.started_at, &mut action.finished_at] {
            *time = time.map(|_| at);
        }
        for entry in &mut log {
            entry.uid = action.uid;
            entry.at = at;
        }
        Command::import(action, log)
    }
}

/// Filled, open store.
#[derive(Debug)]
pub struct Dataset {
    pub plan: Plan,
    pub store: Arc<SqliteStore>,
    pub path: PathBuf,
    /// Time to fill it.
    pub filled_in: Duration,
    /// Disk space after it was filled and closed.
    pub bytes: u64,
}

impl Dataset {
    /// Fills a new store and counts its content, because a store that lost data would look fast.
    pub async fn fill(directory: &Path, plan: Plan) -> Dataset {
        let path = directory.join(format!("dataset-{}.db", plan.rows));
        let store = Arc::new(SqliteStore::open(&path).await.unwrap());
        let patterns = Arc::new(Patterns::record().await);
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..FILLERS {
            let (store, patterns, next) = (store.clone(), patterns.clone(), next.clone());
            tasks.spawn(async move {
                loop {
                    let from = next.fetch_add(BATCH, Ordering::Relaxed);
                    if from >= plan.rows {
                        break;
                    }
                    let rows = from..plan.rows.min(from + BATCH);
                    let commands = rows.map(|row| patterns.import(plan, row)).collect();
                    for answer in store.write(Batch::each(commands)).await.unwrap() {
                        assert_eq!(answer.unwrap().effect, Effect::Applied);
                    }
                    // Print progress: ten silent minutes look like a hang.
                    if from > 0 && from % 1_000_000 == 0 {
                        let rate = from as f64 / begun.elapsed().as_secs_f64();
                        eprintln!("filling: {from} of {} rows, {rate:.0} a second", plan.rows);
                    }
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let filled_in = begun.elapsed();
        store.close().await.unwrap();
        count(&path, plan);
        let bytes = footprint::size(&path);
        let store = Arc::new(SqliteStore::open(&path).await.unwrap());
        Dataset {
            plan,
            store,
            path,
            filled_in,
            bytes,
        }
    }

    /// Closes the store and removes it from the disk.
    pub async fn remove(self) {
        self.store.close().await.unwrap();
        std::fs::remove_file(self.path).unwrap();
    }
}

fn count(path: &Path, plan: Plan) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let count = |what: &str| {
        let sql = format!("SELECT count(*) FROM {what}");
        let count = connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
        u64::try_from(count.unwrap()).unwrap()
    };
    let failed = Outcome::Failed.code();
    let [executing, failed_ones, entries] = plan.counts();
    assert_eq!(count("actions_action WHERE status < 2"), executing);
    assert_eq!(
        count(&format!("actions_action WHERE outcome = {failed}")),
        failed_ones
    );
    assert_eq!(count("actions_feed"), plan.rows);
    assert_eq!(count("actions_touch"), plan.rows + plan.rows / 10);
    assert_eq!(count("actions_log"), entries);
}
