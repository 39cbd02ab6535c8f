//! Runs a workload on one contestant and measures nothing, for a profiler: see
//! `scripts/instructions`.

use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;
use uuid::Uuid;

use crate::calls::PAGE;
use crate::contestant::{Asked, Contestant, New, life};
use crate::kinds::{DURABLE, VOLATILE};
use crate::workloads::Work;

/// Runs this many whole lives, look-ups or pages. The callers share them, each in a task.
pub async fn run(
    name: &str,
    (work, callers): (Work, usize),
    calls: usize,
    size: usize,
    scratch: &Path,
) {
    let mut kinds = VOLATILE.into_iter().chain(DURABLE);
    let kind = kinds.find(|kind| kind.name() == name);
    let kind = kind.unwrap_or_else(|| panic!("there is no contestant {name:?}"));
    let contestant = kind.open(scratch).await;
    let uids: Arc<[Uuid]> = match work {
        Work::Lives => Arc::default(),
        _ => contestant.fill(size).await.into(),
    };
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (contestant, uids) = (contestant.clone(), uids.clone());
        tasks.spawn(async move {
            for number in (caller..calls).step_by(callers) {
                call(&*contestant, work, &uids, number).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    contestant.close().await;
}

async fn call(contestant: &dyn Contestant, work: Work, uids: &[Uuid], number: usize) {
    let asked = match work {
        Work::Lives => {
            let new = New::of(number as u64 % 64);
            let uid = new.uid;
            contestant.create(new).await;
            for change in life(uid) {
                contestant.change(change).await;
            }
            return;
        }
        Work::Get => {
            // A prime number of rows apart.
            let uid = uids[number * 7919 % uids.len()];
            assert_eq!(contestant.get(uid).await, uid);
            return;
        }
        Work::Newest => {
            let (count, first) = contestant.list(PAGE).await;
            assert!(count > 0 && first == uids.last().copied());
            return;
        }
        Work::Object => Asked::Object(number as u64 % 100),
        Work::Feed => Asked::Feed(number as u64 % 900),
    };
    assert!(contestant.page(asked, PAGE).await > Some(0));
}
