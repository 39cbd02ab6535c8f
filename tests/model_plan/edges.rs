//! Which caller may do what in which situation. The table is written by hand, separately from the
//! model's own table.

use std::sync::Arc;

use action_store::action::Version;
use action_store::spi::TRANSITIONS;
use action_store::{
    Action, ActionError, CancelRequest, Change, Command, Finish, LogEntry, NewAction, Outcome,
    OwnerRef, Report, Status,
};

use crate::harness::{Answer, Bench, claim, create, kind};

/// The change that a column of the table requests.
const CHANGES: [&str; 9] = [
    "start",
    "report",
    "cancel request",
    "succeeded",
    "failed",
    "cancelled",
    "interrupted",
    "lost",
    "adopt",
];

/// status, owner, who asks, and for each of `CHANGES` what is answered:
/// `+` applied, `s` not in this status, `o` not its owner, `a` the owner is alive, `F` fenced,
/// `i` invalid because it names no owner.
const TRUTH: &[(&str, &str, &str, &str)] = &[
    ("queued", "none", "other", "+s+s+++ss"),
    ("queued", "none", "nobody", "is+s+++si"),
    ("queued", "none", "former", "FFFFFFFFF"),
    ("queued", "alive", "owner", "+s+s+++ss"),
    ("queued", "alive", "other", "+s+soooss"),
    ("queued", "alive", "nobody", "is+sooosi"),
    ("queued", "alive", "former", "FFFFFFFFF"),
    ("queued", "fenced", "owner", "FFFFFFFFF"),
    ("queued", "fenced", "other", "+s+s+++ss"),
    ("queued", "fenced", "nobody", "is+s+++si"),
    ("queued", "fenced", "former", "FFFFFFFFF"),
    ("queued", "released", "owner", "FFFFFFFFF"),
    ("queued", "released", "other", "+s+s+++ss"),
    ("queued", "released", "nobody", "is+s+++si"),
    ("queued", "released", "former", "FFFFFFFFF"),
    ("queued", "absent", "owner", "FFFFFFFFF"),
    ("queued", "absent", "other", "+s+s+++ss"),
    ("queued", "absent", "nobody", "is+s+++si"),
    ("queued", "absent", "former", "FFFFFFFFF"),
    ("executing", "alive", "owner", "s++++++aa"),
    ("executing", "alive", "other", "so+ooooaa"),
    ("executing", "alive", "nobody", "io+ooooai"),
    ("executing", "alive", "former", "FFFFFFFFF"),
    ("executing", "fenced", "owner", "FFFFFFFFF"),
    ("executing", "fenced", "other", "so+oooo++"),
    ("executing", "fenced", "nobody", "io+oooo+i"),
    ("executing", "fenced", "former", "FFFFFFFFF"),
    ("executing", "released", "owner", "FFFFFFFFF"),
    ("executing", "released", "other", "so+oooo++"),
    ("executing", "released", "nobody", "io+oooo+i"),
    ("executing", "released", "former", "FFFFFFFFF"),
    ("executing", "absent", "owner", "FFFFFFFFF"),
    ("executing", "absent", "other", "so+oooo++"),
    ("executing", "absent", "nobody", "io+oooo+i"),
    ("executing", "absent", "former", "FFFFFFFFF"),
    ("succeeded", "alive", "owner", "sssssssss"),
    ("succeeded", "alive", "other", "sssssssss"),
    ("succeeded", "alive", "nobody", "isssssssi"),
    ("succeeded", "alive", "former", "FFFFFFFFF"),
    ("succeeded", "fenced", "owner", "FFFFFFFFF"),
    ("succeeded", "fenced", "other", "sssssssss"),
    ("succeeded", "fenced", "nobody", "isssssssi"),
    ("succeeded", "released", "owner", "FFFFFFFFF"),
    ("succeeded", "released", "other", "sssssssss"),
    ("succeeded", "released", "nobody", "isssssssi"),
    ("failed", "alive", "owner", "sssssssss"),
    ("failed", "alive", "other", "sssssssss"),
    ("failed", "fenced", "other", "sssssssss"),
    ("failed", "absent", "nobody", "isssssssi"),
    ("cancelled", "alive", "owner", "sssssssss"),
    ("cancelled", "none", "other", "sssssssss"),
    ("cancelled", "none", "nobody", "isssssssi"),
    ("cancelled", "none", "former", "FFFFFFFFF"),
    ("interrupted", "alive", "owner", "sssssssss"),
    ("interrupted", "fenced", "other", "sssssssss"),
    ("interrupted", "fenced", "nobody", "isssssssi"),
    ("lost", "fenced", "owner", "FFFFFFFFF"),
    ("lost", "fenced", "other", "sssssssss"),
    ("lost", "fenced", "nobody", "isssssssi"),
    ("lost", "released", "other", "sssssssss"),
];

fn change(word: &str) -> Change {
    let ended = |outcome| Change::Finish(Finish::new(outcome));
    match word {
        "start" => Change::Start,
        "report" => Change::Report(Report::new().with_step("next")),
        "cancel request" => Change::RequestCancel(CancelRequest::new().with_by("ada")),
        "succeeded" => ended(Outcome::Succeeded),
        "failed" => Change::Finish(Finish::failed(ActionError::new("e", "m"))),
        "cancelled" => ended(Outcome::Cancelled),
        "interrupted" => ended(Outcome::Interrupted),
        "lost" => ended(Outcome::Lost),
        "adopt" => Change::Adopt,
        other => panic!("no change is called {other}"),
    }
}

struct Scene {
    bench: Bench,
    action: Arc<Action>,
    owner: OwnerRef,
    other: OwnerRef,
    former: OwnerRef,
}

/// Brings an action into a situation by legal commands alone.
fn scene(status: &str, owner_is: &str) -> Scene {
    let bench = Bench::new();
    let former = bench.owner("plane");
    let owner = bench.owner("plane");
    let other = bench.owner("other");
    let new = NewAction::task("t");
    let uid = new.uid;
    let by = (owner_is != "none").then_some(&owner);
    bench.one(create(new, by)).unwrap();
    let started = !matches!(status, "queued") && owner_is != "none";
    if started {
        bench.apply(uid, change("start"), Some(&owner)).unwrap();
    }
    let ended = !matches!(status, "queued" | "executing");
    if ended && status != "lost" {
        bench.apply(uid, change(status), by).unwrap();
    }
    let bench = match owner_is {
        "none" | "alive" => bench,
        "fenced" => {
            bench.owner("plane");
            bench
        }
        "released" => {
            bench.one(Command::release(owner.clone())).unwrap();
            bench
        }
        // In a store that was never told of its owner.
        "absent" => {
            let elsewhere = Bench::new();
            elsewhere.one(claim(&former)).unwrap();
            elsewhere.one(Command::release(former.clone())).unwrap();
            elsewhere.one(claim(&other)).unwrap();
            let (action, log) = (bench.action(uid), bench.log(uid));
            elsewhere.one(Command::import(action, log)).unwrap();
            elsewhere
        }
        word => panic!("no owner is {word}"),
    };
    if status == "lost" {
        bench.apply(uid, change("lost"), Some(&other)).unwrap();
    }
    let action = bench.action(uid);
    Scene {
        bench,
        action,
        owner,
        other,
        former,
    }
}

fn answered(answer: &Answer) -> char {
    match kind(answer).as_str() {
        "applied" => '+',
        "status" => 's',
        "not owner" => 'o',
        "owner alive" => 'a',
        "fenced" => 'F',
        "invalid by" => 'i',
        other => panic!("unexpected answer: {other}"),
    }
}

#[test]
fn every_change_is_answered_as_the_table_of_truth_says() {
    for (status, owner_is, who, row) in TRUTH {
        let row: Vec<char> = row.chars().collect();
        assert_eq!(row.len(), CHANGES.len(), "{status} {owner_is} {who}");
        for (word, expected) in CHANGES.iter().zip(row) {
            let scene = scene(status, owner_is);
            let before = scene.action.clone();
            let by = match *who {
                "owner" => Some(&scene.owner),
                "other" => Some(&scene.other),
                "former" => Some(&scene.former),
                _ => None,
            };
            let log = scene.bench.log(before.uid);
            let answer = scene.bench.apply(before.uid, change(word), by);
            let case = format!("{status}, owner {owner_is}: {word} by {who}");
            assert_eq!(answered(&answer), expected, "{case}");
            let after = scene.bench.action(before.uid);
            let entries = scene.bench.log(before.uid);
            if expected == '+' {
                landed(&case, word, &before, &after, by);
                assert_eq!(entries.len(), log.len() + 1, "{case}");
            } else {
                assert_eq!(after, before, "{case}");
                let own: Vec<LogEntry> = entries
                    .into_iter()
                    .filter(|entry| !entry.is_late())
                    .collect();
                assert_eq!(own, log, "{case}");
            }
        }
    }
}

/// That an accepted change leads where it must.
fn landed(case: &str, word: &str, before: &Action, after: &Action, by: Option<&OwnerRef>) {
    assert_eq!(after.version, before.version.next(), "{case}");
    after.check().unwrap();
    let (status, outcome, owner) = match word {
        "start" | "adopt" => (Status::Executing, None, by),
        "report" | "cancel request" => (before.status, None, before.owner.as_ref()),
        _ => {
            let outcome: Outcome = word.parse().unwrap();
            (Status::Completed, Some(outcome), before.owner.as_ref())
        }
    };
    assert_eq!(
        (after.status, after.outcome, after.owner.as_ref()),
        (status, outcome, owner),
        "{case}"
    );
    let spoke_for_itself = before.owner.is_none() || by == before.owner.as_ref();
    let expects_evidence = outcome.is_some() && !spoke_for_itself;
    assert_eq!(after.evidence.is_some(), expects_evidence, "{case}");
}

#[test]
fn the_model_publishes_ten_edges_and_no_other() {
    let published: Vec<String> = TRANSITIONS
        .iter()
        .map(|edge| format!("{} {:?} {}", edge.from, edge.by_move, edge.to))
        .collect();
    assert_eq!(
        published,
        [
            "queued Start executing",
            "queued Finish(Failed) completed",
            "queued Finish(Cancelled) completed",
            "queued Finish(Interrupted) completed",
            "executing Finish(Succeeded) completed",
            "executing Finish(Failed) completed",
            "executing Finish(Cancelled) completed",
            "executing Finish(Interrupted) completed",
            "executing Finish(Lost) completed",
            "executing Adopt executing",
        ]
    );
}

#[test]
fn an_illegal_edge_says_what_was_tried_and_where_the_action_is() {
    let scene = scene("succeeded", "alive");
    let (uid, by) = (scene.action.uid, Some(&scene.owner));
    let told = |word: &str| {
        let refused = scene.bench.apply(uid, change(word), by).unwrap_err();
        refused.to_string()
    };
    let said = |what: &str| format!("action {uid}: {what} is not possible while it is completed");
    assert_eq!(told("start"), said("start"));
    assert_eq!(told("failed"), said("failed"));
    assert_eq!(told("adopt"), said("adoption"));
    assert_eq!(told("report"), said("a report"));
    assert_eq!(told("cancel request"), said("a cancel request"));
}

#[test]
fn a_completed_action_can_still_be_pinned_and_then_not_removed() {
    let scene = scene("succeeded", "alive");
    let uid = scene.action.uid;
    let pinned = true;
    scene.bench.one(Command::pin(uid, pinned)).unwrap();
    let if_version = Version::new(3).unwrap();
    let remove = Command::remove(uid, if_version);
    assert_eq!(kind(&scene.bench.one(remove)), "pinned");
}
