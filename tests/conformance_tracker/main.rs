//! The tracker over a store that fails: nothing is lost, and each outcome is recorded once.
//!
//! Each test is a function of the store that fails. In memory the clock is paused, so a test is
//! large and waits as long as it likes. Over a server it is smaller, in real time.
#![cfg(all(feature = "conformance", feature = "tracker"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod memory;
#[cfg(all(unix, feature = "postgres"))]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::action::LogEntryKind;
use action_store::command::OpId;
use action_store::conformance::{Call, Fault, FaultPlan, FaultyStore, Method, check_store};
use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Change, Command, ErrorKind,
    Filter, Finish, LogQuery, NewAction, Outcome, Progress, Query, Status, Tracker, TrackerOptions,
};
use tokio::time::timeout;

/// A store that keeps what it answers, and the same with failures.
type Inner = Arc<dyn ActionStore>;
type Store = Arc<FaultyStore<Inner>>;

/// The seed a test draws with, printed: `FAULT_SEED=7 cargo test ...` has it again.
fn seeded() -> FaultPlan {
    let given = std::env::var("FAULT_SEED").ok();
    let plan = match given.map(|seed| seed.parse().unwrap()) {
        Some(seed) => FaultPlan::seeded(seed),
        None => FaultPlan::drawn(),
    };
    println!("FAULT_SEED={}", plan.seed());
    plan
}

fn failing(inner: &Inner) -> Store {
    Arc::new(FaultyStore::new(inner.clone(), FaultPlan::new()))
}

async fn tracker(store: &Store) -> Tracker {
    let options = TrackerOptions::new().with_flush_interval(Duration::from_millis(5));
    Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap()
}

/// The action once it is completed.
async fn completed(store: &Inner, uid: ActionUid) -> Arc<Action> {
    let completed = async {
        let mut revision = store.changed(None).await.unwrap().revision;
        loop {
            let now = store.action(uid).await.unwrap().unwrap();
            if now.status == Status::Completed {
                return now;
            }
            revision = store.changed(Some(revision)).await.unwrap().revision;
        }
    };
    let waited = timeout(Duration::from_secs(600), completed).await;
    waited.unwrap_or_else(|_| panic!("action {uid} never ends"))
}

async fn kinds(store: &Inner, uid: ActionUid) -> Vec<LogEntryKind> {
    let log = store.log(&LogQuery::of(uid)).await.unwrap().items;
    log.iter().map(|entry| entry.kind).collect()
}

fn end_of(command: &Command) -> Option<(ActionUid, OpId)> {
    match command {
        Command::Apply {
            uid,
            op,
            change: Change::Finish(_),
            ..
        } => Some((*uid, *op)),
        _ => None,
    }
}

/// The first `failures` writes of an end fail.
async fn an_end_is_tried_under_one_operation_id(inner: Inner, failures: usize) {
    for fault in [
        Fault::UnknownButDone,
        Fault::UnknownNotDone,
        Fault::Unavailable,
    ] {
        let store = failing(&inner);
        let tracker = tracker(&store).await;
        let action = tracker.begin(NewAction::task("backup")).await.unwrap();
        let uid = action.uid();
        let tries: Arc<Mutex<Vec<OpId>>> = Arc::default();
        let seen = tries.clone();
        store.set_plan(FaultPlan::new().with_rule(move |call: &Call<'_>| {
            let (_, op) = call.commands.iter().find_map(end_of)?;
            let mut seen = seen.lock().unwrap();
            seen.push(op);
            (seen.len() <= failures).then_some(fault)
        }));
        action.progress(Progress::ratio(3, 4));
        let error = ActionError::new("broken", "it broke");
        let said = action.fail(error.clone()).await;
        // There are three attempts. The second may find that the first was applied. The rest runs
        // in the background.
        let expected = match fault {
            Fault::Unavailable => ErrorKind::Unavailable,
            _ => ErrorKind::OutcomeUnknown,
        };
        assert_eq!(said.unwrap_err().kind(), expected, "{fault:?}");
        let ended = completed(store.inner(), uid).await;
        assert_eq!(ended.outcome, Some(Outcome::Failed));
        assert_eq!(ended.error.as_ref(), Some(&error));
        assert_eq!(ended.progress, Progress::ratio(3, 4));
        // Until the store answers, however often that takes.
        let tried = || tries.lock().unwrap().len();
        for _ in 0..600 {
            if tried() > failures {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tracker.shutdown().await.unwrap();

        let tries = tries.lock().unwrap().clone();
        assert!(tries.len() > failures, "{fault:?}: {}", tries.len());
        assert!(tries.iter().all(|op| *op == tries[0]), "{tries:?}");
        let now = store.inner().action(uid).await.unwrap().unwrap();
        assert_eq!(now, ended, "one outcome for ever");
        let expected = [
            LogEntryKind::Created,
            LogEntryKind::Started,
            LogEntryKind::Finished,
        ];
        assert_eq!(kinds(store.inner(), uid).await, expected, "{fault:?}");
    }
}

async fn an_end_that_is_never_answered(inner: Inner, patience: Duration) {
    for (fault, outcome) in [
        (Fault::SilentButDone, Outcome::Succeeded),
        (Fault::SilentNotDone, Outcome::Lost),
    ] {
        let store = failing(&inner);
        let tracker = tracker(&store).await;
        let action = tracker.begin(NewAction::task("backup")).await.unwrap();
        let uid = action.uid();
        store.set_plan(FaultPlan::new().with_rule(move |call| {
            let ends = call
                .commands
                .iter()
                .any(|command| end_of(command).is_some());
            ends.then_some(fault)
        }));
        let waiting = timeout(patience, action.succeed()).await;
        assert!(waiting.is_err(), "{fault:?}");
        store.heal();
        // This process gives up; another one takes the name over.
        let next = Tracker::start(store.clone(), "plane").await.unwrap();
        let lost = next.recovery().await.lost;
        assert_eq!(lost, u64::from(outcome == Outcome::Lost), "{fault:?}");
        let ended = store.inner().action(uid).await.unwrap().unwrap();
        assert_eq!(ended.outcome, Some(outcome), "{fault:?}");
        next.shutdown().await.unwrap();
        check_store(store.inner()).await.unwrap();
    }
}

/// The result of an action's work, and how the work reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Succeeds,
    Fails,
    Drops,
}

/// Begins actions, reports on them and ends them, over a store that fails; each is then in the
/// store as it ended, once.
async fn lives(inner: Inner, plan: FaultPlan, tasks: usize, each: usize) {
    let store = failing(&inner);
    let tracker = tracker(&store).await;
    store.set_plan(plan);
    let work = |task: usize| {
        let tracker = tracker.clone();
        async move {
            let mut expected = HashMap::new();
            for number in 0..each {
                let new = NewAction::task("backup");
                let uid = new.uid;
                let mut begun = None;
                // A create with the same uid returns the same action. If the first answer was lost,
                // the existing action shows that it was begun.
                for _ in 0..50 {
                    match tracker.begin(new.clone()).await {
                        Ok(action) => {
                            begun = Some(action);
                            break;
                        }
                        // Also if the action was begun: the next call gets its handle.
                        Err(error) => assert!(error.is_retryable(), "{error:?}"),
                    }
                }
                let Some(action) = begun else {
                    expected.insert(uid, (Outcome::Interrupted, None));
                    continue;
                };
                let mut step = None;
                for _ in 0..50 {
                    match action.step("copy").await {
                        Ok(_) => {
                            step = Some("copy");
                            break;
                        }
                        Err(error) => assert!(
                            [ErrorKind::OutcomeUnknown, ErrorKind::Unavailable]
                                .contains(&error.kind()),
                            "{error:?}"
                        ),
                    }
                }
                assert_eq!(step, Some("copy"));
                action.progress(Progress::ratio(1, 2));
                let end = [End::Succeeds, End::Fails, End::Drops][(task + number) % 3];
                let answer = match end {
                    End::Succeeds => action.finish(Finish::succeeded()).await.err(),
                    End::Fails => action
                        .fail(ActionError::new("broken", "it broke"))
                        .await
                        .err(),
                    End::Drops => {
                        drop(action);
                        None
                    }
                };
                // Said or not: it is tried again in the background until it is recorded.
                if let Some(error) = answer {
                    let known = [ErrorKind::OutcomeUnknown, ErrorKind::Unavailable];
                    assert!(known.contains(&error.kind()), "{error:?}");
                }
                let outcome = match end {
                    End::Succeeds => Outcome::Succeeded,
                    End::Fails => Outcome::Failed,
                    End::Drops => Outcome::Interrupted,
                };
                expected.insert(uid, (outcome, step));
            }
            expected
        }
    };
    let tasks: Vec<_> = (0..tasks).map(|task| tokio::spawn(work(task))).collect();
    let mut expected = HashMap::new();
    for task in tasks {
        expected.extend(task.await.unwrap());
    }
    // The store still fails, but writes in the background succeed in the end.
    let mut recorded = HashMap::new();
    for (uid, (_, step)) in &expected {
        let there = store.inner().action(*uid).await.unwrap();
        if step.is_some() || there.is_some() {
            let ended = completed(store.inner(), *uid).await;
            recorded.insert(*uid, ended);
        }
    }
    let faults = store.faults(Method::Write);
    assert!(faults > expected.len() as u64 / 4, "{store:?}");
    store.heal();
    tracker.shutdown().await.unwrap();
    for (uid, (outcome, step)) in &expected {
        let Some(now) = store.inner().action(*uid).await.unwrap() else {
            assert_eq!(*step, None, "action {uid} is lost");
            continue;
        };
        assert_eq!(now.outcome, Some(*outcome), "{now:?}");
        assert_eq!(now.step.as_deref(), *step);
        if let Some(before) = recorded.get(uid) {
            assert_eq!(&now, before, "one outcome for ever");
        }
        let kinds = kinds(store.inner(), *uid).await;
        let mut store_id = vec![LogEntryKind::Created, LogEntryKind::Started];
        store_id.extend(step.map(|_| LogEntryKind::Step));
        store_id.push(LogEntryKind::Finished);
        assert_eq!(kinds, store_id, "{now:?}");
    }
    let checked = check_store(store.inner()).await.unwrap();
    assert!(checked.actions <= expected.len(), "an action too many");
    assert!(checked.actions > expected.len() / 2, "{checked:?}");
}

/// Some writes fail after they were done.
fn unknown_but_done() -> FaultPlan {
    seeded().with_percent(Method::Write, 30, Fault::UnknownButDone)
}

/// Writes fail in all ways, and some are slow.
fn anything() -> FaultPlan {
    seeded()
        .with_percent(Method::Write, 20, Fault::UnknownButDone)
        .with_percent(Method::Write, 10, Fault::UnknownNotDone)
        .with_percent(Method::Write, 20, Fault::Unavailable)
        .with_percent(Method::Write, 20, Fault::Delay(Duration::from_millis(50)))
}

/// Waits until the store has nothing unfinished.
async fn nothing_unfinished(store: &Inner) {
    let unfinished = Query::new().with_filter(Filter::Unfinished);
    let ended = async {
        let mut revision = store.changed(None).await.unwrap().revision;
        while !store.list(&unfinished).await.unwrap().items.is_empty() {
            revision = store.changed(Some(revision)).await.unwrap().revision;
        }
    };
    let waited = timeout(Duration::from_secs(600), ended).await;
    waited.expect("every dropped handle ends its action");
}

async fn handles_dropped_at_once(inner: Inner, count: usize) {
    let store = failing(&inner);
    let tracker = tracker(&store).await;
    let mut works = Vec::new();
    for _ in 0..count {
        works.push(tracker.begin(NewAction::task("backup")).await.unwrap());
    }
    let plan = seeded()
        .with_percent(Method::Write, 30, Fault::Unavailable)
        .with_percent(Method::Write, 20, Fault::UnknownButDone)
        .with_percent(Method::Write, 20, Fault::UnknownNotDone);
    store.set_plan(plan);
    drop(works);
    nothing_unfinished(store.inner()).await;
    let checked = check_store(store.inner()).await.unwrap();
    // Created, started and finished, each once.
    assert_eq!((checked.actions, checked.entries), (count, 3 * count));
    store.heal();
    tracker.shutdown().await.unwrap();
}

/// Begins as many actions at once, each with a key, and drops their handles.
#[cfg(any(feature = "sqlite", all(unix, feature = "postgres")))]
async fn handles_of_many_callers_dropped_at_once(store: Inner, count: usize) {
    let tracker = Tracker::start(store.clone(), "plane").await.unwrap();
    let begun: Vec<_> = (0..count)
        .map(|number| NewAction::task("backup").with_exclusive(format!("key {number}")))
        .map(|new| {
            let tracker = tracker.clone();
            tokio::spawn(async move { tracker.begin(new).await.unwrap() })
        })
        .collect();
    let mut works = Vec::new();
    for work in begun {
        works.push(work.await.unwrap());
    }
    drop(works);
    nothing_unfinished(&store).await;
    let again = NewAction::task("backup").with_exclusive(format!("key {}", count - 1));
    tracker.begin(again).await.unwrap().succeed().await.unwrap();
    tracker.shutdown().await.unwrap();
}
