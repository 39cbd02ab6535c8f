//! A command that is sent twice is applied once.

use action_store::action::Version;
use action_store::command::OpId;
use action_store::{
    ActionUid, CancelRequest, Change, Command, Finish, NewAction, Progress, Report, Status,
};

use crate::harness::{Bench, apply, apply_as, at_version, claim, create, kind, kinds};

fn percent(percent: f64) -> Report {
    Report::new().with_progress(Progress::percent(percent).unwrap())
}

#[test]
fn a_create_sent_again_is_already_whatever_became_of_the_action() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let new = NewAction::task("t").with_exclusive("k");
    let again = || create(new.clone().with_correlation("second try"), None);
    let uid = bench.create(new.clone());
    assert_eq!(kind(&bench.one(again())), "already");
    bench.apply(uid, Change::Start, Some(&owner)).unwrap();
    let done = bench.one(again()).unwrap();
    assert_eq!(done.action.unwrap().status, Status::Executing);
    bench
        .apply(uid, Change::Finish(Finish::succeeded()), Some(&owner))
        .unwrap();
    // Another action holds the key by now: the repeat is recognised before that is looked at.
    bench.create(NewAction::task("t").with_exclusive("k"));
    assert_eq!(kind(&bench.one(again())), "already");
    let other = create(new.with_description("other content"), None);
    assert_eq!(kind(&bench.one(other)), "uid");
}

#[test]
fn a_create_of_a_fenced_owner_sent_again_is_already_and_a_new_one_is_refused() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let new = NewAction::task("t");
    bench.one(create(new.clone(), Some(&owner))).unwrap();
    bench.owner("plane");
    assert_eq!(kind(&bench.one(create(new, Some(&owner)))), "already");
    assert_eq!(
        kind(&bench.one(create(NewAction::task("t"), Some(&owner)))),
        "fenced"
    );
}

#[test]
fn an_idempotency_key_finds_the_first_action_until_it_is_removed() {
    let bench = Bench::new();
    let new = || NewAction::task("t").with_idempotency_key("i");
    let first = bench.create(new());
    let found = bench.one(create(new(), None)).unwrap();
    assert_eq!(found.action.unwrap().uid, first);
    let other = create(new().with_actor("ada"), None);
    assert_eq!(kind(&bench.one(other)), "idempotency key");
    // Another tenant's is another key.
    let theirs = bench.create(new().with_tenant("them"));
    assert_ne!(theirs, first);
    let ended = Change::Finish(Finish::new(action_store::Outcome::Cancelled));
    bench.apply(first, ended, None).unwrap();
    let found = bench.one(create(new(), None)).unwrap();
    assert_eq!(found.action.unwrap().uid, first);
    let if_version = Version::new(2).unwrap();
    bench.one(Command::remove(first, if_version)).unwrap();
    assert_ne!(bench.create(new()), first);
}

#[test]
fn an_operation_sent_again_is_already_with_the_action_as_it_is() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.create(NewAction::task("t"));
    let start = apply(uid, Change::Start, Some(&owner));
    bench.one(start.clone()).unwrap();
    assert_eq!(kind(&bench.one(start.clone())), "already");
    let step = apply(
        uid,
        Change::Report(Report::new().with_step("a")),
        Some(&owner),
    );
    let wish = apply(uid, Change::RequestCancel(CancelRequest::new()), None);
    let finish = apply(uid, Change::Finish(Finish::succeeded()), Some(&owner));
    bench.each(vec![step.clone(), wish.clone(), finish.clone()]);
    let done = bench.action(uid);
    // Also once the owner is fenced.
    bench.owner("plane");
    for again in [start, step, wish, finish] {
        let answer = bench.one(again).unwrap();
        assert_eq!(answer.effect, action_store::command::Effect::Already);
        assert_eq!(answer.action.unwrap(), done);
    }
    assert_eq!(bench.action(uid), done);
}

#[test]
fn a_repeat_is_recognised_before_its_version_condition() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.create(NewAction::task("t"));
    let start = at_version(1, apply(uid, Change::Start, Some(&owner)));
    assert_eq!(kind(&bench.one(start.clone())), "applied");
    assert_eq!(kind(&bench.one(start)), "already");
    let other = at_version(1, apply(uid, Change::Report(Report::new()), Some(&owner)));
    assert_eq!(kind(&bench.one(other)), "version");
}

#[test]
fn the_same_operation_on_another_action_is_another_operation() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let (a, b) = (
        bench.create(NewAction::task("a")),
        bench.create(NewAction::task("b")),
    );
    let op = OpId::new();
    let start = |uid: ActionUid| apply_as(op, uid, Change::Start, Some(&owner));
    let answers = bench.each(vec![start(a), start(b), start(a)]);
    assert_eq!(kinds(&answers), ["applied", "applied", "already"]);
}

#[test]
fn a_batch_sent_again_changes_nothing_and_claims_nothing_failed() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    for all in [false, true] {
        let new = NewAction::task("t");
        let uid = new.uid;
        let commands = vec![
            claim(&owner),
            create(new, None),
            apply(uid, Change::Start, Some(&owner)),
            apply(
                uid,
                Change::Report(Report::new().with_step("load")),
                Some(&owner),
            ),
            // These leave no entry of their own in the log.
            apply(
                uid,
                Change::Report(percent(10.0).with_step("load")),
                Some(&owner),
            ),
            apply(uid, Change::Report(percent(15.0)), Some(&owner)),
            apply(
                uid,
                Change::Report(percent(20.0).with_step("check")),
                Some(&owner),
            ),
            apply(uid, Change::Report(percent(80.0)), Some(&owner)),
            apply(uid, Change::Finish(Finish::succeeded()), Some(&owner)),
        ];
        let send = |commands: &[Command]| match all {
            true => bench.all(commands.to_vec()),
            false => bench.each(commands.to_vec()),
        };
        let mut expected = vec!["applied"; 9];
        expected[0] = "already";
        assert_eq!(kinds(&send(&commands)), expected);
        let (done, log) = (bench.action(uid), bench.log(uid));
        assert_eq!(kinds(&send(&commands)), ["already"; 9], "all: {all}");
        assert_eq!((bench.action(uid), bench.log(uid)), (done, log));
    }
}

#[test]
fn a_batch_of_reports_sent_again_does_not_go_back_to_an_earlier_step() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let load = || Report::new().with_step("load");
    bench
        .apply(uid, Change::Report(load()), Some(&owner))
        .unwrap();
    let batch = vec![
        apply(uid, Change::Report(load()), Some(&owner)),
        apply(
            uid,
            Change::Report(Report::new().with_step("check")),
            Some(&owner),
        ),
    ];
    bench.each(batch.clone());
    let before = bench.action(uid);
    assert_eq!(kinds(&bench.each(batch)), ["already", "already"]);
    assert_eq!(bench.action(uid), before);
}

#[test]
fn a_report_that_was_refused_the_first_time_is_not_taken_for_told() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let other = bench.owner("other");
    let uid = bench.started(&owner);
    let report = |by| apply(uid, Change::Report(percent(10.0)), Some(by));
    let batch = vec![
        report(&other),
        at_version(9, report(&owner)),
        apply(uid, Change::Finish(Finish::succeeded()), Some(&owner)),
    ];
    let first = bench.each(batch.clone());
    assert_eq!(kinds(&first), ["not owner", "version", "applied"]);
    let expected = ["status", "version", "already"];
    assert_eq!(kinds(&bench.each(batch)), expected);
    // Told in another name than the command that is known, by who has adopted it since.
    let adopted = bench.started(&owner);
    let batch = vec![
        apply(adopted, Change::Report(percent(10.0)), Some(&other)),
        apply(
            adopted,
            Change::Report(Report::new().with_step("a")),
            Some(&owner),
        ),
    ];
    assert_eq!(kinds(&bench.each(batch.clone())), ["not owner", "applied"]);
    bench.one(Command::release(owner.clone())).unwrap();
    bench.apply(adopted, Change::Adopt, Some(&other)).unwrap();
    assert_eq!(kinds(&bench.each(batch)), ["applied", "already"]);
    // The action has no owner yet: it is reported too early, then another caller ends it.
    let queued = bench.create(NewAction::task("q"));
    let ended = Change::Finish(Finish::new(action_store::Outcome::Cancelled));
    let batch = vec![
        apply(queued, Change::Report(percent(10.0)), Some(&other)),
        apply(queued, ended, Some(&other)),
    ];
    assert_eq!(kinds(&bench.each(batch.clone())), ["status", "applied"]);
    assert_eq!(kinds(&bench.each(batch)), ["status", "already"]);
}

#[test]
fn removal_and_pins_sent_again_are_already() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let pin = |pinned| Command::pin(uid, pinned);
    let remove = |version| {
        let if_version = Version::new(version).unwrap();
        Command::remove(uid, if_version)
    };
    assert_eq!(kind(&bench.one(remove(2))), "status");
    bench
        .apply(uid, Change::Finish(Finish::succeeded()), Some(&owner))
        .unwrap();
    let answers = bench.each(vec![
        pin(true),
        pin(true),
        remove(3),
        pin(false),
        pin(false),
    ]);
    assert_eq!(
        kinds(&answers),
        ["applied", "already", "pinned", "applied", "already"]
    );
    let answers = bench.each(vec![remove(2), remove(3), remove(3), pin(true)]);
    assert_eq!(
        kinds(&answers),
        ["version", "applied", "already", "not found"]
    );
    assert!(bench.find(uid).is_none() && bench.log(uid).is_empty());
}

#[test]
fn progress_alone_sent_again_is_already_whatever_came_in_between() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let told = apply(uid, Change::Report(percent(10.0)), Some(&owner));
    assert_eq!(kind(&bench.one(told.clone())), "applied");
    let failed = Finish::failed(action_store::ActionError::new("e", "m"));
    for change in [
        Change::Report(Report::new().with_step("a")),
        Change::RequestCancel(CancelRequest::new()),
        Change::Report(Report::new()),
        Change::Report(percent(20.0)),
        Change::Finish(failed),
    ] {
        bench.apply(uid, change, Some(&owner)).unwrap();
        let before = bench.action(uid);
        assert_eq!(kind(&bench.one(told.clone())), "already");
        assert_eq!(bench.action(uid), before);
    }
    // New progress is still refused, as are the reports of others.
    let report = |report, by| bench.one(apply(uid, Change::Report(report), Some(by)));
    assert_eq!(kind(&report(percent(21.0), &owner)), "status");
    assert_eq!(kind(&report(Report::new(), &owner)), "status");
    let with_step = percent(10.0).with_step("b");
    assert_eq!(kind(&report(with_step, &owner)), "status");
    let other = bench.owner("other");
    assert_eq!(kind(&report(percent(10.0), &other)), "status");
    // A fenced owner must hear of it.
    bench.owner("plane");
    assert_eq!(kind(&bench.one(told)), "fenced");
}

#[test]
fn progress_at_a_version_sent_again_is_already_until_the_next_change() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let told = at_version(2, apply(uid, Change::Report(percent(10.0)), Some(&owner)));
    assert_eq!(kind(&bench.one(told.clone())), "applied");
    assert_eq!(kind(&bench.one(told.clone())), "already");
    assert_eq!(bench.action(uid).version.get(), 3);
    let next = apply(uid, Change::Report(percent(20.0)), Some(&owner));
    bench.one(next).unwrap();
    // No entry of the log shows it any more: it is judged anew, and lowers nothing.
    assert_eq!(kind(&bench.one(told)), "version");
    let again = apply(uid, Change::Report(percent(10.0)), Some(&owner));
    assert_eq!(kind(&bench.one(again)), "already");
}
