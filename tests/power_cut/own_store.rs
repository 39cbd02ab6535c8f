//! Power cuts of any store, by the public [`work`] and [`Ledger`]. To run it with a store of your own:
//!
//! 1. Add your crate to the dev-dependencies of a checkout of this repository.
//!
//! 2. Let [`open`] open your store. The argument is a path below a directory that is its own. All files of
//!    the store must be below that directory, and be written by this process.
//!
//! 3. Run it on Linux, with a C compiler:
//!
//! ```console
//! $ POWER_CUT_IMAGES=500 cargo test --all-features --test power_cut own_store -- --nocapture
//! ```
//!
//! The recorder (`tests/support/disk.c`) sees what a process does through libc: `open`, `write`, `pwrite`,
//! `ftruncate`, `fsync`, `fdatasync`, `rename`, `link`, `unlink` and their relatives. It does not see
//! writes through a shared memory map or through `io_uring`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use action_store::conformance::kill::{Ledger, Note, work};
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionUid, Batch, Capabilities, Done, Durability, LogEntry, LogQuery,
    Page, Query, Rejection, SqliteStore, StoreError,
};
use async_trait::async_trait;

use super::attack::{Dice, asked_for, ends};
use super::disk::{Disk, mark, scratch};
use super::images::{Recorder, STORE, image_count, seed};
use super::recording::Entry;
use super::replay::{Names, Replay};
use super::ways::{Journal, Synchronous, Way};

/// A store that says `Disk`, whatever it does.
#[derive(Debug)]
struct SaysDisk(SqliteStore);

#[async_trait]
impl ActionStore for SaysDisk {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.durability = Durability::Disk;
        capabilities
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.0.write(batch).await
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.0.get(uids).await
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.0.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.0.log(query).await
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.0.owners(query).await
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.0.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}

/// Syncs each commit.
const SYNCED: Way = Way::Pool(Journal::Wal, Synchronous::Full, 3);

/// Does not sync its commits.
const UNSYNCED: Way = Way::Pool(Journal::Wal, Synchronous::Normal, 3);

/// Opens the store under test.
async fn open(path: &Path, way: Way) -> Result<Arc<dyn ActionStore>, StoreError> {
    let opened = way.open(path).await?;
    Ok(Arc::new(SaysDisk(opened.store)))
}

/// The child: works, and ends without closing the store. Its notes are marks in the recording.
pub(crate) async fn work_on_own_store(path: &Path, more: &str) {
    let way = more.split(' ').next().unwrap().parse().unwrap();
    let store = ends(open(path, way)).await.unwrap();
    let dir = path.parent().unwrap().to_owned();
    let note = move |note: &Note| -> io::Result<()> {
        mark(&dir, &note.to_string());
        Ok(())
    };
    work(store, asked_for("POWER_CUT_LIVES", 3), note)
        .await
        .unwrap();
    std::process::exit(0);
}

/// The notes of a recording, each with its position.
fn notes(entries: &[Entry]) -> Vec<(usize, Note)> {
    let note = |(at, entry): (usize, &Entry)| match entry {
        Entry::Mark(text) => Some((at, text.parse().ok()?)),
        _ => None,
    };
    entries.iter().enumerate().filter_map(note).collect()
}

/// Cuts the power after acknowledged writes. Returns what is wrong with the store then.
async fn cuts(disk: Disk, way: Way) -> Vec<String> {
    let recorder = Recorder::new(disk, way);
    assert!(recorder.run("own-store", ""));
    let entries = recorder.end().entries;
    let notes = notes(&entries);
    let acknowledged: Vec<_> = notes.iter().filter(|(_, note)| note.acknowledged).collect();
    let (seed, mut wrong) = (seed(), Vec::new());
    let dice = Dice::seeded(seed);
    for image in 0..image_count(40) {
        let (at, _) = **dice.one_of(&acknowledged);
        let names = [Names::Strict, Names::Ordered][(image % 2) as usize];
        let mut replay = Replay::new(names);
        entries[..=at].iter().for_each(|entry| replay.step(entry));
        let (_scratch, dir) = scratch();
        replay.leave(&dice, &dir);
        let mut ledger = Ledger::new();
        let before = notes.iter().filter(|(noted, _)| *noted <= at);
        before.for_each(|(_, note)| ledger.note(note));
        let found = match ends(open(&dir.join(STORE), way)).await {
            Ok(store) => {
                let verified = ends(ledger.verify(&*store)).await;
                ends(store.close()).await.unwrap();
                verified.err().map(|failure| failure.to_string())
            }
            Err(error) => Some(format!("cannot be opened: {error:?}")),
        };
        wrong.extend(found.map(|found| format!("{names:?}, cut at {at}, seed {seed}: {found}")));
    }
    wrong
}

#[tokio::test]
async fn a_store_that_syncs_its_commits_loses_nothing_acknowledged() {
    let Some(disk) = Disk::here("a_store_that_syncs_its_commits") else {
        return;
    };
    let wrong = cuts(disk, SYNCED).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_store_that_says_disk_and_does_not_sync_loses_acknowledged_writes() {
    let Some(disk) = Disk::here("a_store_that_says_disk_and_does_not_sync") else {
        return;
    };
    let wrong = cuts(disk, UNSYNCED).await;
    let lost = wrong
        .iter()
        .filter(|found| found.contains("acknowledged: "));
    assert!(lost.count() > 0, "{wrong:?}");
}
