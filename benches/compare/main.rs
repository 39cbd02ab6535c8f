//! Compares the library's stores with hand-written ones.
//!
//! `cargo bench --all-features --bench compare` runs every workload in interleaved rounds. It
//! writes `results.json`, `table.md`, plots and the text for `FIGURES.md` under `target/compare`.
//! The text is `readme.md`, which `benches/enter` inserts.
//!
//! `-- --quick` runs one short round of each workload as a smoke test, and writes under
//! `target/compare/quick`. `--only lives-64` runs the workloads whose names begin with this text.
//! `--rounds N`, `--time MILLISECONDS` and `--size N` (rows of the read workloads) override the
//! defaults.
//!
//! `--alone MemoryStore --lives N` runs lives on one contestant in one task and measures nothing.
//! `scripts/instructions` counts the instructions of a command that way.
//!
//! # Contestants
//!
//! All do the same work: a row with all the library's columns, its indexes, its log and its feed.
//! Each write is a compare-and-set on the version, and is acknowledged only when it is durable.
//! `schema.sql` fixes this, and `schema.rs` checks it against the shipped schema. The hand-written
//! stores have no owners, retries, terms or limits. This makes them faster, not slower.
//!
//! - `sqlx writer task`, the baseline: group commit and a tuned read pool, see `sqlx_grouped.rs`.
//!
//! - `rusqlite grouped, our schema`, the like-for-like upper bound: group commit in its own thread,
//!   on the shipped schema with its CHECKs, triggers and counters, see `shipped.rs`.
//!
//! - `rusqlite grouped`: the same on the bare schema.
//!
//! - `sqlx per call`: one transaction per call and the default read pool, see `sqlx_by_hand.rs`.
//!
//! - `rusqlite per call`: `spawn_blocking`, one transaction per call.
//!
//! - `redb by hand`: a key-value store, one transaction per call, records as JSON.
//!
//! - `redb with our codec`: the same store over what the library offers authors of stores, see
//!   `redb_codec.rs`. It is the baseline of the pages that 32 callers read.
//!
//! - `locked map`, the baseline in memory, and `sharded map`: see `locked_map.rs`.
//!
//! Not included: effectum, a job queue on SQLite with its own group commit. Its release 0.7 needs
//! rusqlite 0.31. A program links only one SQLite, and this one uses that of rusqlite 0.39 and
//! sqlx.
//!
//! # Method
//!
//! A write round starts with a fresh store. Afterwards it verifies everything that was
//! acknowledged: actions, versions and log entries.
//!
//! Read workloads use a store that was filled the same way, with completed actions only. The SQLite
//! store answers look-ups of unfinished actions that it wrote itself from memory, so none of these
//! is measured.
//!
//! Rounds are interleaved, and each round starts with another contestant. Ratios are taken within a
//! round, because the speed of a disk varies. Figures are medians.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

mod alone;
mod contestant;
#[path = "../shared/flags.rs"]
mod flags;
mod locked_map;
#[path = "../shared/machine.rs"]
mod machine;
#[path = "../shared/middle.rs"]
mod middle;
mod ours;
#[path = "../shared/plot.rs"]
mod plot;
mod redb_by_hand;
mod redb_codec;
mod report;
mod rusqlite_by_hand;
mod schema;
mod shipped;
mod sql;
mod sqlx_by_hand;
mod sqlx_grouped;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::workload::{Caller, Measured, closed_loop};
use uuid::Uuid;

use contestant::{Asked, Contestant, ENTRIES, Head, LAST_VERSION, New, life};
use flags::Flags;
use locked_map::LockedMap;
use report::{Group, Line, Sample};
use rusqlite_by_hand::Grouped;

/// Objects that the actions touch.
const OBJECTS: usize = 100;

/// Rows per page.
const PAGE: u16 = 100;

/// Each call is one write of a life, one look-up or one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Lives,
    Get,
    Newest,
    Object,
    Feed,
}

const WORKLOADS: [(&str, Work, usize); 10] = [
    ("lives-1", Work::Lives, 1),
    ("lives-8", Work::Lives, 8),
    ("lives-64", Work::Lives, 64),
    ("lives-512", Work::Lives, 512),
    ("get-1", Work::Get, 1),
    ("get-64", Work::Get, 64),
    ("newest-8", Work::Newest, 8),
    ("newest-32", Work::Newest, 32),
    ("object-32", Work::Object, 32),
    ("feed-32", Work::Feed, 32),
];

impl Work {
    /// Label of the workload, with its number of callers.
    fn by(self, callers: usize) -> String {
        let what = match self {
            Work::Lives => "whole lives",
            Work::Get => "one action by uid",
            Work::Newest => "newest hundred",
            Work::Object => "newest hundred of an object",
            Work::Feed => "a hundred changes",
        };
        let callers = match callers {
            1 => "1 caller".to_owned(),
            many => format!("{many} callers"),
        };
        format!("{what}, {callers}")
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sqlite,
    SqlxGrouped,
    Shipped,
    Grouped,
    Sqlx,
    PerCall,
    Redb,
    RedbCodec,
    Memory,
    Map,
    Sharded,
}

/// The library first, then the baseline, then the others.
const DURABLE: [Kind; 8] = [
    Kind::Sqlite,
    Kind::SqlxGrouped,
    Kind::Shipped,
    Kind::Grouped,
    Kind::Sqlx,
    Kind::PerCall,
    Kind::Redb,
    Kind::RedbCodec,
];
/// Stores whose pages of objects and changes are compared.
const PAGED: [Kind; 2] = [Kind::Sqlite, Kind::RedbCodec];
const VOLATILE: [Kind; 3] = [Kind::Memory, Kind::Map, Kind::Sharded];

/// Shards of the sharded map: several per core, as in common sharded maps.
const SHARDS: usize = 16;

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "SqliteStore",
            Kind::SqlxGrouped => "sqlx writer task",
            Kind::Shipped => "rusqlite grouped, our schema",
            Kind::Grouped => "rusqlite grouped",
            Kind::Sqlx => "sqlx per call",
            Kind::PerCall => "rusqlite per call",
            Kind::Redb => "redb by hand",
            Kind::RedbCodec => "redb with our codec",
            Kind::Memory => "MemoryStore",
            Kind::Map => "locked map",
            Kind::Sharded => "sharded map",
        }
    }

    fn durability(self) -> &'static str {
        match self {
            Kind::Memory | Kind::Map | Kind::Sharded => "nothing",
            _ => "a power cut",
        }
    }

    async fn open(self, directory: &Path) -> Arc<dyn Contestant> {
        match self {
            Kind::Sqlite => Arc::new(ours::Ours::sqlite(directory).await),
            Kind::SqlxGrouped => Arc::new(sqlx_grouped::SqlxGrouped::open(directory).await),
            Kind::Shipped => Arc::new(Grouped::open(directory, shipped::LAYOUT)),
            Kind::Grouped => Arc::new(Grouped::open(directory, sql::BARE)),
            Kind::Sqlx => Arc::new(sqlx_by_hand::SqlxByHand::open(directory).await),
            Kind::PerCall => Arc::new(rusqlite_by_hand::PerCall::open(directory)),
            Kind::Redb => Arc::new(redb_by_hand::Redb::open(directory)),
            Kind::RedbCodec => Arc::new(redb_codec::RedbCodec::open(directory)),
            Kind::Memory => Arc::new(ours::Ours::memory().await),
            Kind::Map => Arc::new(LockedMap::new(1)),
            Kind::Sharded => Arc::new(LockedMap::new(SHARDS)),
        }
    }
}

#[derive(Debug)]
struct Options {
    quick: bool,
    only: String,
    rounds: usize,
    time: Duration,
    size: usize,
    /// Contestant to run alone, and its number of lives.
    alone: Option<(String, usize)>,
}

impl Options {
    fn read() -> Options {
        let flags = Flags::read(&["only", "rounds", "time", "size", "alone", "lives"]);
        let lives = flags.number("lives", 100, 10_000);
        Options {
            quick: flags.quick(),
            only: flags.text("only").unwrap_or_default().to_owned(),
            rounds: flags.number("rounds", 1, 5).max(1),
            time: flags.millis("time", 150, 1000),
            size: flags.number("size", 2000, 100_000).max(1),
            alone: flags.text("alone").map(|name| (name.to_owned(), lives)),
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let options = Options::read();
    // Use the disk of the build, beside the results: /tmp is often in memory.
    let mut output = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("compare");
    if options.quick {
        // Do not overwrite the results of a full run.
        output.push("quick");
    }
    std::fs::create_dir_all(&output).unwrap();
    let scratch = tempfile::tempdir_in(&output).unwrap();
    if let Some((name, lives)) = options.alone {
        return alone::run(&name, lives, scratch.path()).await;
    }
    schema::check(scratch.path()).await;

    let machine = machine::describe(scratch.path());
    let conditions = format!(
        "{} rounds of {:?}, interleaved, fresh stores; {} rows where it is read; medians. A life is \
         six writes, each awaited.",
        options.rounds, options.time, options.size
    );
    let mut groups = Vec::new();
    let mut families = [("durable", Vec::new()), ("memory", Vec::new())];
    let chosen = |name: &str| name.starts_with(options.only.as_str());
    for (name, work, callers) in WORKLOADS.into_iter().filter(|(name, ..)| chosen(name)) {
        let kinds = match work {
            Work::Object | Work::Feed => [&PAGED[..], &[]],
            _ => [&DURABLE[..], &VOLATILE[..]],
        };
        let families = families.iter_mut().zip(kinds);
        for (family, kinds) in families.filter(|(_, kinds)| !kinds.is_empty()) {
            family.1.push(groups.len());
            let lines = compare(work, callers, kinds, &options, scratch.path()).await;
            groups.push(Group {
                workload: format!("{name}, {}", family.0),
                what: work.by(callers),
                lines,
            });
        }
    }
    assert!(
        !groups.is_empty(),
        "no workload begins with {:?}",
        options.only
    );

    let table = report::table(&machine, &conditions, &groups);
    println!("{table}");
    let json = report::json(&machine, &conditions, &groups);
    let json = serde_json::to_string_pretty(&json).unwrap();
    std::fs::write(output.join("results.json"), json).unwrap();
    std::fs::write(output.join("table.md"), table).unwrap();
    let families = families.map(|(family, indexes)| {
        let groups: Vec<&Group> = indexes.iter().map(|index| &groups[*index]).collect();
        (family, groups)
    });
    for (family, groups) in &families {
        let Some(first) = groups.first() else {
            continue;
        };
        let base = first.baseline().contestant;
        let title = format!("Calls a second, as multiples of {base} ({family})");
        let note =
            "Right of 1x is faster, left of it slower. Medians of interleaved rounds; logarithmic.";
        let same = |group: &&&Group| group.baseline().contestant == base;
        let groups: Vec<&Group> = groups.iter().filter(same).copied().collect();
        let svg = report::plot(&title, note, &groups);
        std::fs::write(output.join(format!("{family}.svg")), svg).unwrap();
    }
    let readme = report::readme(&machine, &conditions, &families.map(|(_, groups)| groups));
    std::fs::write(output.join("readme.md"), readme).unwrap();
}

async fn compare(
    work: Work,
    callers: usize,
    kinds: &[Kind],
    options: &Options,
    scratch: &Path,
) -> Vec<Line> {
    let mut lines: Vec<Line> = kinds
        .iter()
        .map(|kind| Line {
            contestant: kind.name(),
            durability: kind.durability(),
            rounds: Vec::new(),
        })
        .collect();
    let mut filled = Vec::new();
    if work != Work::Lives {
        for kind in kinds {
            filled.push(Filled::new(*kind, options.size, scratch).await);
        }
    }
    for round in 0..options.rounds {
        for turn in 0..kinds.len() {
            let index = (round + turn) % kinds.len();
            let measured = match work {
                Work::Lives => lives(kinds[index], callers, options.time, scratch).await,
                Work::Get => filled[index].get(callers, options.time).await,
                Work::Newest => filled[index].newest(callers, options.time).await,
                Work::Object | Work::Feed => filled[index].pages(work, callers, options.time).await,
            };
            lines[index].rounds.push(Sample::from(&measured));
        }
    }
    for filled in filled {
        verify(&*filled.contestant, filled.uids.to_vec()).await;
        filled.contestant.close().await;
    }
    lines
}

fn directory(scratch: &Path) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir_in(scratch).unwrap();
    let path = directory.path().to_owned();
    (directory, path)
}

async fn lives(kind: Kind, callers: usize, time: Duration, scratch: &Path) -> Measured {
    let (_kept, path) = directory(scratch);
    let contestant = kind.open(&path).await;
    let caller = |mut caller: Caller| {
        let contestant = contestant.clone();
        async move {
            let mut lived = Vec::new();
            while caller.goes_on().await {
                let new = New::of(caller.number() as u64);
                let uid = new.uid;
                contestant.create(new).await;
                caller.lap();
                for change in life(uid) {
                    contestant.change(change).await;
                    caller.lap();
                }
                lived.push(uid);
            }
            (caller, lived)
        }
    };
    let (measured, lived) = closed_loop(callers, time, caller).await.unwrap();
    let lived: Vec<Uuid> = lived.into_iter().flatten().collect();
    assert_eq!(
        measured.calls() as usize,
        lived.len() * LAST_VERSION as usize
    );
    verify(&*contestant, lived).await;
    contestant.close().await;
    measured
}

/// Verifies that all acknowledged actions are present and completed, with their logs, and that
/// nothing else is.
async fn verify(contestant: &dyn Contestant, uids: Vec<Uuid>) {
    let head = |uid| Head {
        uid,
        status: 2,
        version: LAST_VERSION,
    };
    let mut expected: Vec<Head> = uids.into_iter().map(head).collect();
    let mut held = contestant.held().await;
    expected.sort();
    held.heads.sort();
    assert_eq!(held.entries, expected.len() * ENTRIES, "log entries");
    assert!(
        held.heads == expected,
        "an acknowledged life is not there, or not as it was"
    );
}

/// Contestant that was filled with rows.
struct Filled {
    contestant: Arc<dyn Contestant>,
    uids: Arc<[Uuid]>,
    _kept: tempfile::TempDir,
}

impl Filled {
    async fn new(kind: Kind, size: usize, scratch: &Path) -> Filled {
        let (_kept, path) = directory(scratch);
        let contestant = kind.open(&path).await;
        let uids = contestant.fill(size).await.into();
        Filled {
            contestant,
            uids,
            _kept,
        }
    }

    async fn get(&self, callers: usize, time: Duration) -> Measured {
        let caller = |mut caller: Caller| {
            let (contestant, uids) = (self.contestant.clone(), self.uids.clone());
            async move {
                // A linear congruence gives all contestants the same scattered order of rows.
                let mut at = caller.number().wrapping_mul(7919);
                while caller.goes_on().await {
                    at = at
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let uid = uids[(at >> 33) % uids.len()];
                    assert_eq!(contestant.get(uid).await, uid);
                    caller.lap();
                }
                (caller, ())
            }
        };
        closed_loop(callers, time, caller).await.unwrap().0
    }

    async fn newest(&self, callers: usize, time: Duration) -> Measured {
        let caller = |mut caller: Caller| {
            let (contestant, uids) = (self.contestant.clone(), self.uids.clone());
            async move {
                let page = uids.len().min(usize::from(PAGE));
                while caller.goes_on().await {
                    let found = contestant.list(PAGE).await;
                    assert_eq!(found, (page, uids.last().copied()));
                    caller.lap();
                }
                (caller, ())
            }
        };
        closed_loop(callers, time, caller).await.unwrap().0
    }

    /// Reads full pages of objects or of changes, each caller its own.
    async fn pages(&self, work: Work, callers: usize, time: Duration) -> Measured {
        let caller = |mut caller: Caller| {
            let (contestant, rows) = (self.contestant.clone(), self.uids.len());
            async move {
                let full = Some(rows.div_ceil(OBJECTS).min(usize::from(PAGE)));
                let mut at = caller.number() as u64;
                while caller.goes_on().await {
                    at = at * 7 + 13;
                    let asked = match work {
                        Work::Feed => Asked::Feed(at % 900),
                        _ => Asked::Object(at % OBJECTS as u64),
                    };
                    at %= 1_000_003;
                    let found = contestant.page(asked, PAGE).await;
                    assert!(found >= full, "{found:?} of {full:?}: {asked:?}");
                    caller.lap();
                }
                (caller, ())
            }
        };
        closed_loop(callers, time, caller).await.unwrap().0
    }
}
