//! The power is cut while callers work. Where `Disk` is said, nothing acknowledged is lost; elsewhere
//! it is counted, and only the latest may be missing.

use super::disk::Disk;
use super::images::{Plan, Recorder, image_count, seed};
use super::ledger::Damage;
use super::replay::Names;
use super::ways::{Journal, LEVELS, Synchronous, Way};

/// Records a child's work in one way of opening, and cuts the power. Says what contradicts what the store
/// says of itself.
async fn cut_work(disk: Disk, way: Way, seed: u64) -> Option<String> {
    let recorder = Recorder::new(disk, way);
    let ended = recorder.run("work", &seed.to_string());
    assert!(ended, "{way}: repeat with POWER_CUT_SEED={seed}");
    let recording = recorder.end();
    let plan = |images, names| Plan {
        seed,
        images,
        names,
    };
    let images = image_count(16);
    let (counted, held) = may_tear(way);
    let share = |names: &[Names]| images * names.len() as u64 / 2;
    if !counted.is_empty() {
        println!("{way} may tear under {counted:?} names, counted only:");
        let plan = plan(share(counted), counted);
        recording.cut(recording.since_opened(), &plan).await;
    }
    if held.is_empty() {
        return None;
    }
    let plan = plan(share(held), held);
    let found = recording.cut(recording.since_opened(), &plan).await;
    let damage = found.damage;
    let loses = recording.says_disk() && damage.lost > 0;
    let broken = loses || damage.out_of_order + damage.phantom + damage.torn > 0;
    broken.then(|| {
        let said = if recording.says_disk() {
            "Disk"
        } else {
            "Process"
        };
        format!("{way} says {said}: {found}")
    })
}

/// Returns the orders of names under which a way may tear, and those under which it must not.
///
/// At NORMAL SQLite does not sync the end of a rollback journal. Its documentation says that a power
/// cut may then damage the file, whatever becomes of the journal afterwards.
fn may_tear(way: Way) -> (&'static [Names], &'static [Names]) {
    match way {
        Way::Pool(Journal::Wal, ..) => (&[], &[Names::Strict, Names::Ordered]),
        Way::Pool(_, Synchronous::Normal, _) => (&[Names::Strict, Names::Ordered], &[]),
        _ => (&[], &[Names::Strict, Names::Ordered]),
    }
}

/// Shows what each way keeps of its word.
async fn keep_their_word(test: &str, ways: &[Way]) {
    let Some(disk) = Disk::here(test) else { return };
    let seed = seed();
    let mut broken = Vec::new();
    for way in ways {
        broken.extend(cut_work(disk, *way, seed).await);
    }
    assert!(
        broken.is_empty(),
        "{}\nrepeat: POWER_CUT_SEED={seed} cargo test --all-features --test power_cut {test}",
        broken.join("\n")
    );
}

fn pools(journal: Journal) -> [Way; 3] {
    LEVELS.map(|level| Way::Pool(journal, level, 3))
}

#[tokio::test]
async fn a_store_in_its_own_file_loses_nothing_in_a_power_cut() {
    let test = "a_store_in_its_own_file_loses_nothing_in_a_power_cut";
    keep_their_word(test, &[Way::Exclusive, Way::Shared]).await;
}

#[tokio::test]
async fn a_store_whose_making_is_cut_is_whole_or_not_there() {
    let test = "a_store_whose_making_is_cut_is_whole_or_not_there";
    let Some(disk) = Disk::here(test) else { return };
    for way in [Way::Exclusive, Way::Shared] {
        let recorder = Recorder::new(disk, way);
        assert!(recorder.run("work", "1"));
        let recording = recorder.end();
        let plan = Plan {
            seed: seed(),
            images: image_count(16),
            names: &[Names::Strict, Names::Ordered],
        };
        let found = recording.cut(recording.until_opened(), &plan).await;
        assert_eq!(found.damage, Damage::default(), "{way}, seed {}", plan.seed);
    }
}

#[tokio::test]
async fn a_pool_that_deletes_its_journal_loses_nothing_where_it_says_disk() {
    let test = "a_pool_that_deletes_its_journal_loses_nothing_where_it_says_disk";
    keep_their_word(test, &pools(Journal::Delete)).await;
}

#[tokio::test]
async fn a_pool_that_truncates_its_journal_loses_nothing_where_it_says_disk() {
    let test = "a_pool_that_truncates_its_journal_loses_nothing_where_it_says_disk";
    keep_their_word(test, &pools(Journal::Truncate)).await;
}

#[tokio::test]
async fn a_pool_that_keeps_its_journal_loses_nothing_where_it_says_disk() {
    let test = "a_pool_that_keeps_its_journal_loses_nothing_where_it_says_disk";
    keep_their_word(test, &pools(Journal::Persist)).await;
}

#[tokio::test]
async fn a_pool_with_a_write_ahead_log_loses_nothing_where_it_says_disk() {
    let test = "a_pool_with_a_write_ahead_log_loses_nothing_where_it_says_disk";
    keep_their_word(test, &pools(Journal::Wal)).await;
}
