//! A log that is too long loses its oldest steps and notes, and keeps the lifecycle.

use action_store::action::LogEntryKind;
use action_store::spi::trim_log;
use action_store::spi::{TxnState, plan, read_set};
use action_store::{CancelRequest, Change, Finish, Limits, NewAction, Progress, Report};

use crate::harness::{Bench, apply, apply_as, claim, kind, kinds};

const NOTHING: [usize; 0] = [];
const MOST: usize = Limits::LOG_ENTRIES as usize;

/// Trims a log of these kinds. Returns the positions of the dropped entries.
fn dropped(kinds: &[LogEntryKind]) -> Vec<usize> {
    let mut log: Vec<(usize, LogEntryKind)> = kinds.iter().copied().enumerate().collect();
    let gone = trim_log(&mut log, |(_, kind)| *kind);
    assert_eq!(log.len() + gone.len(), kinds.len());
    assert!(log.is_sorted_by_key(|(at, _)| *at), "the order changed");
    gone.into_iter().map(|(at, _)| at).collect()
}

/// A log of `kinds`, filled up with entries of one kind to as many as are kept.
fn full(kinds: &[LogEntryKind], with: LogEntryKind) -> Vec<LogEntryKind> {
    let mut log = kinds.to_vec();
    log.resize(MOST, with);
    log
}

#[test]
fn a_log_loses_nothing_until_it_is_too_long() {
    use LogEntryKind::{Created, Finished, LateReport, Started, Step};
    assert_eq!(dropped(&[]), NOTHING);
    assert_eq!(dropped(&[Created]), NOTHING);
    let mut log = full(&[Created, Started], Step);
    assert_eq!(dropped(&log), NOTHING);
    // A late report is not counted.
    log.push(LateReport);
    assert_eq!(dropped(&log), NOTHING);
    log.push(Finished);
    assert_eq!(dropped(&log), [2]);
}

#[test]
fn the_oldest_steps_and_notes_go_and_the_lifecycle_stays() {
    use LogEntryKind::{Adopted, CancelRequested, Created, LateReport, Noted, Started, Step};
    let begin = [
        Created,
        Started,
        Step,
        Noted,
        CancelRequested,
        LateReport,
        Adopted,
        Noted,
    ];
    let mut log = full(&begin, Step);
    // The late report is not counted, so this is one too many.
    log.extend([Step, Step]);
    assert_eq!(dropped(&log), [2]);
    log.extend([Noted; 2]);
    assert_eq!(dropped(&log), [2, 3, 7]);
    log.push(Step);
    assert_eq!(dropped(&log), [2, 3, 7, 8]);
}

#[test]
fn adoptions_go_only_if_there_are_no_other_steps_and_notes() {
    use LogEntryKind::{Adopted, CancelRequested, Created, LateReport, Started, Step};
    let mut log = full(&[Created, Started, Step, CancelRequested], Adopted);
    log.push(Adopted);
    assert_eq!(dropped(&log), [2]);
    log.push(Adopted);
    assert_eq!(dropped(&log), [2, 4]);
    // The newest entry stays even if it is the only step. A late report is not the newest.
    let mut log = full(&[Created, Started], Adopted);
    log.extend([Step, LateReport]);
    assert_eq!(dropped(&log), [2]);
}

fn step(number: usize) -> Change {
    Change::Report(Report::new().with_step(format!("step {number}")))
}

#[test]
fn an_action_counts_the_entries_that_its_log_has_lost() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.create(NewAction::task("t"));
    bench.apply(uid, Change::Start, Some(&owner)).unwrap();
    let steps = MOST - 2;
    let change = |number| apply(uid, step(number), Some(&owner));
    bench.each((0..steps).map(change).collect());
    assert_eq!(bench.action(uid).log_dropped(), 0);
    bench.each((steps..steps + 7).map(change).collect());
    let action = bench.action(uid);
    assert_eq!(action.log_dropped(), 7);
    let log = bench.log(uid);
    assert_eq!(log.len() + 7, action.log_entries as usize);
    let begin: Vec<LogEntryKind> = log.iter().take(3).map(|entry| entry.kind).collect();
    let expected = [
        LogEntryKind::Created,
        LogEntryKind::Started,
        LogEntryKind::Step,
    ];
    assert_eq!(begin, expected);
    assert_eq!(log[2].step.as_deref(), Some("step 7"));
}

#[test]
fn operations_of_the_lifecycle_are_recognised_for_ever_and_dropped_steps_are_not() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.create(NewAction::task("t"));
    let start = apply(uid, Change::Start, Some(&owner));
    let first = apply(uid, step(0), Some(&owner));
    let cancel = apply(uid, Change::RequestCancel(CancelRequest::new()), None);
    let begin = vec![start.clone(), first.clone(), cancel.clone()];
    assert_eq!(kinds(&bench.each(begin)), ["applied"; 3]);
    bench.each(
        (1..=MOST)
            .map(|n| apply(uid, step(n), Some(&owner)))
            .collect(),
    );
    bench
        .apply(uid, Change::Finish(Finish::succeeded()), Some(&owner))
        .unwrap();
    let again = bench.each(vec![start, cancel, first]);
    assert_eq!(kinds(&again), ["already", "already", "status"]);
}

#[test]
fn a_plan_trims_only_logs_that_became_too_long() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.create(NewAction::task("t"));
    bench.apply(uid, Change::Start, Some(&owner)).unwrap();
    let steps = (0..MOST - 2).map(|n| apply(uid, step(n), Some(&owner)));
    bench.each(steps.collect());
    let trims = |change: Change| {
        let batch = action_store::Batch::each(vec![apply(uid, change, Some(&owner))]);
        let read_set = read_set(&batch).unwrap();
        let mut txn = TxnState::new();
        txn.put_action(bench.action(uid), false, false);
        let alive = bench.owners().into_iter().filter(|known| known.is_alive());
        alive.for_each(|alive| txn.put_owner(alive));
        let answers = plan(&batch, &read_set, &mut txn, bench.clock.now());
        assert_eq!(kind(&answers[0]), "applied");
        txn.into_write_set().trim
    };
    let progress = |percent| {
        let progress = Progress::percent(percent).unwrap();
        Change::Report(Report::new().with_progress(progress))
    };
    assert_eq!(trims(progress(1.0)), []);
    assert_eq!(trims(step(1000)), [uid]);
    bench.apply(uid, step(1000), Some(&owner)).unwrap();
    assert_eq!(trims(progress(2.0)), [], "nothing was logged");
    assert_eq!(trims(step(2000)), [uid]);
}

#[test]
fn a_log_of_adoptions_alone_stays_bounded() {
    let bench = Bench::new();
    let first = bench.owner("plane");
    let uid = bench.create(NewAction::task("t"));
    bench.apply(uid, Change::Start, Some(&first)).unwrap();
    let mut last = None;
    for _ in 0..MOST + 3 {
        let owner = action_store::OwnerRef::new("plane");
        let adopt = apply_as(
            action_store::command::OpId::new(),
            uid,
            Change::Adopt,
            Some(&owner),
        );
        let answers = bench.each(vec![claim(&owner), adopt]);
        assert_eq!(kinds(&answers), ["applied"; 2]);
        last = Some(owner);
    }
    let log = bench.log(uid);
    assert_eq!(log.len(), MOST);
    assert_eq!(log[0].kind, LogEntryKind::Created);
    assert_eq!(log[1].kind, LogEntryKind::Started);
    assert_eq!(log[MOST - 1].owner, last);
    bench.apply(uid, step(0), last.as_ref()).unwrap();
    assert_eq!(bench.log(uid)[MOST - 1].kind, LogEntryKind::Step);
}
