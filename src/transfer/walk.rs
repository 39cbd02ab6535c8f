//! Reads the actions of a store, each with its log as of one moment.

use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};
use crate::model::{
    Action, ActionUid, Cursor, Filter, Limits, LogEntry, LogQuery, Order, Page, Position, Query,
};
use crate::store::ActionStore;

/// Attempts to read an action that changes meanwhile, before the call fails.
const TRIES: u32 = 32;

/// Default number of actions per page.
pub(super) const PAGE: u16 = 100;

/// Iteration over the actions that exist at its start, in the order of creation.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    query: Query,
    /// The newest action at the start. The iteration ends with it, so it ends even if others create
    /// actions faster than it reads them.
    last: Option<ActionUid>,
    /// True if no page remains.
    over: bool,
}

/// One page of an iteration.
#[derive(Debug)]
pub(super) struct Heads {
    pub(super) items: Vec<Arc<Action>>,
    /// Cursor of the next page; `None` at the end.
    pub(super) next: Option<Cursor>,
}

impl Walk {
    pub(super) fn new(query: Query, after: Option<Cursor>) -> Walk {
        Walk {
            query: query.with_order(Order::Oldest).with_after(after),
            last: None,
            over: false,
        }
    }

    /// Returns a query for all actions that match.
    pub(super) fn query(filters: Vec<Filter>, page: u16) -> Query {
        let mut query = Query::new().with_limit(page);
        query.filters = filters;
        query
    }

    /// Finds the newest action, and returns the position of the store.
    pub(super) async fn begin<S>(&mut self, store: &S) -> Result<Position, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let newest = self.query.clone().with_order(Order::Newest);
        let mut newest = newest.with_after(None).with_limit(1);
        loop {
            let page = store.list(&newest).await?;
            self.last = page.items.first().map(|action| action.uid);
            // A page may be empty although more follow.
            match page.next {
                Some(next) if self.last.is_none() => newest.after = Some(next),
                _ => {
                    self.over = self.last.is_none();
                    return Ok(page.at);
                }
            }
        }
    }

    /// Reads the next page; `None` after the last. After an error, call it again to repeat the
    /// page.
    pub(super) async fn next<S>(&mut self, store: &S) -> Result<Option<Heads>, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        if self.over {
            return Ok(None);
        }
        let Page {
            mut items,
            mut next,
            ..
        } = store.list(&self.query).await?;
        if let Some(last) = items.iter().position(|a| Some(a.uid) == self.last) {
            items.truncate(last + 1);
            next = None;
        }
        self.query.after = next;
        self.over = next.is_none();
        Ok(Some(Heads { items, next }))
    }
}

/// An action and its log as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) action: Arc<Action>,
    pub(super) log: Vec<LogEntry>,
}

/// Reads the log of an action up to the given state. Returns `None` if the action was removed
/// meanwhile.
///
/// Later log entries are cut off, so the log matches the action despite concurrent writes. There is
/// one exception: a full log loses an old entry with each new one. Then the action is read
/// again.
///
/// # Errors
/// The errors of the store. `Unavailable` also if the full log of an action gained entries during
/// each of 32 attempts.
pub(super) async fn whole<S>(store: &S, head: Arc<Action>) -> Result<Option<Whole>, StoreError>
where
    S: ActionStore + ?Sized,
{
    let mut action = head;
    for _ in 0..TRIES {
        let log = log_until(store, &action).await?;
        if is_complete(&action, &log) {
            return Ok(Some(Whole { action, log }));
        }
        match store.get(&[action.uid]).await?.pop().flatten() {
            None => return Ok(None),
            // The action has not changed, so this is the whole log. An import may have brought
            // fewer entries than the action counts.
            Some(now) if now == action => return Ok(Some(Whole { action, log })),
            Some(now) => action = now,
        }
    }
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        "log",
        format!("action {} changes faster than it can be read", action.uid),
    ))
}

/// Reads the log of an action up to the version of `head`.
async fn log_until<S>(store: &S, head: &Action) -> Result<Vec<LogEntry>, StoreError>
where
    S: ActionStore + ?Sized,
{
    let mut query = LogQuery::of(head.uid).with_limit(Limits::PAGE);
    let mut log = Vec::new();
    loop {
        let page = store.log(&query).await?;
        for entry in page.items {
            // Entries come in the order of versions, so all others are later still.
            if entry.version > head.version {
                return Ok(log);
            }
            log.push(entry);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(log),
        }
    }
}

/// Returns true if a log has all entries that `head` counts, and its last entry matches `head`.
fn is_complete(head: &Action, log: &[LogEntry]) -> bool {
    let counted = || log.iter().filter(|entry| !entry.is_late());
    let kept = head.log_entries.min(Limits::LOG_ENTRIES) as usize;
    counted().count() == kept
        && counted().next_back().is_some_and(|last| {
            (last.status, last.outcome) == (head.status, head.outcome)
                && last.step == head.step
                && last.owner == head.owner
        })
}
