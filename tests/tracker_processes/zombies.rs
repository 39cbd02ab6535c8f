//! A process that keeps creating while it is fenced leaves nothing executing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::owner::OwnerState;
use action_store::{
    ActionStore, ActionStoreExt, ErrorKind, Filter, MemoryStore, NewAction, OwnerRef, Query,
    SqliteStore, Status, Tracker,
};

use super::children::{Child, say, until_let_go};
use super::{asked_for, ends, place, shared, state, unfinished, with_lease};

const WRITERS: usize = 8;

/// Longer than anything here takes: only a take-over fences.
const LEASE: u64 = 60;

async fn start(store: &Arc<dyn ActionStore>, take_over: bool) -> Result<Tracker, ErrorKind> {
    let options = with_lease(LEASE)
        .with_take_over(take_over)
        .with_sweep(false);
    let started = Tracker::start_with(store.clone(), "plane", options).await;
    started.map_err(|error| error.kind())
}

/// Eight writers that begin actions, end every other one and keep the rest, until they are fenced.
/// How many they began.
async fn create_until_fenced(tracker: &Tracker) -> u64 {
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let tracker = tracker.clone();
            tokio::spawn(async move {
                let (mut kept, mut began) = (Vec::new(), 0);
                loop {
                    match tracker.begin(NewAction::task("work")).await {
                        Ok(action) => kept.push(action),
                        Err(error) if error.kind() == ErrorKind::Fenced => break,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                    }
                    began += 1;
                    if began % 2 == 0
                        && let Some(action) = kept.pop()
                        && let Err(error) = action.succeed().await
                    {
                        let known = [ErrorKind::Fenced, ErrorKind::Unavailable];
                        assert!(known.contains(&error.kind()), "{error}");
                    }
                }
                // Gone without a word, as far as the store goes: it is fenced.
                drop(kept);
                began
            })
        })
        .collect();
    let mut began = 0;
    for writer in writers {
        began += writer.await.unwrap();
    }
    began
}

/// Counts the unfinished actions that do not belong to the living owner.
async fn left_by_the_fenced(store: &dyn ActionStore, living: Option<&OwnerRef>) -> usize {
    let left = unfinished(store, "plane").await;
    left.iter()
        .filter(|action| action.owner.as_ref() != living)
        .count()
}

async fn executing(store: &dyn ActionStore) -> usize {
    let query = Query::new().with_filter(Filter::Status(Status::Executing));
    store.pages(query).collect().await.unwrap().len()
}

/// Fences the one before again and again, in this process.
async fn fence_again_and_again(store: Arc<dyn ActionStore>, what: &str) {
    let fences = asked_for("TRACKER_FENCES", 20);
    let (mut began, mut lost, mut left) = (0, 0, 0);
    let begun = Instant::now();
    let mut tracker = start(&store, true).await.unwrap();
    for round in 0..fences {
        let zombie = tracker.clone();
        let working = tokio::spawn(async move { create_until_fenced(&zombie).await });
        tokio::time::sleep(Duration::from_millis(3 + round % 7)).await;
        let next = start(&store, true).await.unwrap();
        // The zombie goes on creating while what it has left is settled.
        let recovery = ends(next.recovery()).await;
        assert!(recovery.is_complete(), "{recovery:?}");
        left += left_by_the_fenced(&*store, Some(next.owner())).await;
        began += ends(working).await.unwrap();
        left += left_by_the_fenced(&*store, Some(next.owner())).await;
        lost += recovery.lost;
        assert_eq!(state(&*store, tracker.owner()).await, OwnerState::Fenced);
        ends(tracker.shutdown()).await.unwrap();
        tracker = next;
    }
    tracker.shutdown().await.unwrap();
    println!(
        "{what}: {fences} fences in {:.1?}, {began} begun, {lost} lost, {left} left executing",
        begun.elapsed()
    );
    assert_eq!((left, executing(&*store).await), (0, 0));
    assert!(lost > fences, "they hardly worked");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_executing_by_a_zombie_in_memory() {
    fence_again_and_again(Arc::new(MemoryStore::new()), "memory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_executing_by_a_zombie_on_a_file() {
    let place = place();
    let store = Arc::new(SqliteStore::open(&place.path).await.unwrap());
    fence_again_and_again(store.clone(), "SQLite").await;
    store.close().await.unwrap();
}

/// Claims the name when it is free, and creates actions until it is fenced.
pub(crate) async fn create_until_let_go(path: &Path) {
    let store: Arc<dyn ActionStore> = shared(path).await;
    let working = tokio::spawn(async move {
        loop {
            match start(&store, false).await {
                Ok(tracker) => {
                    say(&format!("claimed {}", tracker.owner().incarnation));
                    let began = create_until_fenced(&tracker).await;
                    say(&format!("fenced {began}"));
                    tracker.shutdown().await.unwrap();
                }
                Err(error) => {
                    let known = [ErrorKind::OwnerAlive, ErrorKind::Unavailable];
                    assert!(known.contains(&error), "{error:?}");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    });
    tokio::spawn(async move { say(&format!("broken {:?}", working.await)) });
    tokio::task::spawn_blocking(until_let_go).await.unwrap();
    std::process::exit(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_executing_by_a_zombie_in_another_process() {
    let (place, fences) = (place(), asked_for("TRACKER_FENCES", 20));
    let store: Arc<dyn ActionStore> = shared(&place.path).await;
    let mut child = Child::start("zombie", &place.path, "");
    let (mut began, mut lost, mut left) = (0, 0, 0);
    let begun = Instant::now();
    for round in 0..fences {
        let said = child.heard().unwrap();
        assert!(said.starts_with("claimed "), "{said}");
        tokio::time::sleep(Duration::from_millis(5 + round % 17)).await;
        let tracker = start(&store, true).await.unwrap();
        let recovery = ends(tracker.recovery()).await;
        assert!(recovery.is_complete(), "{recovery:?}");
        left += left_by_the_fenced(&*store, None).await;
        let said = child.heard().unwrap();
        let zombies = said.strip_prefix("fenced ").expect(&said);
        began += zombies.parse::<u64>().unwrap();
        left += left_by_the_fenced(&*store, None).await;
        lost += recovery.lost;
        tracker.shutdown().await.unwrap();
    }
    child.kill();
    child.ended();
    let last = start(&store, true).await.unwrap();
    assert!(ends(last.recovery()).await.is_complete());
    last.shutdown().await.unwrap();
    println!(
        "two processes: {fences} fences in {:.1?}, {began} begun, {lost} lost, {left} left executing",
        begun.elapsed()
    );
    assert_eq!((left, executing(&*store).await), (0, 0));
    assert!(began > fences, "it hardly worked");
    store.close().await.unwrap();
}
