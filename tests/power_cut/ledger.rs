//! Acknowledged changes, read from the marks of a recording, and their comparison with a store.
//!
//! A child marks `begin UID VERSION` before it sends a change that leads to that version, and `ack UID
//! VERSION` once it is acknowledged. A removal has the version `gone`.

use std::collections::HashMap;

use action_store::conformance::check_store;
use action_store::{ActionStore, ActionUid, SqliteStore};

use super::disk;
use super::recording::Entry;

/// The version of an action that was removed.
pub(crate) const GONE: u64 = u64::MAX;

/// In a child: says that a change is about to be sent.
pub(crate) fn begin(dir: &std::path::Path, uid: ActionUid, version: u64) {
    disk::mark(dir, &format!("begin {uid} {}", word(version)));
}

/// In a child: says that a change was acknowledged.
pub(crate) fn ack(dir: &std::path::Path, uid: ActionUid, version: u64) {
    disk::mark(dir, &format!("ack {uid} {}", word(version)));
}

fn word(version: u64) -> String {
    match version {
        GONE => "gone".to_owned(),
        version => version.to_string(),
    }
}

/// The moments of an action's changes, as positions in the recording.
#[derive(Default)]
struct WriteSet {
    begun: Vec<(u64, usize)>,
    acknowledged: Vec<(u64, usize)>,
}

#[derive(Default)]
pub(crate) struct Ledger(HashMap<ActionUid, WriteSet>);

/// The damage that a power cut did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Acknowledged changes that are not there.
    pub(crate) lost: usize,
    /// Of these, the ones that are missing though something begun after them is there.
    pub(crate) out_of_order: usize,
    /// Changes that are there before they were begun.
    pub(crate) phantom: usize,
    /// Stores that cannot be opened or are not whole.
    pub(crate) torn: usize,
}

impl std::ops::AddAssign for Damage {
    fn add_assign(&mut self, other: Damage) {
        self.lost += other.lost;
        self.out_of_order += other.out_of_order;
        self.phantom += other.phantom;
        self.torn += other.torn;
    }
}

impl Ledger {
    /// Enters the marks of a recording up to a cut.
    pub(crate) fn of(entries: &[Entry]) -> Ledger {
        let mut ledger = Ledger::default();
        for (position, entry) in entries.iter().enumerate() {
            let Entry::Mark(text) = entry else { continue };
            let words: Vec<&str> = text.split(' ').collect();
            let [what @ ("begin" | "ack"), uid, version] = words[..] else {
                continue;
            };
            let version = match version {
                "gone" => GONE,
                version => version.parse().unwrap(),
            };
            let changes = ledger.0.entry(uid.parse().unwrap()).or_default();
            match what {
                "begin" => changes.begun.push((version, position)),
                _ => changes.acknowledged.push((version, position)),
            }
        }
        ledger
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.0.values().map(|c| c.acknowledged.len()).sum()
    }

    /// Compares a store with what is entered here.
    pub(crate) async fn compare(&self, store: &SqliteStore) -> Damage {
        let mut damage = Damage::default();
        if let Err(failure) = check_store(store).await {
            println!("not whole: {failure}");
            damage.torn += 1;
        }
        let uids: Vec<ActionUid> = self.0.keys().copied().collect();
        // The last moment at which something was begun that is there.
        let mut latest = 0;
        let mut lost_at = Vec::new();
        for some in uids.chunks(500) {
            let found = match store.get(some).await {
                Ok(found) => found,
                Err(error) => {
                    println!("cannot be read: {error:?}");
                    damage.torn += 1;
                    return damage;
                }
            };
            for (uid, found) in some.iter().zip(found) {
                let changes = &self.0[uid];
                let found_at_all = found.is_some();
                let removed = !found_at_all && changes.is_begun(GONE);
                let version = match found {
                    None if removed => GONE,
                    None => 0,
                    Some(action) => action.version.get(),
                };
                let there = |(at, _): &&(u64, usize)| *at <= version;
                // An absent action was removed, or none of it was kept: both look the same.
                if found_at_all {
                    let begun = changes.begun.iter().filter(there).map(|(_, at)| *at);
                    latest = latest.max(begun.max().unwrap_or(0));
                }
                let missing = changes.acknowledged.iter().filter(|change| !there(change));
                let missing: Vec<usize> = missing.map(|(_, at)| *at).collect();
                damage.lost += missing.len();
                lost_at.extend(missing);
                damage.phantom += usize::from(version != 0 && !changes.reaches(version));
            }
        }
        damage.out_of_order = lost_at.iter().filter(|at| **at < latest).count();
        damage
    }
}

impl WriteSet {
    fn is_begun(&self, version: u64) -> bool {
        self.begun.iter().any(|(begun, _)| *begun == version)
    }

    fn reaches(&self, version: u64) -> bool {
        self.begun.iter().any(|(begun, _)| *begun >= version)
    }
}
