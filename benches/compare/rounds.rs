//! Runs the rounds of a workload, interleaved, and verifies what was acknowledged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::workload::{Caller, Measured, closed_loop};
use uuid::Uuid;

use crate::Options;
use crate::contestant::{Asked, Contestant, ENTRIES, Head, LAST_VERSION, New, life};
use crate::kinds::Kind;
use crate::report::{Line, Sample};
use crate::workloads::Work;

/// Objects that the actions touch.
const OBJECTS: usize = 100;

/// Rows per page.
const PAGE: u16 = 100;

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
