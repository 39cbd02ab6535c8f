//! Measures how the SQLite store behaves as it grows: time, memory and disk.
//!
//! `cargo bench --all-features --bench growth` writes `results.json`, `table.md`, plots and the
//! text for `FIGURES.md` under `target/growth`. The text is `readme.md`, which `benches/enter`
//! inserts. `-- --quick` runs a short smoke test, and writes under `target/growth/quick`.
//!
//! - `--rows 10000000` sets the size of the large store. The default is a million. Ten million take
//!   6 GB of disk and a quarter of an hour.
//!
//! - `--small N` sets the size of the small store.
//!
//! - `--lives N` sets the size of the store for `lives`.
//!
//! - `--actions N` sets the size of the store for `space`.
//!
//! - `--rounds N` and `--time MILLISECONDS` set the rounds and their length.
//!
//! - `--only pages`, `opening`, `lives`, `space` or `indexes` runs one part.
//!
//! - `--read TEXT` runs those kinds of reads in `pages` whose names contain this text. For example,
//!   `--only pages --read retention --rows 1000000 --small 10000`.
//!
//! The parts are:
//!
//! - `pages.rs`: a full page of a hundred by every access path that management planes use, and a
//!   look-up, in the large store and in the small one. Also counts, and a round of retention that finds nothing
//!   due.
//!
//! - `opening.rs`: opening a store, with and without the check for damage.
//!
//! - `lives.rs`: whole lives in a filled store and in an empty one.
//!
//! - `space.rs`: bytes on disk per action with its log, by table and index.
//!
//! - `indexes.rs`: whole lives with each index and without it.
//!
//! - Memory and the write-ahead log at the end of each part.
//!
//! All acknowledged actions are verified, and every page must be full. Stores are measured in turn,
//! so that a ratio is taken within a round. Figures are medians.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

mod dataset;
#[path = "../shared/flags.rs"]
mod flags;
mod footprint;
mod indexes;
mod json;
mod lives;
#[path = "../shared/machine.rs"]
mod machine;
#[path = "../shared/middle.rs"]
mod middle;
mod opening;
mod pages;
#[path = "../shared/plot.rs"]
mod plot;
mod report;
mod space;

use std::path::Path;
use std::time::Duration;

use dataset::{Dataset, Plan};
use flags::Flags;
use footprint::Footprint;
use report::{Filled, Report};

#[derive(Debug)]
struct Options {
    quick: bool,
    only: String,
    read: String,
    rows: u64,
    small: u64,
    lives: u64,
    actions: usize,
    rounds: usize,
    time: Duration,
}

impl Options {
    fn read() -> Options {
        let flags = Flags::read(&[
            "only", "read", "rows", "small", "lives", "actions", "rounds", "time",
        ]);
        let options = Options {
            quick: flags.quick(),
            only: flags.text("only").unwrap_or_default().to_owned(),
            read: flags.text("read").unwrap_or_default().to_owned(),
            rows: flags.number("rows", 50_000, 1_000_000),
            small: flags.number("small", 5000, 100_000),
            lives: flags.number("lives", 50_000, 1_000_000),
            actions: flags.number("actions", 2000, 100_000).max(1),
            rounds: flags.number("rounds", 1, 7).max(1),
            time: flags.millis("time", 100, 500),
        };
        let parts = ["", "pages", "opening", "lives", "space", "indexes"];
        assert!(
            parts.contains(&options.only.as_str()),
            "there is no such part"
        );
        options
    }

    fn runs(&self, part: &str) -> bool {
        self.only.is_empty() || self.only == part
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let options = Options::read();
    // Use the disk of the build, beside the results: /tmp is often in memory.
    let mut output = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("growth");
    if options.quick {
        // Do not overwrite the results of a full run.
        output.push("quick");
    }
    std::fs::create_dir_all(&output).unwrap();
    let scratch = tempfile::tempdir_in(&output).unwrap();
    let mut report = Report::new(
        machine::describe(scratch.path()),
        format!(
            "{} rounds of {:?}, interleaved; medians. Every page is full (100 actions, 100 log \
             entries). A life is six writes, each awaited.",
            options.rounds, options.time
        ),
    );
    if options.runs("pages") {
        read(&options, scratch.path(), &mut report).await;
    }
    if options.runs("opening") {
        report.opened = opening::measure(scratch.path(), options.rows, options.rounds).await;
    }
    if options.runs("lives") {
        write(&options, scratch.path(), &mut report).await;
    }
    if options.runs("space") || options.runs("indexes") {
        weigh(&options, scratch.path(), &mut report).await;
    }
    report.write(&output);
}

async fn read(options: &Options, scratch: &Path, report: &mut Report) {
    let small = Dataset::fill(scratch, Plan::new(options.small, options.small)).await;
    let large = Dataset::fill(scratch, Plan::new(options.rows, options.small)).await;
    report.filled.extend([&small, &large].map(Filled::from));
    report.pages = pages::compare(
        [&small, &large],
        options.rounds,
        options.time,
        &options.read,
    )
    .await;
    let stores = [small.path.as_path(), large.path.as_path()];
    report.footprints.push(Footprint::now("pages", &stores));
    small.remove().await;
    large.remove().await;
}

async fn write(options: &Options, scratch: &Path, report: &mut Report) {
    let dataset = Dataset::fill(scratch, Plan::new(options.lives, options.small)).await;
    report.filled.push(Filled::from(&dataset));
    let compared = lives::compare(&dataset, scratch, options.rounds, options.time * 2).await;
    report.lives = Some(compared);
    let stores = [dataset.path.as_path()];
    report.footprints.push(Footprint::now("lives", &stores));
    dataset.remove().await;
}

async fn weigh(options: &Options, scratch: &Path, report: &mut Report) {
    let path = scratch.join("lived.db");
    let space = space::measure(&path, options.actions).await;
    report.footprints.push(Footprint::now("space", &[]));
    report.space = Some(space);
    if options.runs("indexes") {
        let time = options.time * 2;
        report.indexes = Some(indexes::measure(&path, scratch, options.rounds, time).await);
        report.footprints.push(Footprint::now("indexes", &[]));
    }
}
