//! System calls that fail. A child uses a store while a preloaded library (`tests/support/disk.c`) lets
//! the Nth call of a class fail, for each N until a run passes untouched.
//!
//! Small by default: of each walk a few N, drawn by a seed. At full size, and to repeat one case that
//! a failure names:
//!
//! ```console
//! $ IO_FAULTS_EACH=10000 cargo test --release --all-features --test io_faults -- --nocapture
//! $ IO_FAULTS_CASE="pool/wal/full/3 write 5 1 opening 17" \
//!     cargo test --all-features --test io_faults -- --nocapture
//! ```
#![cfg(all(feature = "conformance", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Each takes what it needs of these.
#[allow(dead_code)]
#[path = "../support/attack.rs"]
mod attack;
mod caller;
#[allow(dead_code)]
#[path = "../support/children.rs"]
mod children;
#[allow(dead_code)]
#[path = "../support/disk.rs"]
mod disk;
mod faults;
mod full;
mod once;
mod run;
mod tally;
mod walk;
#[allow(dead_code)]
#[path = "../support/ways.rs"]
mod ways;

#[test]
fn in_a_process_of_its_own() {
    children::play(|role, path, more| async move {
        match &*role {
            "walk" => walk::in_the_child(&path, &more).await,
            other => panic!("no role {other:?}"),
        }
    });
}
