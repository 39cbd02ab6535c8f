//! Several commands in one batch, several batches in one transaction.

use action_store::action::{LogEntryKind, Version};
use action_store::command::OpId;
use action_store::owner::Owner;
use action_store::{
    ActionError, ActionUid, Batch, Change, Command, Finish, Limits, NewAction, Outcome, OwnerRef,
    Rejection, Report, Status, Timestamp,
};

use crate::harness::{Bench, Tables, apply, apply_as, at_version, claim, create, kind, kinds};

const NOW: Timestamp = Timestamp::from_seconds(1000);

fn cancelled() -> Change {
    Change::Finish(Finish::new(Outcome::Cancelled))
}

fn remove(uid: ActionUid, version: u64) -> Command {
    let if_version = Version::new(version).unwrap();
    Command::remove(uid, if_version)
}

/// Tables with a living owner.
fn tables(owner: &OwnerRef) -> Tables {
    let mut tables = Tables::default();
    tables.write(&[Batch::each(vec![claim(owner)])], NOW);
    tables
}

#[test]
fn two_changes_of_one_action_in_one_batch_make_two_versions_and_two_entries() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let new = NewAction::task("t");
    let uid = new.uid;
    let answers = bench.each(vec![
        create(new, None),
        apply(uid, Change::Start, Some(&owner)),
        apply(
            uid,
            Change::Report(Report::new().with_step("a")),
            Some(&owner),
        ),
        apply(uid, Change::Finish(Finish::succeeded()), Some(&owner)),
    ]);
    let versions: Vec<u64> = answers
        .into_iter()
        .map(|answer| answer.unwrap().action.unwrap().version.get())
        .collect();
    assert_eq!(versions, [1, 2, 3, 4]);
    let kinds: Vec<LogEntryKind> = bench.log(uid).iter().map(|entry| entry.kind).collect();
    use LogEntryKind::{Created, Finished, Started, Step};
    assert_eq!(kinds, [Created, Started, Step, Finished]);
    assert_eq!(bench.action(uid).log_entries, 4);
}

#[test]
fn with_each_a_refused_command_disturbs_nobody() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let new = NewAction::task("t");
    let uid = new.uid;
    let nobody = ActionUid::new();
    let answers = bench.each(vec![
        apply(nobody, Change::Start, Some(&owner)),
        create(new, None),
        apply(uid, Change::Adopt, Some(&owner)),
        create(NewAction::task(""), None),
        apply(uid, Change::Start, Some(&owner)),
    ]);
    let expected = ["not found", "applied", "status", "invalid name", "applied"];
    assert_eq!(kinds(&answers), expected);
    assert_eq!(bench.action(uid).version.get(), 2);
}

#[test]
fn with_all_one_refusal_refuses_all_and_leaves_nothing_behind() {
    let owner = OwnerRef::new("plane");
    let mut tables = tables(&owner);
    let done = NewAction::task("done").with_idempotency_key("i");
    let stored = done.uid;
    let prepare = vec![create(done, None), apply(stored, cancelled(), None)];
    tables.write(&[Batch::each(prepare)], NOW);
    let before = format!("{tables:?}");
    let new = NewAction::task("t")
        .with_exclusive("k")
        .with_idempotency_key("j");
    let uid = new.uid;
    let anew = NewAction::task("anew")
        .with_uid(stored)
        .with_idempotency_key("i");
    let answers = tables.write(
        &[Batch::all(vec![
            claim(&OwnerRef::new("plane")),
            claim(&OwnerRef::new("another")),
            create(new, None),
            Command::pin(uid, true),
            remove(stored, 2),
            create(anew, None),
            apply(ActionUid::new(), cancelled(), None),
            create(NewAction::task("never reached"), None),
        ])],
        NOW,
    );
    let mut expected = vec!["batch 6"; 8];
    expected[6] = "not found";
    assert_eq!(kinds(&answers[0]), expected);
    assert_eq!(format!("{tables:?}"), before);
}

#[test]
fn a_batch_refused_as_a_whole_leaves_nothing_to_save() {
    let owner = OwnerRef::new("plane");
    let new = NewAction::task("t").with_exclusive("k");
    let op = OpId::new();
    let batch = Batch::all(vec![
        claim(&owner),
        create(new.clone(), Some(&owner)),
        apply_as(op, new.uid, Change::Start, Some(&owner)),
        apply(ActionUid::new(), cancelled(), None),
    ]);
    let read_set = action_store::spi::read_set(&batch).unwrap();
    let mut txn = action_store::spi::TxnState::new();
    action_store::spi::plan(&batch, &read_set, &mut txn, NOW);
    // And the next batch of the same transaction finds neither keys nor operations nor owners.
    let next = Batch::each(vec![
        create(NewAction::task("t").with_exclusive("k"), None),
        create(new.clone(), None),
        apply_as(op, new.uid, cancelled(), Some(&owner)),
    ]);
    let read_set = action_store::spi::read_set(&next).unwrap();
    let mut both = action_store::spi::TxnState::new();
    action_store::spi::plan(
        &batch,
        &action_store::spi::read_set(&batch).unwrap(),
        &mut both,
        NOW,
    );
    let answers = action_store::spi::plan(&next, &read_set, &mut both, NOW);
    assert_eq!(kinds(&answers), ["applied", "exclusive", "not found"]);
    let changes = txn.into_write_set();
    assert!(changes.is_empty(), "{changes:?}");
    assert!(changes.keys_taken.is_empty() && changes.keys_freed.is_empty());
}

#[test]
fn an_action_removed_and_created_anew_in_one_transaction_has_one_life_only() {
    let owner = OwnerRef::new("plane");
    let mut tables = tables(&owner);
    let new = NewAction::task("t")
        .with_idempotency_key("i")
        .with_exclusive("k");
    let uid = new.uid;
    let old = OpId::new();
    let first = vec![
        create(new.clone(), None),
        apply_as(old, uid, Change::Start, Some(&owner)),
    ];
    tables.write(&[Batch::each(first)], NOW);
    // Completed, removed and back at the version it was stored with, with other callers between.
    let other = NewAction::task("other");
    let answers = tables.write(
        &[
            Batch::each(vec![apply(
                uid,
                Change::Finish(Finish::succeeded()),
                Some(&owner),
            )]),
            Batch::each(vec![Command::pin(uid, true)]),
            Batch::each(vec![Command::pin(uid, false)]),
            Batch::each(vec![create(other.clone(), None), remove(uid, 3)]),
            Batch::each(vec![
                create(new, None),
                // The operation belonged to the removed action of the same uid.
                apply_as(old, uid, Change::Start, Some(&owner)),
            ]),
        ],
        NOW,
    );
    assert_eq!(kinds(&answers.concat()), ["applied"; 7]);
    let row = &tables.rows[&uid];
    assert_eq!(
        (row.action.status, row.action.version.get()),
        (Status::Executing, 2)
    );
    assert_eq!(row.log.len(), 2);
    assert_eq!(tables.keys.len(), 2);
    assert_eq!(tables.order, [other.uid, uid], "in creation order");
}

#[test]
fn an_action_created_removed_and_created_anew_in_one_transaction_is_as_created_last() {
    let mut tables = Tables::default();
    let new = NewAction::task("t").with_idempotency_key("i");
    let uid = new.uid;
    let between = NewAction::task("between");
    let batch = Batch::each(vec![
        create(new.clone(), None),
        apply(uid, cancelled(), None),
        remove(uid, 2),
        create(between.clone(), None),
        create(new, None),
    ]);
    let answers = tables.write(&[batch], NOW);
    assert_eq!(kinds(&answers[0]), ["applied"; 5]);
    assert_eq!(tables.rows[&uid].log.len(), 1);
    assert_eq!(tables.order, [between.uid, uid]);
}

#[test]
fn keys_pass_on_within_one_transaction() {
    let mut tables = Tables::default();
    let holder = || NewAction::task("t").with_exclusive("k");
    let (a, b, c) = (holder(), holder(), holder());
    let (first, second) = (a.uid, b.uid);
    tables.write(&[Batch::each(vec![create(a, None)])], NOW);
    let answers = tables.write(
        &[
            Batch::each(vec![create(b.clone(), None)]),
            Batch::each(vec![apply(first, cancelled(), None)]),
            Batch::each(vec![create(b, None), create(c.clone(), None)]),
            // Of whom the store still says that the first one holds it.
            Batch::each(vec![create(c.clone(), None)]),
            Batch::each(vec![apply(second, cancelled(), None), create(c, None)]),
        ],
        NOW,
    );
    let expected = [
        "exclusive",
        "applied",
        "applied",
        "exclusive",
        "exclusive",
        "applied",
        "applied",
    ];
    assert_eq!(kinds(&answers.concat()), expected);
}

#[test]
fn a_key_that_passed_on_in_a_batch_that_was_refused_is_its_first_holders_again() {
    let mut tables = Tables::default();
    let holder = || NewAction::task("t").with_exclusive("k");
    let a = holder();
    let first = a.uid;
    tables.write(&[Batch::each(vec![create(a, None)])], NOW);
    let answers = tables.write(
        &[
            Batch::all(vec![
                apply(first, cancelled(), None),
                create(holder(), None),
                apply(ActionUid::new(), cancelled(), None),
            ]),
            Batch::each(vec![create(holder(), None)]),
        ],
        NOW,
    );
    assert_eq!(kinds(&answers[1]), ["exclusive"]);
}

#[test]
fn a_log_that_outgrows_its_limit_in_the_transaction_that_created_it_is_trimmed() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let new = NewAction::task("t");
    let uid = new.uid;
    let mut commands = vec![create(new, None), apply(uid, Change::Start, Some(&owner))];
    for step in 0..300 {
        let report = Report::new().with_step(format!("s{step}"));
        commands.push(apply(uid, Change::Report(report), Some(&owner)));
    }
    assert!(bench.each(commands).iter().all(Result::is_ok));
    let log = bench.log(uid);
    assert_eq!(log.len(), Limits::LOG_ENTRIES as usize);
    assert_eq!(bench.action(uid).log_entries, 302);
    // The last ones are kept.
    assert_eq!(log.last().unwrap().step.as_deref(), Some("s299"));
    assert_eq!(log[2].version.get(), 302 - 253);
}

#[test]
fn a_late_report_is_told_once_and_never_makes_the_refused_result_look_done() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    bench.owner("plane");
    let op = OpId::new();
    let failed = Finish::failed(ActionError::new("disk_full", "no room"));
    let late = || apply_as(op, uid, Change::Finish(failed.clone()), Some(&owner));
    // A repeat of what was refused is refused again.
    assert_eq!(kind(&bench.one(late())), "fenced");
    assert_eq!(kind(&bench.one(late())), "fenced");
    let again = apply(uid, Change::Finish(Finish::succeeded()), Some(&owner));
    assert_eq!(kind(&bench.one(again)), "fenced");
    let log = bench.log(uid);
    let told: Vec<_> = log.iter().filter(|entry| entry.is_late()).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].outcome, Some(Outcome::Failed));
    assert_eq!(told[0].owner.as_ref(), Some(&owner));
    assert_eq!(told[0].note.as_deref(), Some("disk_full: no room"));
    assert_eq!((told[0].op, told[0].version.get()), (None, 2));
    assert_eq!(bench.action(uid).status, Status::Executing);
    assert_eq!(bench.action(uid).log_entries, 2);
}

#[test]
fn only_who_may_have_run_an_action_leaves_a_late_report() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let queued = bench.create(NewAction::task("q"));
    let stranger = OwnerRef::new("never claimed");
    let former = bench.owner("former");
    bench.one(Command::release(former.clone())).unwrap();
    let ended = || Change::Finish(Finish::succeeded());
    assert_eq!(kind(&bench.apply(uid, ended(), Some(&stranger))), "fenced");
    assert_eq!(
        kind(&bench.apply(queued, ended(), Some(&stranger))),
        "fenced"
    );
    assert_eq!(kind(&bench.apply(queued, ended(), Some(&former))), "fenced");
    assert_eq!((bench.log(uid).len(), bench.log(queued).len()), (2, 1));
    // One whose action was adopted by another may have run it.
    let next = bench.owner("plane");
    bench.apply(uid, Change::Adopt, Some(&next)).unwrap();
    assert_eq!(kind(&bench.apply(uid, ended(), Some(&owner))), "fenced");
    assert!(bench.log(uid).iter().any(|entry| entry.is_late()));
}

#[test]
fn a_late_report_survives_the_refusal_of_its_batch_if_it_was_late_before_it() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let finish = || apply(uid, Change::Finish(Finish::succeeded()), Some(&owner));
    // Fenced by the very batch that is undone: the owner is alive after all.
    let answers = bench.all(vec![claim(&OwnerRef::new("plane")), finish()]);
    assert_eq!(kinds(&answers), ["batch 1", "fenced"]);
    assert_eq!(bench.log(uid).len(), 2);
    bench.owner("plane");
    let other = bench.owner("other");
    let adopt = apply(uid, Change::Adopt, Some(&other));
    let answers = bench.all(vec![adopt, finish()]);
    assert_eq!(kinds(&answers), ["batch 1", "fenced"]);
    let log = bench.log(uid);
    // It tells what it found, not what was undone.
    let late = log.last().unwrap();
    assert!(late.is_late());
    assert_eq!((late.version.get(), late.status), (2, Status::Executing));
    assert_eq!(bench.action(uid).version.get(), 2);
}

#[test]
fn a_late_report_of_an_action_of_the_same_transaction_is_told_too() {
    let owner = OwnerRef::new("plane");
    let mut tables = tables(&owner);
    let new = NewAction::task("t");
    let uid = new.uid;
    let finish = || apply(uid, Change::Finish(Finish::succeeded()), Some(&owner));
    let answers = tables.write(
        &[
            Batch::each(vec![
                create(new, None),
                apply(uid, Change::Start, Some(&owner)),
            ]),
            Batch::each(vec![claim(&OwnerRef::new("plane"))]),
            Batch::each(vec![finish(), finish()]),
        ],
        NOW,
    );
    let expected = ["applied", "applied", "applied", "fenced", "fenced"];
    assert_eq!(kinds(&answers.concat()), expected);
    assert_eq!(tables.rows[&uid].log.len(), 3);
}

#[test]
fn a_version_condition_in_a_batch_sees_the_commands_before_it() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let report = || apply(uid, Change::Report(Report::new()), Some(&owner));
    let answers = bench.each(vec![at_version(2, report()), at_version(2, report())]);
    assert_eq!(kinds(&answers), ["applied", "version"]);
    let Err(Rejection::Conflict { current, .. }) = &answers[1] else {
        panic!("{answers:?}");
    };
    assert_eq!(current.version.get(), 3);
}

#[test]
fn operations_of_what_was_undone_or_removed_in_a_transaction_are_those_that_count() {
    let owner = OwnerRef::new("plane");
    let mut tables = tables(&owner);
    let new = NewAction::task("t");
    let uid = new.uid;
    tables.write(&[Batch::each(vec![create(new.clone(), None)])], NOW);
    let (first, second) = (OpId::new(), OpId::new());
    let start = || apply_as(first, uid, Change::Start, Some(&owner));
    let finish = || apply_as(second, uid, cancelled(), Some(&owner));
    let fails = || apply(ActionUid::new(), cancelled(), None);
    let answers = tables.write(
        &[
            // Undone, so it has not been done.
            Batch::all(vec![start(), fails()]),
            Batch::each(vec![start(), finish()]),
            // The removal undone, so they have been.
            Batch::all(vec![remove(uid, 3), fails()]),
            Batch::each(vec![start(), finish()]),
            // Removed, so they were another action's.
            Batch::each(vec![remove(uid, 3), create(new, None), start(), finish()]),
        ],
        NOW,
    );
    assert_eq!(kinds(&answers[0]), ["batch 1", "not found"]);
    assert_eq!(kinds(&answers[1]), ["applied"; 2]);
    assert_eq!(kinds(&answers[2]), ["batch 1", "not found"]);
    assert_eq!(kinds(&answers[3]), ["already"; 2]);
    assert_eq!(kinds(&answers[4]), ["applied"; 4]);
}

#[test]
fn a_refused_batch_saves_no_owner_and_forgets_none() {
    let owner = OwnerRef::new("plane");
    let missing = apply(ActionUid::new(), cancelled(), None);
    let batch = Batch::all(vec![Command::renew(owner.clone()), missing]);
    let read_set = action_store::spi::read_set(&batch).unwrap();
    let mut txn = action_store::spi::TxnState::new();
    txn.put_owner(Owner::claimed(owner.clone(), NOW));
    txn.put_ended(Limits::ENDED_OWNERS + 1, vec![OwnerRef::new("gone")]);
    let answers = action_store::spi::plan(&batch, &read_set, &mut txn, NOW);
    assert_eq!(kinds(&answers), ["batch 1", "not found"]);
    assert!(txn.into_write_set().is_empty());
}
