//! Runs the rounds of a workload, interleaved, and verifies what was acknowledged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::workload::{Caller, Measured, closed_loop};
use uuid::Uuid;

use crate::Options;
use crate::calls::{self, PAGE, verify};
use crate::contestant::{Asked, Contestant};
use crate::kinds::Kind;
use crate::report::{Line, Sample};
use crate::workloads::Work;

/// Objects that the actions touch.
const OBJECTS: usize = 100;

pub async fn compare(
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
                Work::Get => {
                    let Filled {
                        contestant, uids, ..
                    } = &filled[index];
                    calls::get(contestant, uids, callers, options.time).await
                }
                Work::Newest => {
                    let Filled {
                        contestant, uids, ..
                    } = &filled[index];
                    calls::newest(contestant, uids, callers, options.time).await
                }
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
    let measured = calls::lives(contestant.clone(), callers, time).await;
    contestant.close().await;
    measured
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
