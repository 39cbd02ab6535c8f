//! Removes all completed actions of an object or a tenant.

use super::delete_batch::{Fate, Removing};
use super::policy::{BATCH, BATCH_BYTES, PAUSE, check_batch};
use super::scan::PAGE;
use crate::error::StoreError;
use crate::model::{ActionUid, Cursor, Detail, Filter, Order, Query};
use crate::store::ActionStore;
use std::time::Duration;

/// Maximum number of actions that a report lists: 100. Further ones are only counted.
pub const LISTED: usize = 100;

/// Removes every completed action that matches, regardless of its age, and pauses after each
/// transaction. See [`Eraser`].
///
/// [`Filter::Touches`] matches all actions that refer to an object, [`Filter::Tenant`] those of a
/// tenant.
///
/// # Errors
/// As [`Eraser::next`].
///
/// # Panics
/// Outside a tokio runtime with time enabled.
pub async fn erase<S>(store: &S, filter: Filter) -> Result<Erased, StoreError>
where
    S: ActionStore + ?Sized,
{
    Eraser::new(store, filter).run().await
}

/// Report of an [`Eraser`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Erased {
    /// Number of actions that were removed.
    pub removed: u64,
    /// Number of actions that others removed first.
    pub gone: u64,
    /// Number of actions that stay because they are pinned.
    pub pinned: u64,
    /// Number of actions that stay because they were unfinished when they were read.
    pub unfinished: u64,
    /// Number of actions that stay because they are parts of unfinished actions.
    pub parts: u64,
    /// Number of actions that stay because they changed after they were read.
    pub changed: u64,
    /// The first [`LISTED`] actions that stay.
    pub left: Vec<Left>,
}

impl Erased {
    /// Returns true if every matching action that existed at the start is removed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.pinned + self.unfinished + self.parts + self.changed == 0
    }

    fn stays(&mut self, uid: ActionUid, why: Stays) {
        match why {
            Stays::Pinned => self.pinned += 1,
            Stays::Unfinished => self.unfinished += 1,
            Stays::Part => self.parts += 1,
            Stays::Changed => self.changed += 1,
        }
        if self.left.len() < LISTED {
            self.left.push(Left { uid, why });
        }
    }
}

/// An action that was not erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// The action.
    pub uid: ActionUid,
    /// Why it stays.
    pub why: Stays,
}

/// Reason why an action was not erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stays {
    /// The action is pinned.
    Pinned,
    /// The action was unfinished when it was read. Complete it, and erase again.
    Unfinished,
    /// The action is a part of an unfinished action. Complete that one, and erase again.
    Part,
    /// The action changed after it was read.
    Changed,
}

/// Removes every completed action that matches, oldest first.
///
/// The defaults are 50 actions and 256 KiB per transaction, and a pause of 5 ms after each.
/// Unfinished actions, pinned actions and parts of unfinished actions stay and are reported. To
/// erase these, complete or unpin them and erase again.
///
/// Each action that exists at the start is visited once, and is then removed or reported. Actions
/// created later are not visited. An eraser can be stopped at any point and run again. Cancelling
/// [`next`](Eraser::next) is safe.
///
/// Exports and copies are not erased. A database file also keeps removed rows in its pages until
/// the pages are reused.
#[derive(Debug)]
#[must_use = "an eraser does nothing until it is run"]
pub struct Eraser<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    filter: Filter,
    batch: u16,
    batch_bytes: usize,
    pause: Duration,
    stage: Stage,
    removing: Removing<()>,
    report: Erased,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Finds the newest action, at which the scan ends. Without an end, it might never finish while
    /// others create actions.
    Newest(Option<Cursor>),
    Walking(ActionUid, Option<Cursor>),
    Over,
}

impl<'s, S: ActionStore + ?Sized> Eraser<'s, S> {
    /// Creates an eraser for all actions that match `filter`.
    pub fn new(store: &'s S, filter: Filter) -> Eraser<'s, S> {
        Eraser {
            store,
            filter,
            batch: BATCH,
            batch_bytes: BATCH_BYTES,
            pause: PAUSE,
            stage: Stage::Newest(None),
            removing: Removing::new(),
            report: Erased::default(),
        }
    }

    /// Sets the maximum number of actions per transaction,
    /// 1..=[`Limits::PAGE`](crate::Limits::PAGE). The default is 50.
    pub fn with_batch(mut self, actions: u16) -> Eraser<'s, S> {
        self.batch = actions;
        self
    }

    /// Sets the approximate number of bytes removed per transaction. The default is 256 KiB.
    pub fn with_batch_bytes(mut self, bytes: usize) -> Eraser<'s, S> {
        self.batch_bytes = bytes;
        self
    }

    /// Sets the pause after each transaction. The default is 5 ms.
    pub fn with_pause(mut self, pause: Duration) -> Eraser<'s, S> {
        self.pause = pause;
        self
    }

    /// Returns the report so far.
    #[must_use]
    pub fn report(&self) -> &Erased {
        &self.report
    }

    /// Returns the pause after each transaction.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Reads one page or writes one transaction. Returns the number of removals that were tried;
    /// pause if it is not zero. Returns `None` at the end.
    ///
    /// After an error, call it again to repeat the step.
    ///
    /// # Errors
    /// `Invalid` if the batch size is out of range. Otherwise as [`ActionStore::list`] and
    /// [`ActionStore::write`].
    pub async fn next(&mut self) -> Result<Option<u64>, StoreError> {
        check_batch(self.batch)?;
        if !self.removing.is_empty() {
            let (most, bytes) = (self.batch, self.batch_bytes);
            let fates = self.removing.step(self.store, most, bytes).await?;
            for (uid, (), fate) in &fates {
                match fate {
                    Fate::Removed => self.report.removed += 1,
                    Fate::Gone => self.report.gone += 1,
                    Fate::Pinned => self.report.stays(*uid, Stays::Pinned),
                    Fate::Part => self.report.stays(*uid, Stays::Part),
                    Fate::Changed => self.report.stays(*uid, Stays::Changed),
                }
            }
            return Ok(Some(fates.len() as u64));
        }
        let query = Query::new()
            .with_filter(self.filter.clone())
            .with_detail(Detail::Summary);
        match self.stage {
            Stage::Over => return Ok(None),
            Stage::Newest(after) => {
                let page = self
                    .store
                    .list(&query.with_after(after).with_limit(1))
                    .await?;
                self.stage = match (page.items.first(), page.next) {
                    (Some(newest), _) => Stage::Walking(newest.uid, None),
                    (None, Some(next)) => Stage::Newest(Some(next)),
                    (None, None) => Stage::Over,
                };
            }
            Stage::Walking(last, after) => {
                let query = query.with_order(Order::Oldest).with_limit(PAGE);
                let page = self.store.list(&query.with_after(after)).await?;
                let mut next = page.next;
                for action in page.items {
                    if action.is_unfinished() {
                        self.report.stays(action.uid, Stays::Unfinished)
                    } else {
                        self.removing.push(&action, ())
                    }
                    if action.uid == last {
                        next = None;
                        break;
                    }
                }
                self.stage = match next {
                    Some(next) => Stage::Walking(last, Some(next)),
                    None => Stage::Over,
                };
            }
        }
        Ok(Some(0))
    }

    /// Removes all remaining matching actions, with a pause after each transaction.
    ///
    /// # Errors
    /// As [`Eraser::next`].
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub async fn run(mut self) -> Result<Erased, StoreError> {
        while let Some(tried) = self.next().await? {
            super::prune::pause(tried, self.pause).await;
        }
        Ok(self.report)
    }
}
