//! A full disk: every write that would make a file larger fails until there is room again.

use super::faults::{ALWAYS, ENOSPC, Fault, Phase, ways};
use super::walk::walk;

#[test]
fn a_full_disk_is_unavailable_and_nothing_was_applied() {
    let full = |way| Fault {
        way,
        class: "space",
        errno: ENOSPC,
        times: ALWAYS,
        phase: Phase::Using,
    };
    let faults: Vec<Fault> = ways().into_iter().map(full).collect();
    let test = "a_full_disk_is_unavailable_and_nothing_was_applied";
    let also = &["unknown", "otherwise_refused"];
    let tally = walk(test, &faults, 8, also);
    let refused = tally.of("unavailable");
    assert!(
        tally.of("runs") == 0 || refused > 0,
        "nobody was refused: {tally}"
    );
}
