//! Bulk cancellation: bounded steps, a report, and going on after a failure.
#![cfg(all(feature = "conformance", feature = "tracker"))]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use action_store::action::Cancel;
use action_store::command::{CancelAll, CancelReport};
use action_store::conformance::{Fault, FaultPlan, FaultyStore, Method, check_store};
use action_store::{
    ActionStore, ActionStoreExt, CancelRequest, Command, Filter, MemoryStore, NewAction, Outcome,
    OwnerRef, Query, Status, Tracker,
};

fn request() -> CancelRequest {
    CancelRequest::new()
        .with_by("ann")
        .with_reason("maintenance")
}

fn backups() -> CancelAll {
    CancelAll::new(request()).with_filter(Filter::Name("backup".into()))
}

/// Runs all steps and returns their reports.
async fn all(store: &impl ActionStore, first: CancelAll) -> Vec<CancelReport> {
    let mut reports = Vec::new();
    let mut next = Some(first);
    while let Some(step) = next {
        let report = store.cancel_all(&step).await;
        next = step.resume(&report);
        reports.push(report);
        assert!(reports.len() < 1000, "it does not end");
    }
    reports
}

async fn create(store: &impl ActionStore, name: &str, count: usize) {
    for _ in 0..count {
        store.create(NewAction::task(name)).await.unwrap();
    }
}

/// The cancel requests of the actions with a name, the oldest first.
async fn requests(store: &impl ActionStore, name: &str) -> Vec<Option<Cancel>> {
    let query = Query::new().with_filter(Filter::Name(name.into()));
    let found = store.pages(query).collect().await.unwrap();
    found.iter().map(|action| action.cancel.clone()).collect()
}

#[tokio::test]
async fn steps_are_bounded_and_meet_each_match_once() {
    let store = MemoryStore::new();
    let owner = OwnerRef::new("plane");
    store.command(Command::claim(owner.clone())).await.unwrap();
    create(&store, "backup", 330).await;
    create(&store, "other", 10).await;
    let list = store.list(&Query::new().with_limit(50)).await.unwrap();
    for action in list.items.iter().filter(|a| &*a.name == "backup") {
        store.start(action.uid, &owner).await.unwrap();
    }

    let dry = store.cancel_all(&backups().with_dry_run(true)).await;
    assert_eq!((dry.matched, dry.queued, dry.executing), (330, 290, 40));
    assert_eq!((dry.requested, dry.ended, dry.already), (0, 0, 0));
    assert!(dry.is_complete());
    assert!(requests(&store, "backup").await.iter().all(Option::is_none));

    let reports = all(&store, backups().with_limit(70)).await;
    let matched: Vec<u64> = reports.iter().map(|report| report.matched).collect();
    assert_eq!(matched, [70, 70, 70, 70, 50]);
    let sum = |field: fn(&CancelReport) -> u64| reports.iter().map(field).sum::<u64>();
    assert_eq!(sum(|r| r.requested), 330);
    assert_eq!((sum(|r| r.ended), sum(|r| r.executing)), (290, 40));
    assert!(
        requests(&store, "backup")
            .await
            .iter()
            .all(|c| { c.as_ref().and_then(|c| c.by.as_deref()) == Some("ann") })
    );
    assert!(requests(&store, "other").await.iter().all(Option::is_none));

    // A repeat meets what is executing, and changes nothing.
    let at = store.changed(None).await.unwrap().revision;
    let again = store.cancel_all(&backups()).await;
    assert_eq!((again.matched, again.already, again.requested), (40, 40, 0));
    assert_eq!(store.changed(None).await.unwrap().revision, at);
    check_store(&store).await.unwrap();
}

#[tokio::test]
async fn a_failed_step_says_where_to_continue_and_loses_nothing() {
    for method in [Method::List, Method::Write] {
        for nth in 1..=7 {
            let store = FaultyStore::new(MemoryStore::new(), FaultPlan::new());
            create(store.inner(), "backup", 330).await;
            store.set_plan(FaultPlan::new().with_call(method, nth, Fault::Unavailable));
            let reports = all(&store, backups().with_parts(false)).await;
            let failed = reports
                .iter()
                .filter(|report| report.error.is_some())
                .count();
            let context = format!("{method:?} {nth}");
            let expected = usize::from(store.faults(method) > 0);
            assert_eq!(failed, expected, "{context}");
            let requested: u64 = reports.iter().map(|report| report.requested).sum();
            assert_eq!(requested, 330, "{context}: {reports:?}");
            let ended: u64 = reports.iter().map(|report| report.ended).sum();
            assert_eq!(ended, 330, "{context}: {reports:?}");
            // A page whose ends failed is met again.
            let already: u64 = reports.iter().map(|report| report.already).sum();
            let ends_failed = method == Method::Write && nth <= 6 && nth % 2 == 0;
            assert_eq!(already, 100 * u64::from(ends_failed), "{context}");
            reports.iter().for_each(assert_adds_up);
            assert!(
                requests(store.inner(), "backup")
                    .await
                    .iter()
                    .all(Option::is_some)
            );
            let unfinished = Query::new().with_filter(Filter::Unfinished);
            assert!(
                store
                    .inner()
                    .list(&unfinished)
                    .await
                    .unwrap()
                    .items
                    .is_empty()
            );
        }
    }
}

/// The counts of a report are of the same actions.
#[track_caller]
fn assert_adds_up(report: &CancelReport) {
    let met = report.requested + report.already + report.gone;
    assert_eq!(report.matched, met, "{report:?}");
    assert_eq!(
        report.matched,
        report.queued + report.executing,
        "{report:?}"
    );
}

#[tokio::test]
async fn a_step_that_fails_at_its_parts_counts_what_was_recorded() {
    // One write requests the cancellation of the two actions. Two writes follow for each page of
    // their parts.
    for nth in 1..=10 {
        let store = FaultyStore::new(MemoryStore::new(), FaultPlan::new());
        let owner = OwnerRef::new("plane");
        store.command(Command::claim(owner.clone())).await.unwrap();
        for _ in 0..2 {
            let parent = store.create(NewAction::task("backup")).await.unwrap().uid;
            store.start(parent, &owner).await.unwrap();
            for _ in 0..120 {
                let part = NewAction::task("part").with_parent(parent);
                store.inner().create(part).await.unwrap();
            }
        }
        store.set_plan(FaultPlan::new().with_call(Method::Write, nth, Fault::Unavailable));
        let reports = all(&store, backups()).await;
        let context = format!("{nth}: {reports:?}");
        assert_eq!(reports.len(), if nth < 10 { 2 } else { 1 }, "{context}");
        let sum = |field: fn(&CancelReport) -> u64| reports.iter().map(field).sum::<u64>();
        assert_eq!(
            (sum(|r| r.requested), sum(|r| r.parts)),
            (2, 240),
            "{context}"
        );
        assert_eq!(
            sum(|r| r.executing),
            if (2..10).contains(&nth) { 4 } else { 2 }
        );
        reports.iter().for_each(assert_adds_up);
        assert!(
            requests(store.inner(), "part")
                .await
                .iter()
                .all(Option::is_some)
        );
    }
}

#[tokio::test]
async fn a_report_can_be_kept_between_processes() {
    let store = MemoryStore::new();
    create(&store, "backup", 5).await;
    let report = store.cancel_all(&backups().with_limit(2)).await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["matched"], 2);
    let next = json["next"].as_str().unwrap().parse().unwrap();
    let report = store.cancel_all(&backups().with_after(Some(next))).await;
    assert_eq!((report.matched, report.is_complete()), (3, true));
}

#[tokio::test]
async fn a_tracker_ends_its_own_queued_actions_and_passes_requests_to_parts() {
    let store = Arc::new(MemoryStore::new());
    let tracker = Tracker::start(store.clone(), "plane").await.unwrap();
    let other = OwnerRef::new("plane@elsewhere");
    store.command(Command::claim(other.clone())).await.unwrap();
    let theirs = Command::create(NewAction::task("backup")).by(other);
    let theirs = store.command_on_action(theirs).await.unwrap().uid;
    let own = tracker
        .enqueue(NewAction::task("backup"))
        .await
        .unwrap()
        .uid;
    let parts = vec![NewAction::task("part"), NewAction::task("part")];
    let parent = NewAction::task("backup");
    let (parent, parts) = tracker.begin_with_children(parent, parts).await.unwrap();

    let report = tracker.cancel_all(backups()).await.unwrap();
    assert!(report.is_complete());
    assert_eq!((report.matched, report.requested, report.parts), (3, 3, 2));
    assert_eq!((report.queued, report.executing, report.ended), (2, 1, 1));
    let now = async |uid| store.action(uid).await.unwrap().unwrap();
    assert_eq!(now(own).await.outcome, Some(Outcome::Cancelled));
    for part in &parts {
        assert_eq!(now(part.uid).await.outcome, Some(Outcome::Cancelled));
    }
    // Its owner is alive and ends it.
    let theirs = now(theirs).await;
    assert_eq!(theirs.status, Status::Queued);
    assert!(theirs.cancel.is_some());
    assert_eq!(parent.cancel_requested().await.by.as_deref(), Some("ann"));
    parent.cancelled().await.unwrap();
    assert!(tracker.is_owner());
}

#[tokio::test]
async fn a_tracker_learns_from_a_bulk_cancel_that_it_is_fenced() {
    for parts in [false, true] {
        let store = Arc::new(MemoryStore::new());
        let tracker = Tracker::start(store.clone(), "plane").await.unwrap();
        let new = match parts {
            true => {
                let parent = store.create(NewAction::task("backup")).await.unwrap();
                NewAction::task("part").with_parent(parent.uid)
            }
            false => NewAction::task("backup"),
        };
        tracker.enqueue(new).await.unwrap();
        let next = Command::claim(OwnerRef::new("plane")).with_take_over(true);
        store.command(next).await.unwrap();
        assert!(tracker.is_owner(), "the next renewal tells it");
        let report = tracker.cancel_all(backups()).await.unwrap();
        // The parent has no owner and ends at once.
        assert_eq!((report.requested, report.ended), (1, u64::from(parts)));
        assert!(!tracker.is_owner());
    }
}
