//! Measures the write cost of each index: whole lives without the index, compared with whole lives
//! with it.
//!
//! The store does not check its indexes when it is opened, so it can open a copy that lacks one. If
//! the writer itself uses the index, writing without it becomes slower. The figure then shows the
//! benefit of the index, not its cost, and the report says so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use action_store::ActionStore;

use crate::footprint::written;
use crate::lives::Owned;
use crate::middle::middle;
use crate::space;

/// Indexes to drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Without {
    /// None. It is measured twice: the difference between two equal stores shows the noise.
    Nothing,
    NothingAgain,
    Index(String),
    /// All indexes that only readers use.
    All,
}

impl Without {
    pub fn name(&self) -> String {
        match self {
            Without::Nothing | Without::NothingAgain => "nothing (the noise)".to_owned(),
            Without::Index(name) => name.clone(),
            Without::All => "all of these".to_owned(),
        }
    }
}

/// Result of a round: calls per second, processor time per call and bytes written per call, with
/// the last checkpoint. Missing indexes do not change the size of groups, so bytes are the
/// steadiest figure.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub rate: f64,
    pub cpu: Option<f64>,
    pub written: Option<f64>,
}

/// Results of a store that lacks an index, one per round.
#[derive(Debug)]
pub struct Line {
    pub without: Without,
    pub rounds: Vec<Round>,
}

/// The first line has all indexes; the others are compared with it.
#[derive(Debug)]
pub struct Costs {
    pub lines: Vec<Line>,
}

impl Costs {
    /// Returns the medians of a line: the store with all indexes as a multiple of the one without.
    fn ratio(&self, line: &Line, of: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        let both = self.lines[0].rounds.iter().zip(&line.rounds);
        let ratios: Option<Vec<f64>> = both
            .map(|(all, without)| Some(of(all)? / of(without)?))
            .collect();
        Some(middle(ratios?.into_iter()))
    }

    /// Calls per second.
    pub fn rate_ratio(&self, line: &Line) -> f64 {
        self.ratio(line, |round| Some(round.rate))
            .unwrap_or(f64::NAN)
    }

    pub fn cpu_ratio(&self, line: &Line) -> Option<f64> {
        self.ratio(line, |round| round.cpu)
    }

    pub fn written_ratio(&self, line: &Line) -> Option<f64> {
        self.ratio(line, |round| round.written)
    }
}

/// Indexes that the store uses while it writes.
pub const NEEDED: &[&str] = &["actions_log_action"];

pub async fn measure(base: &Path, scratch: &Path, rounds: usize, time: Duration) -> Costs {
    let directory = tempfile::tempdir_in(scratch).unwrap();
    let indexes = space::indexes(base);
    let indexes: Vec<String> = indexes
        .into_iter()
        .filter(|index| !NEEDED.contains(&index.as_str()))
        .collect();
    let mut lines = Vec::new();
    let mut paths: Vec<PathBuf> = Vec::new();
    let each = indexes.iter().cloned().map(Without::Index);
    let without = [Without::Nothing, Without::NothingAgain].into_iter();
    for without in without.chain(each).chain([Without::All]) {
        let path = directory.path().join(format!("{}.db", lines.len()));
        std::fs::copy(base, &path).unwrap();
        match &without {
            Without::Nothing | Without::NothingAgain => {}
            Without::Index(index) => space::drop_index(&path, index),
            Without::All => {
                for index in &indexes {
                    space::drop_index(&path, index);
                }
            }
        }
        paths.push(path);
        lines.push(Line {
            without,
            rounds: Vec::new(),
        });
    }
    for round in 0..rounds {
        for turn in 0..lines.len() {
            let which = (round + turn) % lines.len();
            let owned = Owned::open(&paths[which]).await;
            let before = written();
            let measured = owned.live(time, usize::MAX).await;
            owned.store.close().await.unwrap();
            let written = before.zip(written());
            lines[which].rounds.push(Round {
                rate: measured.throughput(),
                cpu: measured.cpu_a_call().map(|cpu| cpu.as_secs_f64()),
                written: written
                    .map(|(before, after)| (after - before) as f64 / measured.calls() as f64),
            });
        }
    }
    Costs { lines }
}
