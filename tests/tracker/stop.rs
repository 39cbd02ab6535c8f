//! Stopping: cancel requests, lost ownership; and how a tracker says it stands.

use std::time::Duration;

use action_store::tracker::RunError;
use action_store::{
    ActionError, ActionStore, ActionStoreExt, ActionUid, CancelRequest, Command, ErrorKind, Finish,
    NewAction, Outcome, Progress, Status, StoreErrorKind, Tracker, TrackerOptions,
};
use tokio::time::{sleep, timeout};

use crate::spy::{Fault, Spy, finish_of, is_renewal, tracker};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn backup() -> NewAction {
    NewAction::task("backup")
}

fn please() -> CancelRequest {
    CancelRequest::new().with_by("ann").with_reason("too slow")
}

#[tokio::test(start_paused = true)]
async fn work_hears_of_a_cancel_request_wherever_it_was_made() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let work = tracker
        .spawn(backup(), async |action| {
            let cancel = action.cancel_requested().await;
            assert_eq!(cancel.by.as_deref(), Some("ann"));
            Err::<(), _>(ActionError::cancelled())
        })
        .await
        .unwrap();
    let uid = work.uid();
    sleep(seconds(100)).await;
    // Another process, through the store alone.
    store.request_cancel(uid, please()).await.unwrap();
    let failed = timeout(seconds(1), work.join()).await.unwrap();
    assert!(matches!(failed, Err(RunError::Failed(_))), "{failed:?}");
    let ended = store.now(uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Cancelled));
    assert_eq!(
        ended.cancel.as_ref().unwrap().reason.as_deref(),
        Some("too slow")
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_request_is_heard_in_time_on_a_slow_store() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    sleep(seconds(1)).await;
    store.list_slowly(seconds(2));
    let action = tracker.begin(backup()).await.unwrap();
    // The look that the begin brought about has just ended.
    sleep(Duration::from_millis(2_100)).await;
    store.request_cancel(action.uid(), please()).await.unwrap();
    // A pause of a second and another look.
    timeout(Duration::from_millis(3_500), action.cancel_requested())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_listen_goes_on() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(backup()).await.unwrap();
    let asked = tracker.cancel(action.uid(), please()).await.unwrap();
    assert_eq!(asked.status, Status::Executing);
    sleep(seconds(10)).await;
    let done = action.succeed().await.unwrap();
    assert_eq!(done.outcome, Some(Outcome::Succeeded));
    let late = tracker.cancel(done.uid, please()).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict);
    let missing = tracker
        .cancel(ActionUid::new(), please())
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_queued_actions_at_once() {
    let store = Spy::new();
    let one = tracker(&store).await;
    let two = Tracker::start(store.clone(), "plane-2").await.unwrap();
    let nobodys = store.create(backup()).await.unwrap().uid;
    let own = one.enqueue(backup()).await.unwrap().uid;
    let of_two = two.enqueue(backup()).await.unwrap().uid;
    for uid in [nobodys, own] {
        let ended = one.cancel(uid, please()).await.unwrap();
        assert_eq!(ended.outcome, Some(Outcome::Cancelled));
    }
    // Its owner ends it, who hears of it within moments.
    let asked = one.cancel(of_two, please()).await.unwrap();
    assert_eq!(asked.status, Status::Queued);
    sleep(seconds(1)).await;
    let ended = store.now(of_two).await;
    assert_eq!(ended.outcome, Some(Outcome::Cancelled));
    assert_eq!(ended.owner.as_ref(), Some(two.owner()));
    let refused = two.start_queued(of_two).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_end_an_action_that_was_just_started() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let queued = tracker.enqueue(backup()).await.unwrap().uid;
    store.on_write(|batch| finish_of(&batch.commands[0]).map(|_| Fault::Started));
    store.request_cancel(queued, please()).await.unwrap();
    sleep(seconds(10)).await;
    store.heal();
    assert_eq!(store.now(queued).await.status, Status::Executing);
    let queued = tracker.enqueue(backup()).await.unwrap().uid;
    store.request_cancel(queued, please()).await.unwrap();
    let action = tracker.start_queued(queued).await.unwrap();
    sleep(seconds(10)).await;
    assert_eq!(store.now(queued).await.status, Status::Executing);
    let known = timeout(seconds(1), action.cancel_requested())
        .await
        .unwrap();
    assert_eq!(known.by.as_deref(), Some("ann"));
    action.cancelled().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cancel_request_that_overtakes_the_answer_to_its_begin_is_heard() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    // A caller is already waiting.
    let _other = tracker.begin(backup()).await.unwrap();
    sleep(seconds(1)).await;
    store.on_write(|batch| {
        let creates = matches!(batch.commands[0], Command::Create { .. });
        creates.then_some(Fault::CancelledAtOnce)
    });
    let action = tracker.begin(backup()).await.unwrap();
    store.heal();
    let known = timeout(seconds(10), action.cancel_requested()).await;
    assert_eq!(known.unwrap().by.as_deref(), Some("ann"));
}

#[tokio::test(start_paused = true)]
async fn a_fence_wakes_the_work() {
    let store = Spy::new();
    let first = tracker(&store).await;
    let action = first.begin(backup()).await.unwrap();
    let lost = tokio::spawn({
        let reporter = action.reporter();
        async move { reporter.ownership_lost().await }
    });
    sleep(seconds(60)).await;
    assert!(!lost.is_finished());
    let _second = tracker(&store).await;
    // No later than its next renewal.
    timeout(seconds(6), lost).await.unwrap().unwrap();
    timeout(seconds(1), first.ownership_lost()).await.unwrap();
    assert!(first.health().is_fenced && !first.health().is_owner);
}

#[tokio::test(start_paused = true)]
async fn silence_for_two_thirds_of_a_lease_wakes_the_work() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(backup()).await.unwrap();
    sleep(seconds(11)).await;
    store.on_write(|batch| is_renewal(&batch.commands[0]).then_some(Fault::Unavailable));
    // The last renewal was at 10 s; its word is good until 30 s.
    let early = timeout(Duration::from_millis(18_900), action.ownership_lost()).await;
    assert!(early.is_err());
    timeout(Duration::from_millis(200), action.ownership_lost())
        .await
        .unwrap();
    let health = tracker.health();
    assert!(!health.is_owner && !health.is_fenced);
    assert!(health.since_renewal >= seconds(20), "{health:?}");
    store.heal();
    sleep(seconds(6)).await;
    assert!(tracker.health().is_owner);
    assert!(tracker.health().since_renewal < seconds(6));
}

#[tokio::test(start_paused = true)]
async fn health_shows_what_waits() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let (one, two) = (
        tracker.begin(backup()).await.unwrap(),
        tracker.begin(backup()).await.unwrap(),
    );
    let idle = tracker.health();
    assert_eq!((idle.in_work, idle.waiting_ends, idle.given_up), (2, 0, 0));
    assert!(idle.failure.is_none());
    store.on_write(|batch| (!is_renewal(&batch.commands[0])).then_some(Fault::Unavailable));
    one.finish(Finish::succeeded()).await.unwrap_err();
    two.progress(Progress::ratio(1, 2));
    sleep(seconds(1)).await;
    let ill = tracker.health();
    assert_eq!(
        (ill.in_work, ill.waiting_ends, ill.waiting_progress),
        (1, 1, 1)
    );
    assert!(ill.waiting_bytes > 0);
    assert_eq!(ill.failure.unwrap().kind(), StoreErrorKind::Unavailable);
    store.heal();
    sleep(seconds(10)).await;
    let well = tracker.health();
    assert_eq!(
        (well.waiting_ends, well.waiting_bytes, well.waiting_progress),
        (0, 0, 0)
    );
    assert!(well.failure.is_none());
    two.succeed().await.unwrap();
    assert_eq!(tracker.health().in_work, 0);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_dropped_handles_is_ended_once_the_store_works_again() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut works = Vec::new();
    for number in 0..10_000 {
        let new = backup().with_exclusive(format!("key {number}"));
        works.push(tracker.begin(new).await.unwrap());
    }
    store.on_write(|batch| (!is_renewal(&batch.commands[0])).then_some(Fault::Unavailable));
    drop(works);
    let waiting = tracker.health();
    assert_eq!((waiting.waiting_ends, waiting.given_up), (10_000, 0));
    // It fails for a while, and more than once.
    sleep(seconds(30)).await;
    assert_eq!(tracker.health().waiting_ends, 10_000);
    store.heal();
    all_ended(&store, 10_000).await;
    assert_eq!(tracker.health().given_up, 0);
    // Their keys are free.
    for number in [0, 4_096, 9_999] {
        let new = backup().with_exclusive(format!("key {number}"));
        tracker.begin(new).await.unwrap().succeed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_what_was_dropped_just_before() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut works = Vec::new();
    for _ in 0..5_000 {
        works.push(tracker.begin(backup()).await.unwrap());
    }
    drop(works);
    tracker.shutdown().await.unwrap();
    all_ended(&store, 5_000).await;
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_an_end_keeps_its_outcome_and_leaves_out_its_details() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut works = Vec::new();
    for _ in 0..400 {
        works.push(tracker.begin(backup()).await.unwrap());
    }
    let uids: Vec<ActionUid> = works.iter().map(|work| work.uid()).collect();
    store.on_write(|batch| (!is_renewal(&batch.commands[0])).then_some(Fault::Unavailable));
    let result = action_store::Json::of(&"x".repeat(65_000)).unwrap();
    for work in works {
        work.succeed_with(result.clone()).await.unwrap_err();
    }
    let full = tracker.health();
    assert_eq!((full.waiting_ends, full.given_up), (400, 0));
    let bound = 16 * 1024 * 1024;
    assert!(full.waiting_bytes <= bound + 400 * 1024, "{full:?}");
    store.heal();
    all_ended(&store, 400).await;
    let mut without = 0;
    for uid in uids {
        let ended = store.now(uid).await;
        assert_eq!(ended.outcome, Some(Outcome::Succeeded));
        if ended.result.is_none() {
            let note = "result was left out: too many ends wait for the store";
            assert_eq!(&*ended.warnings[0], note);
            without += 1;
        }
    }
    assert!((100..200).contains(&without), "{without}");
}

/// Waits until nothing is unfinished, and that many are interrupted or succeeded.
async fn all_ended(store: &Spy, expected: usize) {
    let unfinished = || action_store::Query::new().with_filter(action_store::Filter::Unfinished);
    let ended = async {
        let mut revision = store.changed(None).await.unwrap().revision;
        while !store.list(&unfinished()).await.unwrap().items.is_empty() {
            revision = store.changed(Some(revision)).await.unwrap().revision;
        }
    };
    timeout(seconds(600), ended).await.unwrap();
    let all = action_store::Query::new();
    let mut pages = store.pages(all);
    let mut count = 0;
    while let Some(page) = pages.next().await.unwrap() {
        count += page.items.len();
    }
    assert_eq!(count, expected);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_shows_and_the_bound_holds_all_the_same() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut works = Vec::new();
    for _ in 0..4_200 {
        works.push(tracker.begin(backup()).await.unwrap());
    }
    let (last, reports) = (works.pop().unwrap(), works.pop().unwrap());
    store.on_write(|batch| (!is_renewal(&batch.commands[0])).then_some(Fault::Hangs));
    let some = works.split_off(1_000);
    drop(works);
    reports.progress(Progress::ratio(1, 2));
    // All of them are being written, and never will be.
    sleep(seconds(60)).await;
    let hanging = tracker.health();
    assert_eq!((hanging.waiting_ends, hanging.finishing), (1_000, 0));
    assert!(hanging.waiting_bytes > 0 && hanging.failure.is_none());
    drop(some);
    let full = tracker.health();
    assert_eq!((full.waiting_ends, full.given_up), (4_198, 0));
    assert_eq!(full.waiting_progress, 1);
    let finishing = tokio::spawn(last.succeed());
    sleep(seconds(1)).await;
    assert_eq!(tracker.health().finishing, 1);
    finishing.abort();
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_every_call_says_that_the_tracker_was_shut_down() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut works = Vec::new();
    for _ in 0..3 {
        works.push(tracker.begin(backup()).await.unwrap());
    }
    let uid = works[2].uid();
    let queued = tracker.enqueue(backup()).await.unwrap().uid;
    let work = tracker
        .spawn(backup(), async |action| {
            action.ownership_lost().await;
            action.step("copy").await?;
            Ok(())
        })
        .await
        .unwrap();
    let (one, two, three) = (works.remove(0), works.remove(0), works.remove(0));
    tracker.shutdown().await.unwrap();
    three.progress(Progress::ratio(1, 2));
    let errors = [
        three.step("copy").await.unwrap_err(),
        three.warn("slow").await.unwrap_err(),
        three.begin_child(backup()).await.unwrap_err(),
        one.succeed().await.unwrap_err(),
        two.fail(ActionError::new("e", "m")).await.unwrap_err(),
        tracker.begin(backup()).await.unwrap_err(),
        tracker.enqueue(backup()).await.unwrap_err(),
        tracker.start_queued(queued).await.unwrap_err(),
        tracker.adopt(uid).await.unwrap_err(),
        tracker.settle(uid, "?").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        let said = error.to_string();
        assert!(said.ends_with(": the tracker was shut down"), "{said}");
    }
    let Err(RunError::Unrecorded { error, .. }) = work.join().await else {
        panic!("it was recorded");
    };
    assert_eq!(error.kind(), ErrorKind::Closed);
    // The shutdown ended it, and the log has what its work said afterwards.
    let ended = store.now(uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Interrupted));
    // A dropped handle has nothing more to write.
    drop(three);
    sleep(seconds(10)).await;
    assert_eq!(store.now(uid).await, ended);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_others_fenced_is_told_so_also_after_its_shutdown() {
    let store = Spy::new();
    let first = tracker(&store).await;
    let (one, two) = (
        first.begin(backup()).await.unwrap(),
        first.begin(backup()).await.unwrap(),
    );
    let second = tracker(&store).await;
    second.recovery().await;
    let error = one.step("copy").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.to_string().ends_with(" was fenced"), "{error}");
    first.shutdown().await.unwrap();
    for error in [
        one.step("copy").await.unwrap_err(),
        two.succeed().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert!(error.to_string().ends_with(" was fenced"), "{error}");
    }
}

#[tokio::test]
async fn the_host_says_what_a_new_action_belongs_to() {
    tokio::task_local! {
        static REQUEST: &'static str;
    }
    let store = Spy::new();
    let options = TrackerOptions::new()
        .with_correlation(|| REQUEST.try_with(|request| (*request).into()).ok());
    let tracker = Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap();
    let begun = REQUEST.scope("r-1", tracker.begin(backup())).await.unwrap();
    assert_eq!(begun.action().correlation.as_deref(), Some("r-1"));
    let queued = REQUEST
        .scope("r-2", tracker.enqueue(backup()))
        .await
        .unwrap();
    assert_eq!(queued.correlation.as_deref(), Some("r-2"));
    let own = backup().with_correlation("mine");
    let kept = REQUEST.scope("r-3", tracker.begin(own)).await.unwrap();
    assert_eq!(kept.action().correlation.as_deref(), Some("mine"));
    let none = tracker.begin(backup()).await.unwrap();
    assert_eq!(none.action().correlation, None);
}
