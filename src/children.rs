//! Counts the parts of an action by status and outcome.

use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Detail, Filter, Limits, Order, Outcome, Progress, Query, Status,
};
use crate::store::ActionStore;

/// Number of parts of an action, by status and outcome.
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use action_store::action::ChildCounts;
/// use action_store::{ActionStoreExt, Finish, MemoryStore, NewAction, Outcome};
///
/// let store = MemoryStore::new();
/// let upgrade = NewAction::task("upgrade_cluster");
/// for _ in 0..3 {
///     store.create(NewAction::task("upgrade_node").part_of(&upgrade)).await?;
/// }
/// let last = store.create(NewAction::task("upgrade_node").part_of(&upgrade)).await?;
/// store.finish(last.uid, Finish::new(Outcome::Cancelled), None).await?;
///
/// let counts = ChildCounts::of(&store, upgrade.uid).await?;
/// assert_eq!((counts.queued, counts.cancelled, counts.total()), (3, 1, 4));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct ChildCounts {
    /// Parts that have not started.
    pub queued: u64,
    /// Parts that have started and are not completed.
    pub executing: u64,
    /// Parts that succeeded.
    pub succeeded: u64,
    /// Parts that failed.
    pub failed: u64,
    /// Parts that were cancelled on request.
    pub cancelled: u64,
    /// Parts that were interrupted: stopped, or never started.
    pub interrupted: u64,
    /// Parts that were lost with their owner.
    pub lost: u64,
    /// True if there may be more parts than were counted. Only the first
    /// [`MOST`](ChildCounts::MOST) parts are counted.
    pub more: bool,
    /// True if retention may have removed parts, which are then not counted. Never true while the
    /// parent is on record and unfinished, because its parts stay.
    pub removed: bool,
}

impl ChildCounts {
    /// Maximum number of parts that are counted: 10,000.
    pub const MOST: u64 = PAGES * Limits::PAGE as u64;

    /// Counts the parts of an action that are on record. The action itself need not be on record.
    ///
    /// Reads at most 10 pages of 1,000 parts, so it counts the first 10,000. Each part is counted
    /// once, in the state that its page shows. The counts are of one moment only if there is one
    /// page, or if nothing changes meanwhile. Parts that were removed before their parent was
    /// recorded go unnoticed.
    ///
    /// # Errors
    /// As [`ActionStore::list`].
    pub async fn of<S>(store: &S, parent: ActionUid) -> Result<ChildCounts, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let mut counts = ChildCounts::default();
        let mut query = Query::new()
            .with_filter(Filter::Parent(parent))
            .with_order(Order::Oldest)
            .with_limit(Limits::PAGE)
            .with_detail(Detail::Summary);
        for _ in 0..PAGES {
            let page = store.list(&query).await?;
            page.items.iter().for_each(|child| counts.count(child));
            query.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        counts.more = query.after.is_some();
        counts.removed = may_be_gone(store, parent).await?;
        Ok(counts)
    }

    fn count(&mut self, child: &Action) {
        let count = match (child.outcome, child.status) {
            (None, Status::Queued) => &mut self.queued,
            (None, _) => &mut self.executing,
            (Some(Outcome::Succeeded), _) => &mut self.succeeded,
            (Some(Outcome::Failed), _) => &mut self.failed,
            (Some(Outcome::Cancelled), _) => &mut self.cancelled,
            (Some(Outcome::Interrupted), _) => &mut self.interrupted,
            (Some(Outcome::Lost), _) => &mut self.lost,
        };
        *count += 1;
    }

    /// Returns the number of all counted parts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.unfinished() + self.completed()
    }

    /// Returns the number of parts that are queued or executing.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.queued + self.executing
    }

    /// Returns the number of completed parts, with any outcome.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled + self.interrupted + self.lost
    }

    /// Returns the progress of an action that consists only of its parts: the completed share of
    /// them.
    ///
    /// It is 0 without parts, and below 100 % if there are more parts than were counted.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let share = Progress::ratio(self.completed(), self.total());
        if self.more {
            share.min(Progress::MAX_UNFINISHED)
        } else {
            share
        }
    }
}

/// Returns true if parts of an action may have been removed. Call it after counting: the parts of
/// an unfinished parent cannot be removed.
async fn may_be_gone<S>(store: &S, parent: ActionUid) -> Result<bool, StoreError>
where
    S: ActionStore + ?Sized,
{
    let parent = store.get(&[parent]).await?.pop().flatten();
    if parent.as_ref().is_some_and(|parent| parent.is_unfinished()) {
        return Ok(false);
    }
    let youngest = store.changed(None).await?.pruned_created;
    let created = parent.map(|parent| parent.created_at);
    Ok(youngest.is_some() && youngest >= created)
}

const PAGES: u64 = 10;
