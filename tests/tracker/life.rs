//! Begin, report, end.

use std::time::Duration;

use action_store::action::LogEntryKind;
use action_store::command::BatchMode;
use action_store::{
    ActionError, Change, Command, ErrorKind, Json, Limits, NewAction, ObjectRef, Outcome, Progress,
    Report, Status,
};
use tokio::time::sleep;

use crate::spy::{Fault, Spy, finish_of, tracker};

fn percent(percent: f64) -> Progress {
    Progress::percent(percent).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_whole_life_is_recorded() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    store.writes();
    let new = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1));
    let action = tracker.begin(new).await.unwrap();
    let writes = store.writes();
    assert_eq!(writes.len(), 1, "created and started in one commit");
    assert_eq!(
        (writes[0].mode, writes[0].commands.len()),
        (BatchMode::All, 2)
    );
    assert_eq!(action.action().status, Status::Executing);
    assert_eq!(action.action().owner.as_ref(), Some(tracker.owner()));

    action.step("load_rows").await.unwrap();
    action.progress(percent(12.5));
    sleep(Duration::from_secs(1)).await;
    let now = store.now(action.uid()).await;
    assert_eq!(
        (now.progress, now.step.as_deref()),
        (percent(12.5), Some("load_rows"))
    );
    assert_eq!(
        action.action(),
        now,
        "the handle knows what the background has written"
    );
    action.warn("one row was odd").await.unwrap();
    let described = Report::new().with_description("1000 rows");
    action.report(described).await.unwrap();

    let result = Json::new(r#"{"rows":1000}"#).unwrap();
    let done = action.succeed_with(result.clone()).await.unwrap();
    assert_eq!(
        (done.outcome, done.progress),
        (Some(Outcome::Succeeded), Progress::DONE)
    );
    assert_eq!(
        (done.result.as_ref(), done.description.as_deref()),
        (Some(&result), Some("1000 rows"))
    );
    assert_eq!(&*done.warnings[0], "one row was odd");
    let kinds: Vec<_> = store
        .log_of(done.uid)
        .await
        .iter()
        .map(|entry| entry.kind)
        .collect();
    use LogEntryKind::{Created, Finished, Noted, Started, Step};
    assert_eq!(kinds, [Created, Started, Step, Noted, Noted, Finished]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_reports_of_progress_are_few_writes() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut actions = Vec::new();
    for _ in 0..20 {
        actions.push(tracker.begin(NewAction::task("load")).await.unwrap());
    }
    store.writes();
    for done in 1..=1000 {
        for action in &actions {
            action.progress(Progress::ratio(done, 2000));
        }
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_secs(1)).await;
    let writes = store.writes();
    // One a flush interval of 250 ms, for all twenty together: at 0, 250, ... 1000 ms.
    assert!((2..=6).contains(&writes.len()), "{} writes", writes.len());
    for action in &actions {
        assert_eq!(store.now(action.uid()).await.progress, percent(50.0));
    }
    // An equal or lower progress is not written again.
    for action in &actions {
        action.progress(percent(50.0));
        action.progress(percent(20.0));
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(store.writes().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn progress_is_written_before_the_end_and_with_a_step() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("load")).await.unwrap();
    action.progress(percent(30.0));
    action.progress(percent(40.0));
    let stepped = action.step("verify").await.unwrap();
    assert_eq!(stepped.progress, percent(40.0));
    // The keeper has just written and waits for its pace.
    sleep(Duration::from_millis(10)).await;
    action.progress(percent(73.0));
    store.writes();
    let failed = action
        .fail(ActionError::new("disk_full", "the disk is full"))
        .await
        .unwrap();
    assert_eq!(
        (failed.outcome, failed.progress),
        (Some(Outcome::Failed), percent(73.0))
    );
    let writes = store.writes();
    assert_eq!(writes.len(), 1);
    assert!(matches!(
        &writes[0].commands[0],
        Command::Apply {
            change: Change::Report(_),
            ..
        }
    ));
    assert!(finish_of(&writes[0].commands[1]).is_some());
    // A success says by itself that all is done.
    let action = tracker.begin(NewAction::task("load")).await.unwrap();
    action.progress(percent(73.0));
    let done = action.succeed().await.unwrap();
    assert_eq!((done.progress, done.version.get()), (Progress::DONE, 3));
    // Nothing comes after the end.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(store.now(failed.uid).await, failed);
    assert_eq!(store.now(done.uid).await, done);
}

#[tokio::test]
async fn a_queued_action_is_started_once() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let queued = tracker.enqueue(NewAction::task("backup")).await.unwrap();
    assert_eq!(
        (queued.status, queued.owner.as_ref()),
        (Status::Queued, Some(tracker.owner()))
    );
    let action = tracker.start_queued(queued.uid).await.unwrap();
    assert_eq!(store.now(queued.uid).await.status, Status::Executing);
    let again = tracker.start_queued(queued.uid).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert_eq!(again.current().unwrap().uid, queued.uid);
    let cancelled = action.cancelled().await.unwrap();
    assert_eq!(cancelled.outcome, Some(Outcome::Cancelled));
    let missing = tracker
        .start_queued(action_store::ActionUid::new())
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_repeated_begin_finds_the_first_action_and_never_gives_a_second_handle() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let new = || NewAction::task("backup").with_idempotency_key("request-7");
    let first = tracker.begin(new()).await.unwrap();
    let again = tracker.begin(new()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Found);
    assert!(again.is_repeat() && !again.is_retryable());
    assert_eq!(again.current().unwrap().uid, first.uid());
    let enqueued = tracker.enqueue(new()).await.unwrap();
    assert!(!enqueued.is_new());
    assert_eq!(enqueued.uid, first.uid());
    let other = tracker
        .begin(new().with_description("other"))
        .await
        .unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    assert!(!other.is_repeat());
    // By uid as well.
    let same = NewAction::task("check");
    let second = tracker.begin(same.clone()).await.unwrap();
    let again = tracker.begin(same).await.unwrap_err();
    assert_eq!(again.current().unwrap().uid, second.uid());
    // The first caller starts an action that is only queued.
    let key = || NewAction::task("drain").with_idempotency_key("request-8");
    let queued = tracker.enqueue(key()).await.unwrap();
    let third = tracker.begin(key()).await.unwrap();
    assert_eq!(
        (third.uid(), third.action().status),
        (queued.uid, Status::Executing)
    );
    assert_eq!(
        tracker.begin(key()).await.unwrap_err().kind(),
        ErrorKind::Found
    );
}

#[tokio::test]
async fn a_taken_exclusive_key_names_its_holder_and_leaves_nothing() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let new = || NewAction::task("backup").with_exclusive("bdb:1");
    let holder = tracker.begin(new()).await.unwrap();
    let refused = tracker.begin(new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(refused.current().unwrap().uid, holder.uid());
    holder.succeed().await.unwrap();
    tracker.begin(new()).await.unwrap().succeed().await.unwrap();
}

#[tokio::test]
async fn a_bad_name_is_invalid_but_what_reports_is_cut() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let unnamed = tracker.begin(NewAction::task("")).await.unwrap_err();
    assert_eq!(unnamed.kind(), ErrorKind::Invalid);
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    assert_eq!(action.step("").await.unwrap().step, None);
    action.warn("w".repeat(Limits::TEXT + 1)).await.unwrap();
    let error = ActionError::new("disk_full", "x".repeat(10_000)).with_detail("a\0b");
    let failed = action.fail(error).await.unwrap();
    let error = failed.error.as_ref().unwrap();
    assert!(error.message.ends_with("x [cut]") && error.message.len() == Limits::TEXT);
    assert_eq!(error.detail.as_deref(), Some("a\u{fffd}b"));
    assert!(failed.warnings[1].ends_with("w [cut]"));
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_again_under_the_same_operation() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut calls = 0;
    store.on_write(move |_| {
        calls += 1;
        (calls % 2 == 1).then_some(Fault::UnknownButDone)
    });
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let stepped = action.step("copy").await.unwrap();
    assert_eq!(stepped.version.get(), 3);
    let done = action.succeed().await.unwrap();
    assert_eq!(
        (done.version.get(), done.log_entries),
        (4, 4),
        "each acted once"
    );
}
