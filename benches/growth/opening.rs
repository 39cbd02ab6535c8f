//! Measures how long a store takes to open, with and without the check for damage.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use action_store::{ActionStore, SqliteOptions};

use crate::dataset::{Dataset, Plan};
use crate::footprint;
use crate::middle::middle;

/// Sizes below that of the large store.
const SIZES: [u64; 4] = [1000, 5000, 10_000, 100_000];

/// Opening of one store.
#[derive(Debug)]
pub struct Opened {
    pub rows: u64,
    pub bytes: u64,
    /// Median and shortest time without a check, with the defaults, and with the check for files of
    /// any size.
    pub times: [[Duration; 2]; 3],
}

pub async fn measure(scratch: &Path, most: u64, rounds: usize) -> Vec<Opened> {
    let mut opened = Vec::new();
    for rows in SIZES.into_iter().filter(|rows| *rows < most).chain([most]) {
        let dataset = Dataset::fill(scratch, Plan::new(rows, 1000)).await;
        dataset.store.close().await.unwrap();
        let mut times: [Vec<f64>; 3] = Default::default();
        for round in 0..rounds + 1 {
            for (options, times) in [
                SqliteOptions::new().with_check_bytes(0),
                SqliteOptions::new(),
                SqliteOptions::new().with_check_bytes(u64::MAX),
            ]
            .into_iter()
            .zip(&mut times)
            {
                let begun = Instant::now();
                let store = options.open(&dataset.path).await.unwrap();
                // The first round reads the file into the system's cache.
                if round > 0 {
                    times.push(begun.elapsed().as_secs_f64());
                }
                assert_eq!(store.diagnostics().await.unwrap().damaged, 0);
                store.close().await.unwrap();
            }
        }
        let of = |times: Vec<f64>| {
            let least = times.iter().copied().fold(f64::MAX, f64::min);
            [middle(times.into_iter()), least].map(Duration::from_secs_f64)
        };
        opened.push(Opened {
            rows,
            bytes: footprint::size(&dataset.path),
            times: times.map(of),
        });
        std::fs::remove_file(&dataset.path).unwrap();
    }
    opened
}

pub fn table(out: &mut String, opened: &[Opened]) {
    out.push_str(
        "\n### Opening\n\n| actions | MiB | without a check (least) | by default (least) | with a \
         check, however large (least) |\n| --: | --: | --: | --: | --: |\n",
    );
    for one in opened {
        let mebibytes = one.bytes as f64 / (1024.0 * 1024.0);
        let _ = write!(out, "| {} | {mebibytes:.1} |", one.rows);
        for [median, least] in one.times {
            let _ = write!(out, " {median:.1?} ({least:.1?}) |");
        }
        out.push('\n');
    }
}
