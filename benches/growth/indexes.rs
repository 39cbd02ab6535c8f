//! What each index costs those who write: whole lives without it, beside whole lives with it.
//!
//! The store does not check its indexes when it is opened, so it opens a copy that lacks one. What
//! the writing itself looks up by that index becomes slower without it: then the figure says what
//! the index is worth, not what it costs, and that is said beside it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use action_store::ActionStore;

use crate::footprint::written;
use crate::lives::Owned;
use crate::middle::middle;
use crate::space;

/// What is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Without {
    /// Nothing. Twice, since two that are the same say how much the others' figures mean.
    Nothing,
    NothingAgain,
    Index(String),
    /// All that only readers need.
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

/// A round: calls a second, processor time a call, bytes written a call, the last checkpoint
/// included. Groups of callers are no larger for want of an index, so bytes are the steadiest.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub rate: f64,
    pub cpu: Option<f64>,
    pub written: Option<f64>,
}

/// One that lacks an index, in each round.
#[derive(Debug)]
pub struct Line {
    pub without: Without,
    pub rounds: Vec<Round>,
}

/// The first line lacks nothing; the others are held against it.
#[derive(Debug)]
pub struct Costs {
    pub lines: Vec<Line>,
}

impl Costs {
    /// What a line's rounds come to, with everything as a multiple of without.
    fn ratio(&self, line: &Line, of: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        let both = self.lines[0].rounds.iter().zip(&line.rounds);
        let ratios: Option<Vec<f64>> = both
            .map(|(all, without)| Some(of(all)? / of(without)?))
            .collect();
        Some(middle(ratios?.into_iter()))
    }

    /// Calls a second.
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

/// Those the store looks rows up by while it writes.
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
