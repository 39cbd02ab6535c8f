//! Reads of a store with known damage.
//!
//! A list with filters reads every row instead of an index, and filters the decoded records. An
//! answer that cannot be checked in this way is refused.

use std::sync::Arc;

use super::get;
use super::known_damage::{Part, incomplete};
use super::read_engine::SqliteReader;
use crate::error::StoreError;
use crate::model::{Action, ActionUid, Filter, Limits, LogEntry, LogQuery, Order, Page, Query};

impl SqliteReader {
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
        let rows = self.run("log", get::script(&[uid])).await?;
        get::read(&[uid], &rows)?.pop().unwrap_or(Ok(None))
    }
}
