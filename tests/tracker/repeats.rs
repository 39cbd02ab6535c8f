//! Repeated calls: each gets its action, and one of them the handle.

use std::time::Duration;

use action_store::tracker::{Recorded, RunError};
use action_store::{
    ActionStoreExt, Batch, CancelRequest, Command, ErrorKind, NewAction, Outcome, OwnerRef, Status,
};
use tokio::time::sleep;

use crate::spy::{Fault, Spy, finish_of, tracker};

fn keyed() -> NewAction {
    NewAction::task("backup").with_idempotency_key("request-7")
}

/// Makes the next three writes that are not renewals fail: one call of the tracker.
fn fail_once(store: &Spy, fault: Fault) {
    fail(store, fault, 3);
}

fn fail(store: &Spy, fault: Fault, times: u32) {
    let mut left = times;
    store.on_write(move |batch: &Batch| {
        let begins = !batch.commands.iter().any(crate::spy::is_renewal);
        let fails = begins && left > 0;
        left -= u32::from(fails);
        fails.then_some(fault)
    });
}

#[tokio::test]
async fn a_repeat_is_an_answer_with_the_action_for_every_kind_of_call() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let first = tracker.begin_or_find(keyed()).await.unwrap();
    assert!(first.is_new());
    let uid = first.uid();

    let again = tracker.begin_or_find(keyed()).await.unwrap();
    assert_eq!((again.is_new(), again.uid()), (false, uid));
    assert_eq!(again.action().status, Status::Executing);
    assert!(again.into_new().is_none());

    let queued = tracker.enqueue(keyed()).await.unwrap();
    assert_eq!((queued.is_new(), queued.uid), (false, uid));

    let family = tracker.begin_with_children(keyed(), vec![NewAction::task("part")]);
    let family = Recorded::of(family.await).unwrap();
    assert!(!family.is_new());
    assert!(store.children(uid).collect().await.unwrap().is_empty());

    let work = async |_| -> Result<(), _> { panic!("the work of a repeat must not run") };
    let spawned = tracker.spawn(keyed(), work).await.unwrap();
    assert_eq!((spawned.is_new(), spawned.uid()), (false, uid));
    spawned.abort();
    match spawned.join().await {
        Err(RunError::NotBegun(error)) => assert!(error.is_repeat(), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.now(uid).await.status, Status::Executing);

    let done = first.into_new().unwrap().succeed().await.unwrap();
    match tracker.begin_or_find(keyed()).await.unwrap() {
        Recorded::Found(found) => assert_eq!(found, done),
        Recorded::New(_) => panic!("an action was begun twice"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_after_an_unknown_outcome_gets_its_action() {
    for fault in [Fault::UnknownButDone, Fault::UnknownAndNot] {
        for keyed_call in [false, true] {
            let store = Spy::new();
            let tracker = tracker(&store).await;
            let plain = NewAction::task("backup");
            // With a key, the caller may build the action anew, with another uid.
            let new = || if keyed_call { keyed() } else { plain.clone() };
            let context = format!("{fault:?}, with a key: {keyed_call}");

            fail_once(&store, fault);
            let unknown = tracker.begin(new()).await.unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown, "{context}");
            sleep(Duration::from_secs(2)).await;
            let action = tracker.begin(new()).await.unwrap();
            // Nothing interrupts it later.
            sleep(Duration::from_secs(30)).await;
            assert_eq!(store.now(action.uid()).await.status, Status::Executing);
            assert_eq!(tracker.health().waiting_ends, 0, "{context}");
            let done = action.succeed().await.unwrap();
            assert_eq!(done.outcome, Some(Outcome::Succeeded), "{context}");

            let queued = tracker.enqueue(NewAction::task("check"));
            let queued = queued.await.unwrap().into_action();
            fail_once(&store, fault);
            let unknown = tracker.start_queued(queued.uid).await.unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown, "{context}");
            let action = tracker.start_queued(queued.uid).await.unwrap();
            action.succeed().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_unknown_outcome_does_not_lose_the_action() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    fail(&store, Fault::UnknownButDone, 6);
    for _ in 0..2 {
        let unknown = tracker.begin(keyed()).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
    }
    tracker
        .begin(keyed())
        .await
        .unwrap()
        .succeed()
        .await
        .unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(tracker.health().waiting_ends, 0);
}

#[tokio::test(start_paused = true)]
async fn a_family_after_an_unknown_outcome_is_whole() {
    for fault in [Fault::UnknownButDone, Fault::UnknownAndNot] {
        let store = Spy::new();
        let tracker = tracker(&store).await;
        let parts = || (0..3).map(|_| NewAction::task("part")).collect::<Vec<_>>();
        fail_once(&store, fault);
        let unknown = tracker.begin_with_children(keyed(), parts()).await;
        assert_eq!(unknown.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
        let (parent, children) = tracker.begin_with_children(keyed(), parts()).await.unwrap();
        assert_eq!(children.len(), 3, "{fault:?}");
        sleep(Duration::from_secs(30)).await;
        let recorded = store.children(parent.uid()).collect().await.unwrap();
        assert_eq!(recorded, children, "{fault:?}");
        assert!(children.iter().all(|part| part.status == Status::Queued));
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_calls_after_an_unknown_outcome_one_gets_the_handle() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    fail_once(&store, Fault::UnknownButDone);
    tracker.begin(keyed()).await.unwrap_err();
    let (one, two) = tokio::join!(
        tracker.begin_or_find(keyed()),
        tracker.begin_or_find(keyed())
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.uid(), two.uid());
    assert_ne!(one.is_new(), two.is_new());
}

#[tokio::test(start_paused = true)]
async fn a_begin_whose_store_panics_leaves_nothing_executing_and_can_be_repeated() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut first = true;
    store.on_write(move |batch| {
        let begins = matches!(batch.commands[0], Command::Create { .. });
        (begins && std::mem::take(&mut first)).then_some(Fault::Panics)
    });
    let new = keyed();
    let unknown = tracker.begin(new.clone()).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(tracker.health().waiting_ends, 1);
    tracker.begin(new).await.unwrap().succeed().await.unwrap();
    assert_eq!(tracker.health().waiting_ends, 0);
}

#[tokio::test(start_paused = true)]
async fn an_enqueue_after_an_unknown_outcome_gets_its_action() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    // The first try is applied and its answer lost: the action is new to the caller.
    fail(&store, Fault::UnknownButDone, 1);
    let queued = tracker.enqueue(keyed()).await.unwrap();
    assert!(queued.is_new());

    let new = NewAction::task("check");
    fail(&store, Fault::UnknownButDone, 4);
    let unknown = tracker.enqueue(new.clone()).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
    let found = tracker.enqueue(new.clone()).await.unwrap();
    assert_eq!(found.uid, new.uid);
    tracker
        .start_queued(found.uid)
        .await
        .unwrap()
        .succeed()
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unrepeated_begin_is_interrupted_by_the_shutdown_at_the_latest() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let new = keyed();
    let uid = new.uid;
    fail_once(&store, Fault::UnknownButDone);
    tracker.begin(new).await.unwrap_err();
    tracker.shutdown().await.unwrap();
    assert_eq!(store.now(uid).await.outcome, Some(Outcome::Interrupted));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_and_a_settlement_may_be_repeated() {
    let store = Spy::new();
    let dead = OwnerRef::new("plane@dead");
    store.command(Command::claim(dead.clone())).await.unwrap();
    let create = Command::create(NewAction::task("copy")).by(dead.clone());
    let lost = store.command_on_action(create).await.unwrap().uid;
    store.start(lost, &dead).await.unwrap();
    let options = action_store::TrackerOptions::new().with_sweep(false);
    let tracker = action_store::Tracker::start_with(store.clone(), "plane", options);
    let tracker = tracker.await.unwrap();
    store.command(Command::release(dead)).await.unwrap();

    let ends = |batch: &Batch| {
        let ends = batch
            .commands
            .iter()
            .any(|command| finish_of(command).is_some());
        ends.then_some(Fault::UnknownButDone)
    };
    let queued = tracker.enqueue(keyed()).await.unwrap().into_action();
    let please = || {
        CancelRequest::new()
            .with_by("ann")
            .with_reason("wrong cluster")
    };
    store.on_write(ends);
    let unknown = tracker.cancel(queued.uid, please()).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
    let unknown = tracker.settle(lost, "node 7 burnt down").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
    store.heal();

    let cancelled = tracker.cancel(queued.uid, please()).await.unwrap();
    assert_eq!(cancelled.outcome, Some(Outcome::Cancelled));
    let other = tracker.cancel(queued.uid, CancelRequest::new().with_by("bob"));
    assert_eq!(other.await.unwrap_err().kind(), ErrorKind::Conflict);
    let settled = tracker.settle(lost, "node 7 burnt down").await.unwrap();
    assert_eq!(settled.outcome, Some(Outcome::Lost));
    let other = tracker.settle(lost, "another reason").await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
}
