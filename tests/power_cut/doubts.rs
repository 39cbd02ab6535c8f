//! Answers on bytes that were never synced: a process that died before its sync, and syncs that failed.

use action_store::ActionUid;

use super::disk::Disk;
use super::images::{Found, Plan, Recorder, Recording, image_count, seed};
use super::ledger::Damage;
use super::replay::Names;
use super::ways::{CONNECTIONS, DURABLE, Way};

const OWN_FILE: [Way; 2] = [Way::Exclusive, Way::Shared];

/// Pools that are to survive a power cut. One of a single connection has its log recovered whenever that
/// is replaced.
fn pools() -> Vec<Way> {
    let of = |(journal, level)| CONNECTIONS.map(|count| Way::Pool(journal, level, count));
    DURABLE.into_iter().flat_map(of).collect()
}

async fn cut_after(recording: &Recording, mark: &str, seed: u64) -> Found {
    let plan = Plan {
        seed,
        images: image_count(8).div_ceil(10).max(8),
        names: &[Names::Strict, Names::Ordered],
    };
    recording.cut(recording.since(mark), &plan).await
}

fn holds(test: &str, seed: u64, broken: &[String]) {
    assert!(
        broken.is_empty(),
        "{}\nrepeat: POWER_CUT_SEED={seed} cargo test --all-features --test power_cut {test}",
        broken.join("\n")
    );
}

/// A process ends, by the disk's doing or its own, at one of its next syncs, which is not done. The next
/// process repeats the create.
async fn repeat_after_end(test: &str, role: &str, ways: &[Way]) {
    let Some(disk) = Disk::here(test) else { return };
    let seed = seed();
    let mut broken = Vec::new();
    for way in ways {
        for sync in 1..=3 {
            let recorder = Recorder::new(disk, *way);
            let more = format!("{sync} {}", ActionUid::new());
            recorder.run(role, &more);
            assert!(recorder.run("repeat", &more), "{way}, sync {sync}");
            let recording = recorder.end();
            let found = cut_after(&recording, "repeating", seed).await;
            if recording.says_disk() && found.damage != Damage::default() {
                broken.push(format!("{way}, {role} at sync {sync}: {found}"));
            }
        }
    }
    holds(test, seed, &broken);
}

/// Syncs fail a few times in a row, from the first or the second on; then they work.
async fn answers_after_failed_syncs(test: &str, ways: &[Way]) {
    let Some(disk) = Disk::here(test) else { return };
    let seed = seed();
    let mut broken = Vec::new();
    for way in ways {
        for (times, first) in [(1, 1), (2, 1), (3, 1), (2, 2)] {
            let recorder = Recorder::new(disk, *way);
            let ended = recorder.run("outlive", &format!("{times} {first}"));
            assert!(ended, "{way}, {times} syncs from {first} on");
            let recording = recorder.end();
            let found = cut_after(&recording, "failing", seed).await;
            if recording.says_disk() && found.damage != Damage::default() {
                broken.push(format!(
                    "{way}, {times} failed from sync {first} on: {found}"
                ));
            }
        }
    }
    holds(test, seed, &broken);
}

#[tokio::test]
async fn a_store_of_its_own_answers_a_repeated_create_on_synced_bytes() {
    let test = "a_store_of_its_own_answers_a_repeated_create_on_synced_bytes";
    repeat_after_end(test, "die", &OWN_FILE).await;
}

#[tokio::test]
async fn a_store_on_a_pool_answers_a_repeated_create_on_synced_bytes() {
    let test = "a_store_on_a_pool_answers_a_repeated_create_on_synced_bytes";
    repeat_after_end(test, "die", &pools()).await;
}

#[tokio::test]
async fn a_store_of_its_own_answers_on_synced_bytes_after_a_process_that_gave_up() {
    let test = "a_store_of_its_own_answers_on_synced_bytes_after_a_process_that_gave_up";
    repeat_after_end(test, "give-up", &OWN_FILE).await;
}

#[tokio::test]
async fn a_store_on_a_pool_answers_on_synced_bytes_after_a_process_that_gave_up() {
    let test = "a_store_on_a_pool_answers_on_synced_bytes_after_a_process_that_gave_up";
    repeat_after_end(test, "give-up", &pools()).await;
}

#[tokio::test]
async fn a_store_of_its_own_keeps_what_it_acknowledges_after_failed_syncs() {
    let test = "a_store_of_its_own_keeps_what_it_acknowledges_after_failed_syncs";
    answers_after_failed_syncs(test, &OWN_FILE).await;
}

#[tokio::test]
async fn a_store_on_a_pool_keeps_what_it_acknowledges_after_failed_syncs() {
    let test = "a_store_on_a_pool_keeps_what_it_acknowledges_after_failed_syncs";
    answers_after_failed_syncs(test, &pools()).await;
}
