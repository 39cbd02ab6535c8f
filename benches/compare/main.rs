//! Compares the library's stores with hand-written ones.
//!
//! `cargo bench --all-features --bench compare` runs every workload in interleaved rounds. It
//! writes `results.json`, `table.md`, plots and the text for `FIGURES.md` under `target/compare`.
//! The text is `readme.md`, which `benches/enter` inserts.
//!
//! `-- --quick` runs one short round of each workload as a smoke test, and writes under
//! `target/compare/quick`. `--only lives-64` runs the workloads whose names begin with this text.
//! `--against "rusqlite per call"` compares with this contestant alone, so that one ratio takes a few
//! seconds. `--rounds N`, `--time MILLISECONDS` and `--size N` (rows of the read workloads) override
//! the defaults.
//!
//! `--alone SqliteStore --only newest-8 --calls N` runs N calls of one workload on one contestant,
//! and measures nothing. A call of `lives-*` is a whole life, six commands. `scripts/instructions`
//! counts the instructions of a call that way.
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
mod calls;
mod contestant;
#[path = "../shared/flags.rs"]
mod flags;
mod kinds;
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
mod redb_file;
mod report;
mod rounds;
mod rusqlite_by_hand;
mod schema;
mod shipped;
mod sql;
mod sqlx_by_hand;
mod sqlx_grouped;
mod workloads;

use std::path::Path;
use std::time::Duration;

use flags::Flags;
use kinds::{DURABLE, PAGED, VOLATILE};
use report::Group;
use workloads::{WORKLOADS, Work};

#[derive(Debug)]
struct Options {
    quick: bool,
    only: String,
    /// The only contestant to compare the library with.
    against: Option<String>,
    rounds: usize,
    time: Duration,
    size: usize,
    /// Contestant to run alone, and the number of calls.
    alone: Option<(String, usize)>,
}

impl Options {
    fn read() -> Options {
        let flags = Flags::read(&[
            "only", "against", "rounds", "time", "size", "alone", "calls",
        ]);
        let calls = flags.number("calls", 100, 10_000);
        Options {
            quick: flags.quick(),
            only: flags.text("only").unwrap_or_default().to_owned(),
            against: flags.text("against").map(str::to_owned),
            rounds: flags.number("rounds", 1, 5).max(1),
            time: flags.millis("time", 150, 1000),
            size: flags.number("size", 2000, 100_000).max(1),
            alone: flags.text("alone").map(|name| (name.to_owned(), calls)),
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
    let chosen = |name: &str| name.starts_with(options.only.as_str());
    let mut workloads = WORKLOADS.into_iter().filter(|(name, ..)| chosen(name));
    if let Some((name, calls)) = &options.alone {
        let (_, work, callers) = workloads.next().expect("no workload begins like that");
        let by = (work, callers);
        return alone::run(name, by, *calls, options.size, scratch.path()).await;
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
    for (name, work, callers) in workloads {
        let kinds = match work {
            Work::Object | Work::Feed => [&PAGED[..], &[]],
            _ => [&DURABLE[..], &VOLATILE[..]],
        };
        for (family, kinds) in families.iter_mut().zip(kinds) {
            let kinds = kinds::compared(kinds, options.against.as_deref());
            if kinds.len() < 2 {
                continue;
            }
            family.1.push(groups.len());
            let lines = rounds::compare(work, callers, &kinds, &options, scratch.path()).await;
            groups.push(Group {
                workload: format!("{name}, {}", family.0),
                what: work.by(callers),
                lines,
            });
        }
    }
    assert!(
        !groups.is_empty(),
        "no workload begins with {:?} and has this contestant",
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
