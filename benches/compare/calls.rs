//! The calls of the workloads, on any contestant.

use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::workload::{Caller, Measured, closed_loop};
use uuid::Uuid;

use crate::contestant::{Contestant, ENTRIES, Head, LAST_VERSION, New, life};

/// Rows per page.
pub const PAGE: u16 = 100;

/// Lives whole lives on an empty store, and verifies what was acknowledged.
pub async fn lives(contestant: Arc<dyn Contestant>, callers: usize, time: Duration) -> Measured {
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
    measured
}

/// Verifies that all acknowledged actions are present and completed, with their logs, and that
/// nothing else is.
pub async fn verify(contestant: &dyn Contestant, uids: Vec<Uuid>) {
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

/// Reads single actions of a filled store, each caller in an order of its own.
pub async fn get(
    contestant: &Arc<dyn Contestant>,
    uids: &Arc<[Uuid]>,
    callers: usize,
    time: Duration,
) -> Measured {
    let caller = |mut caller: Caller| {
        let (contestant, uids) = (contestant.clone(), uids.clone());
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

/// Reads the newest page of a filled store.
pub async fn newest(
    contestant: &Arc<dyn Contestant>,
    uids: &Arc<[Uuid]>,
    callers: usize,
    time: Duration,
) -> Measured {
    let caller = |mut caller: Caller| {
        let (contestant, uids) = (contestant.clone(), uids.clone());
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
