//! Calls that fail once, a few times, or for good until that is over: nothing acknowledged is lost,
//! nothing refused is there, and the store works again.

use super::faults::{ALWAYS, EIO, EMFILE, ENOSPC, Fault, Phase, SHORT, ways};
use super::walk::walk;
use super::ways::{DURABLE, Way};

/// These kinds of faults in each way of opening, at each of these phases.
fn faults(ways: &[Way], kinds: &[(&'static str, i32, i32)], phases: &[Phase]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for way in ways {
        for (class, errno, times) in kinds {
            faults.extend(phases.iter().map(|phase| Fault {
                way: *way,
                class,
                errno: *errno,
                times: *times,
                phase: *phase,
            }));
        }
    }
    faults
}

const BOTH: [Phase; 2] = [Phase::Opening, Phase::Closing];

const ONCE: [(&str, i32, i32); 10] = [
    ("read", EIO, 1),
    ("write", EIO, 1),
    ("write", ENOSPC, 1),
    ("write", SHORT, 1),
    ("sync", EIO, 1),
    ("truncate", EIO, 1),
    ("unlink", EIO, 1),
    ("rename", EIO, 1),
    ("shm", EIO, 1),
    ("shm", ENOSPC, 1),
];

#[test]
fn a_store_in_its_own_file_outlives_one_failed_call() {
    let test = "a_store_in_its_own_file_outlives_one_failed_call";
    walk(test, &faults(&ways()[..2], &ONCE, &BOTH), 2, &[]);
}

#[test]
fn a_store_on_a_pool_outlives_one_failed_call() {
    let test = "a_store_on_a_pool_outlives_one_failed_call";
    walk(test, &faults(&ways()[2..], &ONCE, &BOTH), 2, &[]);
}

#[test]
fn a_store_outlives_calls_that_fail_again_and_again() {
    let kinds = [
        ("write", EIO, 2),
        ("write", EIO, ALWAYS),
        ("sync", EIO, 2),
        ("sync", EIO, 3),
        ("sync", EIO, ALWAYS),
        ("read", EIO, ALWAYS),
        ("open", EMFILE, 3),
        ("shm", EIO, ALWAYS),
    ];
    let test = "a_store_outlives_calls_that_fail_again_and_again";
    walk(test, &faults(&ways(), &kinds, &BOTH), 1, &[]);
}

/// SQLite opens a file for reading alone when it cannot be opened for writing, and says nothing.
#[test]
fn one_failed_open_leaves_no_store_that_refuses_every_write() {
    let kinds = [("open_write", EMFILE, 1), ("open", EIO, 1)];
    let test = "one_failed_open_leaves_no_store_that_refuses_every_write";
    let mut ways = ways();
    // Each of these has no other connection to turn to.
    ways.extend(DURABLE.map(|(journal, level)| Way::Pool(journal, level, 1)));
    walk(test, &faults(&ways, &kinds, &[Phase::Opening]), 8, &[]);
}

/// The store can be reached, so it finds out what came of a commit that failed.
#[test]
fn one_failed_call_leaves_nobody_in_doubt() {
    let kinds = [
        ("write", EIO, 1),
        ("write", ENOSPC, 1),
        ("sync", EIO, 1),
        ("truncate", EIO, 1),
        ("unlink", EIO, 1),
    ];
    let test = "one_failed_call_leaves_nobody_in_doubt";
    walk(
        test,
        &faults(&ways(), &kinds, &[Phase::Using]),
        4,
        &["unknown"],
    );
}
