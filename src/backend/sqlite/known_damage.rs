//! Damage that a check has found.
//!
//! A damaged index hides rows: a list that uses it is short, and no row of it says so. So once
//! damage is known, answers are read in another way or refused: see `damaged_reads.rs`.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::backend::sql::corrupt;
use crate::error::StoreError;

/// The parts of a store that can be damaged on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Columns and indexes by which actions are selected.
    Selection = 1,
    /// Actions are missing.
    Actions = 2,
    Feed = 4,
    Log = 8,
    Owners = 16,
}

impl Part {
    pub(super) const ALL: [Part; 5] = [
        Part::Selection,
        Part::Actions,
        Part::Feed,
        Part::Log,
        Part::Owners,
    ];
}

/// A set of damaged parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Parts(u8);

impl Parts {
    pub(super) fn add(&mut self, part: Part) {
        self.0 |= part as u8;
    }

    fn has(self, part: Part) -> bool {
        self.0 & part as u8 != 0
    }
}

/// Result of the latest check of an open store.
#[derive(Debug, Default)]
pub(super) struct KnownDamage {
    parts: AtomicU8,
    findings: AtomicU64,
}

impl KnownDamage {
    /// Replaces what is known by the result of a check of the whole store.
    pub(super) fn set(&self, parts: Parts, findings: u64) {
        self.findings.store(findings, Ordering::Relaxed);
        self.parts.store(parts.0, Ordering::Release);
    }

    /// Number of findings of the latest check.
    pub(super) fn findings(&self) -> u64 {
        self.findings.load(Ordering::Relaxed)
    }

    fn parts(&self) -> Parts {
        Parts(self.parts.load(Ordering::Acquire))
    }

    /// Returns true if a list must not trust the indexes.
    pub(super) fn affects_lists(&self) -> bool {
        let parts = self.parts();
        [Part::Selection, Part::Actions, Part::Feed]
            .into_iter()
            .any(|part| parts.has(part))
    }

    /// Fails if a part that an answer needs is damaged.
    pub(super) fn check(&self, operation: &'static str, part: Part) -> Result<(), StoreError> {
        if self.parts().has(part) {
            return Err(incomplete(operation));
        }
        Ok(())
    }
}

/// The error for an answer that may lack rows.
pub(super) fn incomplete(operation: &'static str) -> StoreError {
    let what = "the store is damaged, and this answer may lack rows; SqliteStore::check says where";
    corrupt(operation, what)
}
