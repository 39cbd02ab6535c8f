//! Walks from the first call to the last, a fresh store for each.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::attack::{Dice, asked_for};
use super::children::{Child, say};
use super::disk::{Disk, scratch};
use super::faults::Fault;
use super::run::run;
use super::tally::{NEVER, Tally};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// The role of a child: tells its counts and each problem to the parent.
pub(crate) async fn in_the_child(root: &Path, more: &str) {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        eprintln!("{panic}");
    }));
    let (fault, rest) = more.split_once('|').unwrap();
    let fault: Fault = fault.parse().unwrap();
    let words: Vec<u64> = rest.split(' ').map(|word| word.parse().unwrap()).collect();
    let [each, seed, only] = words[..] else {
        panic!("{more}")
    };
    let mut tally = Tally::default();
    let calls = run(root, &fault, None).await.calls;
    let nths = match only {
        0 => chosen(calls, each, seed),
        only => vec![only],
    };
    // Two runs are never quite the same: a few more, until one passes untouched.
    let more = calls + 1..calls + 40 * u64::from(only == 0 && each >= calls) + 1;
    for nth in nths.into_iter().chain(more) {
        let before = PANICS.load(Ordering::Relaxed);
        let mut done = run(root, &fault, Some(nth)).await;
        for _ in before..PANICS.load(Ordering::Relaxed) {
            done.tally.count("panicked");
            done.problems.push("panicked: see above".to_owned());
        }
        for problem in &done.problems {
            say(&format!(
                "problem {fault} {nth}: {}",
                problem.replace('\n', " ")
            ));
        }
        tally.add(&done.tally);
        if nth > calls && done.tally.of("hit") == 0 {
            break;
        }
    }
    tally.tell();
}

/// All of the calls, or so many of them.
fn chosen(calls: u64, each: u64, seed: u64) -> Vec<u64> {
    if each >= calls {
        return (1..=calls).collect();
    }
    let dice = Dice::seeded(seed);
    // One of each part, so that early and late calls have their turn.
    let part = |n: u64| n * calls / each;
    let drawn = (0..each).map(|n| 1 + part(n) + dice.roll(part(n + 1) - part(n)));
    drawn.collect()
}

/// More counts that must be 0, like the counts of [`NEVER`].
pub(crate) type Also = &'static [&'static str];

/// Walks through faults, each in a child, and asserts that nothing was that must not be.
pub(crate) fn walk(test: &str, faults: &[Fault], ordinary: u64, also: Also) -> Tally {
    let mut total = Tally::default();
    let Some(disk) = Disk::here(test) else {
        return total;
    };
    let each = asked_for("IO_FAULTS_EACH", ordinary);
    let seed = asked_for("IO_FAULTS_SEED", u64::from(std::process::id()));
    let case = std::env::var("IO_FAULTS_CASE").ok();
    let case = case
        .as_deref()
        .map(|case| case.rsplit_once(' ').expect("a fault and a number"));
    let mut problems = Vec::new();
    for fault in faults {
        let only = match case {
            Some((named, _)) if named != fault.to_string() => continue,
            Some((_, nth)) => nth.parse().unwrap(),
            None => 0,
        };
        let (_scratch, root) = scratch();
        let more = format!("{fault}|{each} {seed} {only}");
        let environment = disk.environment(&root, None);
        let mut child = Child::start_with("walk", &root, &more, environment);
        let mut tally = Tally::default();
        while let Some(said) = child.heard() {
            match said.split_once(' ').unwrap() {
                ("tally", counts) => tally.add(&Tally::heard(counts)),
                (_, problem) => {
                    println!("{problem}");
                    problems.push(problem.to_owned());
                }
            }
        }
        assert!(child.ended().success(), "{fault}: the child failed");
        // SQLite itself calls a read that fails with EIO a damaged file system.
        if fault.class != "read" && tally.of("corrupt") > 0 {
            tally.count("misnamed");
            problems.push(format!(
                "misnamed: {fault}: a whole store is called corrupt"
            ));
        }
        println!("{fault}: {tally}");
        total.add(&tally);
    }
    println!("{test}: {total}");
    let found = NEVER.iter().chain(also).filter(|what| total.of(what) > 0);
    let found: Vec<&&str> = found.collect();
    problems.truncate(10);
    assert!(
        found.is_empty(),
        "there are {found:?}: {total}\n{}\nIO_FAULTS_SEED={seed}; repeat one: \
         IO_FAULTS_CASE=\"FAULT NUMBER\" cargo test --all-features --test io_faults {test}",
        problems.join("\n")
    );
    total
}
