//! Living and fenced owners. Every command of a fenced owner is refused.

use action_store::owner::{OwnerEnd, OwnerState};
use action_store::{
    CancelRequest, Change, Command, Finish, Limits, NewAction, Outcome, OwnerRef, Rejection,
    Report, Timestamp,
};

use crate::harness::{Bench, apply, at_version, claim, create, kind, kinds};

fn fence(owner: &OwnerRef, if_renewals: u64) -> Command {
    let owner = owner.clone();
    Command::fence(owner, if_renewals)
}

fn renew(owner: &OwnerRef) -> Command {
    Command::renew(owner.clone())
}

fn release(owner: &OwnerRef) -> Command {
    Command::release(owner.clone())
}

fn states(bench: &Bench) -> Vec<OwnerState> {
    bench.owners().iter().map(|owner| owner.state).collect()
}

#[test]
fn every_command_that_names_a_dead_owner_is_fenced() {
    let ends: [fn(&Bench, &OwnerRef); 4] = [
        |bench, _| drop(bench.owner("plane")),
        |bench, owner| drop(bench.one(fence(owner, 0)).unwrap()),
        |bench, owner| drop(bench.one(release(owner)).unwrap()),
        // Never claimed at all.
        |_, _| (),
    ];
    for (index, end) in ends.iter().enumerate() {
        let bench = Bench::new();
        let owner = OwnerRef::new("plane");
        if index < 3 {
            bench.one(claim(&owner)).unwrap();
        }
        let other = bench.owner("other");
        let (queued, executing) = (bench.create(NewAction::task("t")), bench.started(&other));
        end(&bench, &owner);
        let by = Some(&owner);
        let finish = Change::Finish(Finish::succeeded());
        let cancel = Change::RequestCancel(CancelRequest::new());
        let mut commands = vec![
            create(NewAction::task("t"), by),
            apply(queued, Change::Start, by),
            apply(queued, Change::Finish(Finish::new(Outcome::Cancelled)), by),
            apply(executing, Change::Report(Report::new()), by),
            apply(executing, cancel, by),
            apply(executing, finish, by),
            apply(executing, Change::Finish(Finish::new(Outcome::Lost)), by),
            apply(executing, Change::Adopt, by),
            // Before the version is looked at.
            at_version(9, apply(executing, Change::Report(Report::new()), by)),
            renew(&owner),
        ];
        if index != 2 {
            commands.push(release(&owner));
        }
        if index < 3 {
            commands.push(claim(&owner));
        }
        let count = commands.len();
        assert_eq!(
            kinds(&bench.each(commands)),
            vec!["fenced"; count],
            "{index}"
        );
        assert_eq!(bench.action(queued).version.get(), 1);
        assert_eq!(bench.action(executing).version.get(), 2);
    }
}

#[test]
fn fencing_takes_effect_within_the_batch_and_says_who_and_what() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let answers = bench.each(vec![
        apply(uid, Change::Report(Report::new()), Some(&owner)),
        fence(&owner, 0),
        apply(uid, Change::Report(Report::new()), Some(&owner)),
    ]);
    assert_eq!(kinds(&answers), ["applied", "applied", "fenced"]);
    let Err(Rejection::Fenced {
        owner: who,
        end,
        current,
    }) = &answers[2]
    else {
        panic!("{answers:?}");
    };
    assert_eq!((who, current.as_ref()), (&owner, Some(&bench.action(uid))));
    assert_eq!(*end, OwnerEnd::Fenced);
}

#[test]
fn a_refusal_says_how_its_owner_ended() {
    let bench = Bench::new();
    let owners = [
        bench.owner("fenced"),
        bench.owner("released"),
        OwnerRef::new("unknown"),
    ];
    bench.each(vec![
        fence(&owners[0], 0),
        Command::release(owners[1].clone()),
    ]);
    let expected = [
        "was fenced",
        "has released its name",
        "is not known to be alive",
    ];
    for (owner, words) in owners.iter().zip(expected) {
        let refused = bench.one(Command::renew(owner.clone())).unwrap_err();
        assert_eq!(refused.to_string(), format!("owner {owner} {words}"));
    }
}

#[test]
fn a_claim_fences_the_incarnation_before_it_or_waits_for_its_end() {
    let bench = Bench::new();
    let (first, second) = (bench.owner("plane"), OwnerRef::new("plane"));
    let polite = || Command::claim(second.clone()).with_take_over(false);
    let refused = bench.one(polite()).unwrap_err();
    assert_eq!(refused.to_string(), format!("owner {first} is alive"));
    assert_eq!(kind(&bench.one(claim(&first))), "already");
    // Another name is not affected.
    bench.owner("other");
    assert_eq!(kind(&bench.one(claim(&second))), "applied");
    assert_eq!(kind(&bench.one(claim(&second))), "already");
    use OwnerState::{Alive, Fenced};
    assert_eq!(states(&bench), [Fenced, Alive, Alive]);
    assert_eq!(kind(&bench.one(claim(&first))), "fenced");
    let third = OwnerRef::new("plane");
    bench.one(release(&second)).unwrap();
    let owner = third.clone();
    let take_over = false;
    assert_eq!(
        kind(&bench.one(Command::claim(owner).with_take_over(take_over))),
        "applied"
    );
}

#[test]
fn a_fence_holds_only_against_one_that_has_not_renewed() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    bench.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(
        kinds(&bench.each(vec![renew(&owner), renew(&owner)])),
        ["applied"; 2]
    );
    let known = bench.owners().remove(0);
    assert_eq!(
        (known.renewals, known.renewed_at),
        (2, Timestamp::from_seconds(1005))
    );
    let answers = bench.each(vec![fence(&owner, 1), fence(&owner, 3), fence(&owner, 2)]);
    assert_eq!(kinds(&answers), ["owner alive", "owner alive", "applied"]);
    let again = bench.each(vec![fence(&owner, 2), fence(&owner, 7)]);
    assert_eq!(kinds(&again), ["already", "already"]);
    assert_eq!(
        kind(&bench.one(fence(&OwnerRef::new("nobody"), 0))),
        "already"
    );
    let known = bench.owners().remove(0);
    assert_eq!(known.state, OwnerState::Fenced);
    assert_eq!(known.ended_at, Some(Timestamp::from_seconds(1005)));
}

#[test]
fn a_release_sent_again_is_already_and_does_not_hide_a_fence() {
    let bench = Bench::new();
    let (a, b) = (bench.owner("a"), bench.owner("b"));
    let answers = bench.each(vec![release(&a), release(&a), fence(&b, 0), release(&b)]);
    assert_eq!(kinds(&answers), ["applied", "already", "applied", "fenced"]);
    assert_eq!(states(&bench), [OwnerState::Released, OwnerState::Fenced]);
}

/// Claims and releases so many other names.
fn churn(bench: &Bench, names: usize) -> Vec<OwnerRef> {
    let others: Vec<OwnerRef> = (0..names).map(|n| OwnerRef::new(format!("{n}"))).collect();
    for some in others.chunks(400) {
        bench.each(some.iter().flat_map(|o| [claim(o), release(o)]).collect());
    }
    others
}

fn known(bench: &Bench) -> Vec<OwnerRef> {
    bench.owners().into_iter().map(|o| o.owner).collect()
}

#[test]
fn the_ended_owners_that_claimed_last_are_remembered() {
    let bench = Bench::new();
    let all: Vec<OwnerRef> = (0..Limits::ENDED_OWNERS + 40)
        .map(|_| bench.owner("plane"))
        .collect();
    assert_eq!(known(&bench), all[39..]);
    let alive = bench.owners().iter().filter(|o| o.is_alive()).count();
    assert_eq!(alive, 1);
    let others = churn(&bench, Limits::ENDED_OWNERS);
    // The last ended incarnation of a living name is not forgotten, however many others end.
    let (last, living) = (&all[all.len() - 2], &all[all.len() - 1]);
    let expected = [last, living].into_iter().chain(&others[1..]);
    assert_eq!(known(&bench), expected.cloned().collect::<Vec<_>>());
    assert_eq!(kind(&bench.one(claim(last))), "fenced");
}

#[test]
fn a_transaction_that_imports_an_action_of_a_dead_owner_does_not_forget_it() {
    let (bench, elsewhere) = (Bench::new(), Bench::new());
    let (first, later) = (bench.owner("pod"), bench.owner("pod"));
    bench.one(release(&later)).unwrap();
    let others = churn(&bench, Limits::ENDED_OWNERS - 2);
    elsewhere.one(claim(&first)).unwrap();
    let uid = elsewhere.started(&first);
    let (action, log) = (elsewhere.action(uid), elsewhere.log(uid));
    let import = Command::import(action, log);
    let next = [OwnerRef::new("a"), OwnerRef::new("a")];
    // The second claim ends the first: one more than are remembered.
    bench.each(vec![claim(&next[0]), import, claim(&next[1])]);
    let known = known(&bench);
    assert!(known.contains(&first) && !known.contains(&others[0]));
}

#[test]
fn an_action_left_by_a_dead_owner_is_lost_with_evidence() {
    for (end, expected) in [
        ("fenced", OwnerEnd::Fenced),
        ("released", OwnerEnd::Released),
        // It owns something: it is remembered, however many others end.
        ("fenced long ago", OwnerEnd::Fenced),
    ] {
        let bench = Bench::new();
        let owner = bench.owner("plane");
        let uid = bench.started(&owner);
        bench.clock.advance(std::time::Duration::from_secs(7));
        let sweeper = bench.owner("sweeper");
        match end {
            "fenced" => drop(bench.one(fence(&owner, 0))),
            "released" => drop(bench.one(release(&owner))),
            _ => {
                bench.one(fence(&owner, 0)).unwrap();
                churn(&bench, Limits::ENDED_OWNERS + 10);
            }
        }
        let lost = Change::Finish(Finish::new(Outcome::Lost));
        bench.apply(uid, lost, Some(&sweeper)).unwrap();
        let action = bench.action(uid);
        let evidence = action.evidence.clone().unwrap();
        assert_eq!((evidence.owner, evidence.end), (owner, expected), "{end}");
        assert_eq!(&*evidence.decided_by, "sweeper");
        // A change by the sweeper does not count as activity of the action.
        assert_eq!(evidence.last_seen_at, Timestamp::from_seconds(1000));
        assert_eq!(action.last_seen_at, Timestamp::from_seconds(1000));
        assert_eq!(action.finished_at, Some(Timestamp::from_seconds(1007)));
        assert_eq!(&*action.error.as_ref().unwrap().code, "lost");
        let entry = bench.log(uid).pop().unwrap();
        assert_eq!(entry.by.as_deref(), Some("sweeper"));
    }
}

#[test]
fn an_action_queued_for_a_dead_owner_was_never_started() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let new = NewAction::task("t");
    let uid = new.uid;
    bench.one(create(new, Some(&owner))).unwrap();
    bench.one(release(&owner)).unwrap();
    let interrupted = Finish::new(Outcome::Interrupted).with_decided_by("recovery");
    bench.apply(uid, Change::Finish(interrupted), None).unwrap();
    let action = bench.action(uid);
    let error = action.error.as_ref().unwrap();
    assert_eq!(
        (&*error.code, &*error.message),
        ("interrupted", "it was never started")
    );
    assert_eq!(&*action.evidence.as_ref().unwrap().decided_by, "recovery");
    let uid = bench.create(NewAction::task("t"));
    bench
        .apply(uid, Change::Finish(Finish::new(Outcome::Interrupted)), None)
        .unwrap();
    assert_eq!(bench.action(uid).evidence, None);
}

#[test]
fn incarnations_stand_in_the_order_of_their_claims_even_if_claimed_in_one_transaction() {
    let bench = Bench::new();
    let (drawn_first, drawn_second) = (OwnerRef::new("plane"), OwnerRef::new("plane"));
    bench.each(vec![claim(&drawn_second), claim(&drawn_first)]);
    let known: Vec<OwnerRef> = bench.owners().into_iter().map(|o| o.owner).collect();
    assert_eq!(known, [drawn_second, drawn_first]);
}
