//! How the parts of an action stand.

use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Detail, Limits, Order, Outcome, Progress, Query, Status, Term,
};
use crate::store::ActionStore;

/// How many parts an action has, and how they stand.
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use action_store::{ActionStoreExt, ChildCounts, Finish, MemoryStore, NewAction, Outcome};
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
    /// Not started yet.
    pub queued: u64,
    /// Started and not completed.
    pub executing: u64,
    /// Did what they were for.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Were cancelled on request.
    pub cancelled: u64,
    /// Were stopped, or never started.
    pub interrupted: u64,
    /// Lost with their owner.
    pub lost: u64,
    /// Whether there may be more than were counted: these are the first
    /// [`MOST`](ChildCounts::MOST).
    pub more: bool,
    /// True if parts may have been removed: those are not counted. Never of an unfinished action
    /// on record, whose parts stay.
    pub removed: bool,
}

impl ChildCounts {
    /// Most parts that are counted.
    pub const MOST: u64 = PAGES * Limits::PAGE as u64;

    /// Counts the parts of an action, whether it is itself on record or not: those on record, the
    /// first 10,000, in at most 10 pages of 1000. Each is counted once, as its page shows it; the
    /// counts are of one moment only if there is one page, or nothing changes. Parts that were
    /// removed before their parent was recorded are not known of.
    ///
    /// # Errors
    /// As [`ActionStore::list`].
    pub async fn of<S>(store: &S, parent: ActionUid) -> Result<ChildCounts, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let mut counts = ChildCounts::default();
        let mut query = Query::new()
            .with_term(Term::Parent(parent))
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

    /// All that were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.unfinished() + self.completed()
    }

    /// Those that are queued or executing.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.queued + self.executing
    }

    /// Those that are completed, however they ended.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled + self.interrupted + self.lost
    }

    /// How far an action has come that is nothing but its parts: the share of them that is
    /// completed. It is 0 without parts, and below 100 % if there are more than were counted.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let share = Progress::ratio(self.completed(), self.total());
        match self.more {
            true => share.min(Progress::MAX_UNFINISHED),
            false => share,
        }
    }
}

/// Returns true if parts of an action may have been removed. Asked after they were counted: as long as
/// their parent is unfinished, they stay.
async fn may_be_gone<S>(store: &S, parent: ActionUid) -> Result<bool, StoreError>
where
    S: ActionStore + ?Sized,
{
    let parent = store.get(&[parent]).await?.pop().flatten();
    if parent.as_ref().is_some_and(|parent| parent.is_unfinished()) {
        return Ok(false);
    }
    let youngest = store.changed(None).await?.removed_created;
    let created = parent.map(|parent| parent.created_at);
    Ok(youngest.is_some() && youngest >= created)
}

const PAGES: u64 = 10;
