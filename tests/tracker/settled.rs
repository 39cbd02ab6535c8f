//! The host learns which actions were settled.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::{
    Action, ActionStoreExt, ActionUid, Command, NewAction, Outcome, OwnerRef, Tracker,
    TrackerOptions,
};
use tokio::time::sleep;

use crate::spy::{Fault, Spy};

/// Actions of an incarnation that ended without a word: `executing` of them, and one queued last.
async fn left_behind(store: &Spy, name: &str, executing: usize) -> Vec<ActionUid> {
    let owner = OwnerRef::new(name);
    store.command(Command::claim(owner.clone())).await.unwrap();
    let mut uids = Vec::new();
    for _ in 0..=executing {
        let create = Command::create(NewAction::task("backup")).by(owner.clone());
        uids.push(store.command_on_action(create).await.unwrap().uid);
    }
    for uid in &uids[..executing] {
        store.start(*uid, &owner).await.unwrap();
    }
    uids
}

type Told = Arc<Mutex<Vec<(ActionUid, Option<Outcome>)>>>;

/// Options with a hook that records its calls.
fn telling() -> (Told, TrackerOptions) {
    let told = Told::default();
    let record = told.clone();
    let options = TrackerOptions::new().with_on_settled(move |action: Arc<Action>| {
        record.lock().unwrap().push((action.uid, action.outcome));
        std::future::ready(())
    });
    (told, options)
}

async fn start(store: &Arc<Spy>, options: TrackerOptions) -> Tracker {
    Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_recovery_names_the_last_hundred_and_tells_of_each_in_order() {
    let store = Spy::new();
    let uids = left_behind(&store, "plane", 250).await;
    let (told, options) = telling();
    let tracker = start(&store, options).await;
    let recovery = tracker.recovery().await;
    assert_eq!((recovery.lost, recovery.interrupted), (250, 1));
    assert_eq!(recovery.lost_actions, uids[150..250], "the last 100");
    assert_eq!(recovery.interrupted_actions, uids[250..]);
    sleep(Duration::from_secs(1)).await;
    let health = tracker.health();
    assert_eq!(health.swept.lost_actions, recovery.lost_actions);
    assert_eq!((health.waiting_settled, health.failed_settled), (0, 0));
    let lost = uids[..250].iter().map(|uid| (*uid, Some(Outcome::Lost)));
    let queued = [(uids[250], Some(Outcome::Interrupted))];
    let expected: Vec<_> = lost.chain(queued).collect();
    assert_eq!(*told.lock().unwrap(), expected, "each once, in order");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_an_operator_and_the_shutdown_tell_too() {
    let store = Spy::new();
    let swept = left_behind(&store, "plane@dead", 1).await;
    let (told, options) = telling();
    let tracker = start(&store, options).await;
    sleep(Duration::from_secs(120)).await;
    let health = tracker.health();
    assert_eq!(health.swept.lost_actions, swept[..1]);
    assert_eq!(health.swept.interrupted_actions, swept[1..]);

    let nobodys = store.create(NewAction::task("copy")).await.unwrap().uid;
    tracker.settle(nobodys, "nobody wants it").await.unwrap();
    let own = tracker.begin(NewAction::task("backup")).await.unwrap();
    let done = tracker.begin(NewAction::task("backup")).await.unwrap();
    done.succeed().await.unwrap();
    tracker.shutdown().await.unwrap();
    let told: Vec<ActionUid> = told.lock().unwrap().iter().map(|(uid, _)| *uid).collect();
    assert_eq!(told, [swept[0], swept[1], nobodys, own.uid()]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_makes_the_store_panic_does_not_block_later_calls() {
    let store = Spy::new();
    let uids = left_behind(&store, "plane", 250).await;
    let bad = uids[120];
    store.on_get(move |asked| asked.contains(&bad).then_some(Fault::Panics));
    let (told, options) = telling();
    let tracker = start(&store, options).await;
    assert!(tracker.recovery().await.is_complete());
    sleep(Duration::from_secs(60)).await;
    let health = tracker.health();
    assert_eq!((health.waiting_settled, health.failed_settled), (0, 1));
    let told: Vec<ActionUid> = told.lock().unwrap().iter().map(|(uid, _)| *uid).collect();
    let expected: Vec<ActionUid> = uids.into_iter().filter(|uid| *uid != bad).collect();
    assert_eq!(told, expected, "each other one once, in order");
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_of_settled_actions_is_retried_after_a_pause() {
    // The read of several is refused for what is stored, and the read of one is not possible now.
    for several in [Fault::Corrupt, Fault::Unavailable] {
        let store = Spy::new();
        let uids = left_behind(&store, "plane", 20).await;
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = reads.clone();
        let most = 60;
        store.on_get(move |asked| {
            let read = counted.fetch_add(1, Ordering::Relaxed);
            let fault = match asked.len() {
                1 => Fault::Unavailable,
                _ => several,
            };
            // A loop without a pause would never end on a paused clock.
            (read < 1_000).then_some(fault)
        });
        let (told, options) = telling();
        let tracker = start(&store, options).await;
        assert!(tracker.recovery().await.is_complete());
        sleep(Duration::from_secs(most)).await;
        let reads = reads.load(Ordering::Relaxed) as u64;
        assert!(
            (most / 2..most + 10).contains(&reads),
            "{several:?}: {reads}"
        );
        // An outage loses no call.
        assert_eq!(tracker.health().failed_settled, 0);
        store.on_get(|_| None);
        sleep(Duration::from_secs(60)).await;
        let told: Vec<ActionUid> = told.lock().unwrap().iter().map(|(uid, _)| *uid).collect();
        assert_eq!(told, uids, "{several:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_or_hangs_does_not_harm_the_tracker() {
    let store = Spy::new();
    let uids = left_behind(&store, "plane", 2).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    // The first call panics at once, the second in its future, the third never ends.
    let options = TrackerOptions::new().with_on_settled(move |_| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        assert_ne!(call, 0, "the first call panics");
        async move {
            assert_ne!(call, 1, "the second call panics later");
            std::future::pending().await
        }
    });
    let tracker = start(&store, options).await;
    assert!(tracker.recovery().await.is_complete());
    sleep(Duration::from_secs(300)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    let health = tracker.health();
    assert!(health.is_owner && health.failure.is_none());
    assert_eq!((health.waiting_settled, health.failed_settled), (1, 2));
    tracker
        .begin(NewAction::task("copy"))
        .await
        .unwrap()
        .succeed()
        .await
        .unwrap();
    for uid in uids {
        assert!(!store.now(uid).await.is_unfinished());
    }
    // The shutdown does not wait for it for ever.
    let begun = tokio::time::Instant::now();
    tracker.shutdown().await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
}
