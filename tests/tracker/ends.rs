//! Actions whose end was not recorded: drops, panics, cancelled callers, failing stores.

use std::time::Duration;

use action_store::tracker::RunError;
use action_store::{
    ActionError, ErrorKind, Finish, NewAction, Outcome, Progress, Status, StoreErrorKind, Tracker,
};
use tokio::time::{sleep, timeout};

use crate::spy::{Fault, Spy, is_renewal, tracker};

#[tokio::test(start_paused = true)]
async fn a_dropped_handle_interrupts_its_action_with_the_last_progress() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let uid = action.uid();
    let left = action.reporter();
    action.progress(Progress::ratio(1, 4));
    drop(action);
    let ended = store.completed(uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Interrupted));
    assert_eq!(ended.progress, Progress::ratio(1, 4));
    assert_eq!(&*ended.error.as_ref().unwrap().code, "interrupted");
    assert!(ended.evidence.is_none(), "its owner says so itself");
    // A reporter that is left over does no harm.
    left.progress(Progress::DONE);
    assert_eq!(
        left.step("copy").await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    sleep(Duration::from_secs(1)).await;
    assert_eq!(store.now(uid).await, ended);
}

#[test]
fn a_handle_can_be_dropped_without_a_runtime() {
    let store = Spy::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let first = runtime();
    let tracker = first.block_on(tracker(&store));
    let action = first
        .block_on(tracker.begin(NewAction::task("backup")))
        .unwrap();
    let uid = action.uid();
    std::thread::spawn(move || drop(action)).join().unwrap();
    let ended = first.block_on(store.completed(uid));
    assert_eq!(ended.outcome, Some(Outcome::Interrupted));

    let orphan = first
        .block_on(tracker.begin(NewAction::task("backup")))
        .unwrap();
    let uid = orphan.uid();
    drop(first);
    orphan.progress(Progress::DONE);
    let second = runtime();
    let gone = second
        .block_on(tracker.begin(NewAction::task("backup")))
        .unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::OutcomeUnknown);
    drop((orphan, tracker));
    // The end cannot be written any more; the next start settles the action.
    let next = second
        .block_on(Tracker::start(store.clone(), "plane"))
        .unwrap();
    assert_eq!(second.block_on(next.recovery()).lost, 1);
    let lost = second.block_on(store.now(uid));
    assert_eq!(lost.outcome, Some(Outcome::Lost));
}

#[tokio::test]
async fn the_result_of_a_run_is_recorded() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut uid = None;
    let value = tracker
        .run(NewAction::task("count"), |action| {
            uid = Some(action.uid());
            async move {
                action.step("count").await?;
                Ok(42)
            }
        })
        .await;
    assert_eq!(value.unwrap(), 42);
    let done = store.now(uid.unwrap()).await;
    assert_eq!(
        (done.outcome, done.step.as_deref()),
        (Some(Outcome::Succeeded), Some("count"))
    );

    let failed: Result<(), RunError> = tracker
        .run(NewAction::task("count"), |action| {
            uid = Some(action.uid());
            async {
                Err(ActionError::new(
                    "bdb_not_found",
                    "there is no such database",
                ))
            }
        })
        .await;
    let Err(RunError::Failed(error)) = failed else {
        panic!("{failed:?}")
    };
    let recorded = store.now(uid.unwrap()).await;
    assert_eq!(recorded.outcome, Some(Outcome::Failed));
    assert_eq!(recorded.error.as_ref(), Some(&error));

    let failed: Result<(), RunError> = tracker
        .run(NewAction::task("count"), |action| {
            uid = Some(action.uid());
            async { Ok(std::fs::read("/nowhere/secret").map(|_| ())?) }
        })
        .await;
    assert!(!format!("{failed:?}").contains("secret"));
    let error = store.now(uid.unwrap()).await.error.clone().unwrap();
    assert_eq!(&*error.code, "internal_error");
    assert!(error.detail.unwrap().contains("No such file"));

    let unnamed: Result<(), RunError> = tracker.run(NewAction::task(""), async |_| Ok(())).await;
    assert!(matches!(unnamed, Err(RunError::NotBegun(_))));
}

#[tokio::test]
async fn a_panic_is_recorded_as_interrupted_and_its_words_stay_with_the_operators() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let spawned = tracker
        .spawn(
            NewAction::task("count"),
            async |_| -> Result<(), ActionError> { panic!("at row {}", 7) },
        )
        .await
        .unwrap();
    let uid = spawned.uid();
    assert!(matches!(spawned.join().await, Err(RunError::Interrupted)));
    let ended = store.now(uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Interrupted));
    let error = ended.error.clone().unwrap();
    assert_eq!(&*error.code, "interrupted");
    assert!(!error.message.contains("row"));
    assert_eq!(error.detail.as_deref(), Some("panicked: at row 7"));

    // A run passes the panic on, once it is recorded.
    let action = tracker.begin(NewAction::task("count")).await.unwrap();
    let uid = action.uid();
    let run = tokio::spawn(action.run(async |_| -> Result<(), ActionError> { panic!("again") }));
    assert!(run.await.unwrap_err().is_panic());
    assert_eq!(store.now(uid).await.outcome, Some(Outcome::Interrupted));

    // A handle that a panic drops.
    let action = tracker.begin(NewAction::task("count")).await.unwrap();
    let uid = action.uid();
    let task = tokio::spawn(async move {
        let _held = action;
        panic!("and again")
    });
    assert!(task.await.unwrap_err().is_panic());
    let ended = store.completed(uid).await;
    assert!(
        ended
            .error
            .as_ref()
            .unwrap()
            .message
            .contains("internal error")
    );
}

#[tokio::test(start_paused = true)]
async fn aborted_and_dropped_work_is_recorded_as_interrupted() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let forever = async |_| -> Result<(), ActionError> { std::future::pending().await };
    let spawned = tracker
        .spawn(NewAction::task("count"), forever)
        .await
        .unwrap();
    let uid = spawned.uid();
    tokio::task::yield_now().await;
    spawned.abort();
    assert!(matches!(spawned.join().await, Err(RunError::Interrupted)));
    assert_eq!(
        store.completed(uid).await.outcome,
        Some(Outcome::Interrupted)
    );

    let action = tracker.begin(NewAction::task("count")).await.unwrap();
    let uid = action.uid();
    assert!(
        timeout(Duration::from_secs(1), action.run(forever))
            .await
            .is_err()
    );
    assert_eq!(
        store.completed(uid).await.outcome,
        Some(Outcome::Interrupted)
    );
}

/// Polls a future once and drops it.
async fn start_and_drop<T>(future: impl Future<Output = T>) {
    let mut future = std::pin::pin!(future);
    let polled = std::future::poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        std::task::Poll::Ready(())
    });
    polled.await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_a_whole_behind() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let new = NewAction::task("backup");
    let uid = new.uid;
    start_and_drop(tracker.begin(new)).await;
    // The action is begun anyway. It ends at once, because no handle exists.
    tokio::task::yield_now().await;
    let ended = timeout(Duration::from_secs(10), async {
        while store.now_or_none(uid).await.is_none() {
            tokio::task::yield_now().await;
        }
        store.completed(uid).await
    });
    assert_eq!(ended.await.unwrap().outcome, Some(Outcome::Interrupted));

    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let uid = action.uid();
    start_and_drop(action.succeed()).await;
    assert_eq!(store.completed(uid).await.outcome, Some(Outcome::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_store_does_not_take_is_tried_until_it_does() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let first = tracker.begin(NewAction::task("backup")).await.unwrap();
    let second = tracker.begin(NewAction::task("backup")).await.unwrap();
    let uids = [first.uid(), second.uid()];
    store.on_write(|_| Some(Fault::Unavailable));
    store.writes();
    first.progress(Progress::ratio(1, 3));
    assert_eq!(
        first.succeed().await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    drop(second);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.now(uids[0]).await.status, Status::Executing);
    let tries = store.writes().len();
    assert!(
        (5..40).contains(&tries),
        "{tries} tries in a minute: neither lazy nor busy"
    );
    store.heal();
    assert_eq!(
        store.completed(uids[0]).await.outcome,
        Some(Outcome::Succeeded)
    );
    assert_eq!(
        store.completed(uids[1]).await.outcome,
        Some(Outcome::Interrupted)
    );
    assert!(tracker.is_owner());
}

#[tokio::test]
async fn an_end_that_cannot_be_is_refused_and_the_action_over_all_the_same() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    for (impossible, kind) in [
        (Finish::new(Outcome::Failed), ErrorKind::Invalid),
        (Finish::new(Outcome::Lost), ErrorKind::OwnerAlive),
    ] {
        let action = tracker.begin(NewAction::task("backup")).await.unwrap();
        let uid = action.uid();
        assert_eq!(action.finish(impossible).await.unwrap_err().kind(), kind);
        let ended = store.completed(uid).await;
        assert_eq!(ended.outcome, Some(Outcome::Interrupted));
        assert!(ended.error.as_ref().unwrap().detail.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_overtake_an_end_that_waits() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let uid = action.uid();
    let mut left = 4;
    store.on_write(move |_| {
        left -= 1;
        (left >= 0).then_some(Fault::Unavailable)
    });
    action.succeed().await.unwrap_err();
    tracker.shutdown().await.unwrap();
    assert_eq!(store.now(uid).await.outcome, Some(Outcome::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn one_bad_row_does_not_hold_up_the_other_ends() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut actions = Vec::new();
    for _ in 0..5 {
        actions.push(tracker.begin(NewAction::task("backup")).await.unwrap());
    }
    let uids: Vec<_> = actions.iter().map(|action| action.uid()).collect();
    let bad = uids[2];
    store.on_write(move |batch| {
        let hit = batch.commands.iter().any(
            |command| matches!(command, action_store::Command::Apply { uid, .. } if *uid == bad),
        );
        hit.then_some(Fault::Corrupt)
    });
    drop(actions);
    for uid in uids.iter().filter(|uid| **uid != bad) {
        assert_eq!(
            store.completed(*uid).await.outcome,
            Some(Outcome::Interrupted)
        );
    }
    assert_eq!(store.now(bad).await.status, Status::Executing);
    assert_eq!(tracker.health().given_up, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_ends_no_background_task() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    tracker.recovery().await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let uid = action.uid();
    store.on_write(|_| Some(Fault::Panics));
    drop(action);
    sleep(Duration::from_secs(12)).await;
    let ill = tracker.health();
    let renewing = ill.renewing.as_ref().unwrap();
    assert_eq!(renewing.error.to_string(), "renew: the store panicked");
    assert!(ill.writing.is_some(), "{ill:?}");
    store.heal();
    let ended = store.completed(uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Interrupted));
    sleep(Duration::from_secs(10)).await;
    let well = tracker.health();
    assert!(well.failure.is_none(), "{well:?}");
    assert!(tracker.is_owner());
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_given_up_says_why() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    store.on_write(|batch| (!is_renewal(&batch.commands[0])).then_some(Fault::Corrupt));
    drop(action);
    sleep(Duration::from_secs(5)).await;
    let health = tracker.health();
    assert_eq!(health.given_up, 1);
    for error in [health.given_up_error, health.failure] {
        assert_eq!(error.unwrap().kind(), StoreErrorKind::Corrupt);
    }
}
