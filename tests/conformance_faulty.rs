//! `FaultyStore` fails as configured and still keeps the contract. Code on top of it neither loses
//! nor repeats a write.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use action_store::action::LogEntryKind;
use action_store::command::{Effect, OpId};
use action_store::conformance::{
    Checked, Fault, FaultPlan, FaultyStore, Method, Subject, check_store,
};
use action_store::owner::OwnerQuery;
use action_store::query::Revision;
use action_store::{
    ActionError, ActionStore, ActionStoreExt, Batch, CancelRequest, Change, Clock, Command,
    ErrorKind, Finish, LogQuery, MemoryStore, NewAction, Outcome, OwnerRef, Progress, Query,
    Report, Status, StoreError, StoreErrorKind, Timestamp,
};
use tokio::time::timeout;

/// Without faults it is the store it wraps; late, it keeps the contract as well.
mod keeps_the_contract {
    mod without_faults {
        use super::super::*;

        async fn open() -> Subject {
            let clock = Clock::manual(Timestamp::from_seconds(1_760_400_000));
            let store = MemoryStore::with_clock(clock.clone());
            Subject::new(FaultyStore::new(store, FaultPlan::new())).with_clock(clock)
        }

        action_store::conformance_tests!(open, clock);
    }

    mod when_late {
        use super::super::*;

        async fn open() -> Subject {
            let clock = Clock::manual(Timestamp::from_seconds(1_760_400_000));
            let store = MemoryStore::with_clock(clock.clone());
            // Of each method some calls wait: answers overtake each other, and futures that are
            // dropped have been polled before they did anything.
            let late = Fault::Delay(Duration::from_micros(1));
            // Not writes: a delayed write is not taken at its first poll.
            let delayed = Method::ALL.into_iter().filter(|m| *m != Method::Write);
            let plan = delayed.fold(FaultPlan::seeded(3), |plan, method| {
                plan.with_percent(method, 5, late)
            });
            Subject::new(FaultyStore::new(store, plan)).with_clock(clock)
        }

        action_store::conformance_tests!(open, clock);
    }
}

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

fn faulty(plan: FaultPlan) -> FaultyStore<MemoryStore> {
    FaultyStore::new(MemoryStore::new(), plan)
}

fn create(name: &str) -> Batch {
    Batch::each(vec![Command::create(NewAction::task(name))])
}

async fn count(store: &FaultyStore<MemoryStore>) -> usize {
    store.inner().list(&Query::new()).await.unwrap().items.len()
}

#[tokio::test(start_paused = true)]
async fn each_fault_does_to_a_write_what_it_says() {
    let day = Duration::from_secs(86_400);
    let cases = [
        (Fault::Unavailable, Some(StoreErrorKind::Unavailable), 0),
        (
            Fault::UnknownButDone,
            Some(StoreErrorKind::OutcomeUnknown),
            1,
        ),
        (
            Fault::UnknownNotDone,
            Some(StoreErrorKind::OutcomeUnknown),
            0,
        ),
        (Fault::SilentButDone, None, 1),
        (Fault::SilentNotDone, None, 0),
    ];
    for (fault, expected, done) in cases {
        let store = faulty(FaultPlan::seeded(7).with_call(Method::Write, 2, fault));
        store.write(create("first")).await.unwrap();
        let answer = timeout(day, store.write(create("second"))).await.ok();
        let error = answer.map(Result::unwrap_err);
        assert_eq!(error.as_ref().map(StoreError::kind), expected, "{fault:?}");
        if let Some(error) = error {
            assert_eq!(error.operation(), "write");
            let text = error.to_string();
            assert!(text.contains("call 2") && text.contains("seed 7"), "{text}");
        }
        assert_eq!(count(&store).await, 1 + done, "{fault:?}");
        store.write(create("third")).await.unwrap();
        assert_eq!(count(&store).await, 2 + done, "{fault:?}");
        let counts = (store.calls(Method::Write), store.faults(Method::Write));
        assert_eq!(counts, (3, 1), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_passes_before_anything_is_done() {
    let hour = Duration::from_secs(3600);
    let store = faulty(FaultPlan::new().with_call(Method::Write, 1, Fault::Delay(hour)));
    let mut write = store.write(create("a"));
    assert!(timeout(hour / 2, &mut write).await.is_err());
    assert_eq!(count(&store).await, 0);
    timeout(hour, write).await.unwrap().unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_is_unavailable_and_a_silent_one_never_answers() {
    for (fault, silent) in [
        (Fault::Unavailable, false),
        (Fault::UnknownButDone, false),
        (Fault::UnknownNotDone, false),
        (Fault::SilentButDone, true),
        (Fault::SilentNotDone, true),
    ] {
        let plan = Method::ALL
            .into_iter()
            .fold(FaultPlan::new(), |plan, method| {
                plan.with_call(method, 1, fault)
            });
        let store = faulty(plan.with_call(Method::Write, 1, Fault::Delay(Duration::ZERO)));
        let uids = [action_store::ActionUid::new()];
        let query = (Query::new(), LogQuery::all());
        macro_rules! fails {
            ($method:ident, $call:expr) => {
                let answer = timeout(Duration::from_secs(60), $call).await;
                match answer {
                    Ok(answer) => {
                        let error = answer.unwrap_err();
                        let found = (error.kind(), error.operation(), silent);
                        let name = Method::$method.as_str();
                        assert_eq!(
                            found,
                            (StoreErrorKind::Unavailable, name, false),
                            "{fault:?}"
                        );
                    }
                    Err(_) => assert!(silent, "{fault:?}"),
                }
                assert_eq!(store.faults(Method::$method), 1);
            };
        }
        fails!(Get, store.get(&uids));
        fails!(List, store.list(&query.0));
        fails!(Log, store.log(&query.1));
        fails!(Owners, store.owners(&OwnerQuery::new()));
        fails!(Changed, store.changed(None));
        // Each but the first is answered.
        assert_eq!(store.get(&uids).await.unwrap(), [None]);
        assert_eq!(store.changed(None).await.unwrap().revision, Revision::ZERO);
        fails!(Close, store.close());
        // Said to have failed, and closed nevertheless; unless it was never begun.
        let open = store.inner().owners(&OwnerQuery::new()).await.is_ok();
        assert_eq!(open, fault == Fault::SilentNotDone, "{fault:?}");
    }
}

#[tokio::test]
async fn a_plan_does_the_same_to_the_same_calls() {
    let fate = |seed: u64| async move {
        let plan = FaultPlan::seeded(seed)
            .with_call(Method::List, 3, Fault::UnknownNotDone)
            .with_percent(Method::Write, 30, Fault::Unavailable)
            .with_percent(Method::Write, 30, Fault::UnknownNotDone)
            .with_every(Method::List, 4, Fault::Unavailable)
            .with_every(Method::Get, 0, Fault::Unavailable);
        let store = faulty(plan);
        let mut failed = Vec::new();
        for number in 0..1000 {
            let listed = store.list(&Query::new()).await.is_err();
            assert_eq!(listed, number == 2 || number % 4 == 3, "list {number}");
            assert!(store.get(&[]).await.is_ok());
            failed.push(store.write(create("a")).await.err().map(|e| e.kind()));
        }
        failed
    };
    let (once, again, other) = (fate(1).await, fate(1).await, fate(2).await);
    assert_eq!(once, again);
    assert_ne!(once, other);
    let of = |kind| once.iter().filter(|failed| **failed == Some(kind)).count();
    // 30 % of all, and 30 % of the 70 % that are left: the rules draw apart from each other.
    let counts = (
        of(StoreErrorKind::Unavailable),
        of(StoreErrorKind::OutcomeUnknown),
    );
    assert!((250..350).contains(&counts.0), "{counts:?}");
    assert!((160..260).contains(&counts.1), "{counts:?}");
    for (percent, expected) in [(0, 0), (100, 50)] {
        let store = faulty(FaultPlan::new().with_percent(Method::Get, percent, Fault::Unavailable));
        for _ in 0..50 {
            assert_eq!(store.get(&[]).await.is_err(), percent == 100);
        }
        assert_eq!(store.faults(Method::Get), expected);
    }
    assert_ne!(FaultPlan::drawn().seed(), FaultPlan::drawn().seed());
}

#[tokio::test]
async fn a_rule_sees_the_commands_and_a_plan_can_be_replaced() {
    let claims = |call: &action_store::conformance::Call<'_>| {
        let claim = |command: &Command| matches!(command, Command::Claim { .. });
        let hit = call.commands.iter().any(claim);
        hit.then_some(Fault::Unavailable)
    };
    let store = faulty(FaultPlan::seeded(9).with_rule(claims));
    let claim = || {
        let owner = OwnerRef::new("plane");
        let take_over = true;
        store.command(Command::claim(owner).with_take_over(take_over))
    };
    store.write(create("a")).await.unwrap();
    assert_eq!(claim().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let shown = format!("{store:?}");
    assert!(
        shown.contains("seed: 9") && shown.contains("MemoryStore"),
        "{shown}"
    );
    store.heal();
    claim().await.unwrap();
    // A plan counts from where it is set: this is the fourth write of the store.
    store.set_plan(FaultPlan::new().with_call(Method::Write, 1, Fault::Unavailable));
    assert_eq!(claim().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(
        (store.calls(Method::Write), store.faults(Method::Write)),
        (4, 2)
    );
}

/// Retries one operation until it is certainly applied. An unknown result is retried unchanged. An
/// operation that was certainly not applied may be sent as a new one.
macro_rules! until_done {
    ($call:expr) => {{
        let mut done = None;
        for _ in 0..200 {
            match $call.await {
                Ok(answer) => {
                    done = Some(answer);
                    break;
                }
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
        done.unwrap()
    }};
}

/// Checks the log of an action after any failures: each entry is there once.
async fn lived(store: &MemoryStore, uid: action_store::ActionUid, kinds: &[LogEntryKind]) {
    let log = store.log(&LogQuery::of(uid)).await.unwrap().items;
    let found: Vec<LogEntryKind> = log.iter().map(|entry| entry.kind).collect();
    assert_eq!(found, kinds);
    let mut ops: Vec<OpId> = log.iter().filter_map(|entry| entry.op).collect();
    let all = ops.len();
    ops.sort();
    ops.dedup();
    assert_eq!(ops.len(), all, "an operation twice");
}

const LIFE: [LogEntryKind; 5] = [
    LogEntryKind::Created,
    LogEntryKind::Started,
    LogEntryKind::Step,
    LogEntryKind::CancelRequested,
    LogEntryKind::Finished,
];

#[tokio::test]
async fn every_short_way_is_done_once_though_writes_fail_after_they_were_done() {
    const LIVES: usize = 300;
    let plan = seeded().with_percent(Method::Write, 30, Fault::UnknownButDone);
    let store = faulty(plan.with_percent(Method::Write, 10, Fault::UnknownNotDone));
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    until_done!(store.command(claim.clone()));
    for number in 0..LIVES {
        let new = NewAction::task("a");
        let uid = new.uid;
        let created = until_done!(store.create(new.clone()));
        assert_eq!((created.uid, created.status), (uid, Status::Queued));

        // These calls create an operation id each. All three attempts use the same id, and no
        // operation is applied twice.
        let half = Progress::ratio(1, 2);
        let report = Report::new().with_step("copy").with_progress(half);
        let cancel = CancelRequest::new().with_by("ada");
        let end = match number % 2 {
            0 => Finish::succeeded(),
            _ => Finish::failed(ActionError::new("broken", "it broke")),
        };
        let by = Some(&owner);
        let started = store.start(uid, &owner).await;
        after(started, &store, uid, 2, (Change::Start, by)).await;
        let reported = store.report(uid, report.clone(), &owner).await;
        after(reported, &store, uid, 3, (Change::Report(report), by)).await;
        let asked = store.request_cancel(uid, cancel.clone()).await;
        let cancel = Change::RequestCancel(cancel);
        after(asked, &store, uid, 4, (cancel, None)).await;
        let ended = store.finish(uid, end.clone(), by).await;
        after(ended, &store, uid, 5, (Change::Finish(end), by)).await;
        lived(store.inner(), uid, &LIFE).await;
        let found = store.action(uid).await.unwrap().unwrap();
        let outcome = [Outcome::Succeeded, Outcome::Failed][number % 2];
        assert_eq!((found.outcome, found.version.get()), (Some(outcome), 5));
    }
    assert!(store.faults(Method::Write) > LIVES as u64, "{store:?}");
    let Checked {
        actions, entries, ..
    } = check_store(store.inner()).await.unwrap();
    assert_eq!((actions, entries), (LIVES, LIVES * LIFE.len()));
    let pages = store.pages(Query::new()).collect().await.unwrap();
    assert_eq!(pages.len(), LIVES);
}

/// After a call the action is at the version it leads to, whatever was said; if it is not, nothing
/// was done in any of its tries, and it is done now.
async fn after(
    answer: Result<Arc<action_store::Action>, action_store::Error>,
    store: &FaultyStore<MemoryStore>,
    uid: action_store::ActionUid,
    version: u64,
    (change, by): (Change, Option<&OwnerRef>),
) {
    let now = store.inner().action(uid).await.unwrap().unwrap();
    match answer {
        Ok(action) => assert_eq!((&action, action.version.get()), (&now, version)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
            if now.version.get() == version {
                return;
            }
            // A caller reads the action, finds nothing applied, and tries again.
            assert_eq!(now.version.get(), version - 1);
            store.inner().apply(uid, change, by).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_repeated_until_answered_are_there_once() {
    const TASKS: usize = 8;
    const LIVES: usize = 60;
    let plan = seeded()
        .with_percent(Method::Write, 30, Fault::UnknownButDone)
        .with_percent(Method::Write, 10, Fault::UnknownNotDone)
        .with_percent(Method::Write, 10, Fault::Unavailable);
    let store = Arc::new(faulty(plan));
    let work = |task: usize| {
        let store = store.clone();
        async move {
            let owner = OwnerRef::new(format!("plane {task}"));
            let take_over = true;
            let claim = Command::claim(owner.clone()).with_take_over(take_over);
            until_done!(store.write_repeating(Batch::each(vec![claim.clone()])));
            for number in 0..LIVES {
                let new = NewAction::task("a").with_exclusive(format!("key {task}"));
                let uid = new.uid;
                let by = || Some(owner.clone());
                let apply = |change| Command::apply(uid, change).by(by());
                let step = Report::new().with_step("copy");
                let store_id = vec![
                    Command::create(new).by(by()),
                    apply(Change::Start),
                    apply(Change::Report(step)),
                    apply(Change::RequestCancel(CancelRequest::new())),
                    apply(Change::Finish(Finish::succeeded())),
                ];
                // As one, or one by one.
                let batches: Vec<Batch> = match number % 2 {
                    0 => vec![Batch::all(store_id)],
                    _ => store_id
                        .into_iter()
                        .map(|one| Batch::each(vec![one]))
                        .collect(),
                };
                for batch in batches {
                    for answer in until_done!(store.write_repeating(batch.clone())) {
                        let done = answer.unwrap();
                        assert!([Effect::Applied, Effect::Already].contains(&done.effect));
                    }
                }
                lived(store.inner(), uid, &LIFE).await;
            }
        }
    };
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(work(task))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let checked = check_store(store.inner()).await.unwrap();
    let expected = (TASKS * LIVES, TASKS * LIVES * LIFE.len());
    assert_eq!((checked.actions, checked.entries), expected);
    assert!(store.faults(Method::Write) > 400, "{store:?}");
}

#[tokio::test]
async fn three_tries_are_made_and_then_the_truth_is_said() {
    let store = faulty(FaultPlan::new().with_percent(Method::Write, 100, Fault::UnknownNotDone));
    let new = NewAction::task("a");
    let error = store.create(new.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(store.calls(Method::Write), 3);
    store.set_plan(FaultPlan::new().with_percent(Method::Write, 100, Fault::Unavailable));
    let error = store.create(new.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        store.calls(Method::Write),
        4,
        "what is certain is not repeated"
    );
    assert_eq!(count(&store).await, 0);
    store.heal();
    store.create(new).await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn an_unknown_result_stays_unknown_after_a_later_failure() {
    for third in [Fault::Unavailable, Fault::UnknownNotDone] {
        let plan = FaultPlan::new()
            .with_call(Method::Write, 1, Fault::UnknownButDone)
            .with_call(Method::Write, 2, Fault::Unavailable)
            .with_call(Method::Write, 3, third);
        let store = faulty(plan);
        let new = NewAction::task("a");
        let error = store.create(new.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        assert_eq!((store.calls(Method::Write), count(&store).await), (3, 1));
        // Its third try would have found it done.
        store.create(new).await.unwrap();
        assert_eq!(count(&store).await, 1);
    }
}

#[tokio::test]
async fn a_walk_goes_on_after_a_page_that_failed() {
    let store = faulty(seeded().with_percent(Method::List, 30, Fault::UnknownButDone));
    let mut created = Vec::new();
    for _ in 0..100 {
        created.push(store.create(NewAction::task("a")).await.unwrap().uid);
    }
    created.reverse();
    let mut pages = store.pages(Query::new().with_limit(3));
    let mut found = Vec::new();
    for _ in 0..1000 {
        match pages.next().await {
            Ok(Some(page)) => found.extend(page.items.iter().map(|action| action.uid)),
            Ok(None) => break,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable),
        }
    }
    assert_eq!(found, created);
    assert!(store.faults(Method::List) > 0, "{store:?}");
}
