//! A plane that is killed at any moment and started again under the same name at once.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::owner::OwnerEnd;
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, NewAction, Order, Outcome, Query, SqliteOptions,
    SqliteStore, Tracker, TrackerOptions,
};

use super::children::{Child, say};
use super::{Dice, asked_for, place, shared, unfinished};

/// Eight tasks work, each in its own way, and say what was acknowledged; what an earlier life has
/// left is settled meanwhile.
pub(crate) async fn work_until_killed(path: &Path, more: &str) {
    let store: Arc<dyn ActionStore> = match more {
        "shared" => shared(path).await,
        _ => Arc::new(SqliteStore::open(path).await.unwrap()),
    };
    let options = TrackerOptions::new().with_flush_interval(Duration::from_millis(5));
    let tracker = Tracker::start_with(store, "plane", options).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let tracker = tracker.clone();
            tokio::spawn(async move {
                loop {
                    live(&tracker, task).await;
                }
            })
        })
        .collect();
    let recovery = tracker.recovery().await;
    assert!(recovery.is_complete(), "{recovery:?}");
    let (lost, interrupted) = (recovery.lost, recovery.interrupted);
    let incarnation = tracker.owner().incarnation;
    say(&format!("recovered {incarnation} {lost} {interrupted}"));
    // They never end; should one panic, this tells.
    #[allow(clippy::never_loop)]
    for task in tasks {
        task.await.unwrap();
    }
}

async fn live(tracker: &Tracker, task: usize) {
    let new = NewAction::task(format!("task {task}")).with_description("d".repeat(task * 300));
    let action = if task.is_multiple_of(2) {
        tracker.begin(new).await.unwrap()
    } else {
        let queued = tracker.enqueue(new).await.unwrap();
        say(&format!("ack {}", queued.uid));
        tracker.start_queued(queued.uid).await.unwrap()
    };
    let uid = action.uid();
    say(&format!("ack {uid}"));
    action.progress(action_store::Progress::ratio(1, 2));
    action.step("copy").await.unwrap();
    match task {
        0 => drop(action),
        1 => drop(
            action
                .fail(std::io::Error::other("it broke"))
                .await
                .unwrap(),
        ),
        _ => {
            action.succeed().await.unwrap();
            say(&format!("done {uid}"));
        }
    }
}

/// Compares the store's answers while the new plane works on it.
struct Looked {
    left: usize,
    missing: usize,
    without_evidence: usize,
    undone: usize,
}

async fn look(
    store: &dyn ActionStore,
    incarnation: &str,
    acknowledged: &HashSet<ActionUid>,
    done: &HashSet<ActionUid>,
) -> Looked {
    let ends = [OwnerEnd::Fenced, OwnerEnd::Disconnected, OwnerEnd::Unknown];
    let is_its = |owner: &action_store::OwnerRef| owner.incarnation.to_string() == incarnation;
    let unfinished = unfinished(store, "plane").await;
    let left = unfinished
        .iter()
        .filter(|action| !action.owner.as_ref().is_some_and(is_its));
    let left = left.count();
    let all = Query::new().with_order(Order::Oldest).with_limit(1000);
    let all = store.pages(all).collect().await.unwrap();
    let (mut known, mut without_evidence, mut undone) = (HashSet::new(), 0, 0);
    for action in &all {
        known.insert(action.uid);
        undone +=
            (done.contains(&action.uid) && action.outcome != Some(Outcome::Succeeded)) as usize;
        if action.outcome == Some(Outcome::Lost) {
            let shown = action.evidence.as_ref().is_some_and(|evidence| {
                Some(&evidence.owner) == action.owner.as_ref()
                    && ends.contains(&evidence.end)
                    && &*evidence.decided_by == "plane"
                    && !is_its(&evidence.owner)
            });
            without_evidence += !shown as usize;
        }
    }
    let missing = acknowledged.difference(&known).count();
    Looked {
        left,
        missing,
        without_evidence,
        undone,
    }
}

async fn killed_and_started_again(access: &str) {
    let (place, dice) = (place(), Dice::new());
    let kills = asked_for("TRACKER_KILLS", 5);
    let (mut acknowledged, mut done) = (HashSet::new(), HashSet::new());
    let (mut lost, mut interrupted, mut early) = (0, 0, 0);
    let begun = Instant::now();
    for round in 0..=kills {
        let mut child = Child::start("plane", &place.path, access);
        // One in five dies while it starts, or settles.
        if round < kills && round > 0 && dice.roll(5) == 0 {
            std::thread::sleep(Duration::from_micros(dice.roll(60_000)));
            child.kill();
            early += 1;
        }
        let mut killed_after = dice.roll(200);
        let mut recovered = false;
        while let Some(said) = child.heard() {
            let words: Vec<&str> = said.split(' ').collect();
            match words[0] {
                "ack" => drop(acknowledged.insert(words[1].parse::<ActionUid>().unwrap())),
                "done" => drop(done.insert(words[1].parse::<ActionUid>().unwrap())),
                "recovered" => {
                    recovered = true;
                    lost += words[2].parse::<u64>().unwrap();
                    interrupted += words[3].parse::<u64>().unwrap();
                    let options = match access {
                        "shared" => SqliteOptions::new().shared(),
                        _ => SqliteOptions::new().read_only(),
                    };
                    let store = options.open(&place.path).await.unwrap();
                    let looked = look(&store, words[1], &acknowledged, &done).await;
                    store.close().await.unwrap();
                    let found = (looked.left, looked.missing, looked.without_evidence);
                    assert_eq!(
                        (found, looked.undone),
                        ((0, 0, 0), 0),
                        "round {round}: left unfinished, missing, without evidence; not done"
                    );
                }
                _ => {}
            }
            // Output between the kill and the end of the process counts as well.
            if recovered {
                if killed_after == 0 {
                    child.kill();
                    recovered = false;
                }
                killed_after = killed_after.saturating_sub(1);
            }
        }
        child.ended();
    }
    println!(
        "{access}: {kills} kills in {:.1?}, {early} of them while it started; {} acknowledged, \
         {lost} lost, {interrupted} interrupted",
        begun.elapsed(),
        acknowledged.len()
    );
    assert!(lost >= kills.saturating_sub(early), "it hardly worked");
    let store = SqliteStore::open(&place.path).await.unwrap();
    action_store::conformance::check_store(&store)
        .await
        .unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_unfinished_by_a_plane_that_is_killed_and_started_again() {
    killed_and_started_again("exclusive").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_unfinished_by_one_on_a_shared_file_either() {
    killed_and_started_again("shared").await;
}
