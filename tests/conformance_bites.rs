//! The suite bites: for each way in which a store goes wrong there is a case that fails.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod faulty;
#[path = "support/steps.rs"]
mod steps;

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use action_store::action::Version;
use action_store::command::OpId;
use action_store::conformance::{
    Case, Failure, Fixture, Subject, Verdict, case, cases, check_store,
};
use action_store::{
    ActionStore, Batch, CancelRequest, Change, Clock, Command, MemoryStore, NewAction, Timestamp,
};
use faulty::bites::{BITES, HANGS};
use faulty::hole_bites::{HOLE_BITES, HOLE_HANGS};
use faulty::holed::{Holed, Kept};
use faulty::{Fault, Faulty, Hole};

fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_760_400_000))
}

/// A fault that can be planted.
trait Plant: Copy + Debug + Send + Sync + 'static {
    const NONE: Self;

    /// Opens a store with the fault, for one case.
    fn open(self, case: &Case) -> Subject;
}

impl Plant for Fault {
    const NONE: Fault = Fault::None;

    fn open(self, _: &Case) -> Subject {
        let clock = clock();
        let store = MemoryStore::with_clock(clock.clone());
        let store = Faulty::new(self, Arc::new(store)).with_clock(clock.clone());
        Subject::new(store).with_clock(clock)
    }
}

impl Plant for Hole {
    const NONE: Hole = Hole::None;

    fn open(self, case: &Case) -> Subject {
        let clock = clock();
        let kept = Kept::new(MemoryStore::with_clock(clock.clone()));
        let subject = if case.group() == "reopen" {
            let store = Holed::lasting(self, kept.clone(), false);
            let again = move || Holed::lasting(self, kept.clone(), true);
            Subject::new(store).with_reopen(move || std::future::ready(Ok(again())))
        } else {
            Subject::new(Holed::new(self, kept))
        };
        subject.with_clock(clock)
    }
}

async fn run(fault: impl Plant, name: &str) -> Result<Verdict, Failure> {
    let case = case(name).unwrap_or_else(|| panic!("no case {name}"));
    let open = || async { fault.open(case) };
    case.run(&open).await
}

/// Chances that a fault gets. Some show only when callers meet, which they may not do at once on a
/// busy machine.
const CHANCES: usize = 50;

/// How a case fails with a fault; none if it never does.
async fn failure(fault: impl Plant, name: &str) -> Option<Failure> {
    for _ in 0..CHANCES {
        if let Err(failure) = run(fault, name).await {
            return Some(failure);
        }
    }
    None
}

/// Runs each case without and with its fault, and demands that it holds and fails.
async fn bite<P: Plant>(bites: &[(P, &str)]) {
    let mut passed = Vec::new();
    for (fault, name) in bites {
        let whole = run(P::NONE, name).await;
        assert_eq!(whole.unwrap(), Verdict::Held, "{name} without a fault");
        let Some(failure) = failure(*fault, name).await else {
            passed.push((fault, name));
            continue;
        };
        assert_eq!(failure.case, *name);
        let text = failure.to_string();
        for part in [*name, "expected: ", "found: ", "src/conformance/"] {
            assert!(text.contains(part), "{text} does not say {part}");
        }
        assert!(steps::is_at_a_step(&failure), "not at a step: {text}");
    }
    assert!(passed.is_empty(), "not noticed: {passed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_fails_its_case() {
    bite(BITES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_hole_fails_its_case() {
    bite(HOLE_BITES).await;
}

#[tokio::test(start_paused = true)]
async fn every_fault_that_hangs_fails_its_case() {
    bite(HANGS).await;
    bite(HOLE_HANGS).await;
}

#[test]
fn there_is_a_case_for_each_fault_and_a_group_of_them_for_each_part() {
    let bites = || BITES.iter().chain(HANGS);
    let faults: HashSet<Fault> = bites().map(|(fault, _)| *fault).collect();
    assert!(faults.len() >= 90, "{}", faults.len());
    let holes = || HOLE_BITES.iter().chain(HOLE_HANGS);
    let kinds: HashSet<Hole> = holes().map(|(hole, _)| *hole).collect();
    assert!(kinds.len() >= 36, "{}", kinds.len());
    let names = bites().map(|(_, name)| *name);
    let names = names.chain(holes().map(|(_, name)| *name));
    let groups: HashSet<&str> = names.map(|name| case(name).unwrap().group()).collect();
    let parts = [
        "batches",
        "changed",
        "clock",
        "contention",
        "create",
        "drops",
        "filters",
        "fitting",
        "get",
        "keys",
        "lifecycle",
        "list",
        "log",
        "operations",
        "owner_lists",
        "owners",
        "paging",
        "polls",
        "pruned",
        "pruning",
        "recovery",
        "relations",
        "removal",
        "reopen",
        "scan",
        "taken",
        "texts",
        "transfer",
        "values",
        "walks",
    ];
    for part in parts {
        assert!(groups.contains(part), "no fault in {part}: {groups:?}");
    }
}

#[tokio::test]
async fn the_check_of_a_store_finds_what_does_not_agree() {
    let faults = [
        Fault::None,
        Fault::LosesTheLastOfAPage,
        Fault::ReversesOldest,
        Fault::LosesLogEntries,
    ];
    for fault in faults {
        let store = Faulty::new(fault, Arc::new(MemoryStore::new()));
        let mut commands = Vec::new();
        for _ in 0..150 {
            let new = NewAction::task("a");
            let (uid, by, op) = (new.uid, None, OpId::new());
            let change = Change::RequestCancel(CancelRequest::new());
            commands.push(Command::create(new));
            let if_version = Some(Version::FIRST);
            commands.push(
                Command::apply(uid, change)
                    .by(by)
                    .with_op(op)
                    .if_version(if_version),
            );
        }
        for answer in store.write(Batch::all(commands)).await.unwrap() {
            answer.unwrap();
        }
        let checked = check_store(&store).await;
        assert_eq!(
            checked.is_ok(),
            fault == Fault::None,
            "{fault:?}: {checked:?}"
        );
        if let Ok(checked) = checked {
            assert_eq!((checked.actions, checked.entries), (150, 300));
        }
    }
}

#[tokio::test]
async fn a_check_the_fixture_cannot_run_is_not_skipped_silently() {
    let open = || async { Subject::new(MemoryStore::new()) };
    let mut without = Vec::new();
    for case in cases()
        .iter()
        .filter(|case| ["clock", "reopen"].contains(&case.group()))
    {
        match case.run(&open).await.unwrap() {
            Verdict::NotApplicable(why) => without.push((case.name(), why)),
            Verdict::Held => panic!("{case:?} shows nothing and holds"),
        }
    }
    assert!(without.len() >= 9, "{without:?}");
}

#[tokio::test]
async fn an_action_missing_after_reopening_is_detected() {
    // The stored data survives a close, as it would in a file.
    let lasting = || async {
        let kept = Arc::new(MemoryStore::new());
        let open = move || Faulty::new(Fault::NeverCloses, kept.clone());
        Subject::new(open()).with_reopen(move || std::future::ready(Ok(open())))
    };
    let forgetful = || async {
        let open = || async { Ok(MemoryStore::new()) };
        Subject::new(MemoryStore::new()).with_reopen(open)
    };
    let about_reopening = cases().iter().filter(|case| case.group() == "reopen");
    for case in about_reopening {
        assert_eq!(case.run(&lasting).await.unwrap(), Verdict::Held);
        assert!(case.run(&forgetful).await.is_err(), "{case:?}");
    }
}

#[tokio::test]
async fn a_panic_of_a_store_or_fixture_is_a_failure() {
    let open = || async {
        assert!(cases().is_empty(), "no disk");
        Subject::new(MemoryStore::new())
    };
    let case = case("a_new_action_is_queued_at_version_one").unwrap();
    let failure = case.run(&open).await.unwrap_err();
    assert_eq!(failure.case, case.name());
    assert_eq!(failure.found, "a panic: no disk");
}

/// A fixture that is a type of one's own.
struct Shared(Clock);

#[async_trait::async_trait]
impl Fixture for Shared {
    async fn open(&self) -> Subject {
        Subject::new(MemoryStore::with_clock(self.0.clone()))
    }
}

#[tokio::test]
async fn a_fixture_may_be_a_type_of_ones_own() {
    let case = case("a_completed_action_never_changes").unwrap();
    let fixture = Shared(Clock::system());
    assert_eq!(case.run(&fixture).await.unwrap(), Verdict::Held);
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<&str> = cases().iter().map(|case| case.name()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(all >= 192, "{all}");
}
