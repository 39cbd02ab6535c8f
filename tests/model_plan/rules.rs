//! Required and forbidden effects of a change on an action.

use std::time::Duration;

use action_store::action::{ChildCounts, LogEntryKind};
use action_store::{
    ActionError, ActionUid, CancelRequest, Change, Clock, Command, Cursor, Finish, Json, Limits,
    NewAction, Order, Outcome, Progress, Query, Report, Timestamp,
};

use crate::harness::{Bench, apply, create, kind, kinds, ready};
use action_store::ActionStore;

fn percent(percent: f64) -> Report {
    Report::new().with_progress(Progress::percent(percent).unwrap())
}

fn texts(warnings: &[std::sync::Arc<str>]) -> Vec<&str> {
    warnings.iter().map(|text| &**text).collect()
}

#[test]
fn progress_never_goes_down() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let report = |report| bench.apply(uid, Change::Report(report), Some(&owner));
    let at = || bench.action(uid).progress.to_string();
    assert_eq!(kind(&report(percent(40.0))), "applied");
    assert_eq!(kind(&report(percent(39.99))), "already");
    assert_eq!((at().as_str(), bench.action(uid).version.get()), ("40", 3));
    // A lower value beside news does not lower it and does not hold the news up.
    assert_eq!(kind(&report(percent(10.0).with_step("a"))), "applied");
    assert_eq!(kind(&report(percent(10.0).with_warning("w"))), "applied");
    assert_eq!(
        kind(&report(percent(10.0).with_description("d"))),
        "applied"
    );
    assert_eq!(kind(&report(Report::new())), "applied");
    let action = bench.action(uid);
    assert_eq!((at().as_str(), action.step.as_deref()), ("40", Some("a")));
    assert_eq!(kind(&report(percent(40.0))), "already", "no progress");
    let failed = Finish::failed(ActionError::new("e", "m"));
    bench
        .apply(uid, Change::Finish(failed), Some(&owner))
        .unwrap();
    assert_eq!(at(), "40", "only success is 100");
    assert_eq!(kind(&report(percent(50.0))), "status");
    let uid = bench.started(&owner);
    bench
        .apply(uid, Change::Finish(Finish::succeeded()), Some(&owner))
        .unwrap();
    assert_eq!(bench.action(uid).progress, Progress::DONE);
}

#[test]
fn nothing_reads_100_before_it_has_succeeded() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let report = |uid, report| bench.apply(uid, Change::Report(report), Some(&owner));
    let all = Report::new().with_progress(Progress::DONE);
    for outcome in [Outcome::Failed, Outcome::Cancelled, Outcome::Interrupted] {
        let uid = bench.started(&owner);
        report(uid, all.clone().with_step("last")).unwrap();
        assert_eq!(bench.action(uid).progress.to_string(), "99.99");
        // The same once more says nothing new, as of any value.
        assert_eq!(kind(&report(uid, all.clone())), "already");
        assert!(bench.log(uid).iter().all(|e| e.progress < Progress::DONE));
        let finish = match outcome {
            Outcome::Failed => Finish::failed(ActionError::new("e", "m")),
            other => Finish::new(other),
        };
        bench
            .apply(uid, Change::Finish(finish), Some(&owner))
            .unwrap();
        assert_eq!(bench.action(uid).progress.to_string(), "99.99");
    }
    let uid = bench.started(&owner);
    report(uid, all).unwrap();
    let finish = Change::Finish(Finish::succeeded());
    bench.apply(uid, finish, Some(&owner)).unwrap();
    assert_eq!(bench.action(uid).progress, Progress::DONE);
    for (percent, shown) in [(99.999_999_99, "99.99"), (99.994, "99.99"), (100.0, "100")] {
        assert_eq!(Progress::percent(percent).unwrap().to_string(), shown);
    }
    let none = Progress::ratio(0, 0);
    assert_eq!(none, Progress::ZERO, "nothing of nothing is not done");
    assert_eq!(ChildCounts::default().progress(), Progress::ZERO);
}

#[test]
fn a_completed_action_takes_no_new_parts() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let parent = bench.started(&owner);
    let part = || NewAction::task("part").with_parent(parent);
    let first = part().with_idempotency_key("i");
    assert_eq!(kind(&bench.one(create(first.clone(), None))), "applied");
    let finish = Change::Finish(Finish::succeeded());
    bench.apply(parent, finish, Some(&owner)).unwrap();
    let refused = bench.one(create(part(), None)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("action {parent}: a new part is not possible while it is completed")
    );
    // A repeat still finds the part, by its uid and by its key.
    assert_eq!(kind(&bench.one(create(first.clone(), None))), "already");
    let again = first.with_uid(ActionUid::new());
    assert_eq!(kind(&bench.one(create(again, None))), "already");
    // Parts of what is not on record may come first.
    let unknown = NewAction::task("part").with_parent(ActionUid::new());
    assert_eq!(kind(&bench.one(create(unknown, None))), "applied");
    // One that is carried over comes with its history.
    let source = Bench::new();
    let carried = source.create(part());
    let (action, log) = (source.action(carried), source.log(carried));
    let import = Command::import(action, log);
    assert_eq!(kind(&bench.one(import)), "applied");
    // Within one batch, too.
    let new = NewAction::task("parent");
    let uid = new.uid;
    let cancelled = Change::Finish(Finish::new(Outcome::Cancelled));
    let answers = bench.each(vec![
        create(new, None),
        create(NewAction::task("part").with_parent(uid), None),
        apply(uid, cancelled, None),
        create(NewAction::task("part").with_parent(uid), None),
    ]);
    assert_eq!(kinds(&answers), ["applied", "applied", "applied", "status"]);
}

#[test]
fn a_part_of_an_unfinished_action_is_not_removed() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let parent = bench.started(&owner);
    let part = bench.create(NewAction::task("part").with_parent(parent));
    let cancelled = || Change::Finish(Finish::new(Outcome::Cancelled));
    bench.apply(part, cancelled(), None).unwrap();
    let remove = || {
        let if_version = bench.action(part).version;
        let uid = part;
        Command::remove(uid, if_version)
    };
    let refused = bench.one(remove()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("action {parent}: the removal of a part is not possible while it is executing")
    );
    // The batch that ends the parent may remove the part.
    let finish = apply(parent, Change::Finish(Finish::succeeded()), Some(&owner));
    let answers = bench.each(vec![remove(), finish, remove()]);
    assert_eq!(kinds(&answers), ["status", "applied", "applied"]);
}

#[test]
fn only_news_makes_a_log_entry() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let report = |report: Report, kinds: &[LogEntryKind]| {
        let before = bench.log(uid).len();
        bench
            .apply(uid, Change::Report(report), Some(&owner))
            .unwrap();
        let log = bench.log(uid);
        let new: Vec<LogEntryKind> = log[before..].iter().map(|entry| entry.kind).collect();
        assert_eq!(new, kinds);
        assert_eq!(bench.action(uid).log_entries as usize, log.len());
    };
    let json = || Json::new(r#"{"a":1}"#).unwrap();
    report(percent(1.0), &[]);
    report(Report::new().with_step("a"), &[LogEntryKind::Step]);
    report(Report::new().with_step("a"), &[]);
    report(Report::new().with_description("d"), &[LogEntryKind::Noted]);
    report(Report::new().with_description("d"), &[]);
    report(
        Report::new().with_attributes(json()),
        &[LogEntryKind::Noted],
    );
    report(Report::new().with_attributes(json()), &[]);
    report(Report::new().with_warning("w"), &[LogEntryKind::Noted]);
    report(Report::new().with_warning("w"), &[]);
    report(
        Report::new().with_step("b").with_warning("v"),
        &[LogEntryKind::Step],
    );
    let action = bench.action(uid);
    assert_eq!(action.attributes, Some(json()));
    assert_eq!(texts(&action.warnings), ["w", "v"]);
    assert_eq!(bench.log(uid).last().unwrap().note.as_deref(), Some("v"));
}

#[test]
fn warnings_are_capped_and_the_last_place_says_so() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    for index in 0..40 {
        let report = Report::new().with_warning(format!("w{index}"));
        bench
            .apply(uid, Change::Report(report), Some(&owner))
            .unwrap();
    }
    let action = bench.action(uid);
    assert_eq!(action.warnings.len(), Limits::WARNINGS);
    let texts = texts(&action.warnings);
    assert_eq!(
        (texts[30], texts[31]),
        ("w30", "further warnings were left out")
    );
    let finish = Finish::succeeded().with_warning("one more");
    bench
        .apply(uid, Change::Finish(finish), Some(&owner))
        .unwrap();
    assert_eq!(bench.action(uid).warnings.len(), Limits::WARNINGS);
}

#[test]
fn a_cancel_request_is_kept_once_and_ends_nothing() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    bench.clock.advance(Duration::from_secs(3));
    let request = |by: &str| {
        let request = CancelRequest::new().with_by(by).with_reason("too slow");
        bench.apply(uid, Change::RequestCancel(request), None)
    };
    assert_eq!(kind(&request("ada")), "applied");
    assert_eq!(kind(&request("bob")), "already");
    let action = bench.action(uid);
    let cancel = action.cancel.as_ref().unwrap();
    assert_eq!(cancel.by.as_deref(), Some("ada"));
    assert_eq!(cancel.at, Timestamp::from_seconds(1003));
    assert!(action.is_unfinished());
    assert_eq!(action.last_seen_at, Timestamp::from_seconds(1000));
    let entry = bench.log(uid).pop().unwrap();
    assert_eq!(
        (entry.kind, entry.by.as_deref()),
        (LogEntryKind::CancelRequested, Some("ada"))
    );
    assert_eq!(entry.note.as_deref(), Some("too slow"));
    bench
        .apply(uid, Change::Finish(Finish::succeeded()), Some(&owner))
        .unwrap();
    let action = bench.action(uid);
    assert!(
        action.cancel.is_some(),
        "it was asked, and succeeded all the same"
    );
    assert_eq!(kind(&request("ada")), "status");
}

#[test]
fn stamps_never_run_backwards_even_if_the_clock_does() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let cancel = Change::RequestCancel(CancelRequest::new());
    bench.clock.set(Timestamp::from_seconds(2000));
    bench.apply(uid, cancel, None).unwrap();
    bench.clock.set(Timestamp::from_seconds(10));
    let step = Change::Report(Report::new().with_step("a"));
    bench.apply(uid, step, Some(&owner)).unwrap();
    let next = bench.owner("plane");
    let lost = Change::Finish(Finish::new(Outcome::Lost));
    bench.apply(uid, lost, Some(&next)).unwrap();
    let late = bench.apply(uid, Change::Finish(Finish::succeeded()), Some(&owner));
    assert_eq!(kind(&late), "fenced");
    let log = bench.log(uid);
    assert!(
        log.windows(2).all(|pair| pair[0].at <= pair[1].at),
        "{log:?}"
    );
    assert_eq!(log.last().unwrap().at, Timestamp::from_seconds(2000));
    bench.action(uid).check().unwrap();
    let ended = bench.owners().remove(0);
    assert!(ended.ended_at.unwrap() >= ended.renewed_at);
}

#[test]
fn a_late_report_is_not_stamped_before_the_end_it_is_late_for() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    bench.owner("plane");
    bench.clock.set(Timestamp::from_seconds(3000));
    bench
        .apply(uid, Change::Finish(Finish::new(Outcome::Lost)), None)
        .unwrap();
    bench.clock.set(Timestamp::from_seconds(1));
    let late = bench.apply(uid, Change::Finish(Finish::succeeded()), Some(&owner));
    assert_eq!(kind(&late), "fenced");
    assert_eq!(
        bench.log(uid).pop().unwrap().at,
        Timestamp::from_seconds(3000)
    );
}

#[test]
fn an_exclusive_key_is_held_until_its_action_completes() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let new = || {
        NewAction::task("t")
            .with_exclusive("bdb:1")
            .with_exclusive("other")
    };
    let uid = bench.create(new());
    let second = || bench.one(create(NewAction::task("u").with_exclusive("bdb:1"), None));
    let refused = second().unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("action {uid}: it holds the exclusive key \"bdb:1\"")
    );
    bench.apply(uid, Change::Start, Some(&owner)).unwrap();
    assert_eq!(kind(&second()), "exclusive");
    // Another tenant's key is another key.
    let theirs = NewAction::task("u")
        .with_exclusive("bdb:1")
        .with_tenant("them");
    bench.create(theirs);
    bench
        .apply(uid, Change::Finish(Finish::succeeded()), Some(&owner))
        .unwrap();
    assert_eq!(kind(&second()), "applied");
    assert_eq!(kind(&second()), "exclusive");
}

#[test]
fn one_write_makes_one_revision_an_action_whatever_it_changed() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let at = || ready(bench.store.changed(None)).unwrap();
    let before = at().revision.get();
    bench.each(
        (0..5)
            .map(|n| {
                let step = Report::new().with_step(format!("s{n}"));
                crate::harness::apply(uid, Change::Report(step), Some(&owner))
            })
            .collect(),
    );
    assert_eq!(at().revision.get(), before + 1);
    assert_eq!(bench.action(uid).version.get(), 7);
    // A refused command changes nothing.
    assert_eq!(
        kind(&bench.apply(uid, Change::Start, Some(&owner))),
        "status"
    );
    assert_eq!(at().revision.get(), before + 1);
}

#[test]
fn a_cursor_of_another_store_is_called_that_and_not_expired() {
    let bench = Bench::new();
    let uid = bench.create(NewAction::task("t"));
    let cancelled = Change::Finish(Finish::new(Outcome::Cancelled));
    bench.apply(uid, cancelled, None).unwrap();
    let if_version = bench.action(uid).version;
    bench
        .one(action_store::Command::remove(uid, if_version))
        .unwrap();
    let list = |store_id| {
        let mut at = ready(bench.store.changed(None)).unwrap();
        at.store_id = store_id;
        let after = Cursor::feed(at, action_store::query::Revision::new(1));
        let query = Query::new().with_order(Order::Feed).with_after(Some(after));
        ready(bench.store.list(&query)).unwrap_err()
    };
    let own = ready(bench.store.changed(None)).unwrap().store_id;
    assert_eq!(
        list(own).kind(),
        action_store::StoreErrorKind::CursorExpired
    );
    let foreign = list(action_store::query::StoreId::new());
    assert_eq!(foreign.kind(), action_store::StoreErrorKind::Invalid);
    assert_eq!(
        foreign.to_string(),
        "list: after: is a cursor of another store"
    );
}

#[test]
fn a_manual_clock_is_what_stamps() {
    let clock = Clock::manual(Timestamp::from_seconds(5));
    let store = action_store::MemoryStore::with_clock(clock);
    let new = NewAction::task("t");
    let uid = new.uid;
    let batch = action_store::Batch::each(vec![create(new, None)]);
    ready(store.write(batch)).unwrap();
    let action = ready(store.get(&[uid])).unwrap().pop().unwrap().unwrap();
    assert_eq!(action.created_at, Timestamp::from_seconds(5));
}
