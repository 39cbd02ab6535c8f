//! The replayer sees what SQLite's documentation says is lost, whatever the store says of itself.

use std::path::{Path, PathBuf};

use super::attack::Dice;
use super::disk::{Disk, scratch};
use super::images::{Found, Plan, Recorder};
use super::recording::Entry;
use super::replay::{Names, Replay};
use super::ways::{Journal, Synchronous, Way};

/// Cuts the power forty times in one recording, with one rule for names.
async fn lost(disk: Disk, way: Way, names: Names) -> Found {
    let recorder = Recorder::new(disk, way);
    assert!(recorder.run("work", "1"));
    let recording = recorder.end();
    let plan = Plan {
        seed: 1,
        images: 40,
        names: &[names],
    };
    recording.cut(recording.since_opened(), &plan).await
}

#[tokio::test]
async fn a_commit_that_deletes_the_journal_is_lost_with_the_directory_at_full_and_not_at_extra() {
    let Some(disk) = Disk::here("a_commit_that_deletes_the_journal") else {
        return;
    };
    for names in [Names::Strict, Names::Ordered] {
        let full = Way::Pool(Journal::Delete, Synchronous::Full, 3);
        let found = lost(disk, full, names).await;
        assert!(found.damage.lost > 0, "{names:?}: {found}");
        let extra = Way::Pool(Journal::Delete, Synchronous::Extra, 3);
        let found = lost(disk, extra, names).await;
        assert_eq!(found.damage.lost, 0, "{names:?}: {found}");
    }
}

#[tokio::test]
async fn the_latest_commits_of_a_write_ahead_log_are_lost_at_normal_and_not_at_full() {
    let Some(disk) = Disk::here("the_latest_commits_of_a_write_ahead_log") else {
        return;
    };
    let normal = Way::Pool(Journal::Wal, Synchronous::Normal, 3);
    let found = lost(disk, normal, Names::Ordered).await;
    assert!(found.damage.lost > 0, "{found}");
    assert_eq!(found.damage.out_of_order, 0, "{found}");
    let full = Way::Pool(Journal::Wal, Synchronous::Full, 3);
    let found = lost(disk, full, Names::Ordered).await;
    assert_eq!(found.damage.lost, 0, "{found}");
}

/// A recording written by hand, of one file.
struct Script(Vec<Entry>);

impl Script {
    fn new() -> Script {
        Script(vec![Entry::Open {
            handle: 1,
            created: true,
            truncated: false,
            path: "file".to_owned(),
        }])
    }

    fn write(mut self, offset: usize, bytes: Vec<u8>) -> Script {
        self.0.push(Entry::Write {
            handle: 1,
            offset,
            bytes,
        });
        self
    }

    fn sync(mut self, succeeded: bool) -> Script {
        self.0.push(Entry::Sync {
            handle: 1,
            succeeded,
        });
        self
    }

    fn sync_directory(mut self) -> Script {
        self.0.push(Entry::SyncDirectory {
            path: String::new(),
            succeeded: true,
        });
        self
    }

    fn then(mut self, entry: Entry) -> Script {
        self.0.push(entry);
        self
    }

    /// The content of a file after each of a hundred power cuts.
    fn leaves(&self, names: Names, name: &str) -> Vec<Option<Vec<u8>>> {
        let mut replay = Replay::new(names);
        self.0.iter().for_each(|entry| replay.step(entry));
        let left = (0..100).map(|seed| {
            let (_scratch, dir): (_, PathBuf) = scratch();
            replay.leave(&Dice::seeded(seed), &dir);
            read(&dir.join(name))
        });
        left.collect()
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

#[test]
fn a_synced_write_stays_and_a_later_one_may_be_kept_dropped_or_torn() {
    let script = Script::new()
        .write(0, vec![1; 1024])
        .sync(true)
        .sync_directory();
    let script = script.write(0, vec![2; 1024]);
    let mut left = script.leaves(Names::Strict, "file");
    left.sort();
    left.dedup();
    let half = |first: u8, second: u8| Some([vec![first; 512], vec![second; 512]].concat());
    assert_eq!(left, [half(1, 1), half(1, 2), half(2, 1), half(2, 2)]);
}

#[test]
fn a_sync_does_not_make_writes_of_a_failed_sync_durable() {
    let script = Script::new()
        .write(0, vec![1; 4096])
        .sync(true)
        .sync_directory();
    let script = script.write(0, vec![2; 4096]).sync(false).sync(true);
    let left = script.leaves(Names::Strict, "file");
    assert!(left.contains(&Some(vec![1; 4096])), "lost");
    // A change of the page writes the whole of it again.
    let script = script.write(4095, vec![3]).sync(true);
    let again = [vec![2; 4095], vec![3]].concat();
    for left in script.leaves(Names::Strict, "file") {
        assert_eq!(left.as_ref(), Some(&again));
    }
}

#[test]
fn a_name_is_durable_with_its_directory_and_in_order_with_any_file() {
    let made = Script::new().write(0, vec![1]).sync(true);
    let strict = made.leaves(Names::Strict, "file");
    assert!(strict.contains(&None) && strict.contains(&Some(vec![1])));
    let ordered = made.leaves(Names::Ordered, "file");
    assert!(ordered.iter().all(Option::is_some));

    let moved = made.sync_directory();
    let moved = moved.then(Entry::Rename("file".to_owned(), "moved".to_owned()));
    for names in [Names::Strict, Names::Ordered] {
        let (old, new) = (moved.leaves(names, "file"), moved.leaves(names, "moved"));
        for (old, new) in old.iter().zip(&new) {
            assert!(old.is_some() != new.is_some(), "one of the two names");
        }
        assert!(old.contains(&None) && new.contains(&None));
    }
}
