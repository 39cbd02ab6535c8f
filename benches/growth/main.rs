//! What becomes of the SQLite store as it grows, and what it takes beside time.
//!
//! `cargo bench --all-features --bench growth` writes `results.json`, `table.md`, plots and what
//! `FIGURES.md` says (`readme.md`, which `benches/enter` enters) under `target/growth`; `-- --quick`
//! does little of each, to show that it works, and writes under `target/growth/quick`.
//! `--rows 10000000` makes the large store that large (a million unless set; ten million take 6 GB
//! of disk and a quarter of an hour), `--small N` the small one, `--lives N` the one in which lives are
//! measured, `--actions N` the one whose pages are counted; `--rounds N` and `--time MILLISECONDS`
//! of each; `--only pages`, `lives`, `space` or `indexes` runs one part.
//!
//! - `pages.rs`: a full page of a hundred, by every driver a plane asks by, and a look-up, in the
//!   large store and in the small one;
//! - `lives.rs`: whole lives in a store that has a stock, and in an empty one;
//! - `space.rs`: bytes on the disk for an action with its log, by table and index;
//! - `indexes.rs`: whole lives with each index, and without it;
//! - memory and the write-ahead log at the end of each part.
//!
//! What is acknowledged is looked for, every page must be full, and stores that are compared are
//! measured in turn, so that a ratio is taken within a round. Figures are medians.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

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
mod pages;
#[path = "../shared/plot.rs"]
mod plot;
mod report;
mod space;
mod stock;

use std::path::Path;
use std::time::Duration;

use flags::Flags;
use footprint::Footprint;
use report::{Filled, Report};
use stock::{Plan, Stock};

#[derive(Debug)]
struct Options {
    quick: bool,
    only: String,
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
            "--only",
            "--rows",
            "--small",
            "--lives",
            "--actions",
            "--rounds",
            "--time",
        ]);
        let options = Options {
            quick: flags.quick(),
            only: flags.text("--only").unwrap_or_default().to_owned(),
            rows: flags.number("--rows", 50_000, 1_000_000),
            small: flags.number("--small", 5000, 100_000),
            lives: flags.number("--lives", 50_000, 1_000_000),
            actions: flags.number("--actions", 2000, 100_000).max(1),
            rounds: flags.number("--rounds", 1, 7).max(1),
            time: flags.millis("--time", 100, 500),
        };
        let parts = ["", "pages", "lives", "space", "indexes"];
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
    // Beside the results, on whatever disk the build is on: /tmp is often memory.
    let mut output = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("growth");
    if options.quick {
        // Not in the place of what took longer.
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
    if options.runs("lives") {
        write(&options, scratch.path(), &mut report).await;
    }
    if options.runs("space") || options.runs("indexes") {
        weigh(&options, scratch.path(), &mut report).await;
    }
    report.write(&output);
}

async fn read(options: &Options, scratch: &Path, report: &mut Report) {
    let small = Stock::fill(scratch, Plan::new(options.small, options.small)).await;
    let large = Stock::fill(scratch, Plan::new(options.rows, options.small)).await;
    report.filled.extend([&small, &large].map(Filled::from));
    report.pages = pages::compare([&small, &large], options.rounds, options.time).await;
    let stores = [small.path.as_path(), large.path.as_path()];
    report.footprints.push(Footprint::now("pages", &stores));
    small.remove().await;
    large.remove().await;
}

async fn write(options: &Options, scratch: &Path, report: &mut Report) {
    let stock = Stock::fill(scratch, Plan::new(options.lives, options.small)).await;
    report.filled.push(Filled::from(&stock));
    let compared = lives::compare(&stock, scratch, options.rounds, options.time * 2).await;
    report.lives = Some(compared);
    let stores = [stock.path.as_path()];
    report.footprints.push(Footprint::now("lives", &stores));
    stock.remove().await;
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
