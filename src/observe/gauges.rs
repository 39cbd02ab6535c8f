//! The gauges of a store, read when the host asks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Observed;
use crate::clock::Clock;
use crate::error::StoreError;
use crate::model::{Detail, Filter, Limits, Order, Query, Status};
use crate::store::ActionStore;
use crate::telemetry;

/// Maximum number of pages that are read.
const MAX_PAGES: usize = 10;

impl<S: ActionStore> Observed<S> {
    /// Sets the gauges of the store: the number of actions by status, the age of the oldest
    /// unfinished action, and the number of batches that wait for an answer. Call it for each
    /// scrape.
    ///
    /// It reads the unfinished actions, oldest first, and at most 10 pages of 1,000. If there are
    /// more, the rest counts as completed.
    ///
    /// # Errors
    /// As [`list`](ActionStore::list). The gauges keep their values.
    pub async fn record_gauges(&self) -> Result<(), StoreError> {
        let mut query = Query::new()
            .with_filter(Filter::Unfinished)
            .with_order(Order::Oldest)
            .with_detail(Detail::Summary)
            .with_limit(Limits::PAGE);
        let (mut queued, mut executing, mut oldest) = (0, 0, None);
        let mut actions = 0;
        for _ in 0..MAX_PAGES {
            let page = self.list(&query).await?;
            actions = page.at.actions;
            for action in &page.items {
                oldest = oldest.or(Some(action.created_at));
                match action.status {
                    Status::Queued => queued += 1,
                    _ => executing += 1,
                }
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        let completed = actions.saturating_sub(queued + executing);
        let by_status = [
            (Status::Queued.as_str(), queued),
            (Status::Executing.as_str(), executing),
            (Status::Completed.as_str(), completed),
        ];
        let now = Clock::system().now();
        let age = oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        telemetry::set_store_gauges(by_status, age, self.pending.load(Ordering::Relaxed));
        Ok(())
    }
}
