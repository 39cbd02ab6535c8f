//! Actions taken over from another store.

use std::sync::Arc;

use action_store::action::Version;
use action_store::command::Effect;
use action_store::{ActionUid, Change, Command, Finish, NewAction, Outcome, Report, Timestamp};

use crate::harness::{Bench, apply, kind, kinds};

fn cancelled() -> Change {
    Change::Finish(Finish::new(Outcome::Cancelled))
}

#[test]
fn an_import_brings_an_action_as_it_is_and_its_repeat_is_harmless() {
    let (from, to) = (Bench::new(), Bench::new());
    let owner = from.owner("plane");
    let uid = from.started(&owner);
    let (action, log) = (from.action(uid), from.log(uid));
    let import = || Command::import(action.clone(), log.clone());
    assert_eq!(kind(&to.one(import())), "applied");
    assert_eq!((to.action(uid), to.log(uid)), (action.clone(), log.clone()));
    assert_eq!(kind(&to.one(import())), "already");
    // Known by now as an older state of what is there.
    let lost = apply(uid, Change::Finish(Finish::new(Outcome::Lost)), None);
    let answers = to.all(vec![import(), lost.clone()]);
    assert_eq!(kinds(&answers), ["already", "applied"]);
    assert_eq!(kinds(&to.all(vec![import(), lost])), ["already", "already"]);
    // A different action with the same uid.
    let other = Bench::new();
    other.create(NewAction::task("u").with_uid(uid));
    assert_eq!(kind(&other.one(import())), "uid");
}

#[test]
fn an_import_with_a_full_log_and_a_late_report_is_taken() {
    let (from, to) = (Bench::new(), Bench::new());
    let owner = from.owner("plane");
    let uid = from.started(&owner);
    for step in 0..300 {
        let report = Report::new().with_step(format!("s{step}"));
        from.apply(uid, Change::Report(report), Some(&owner))
            .unwrap();
    }
    from.owner("plane");
    let late = from.apply(uid, Change::Finish(Finish::succeeded()), Some(&owner));
    assert_eq!(kind(&late), "fenced");
    let (action, log) = (from.action(uid), from.log(uid));
    assert_eq!(log.len(), 257);
    assert_eq!(
        to.one(Command::import(action, log)).unwrap().effect,
        Effect::Applied
    );
    assert_eq!(to.log(uid).len(), 257);
}

#[test]
fn an_import_that_contradicts_itself_is_refused() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let step = Change::Report(Report::new().with_step("load"));
    bench.apply(uid, step, Some(&owner)).unwrap();
    let (action, log) = (bench.action(uid), bench.log(uid));
    let to = Bench::new();
    let import = |action: action_store::Action, log: Vec<_>| {
        let action = Arc::new(action);
        kind(&to.one(Command::import(action, log)))
    };
    let edit = |edit: fn(&mut action_store::Action)| {
        let mut action = (*action).clone();
        edit(&mut action);
        import(action, log.clone())
    };
    assert_eq!(edit(|a| a.owner = None), "invalid owner");
    assert_eq!(edit(|a| a.started_at = None), "invalid started_at");
    assert_eq!(
        edit(|a| a.outcome = Some(Outcome::Failed)),
        "invalid outcome"
    );
    assert_eq!(edit(|a| a.log_entries = 0), "invalid log_entries");
    assert_eq!(edit(|a| a.log_entries = 1), "invalid log_entries");
    assert_eq!(edit(|a| a.version = Version::FIRST), "invalid log");
    assert_eq!(edit(|a| a.step = Some("x".into())), "invalid log");
    let later = |a: &mut action_store::Action| a.created_at = Timestamp::from_seconds(5000);
    assert_eq!(edit(later), "invalid created_at");
    let mut swapped = log.clone();
    swapped.swap(0, 1);
    assert_eq!(import((*action).clone(), swapped), "invalid log");
    assert_eq!(import((*action).clone(), Vec::new()), "invalid log");
    let mut foreign = log.clone();
    foreign[0].uid = ActionUid::new();
    assert_eq!(import((*action).clone(), foreign), "invalid log");
    assert_eq!(import((*action).clone(), log.clone()), "applied");
}

#[test]
fn an_import_takes_keys_only_as_an_action_of_its_status_holds_them() {
    let from = Bench::new();
    let unfinished = NewAction::task("t").with_exclusive("k");
    let finished = NewAction::task("t")
        .with_exclusive("k")
        .with_idempotency_key("i");
    let (done, open) = (finished.uid, unfinished.uid);
    from.create(finished);
    from.apply(done, cancelled(), None).unwrap();
    from.create(unfinished);
    let import = |uid| Command::import(from.action(uid), from.log(uid));
    let to = Bench::new();
    to.create(NewAction::task("u").with_exclusive("k"));
    assert_eq!(kind(&to.one(import(done))), "applied");
    assert_eq!(kind(&to.one(import(open))), "exclusive");
    let elsewhere = Bench::new();
    elsewhere.create(NewAction::task("u").with_idempotency_key("i"));
    assert_eq!(kind(&elsewhere.one(import(done))), "idempotency key");
}
