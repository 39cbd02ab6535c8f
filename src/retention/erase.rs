//! Removes everything completed of an object or a tenant.

use super::due::PAGE;
use super::policy::{BATCH, BATCH_BYTES, PAUSE, check_batch};
use super::removing::{Fate, Removing};
use crate::error::StoreError;
use crate::model::{ActionUid, Cursor, Detail, Order, Query, Term};
use crate::store::ActionStore;
use std::time::Duration;

/// Most actions that a report lists; beyond it they are only counted.
pub const LISTED: usize = 100;

/// Removes every completed action that matches, whatever its age:
/// [`Term::Touches`] for all that ever touched an object, [`Term::Tenant`] for a tenant. Pauses
/// after each transaction. See [`Eraser`].
///
/// # Errors
/// As [`Eraser::next`].
///
/// # Panics
/// Outside a tokio runtime with time enabled.
#[cfg(feature = "tracker")]
pub async fn erase<S>(store: &S, term: Term) -> Result<Erased, StoreError>
where
    S: ActionStore + ?Sized,
{
    Eraser::new(store, term).run().await
}

/// What came of erasing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Erased {
    /// How many were removed.
    pub removed: u64,
    /// How many were gone when their turn came.
    pub gone: u64,
    /// How many stay because they are pinned.
    pub pinned: u64,
    /// How many stay because they were unfinished when they were read.
    pub unfinished: u64,
    /// How many stay because they are parts of unfinished actions.
    pub parts: u64,
    /// How many stay because they are no longer what they were when they were read.
    pub changed: u64,
    /// Which stay, the first [`LISTED`] of them.
    pub left: Vec<Left>,
}

impl Erased {
    /// Whether nothing is left of what there was when it began.
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
    /// Which action.
    pub uid: ActionUid,
    /// Why.
    pub why: Stays,
}

/// Why an action was not erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stays {
    /// It is pinned.
    Pinned,
    /// It was unfinished when it was read: complete it, and erase again.
    Unfinished,
    /// It is a part of an unfinished action: complete that, and erase again.
    Part,
    /// It is no longer what it was when it was read.
    Changed,
}

/// Removes every completed action that matches, oldest first, in transactions of 50 and 256 KiB with
/// a pause of 5 ms after each, unless set. Unfinished ones are reported and stay, and so do pinned
/// ones and the parts of unfinished ones. To erase those, complete the parent and erase again.
///
/// Each action there is when it begins is met once, and is then removed or reported; those created
/// later are left alone. It can be stopped anywhere and run again; a dropped future of
/// [`next`](Eraser::next) leaves it whole. What was exported or copied before is not its business,
/// nor are the pages of a database file, which keep removed rows until they are used again.
#[derive(Debug)]
#[must_use = "an eraser does nothing until it is run"]
pub struct Eraser<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    term: Term,
    batch: u16,
    batch_bytes: usize,
    pause: Duration,
    stage: Stage,
    removing: Removing<()>,
    report: Erased,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Looks for the newest action, with which the walk is to end: it would not while others
    /// create actions faster than it removes them.
    Newest(Option<Cursor>),
    Walking(ActionUid, Option<Cursor>),
    Over,
}

impl<'s, S: ActionStore + ?Sized> Eraser<'s, S> {
    /// For everything that matches.
    pub fn new(store: &'s S, term: Term) -> Eraser<'s, S> {
        Eraser {
            store,
            term,
            batch: BATCH,
            batch_bytes: BATCH_BYTES,
            pause: PAUSE,
            stage: Stage::Newest(None),
            removing: Removing::new(),
            report: Erased::default(),
        }
    }

    /// Sets how many are removed in one transaction, 1..=[`Limits::PAGE`](crate::Limits::PAGE).
    pub fn with_batch(mut self, actions: u16) -> Eraser<'s, S> {
        self.batch = actions;
        self
    }

    /// Sets about how many bytes are removed in one transaction, 256 KiB unless set.
    pub fn with_batch_bytes(mut self, bytes: usize) -> Eraser<'s, S> {
        self.batch_bytes = bytes;
        self
    }

    /// Sets how long to pause after each transaction.
    pub fn with_pause(mut self, pause: Duration) -> Eraser<'s, S> {
        self.pause = pause;
        self
    }

    /// What came of it so far.
    #[must_use]
    pub fn report(&self) -> &Erased {
        &self.report
    }

    /// How long to pause after each transaction.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Reads a page or writes one transaction, and says how many removals that tried: after those,
    /// pause. `None` at the end. After an error the same can be asked for again.
    ///
    /// # Errors
    /// `Invalid` for a batch beyond its limits, and as [`ActionStore::list`] and
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
            .with_term(self.term.clone())
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
                    match action.is_unfinished() {
                        true => self.report.stays(action.uid, Stays::Unfinished),
                        false => self.removing.push(&action, ()),
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

    /// Removes all that is left, pausing after each transaction.
    ///
    /// # Errors
    /// As [`Eraser::next`].
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    #[cfg(feature = "tracker")]
    pub async fn run(mut self) -> Result<Erased, StoreError> {
        while let Some(tried) = self.next().await? {
            super::prune::pause(tried, self.pause).await;
        }
        Ok(self.report)
    }
}
