//! Damage that a check has found, and what can still be read.
//!
//! A damaged index hides rows: a list that uses it is short, and no row of it says so. So once
//! damage is known, a list with filters reads every row instead of an index. An answer that cannot
//! be checked in this way is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::errors::corrupt;
use super::get;
use super::reader::Reader;
use crate::error::StoreError;
use crate::model::{Action, ActionUid, Filter, Limits, LogEntry, LogQuery, Order, Page, Query};

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
fn incomplete(operation: &'static str) -> StoreError {
    let what = "the store is damaged, and this answer may lack rows; SqliteStore::check says where";
    corrupt(operation, what)
}

impl Reader {
    /// Reads a page of a damaged store: every row in order, none by an index of a filter. Rows
    /// check themselves. A page that would not be complete is refused.
    pub(super) async fn read_damaged_page(
        &mut self,
        query: &Query,
    ) -> Result<Page<Arc<Action>>, StoreError> {
        self.damage.check("list", Part::Actions)?;
        match query.order {
            Order::Feed => self.damage.check("list", Part::Feed)?,
            Order::Finished => self.damage.check("list", Part::Selection)?,
            _ => {}
        }
        if query.filters.iter().any(|f| matches!(f, Filter::Uid(_))) {
            let page = self.read_page(query).await?;
            if page.items.is_empty() {
                return Err(incomplete("list"));
            }
            return Ok(page);
        }
        let mut every = query.clone();
        every.filters.clear();
        let mut read = 0;
        loop {
            let mut page = self.read_page(&every).await?;
            read += page.items.len();
            page.items.retain(|action| query.matches(action));
            if !page.items.is_empty() || page.next.is_none() || read >= Limits::SCAN {
                return Ok(page);
            }
            every.after = page.next;
        }
    }

    /// Checks a page of a log. The log of one action is complete if it has as many entries as its
    /// action counts.
    pub(super) async fn check_damaged_log(
        &mut self,
        query: &LogQuery,
        page: &Page<LogEntry>,
    ) -> Result<(), StoreError> {
        let Err(error) = self.damage.check("log", Part::Log) else {
            return Ok(());
        };
        let Some(uid) = query.uid else {
            return Err(error);
        };
        let entries = page.items.iter().filter(|entry| !entry.is_late()).count();
        let action = self.read_one(uid).await?.ok_or_else(|| error.clone())?;
        let kept = action.log_entries.min(Limits::LOG_ENTRIES);
        let is_whole = query.after.is_none() && page.next.is_none();
        match is_whole && usize::try_from(kept) == Ok(entries) {
            true => Ok(()),
            false => Err(error),
        }
    }

    async fn read_one(&mut self, uid: ActionUid) -> Result<Option<Arc<Action>>, StoreError> {
        let before = |error| super::errors::store_error("log", super::errors::Phase::Before, error);
        let script = get::script(&[uid]).map_err(before)?;
        let rows = self.run_script("log", script).await?;
        get::read(&[uid], &rows)?.pop().unwrap_or(Ok(None))
    }
}
