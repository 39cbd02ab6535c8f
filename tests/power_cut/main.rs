//! Power cuts, replayed. A child works on a store while a preloaded library records each change of its
//! files (`tests/support/disk.c`). A replayer makes what a power cut at any moment may leave. The store
//! in that is compared with what was acknowledged.
//!
//! Small by default. At full size, and to repeat a failure with the seed and the way it prints:
//!
//! ```console
//! $ POWER_CUT_IMAGES=2000 cargo test --release --all-features --test power_cut -- --nocapture
//! $ POWER_CUT_SEED=7 POWER_CUT_IMAGES=30 cargo test --all-features --test power_cut delete -- --nocapture
//! ```
//!
//! `own_store.rs` says how to run it with a store of your own.
#![cfg(all(feature = "conformance", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Each takes what it needs of these.
#[allow(dead_code)]
#[path = "../support/attack.rs"]
mod attack;
#[allow(dead_code)]
#[path = "../support/children.rs"]
mod children;
mod cuts;
mod detects;
#[allow(dead_code)]
#[path = "../support/disk.rs"]
mod disk;
mod doubts;
mod images;
mod ledger;
mod own_store;
mod recording;
mod replay;
#[allow(dead_code)]
#[path = "../support/ways.rs"]
mod ways;
mod worker;

use self::attack::{Dice, asked_for, ends};

#[test]
fn in_a_process_of_its_own() {
    children::play(|role, path, more| async move {
        match &*role {
            "work" => worker::work(&path, &more).await,
            "die" => worker::die(&path, &more).await,
            "give-up" => worker::give_up(&path, &more).await,
            "repeat" => worker::repeat(&path, &more).await,
            "own-store" => own_store::work_on_own_store(&path, &more).await,
            "outlive" => worker::outlive_failed_syncs(&path, &more).await,
            other => panic!("no role {other:?}"),
        }
    });
}
