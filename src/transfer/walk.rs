//! Reads a store: each action together with its log, as of one moment.

use std::sync::Arc;

use crate::error::{ErrorKind, StoreError};
use crate::model::{
    Action, ActionUid, Cursor, Limits, LogQuery, Order, Page, Position, Query, Term, Transition,
};
use crate::store::ActionStore;

/// How often an action that changes while it is read is read again before that is said.
const TRIES: u32 = 32;

/// Actions of a page unless set.
pub(super) const PAGE: u16 = 100;

/// A walk over the actions there are when it begins, in the order of their creation.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    query: Query,
    /// The newest action when the walk began: with it the walk ends, so that it does end while
    /// others create actions faster than it reads them.
    last: Option<ActionUid>,
    /// Whether there is nothing more to come.
    over: bool,
}

/// One page of a walk.
#[derive(Debug)]
pub(super) struct Heads {
    pub(super) items: Vec<Arc<Action>>,
    /// Where to go on; none at the end.
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

    /// All actions that match.
    pub(super) fn query(terms: Vec<Term>, page: u16) -> Query {
        let mut query = Query::new().with_limit(page);
        query.terms = terms;
        query
    }

    /// Looks where the walk is to end, and where the store stands.
    pub(super) async fn begin<S>(&mut self, store: &S) -> Result<Position, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let newest = self.query.clone().with_order(Order::Newest);
        let mut newest = newest.with_after(None).with_limit(1);
        loop {
            let page = store.list(&newest).await?;
            self.last = page.items.first().map(|action| action.uid);
            // A page may be short and go on.
            match page.next {
                Some(next) if self.last.is_none() => newest.after = Some(next),
                _ => {
                    self.over = self.last.is_none();
                    return Ok(page.at);
                }
            }
        }
    }

    /// The next page; none after the last. After an error the same page can be asked for again.
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
    pub(super) log: Vec<Transition>,
}

/// Reads an action's log to the head that was read before; none if the action was removed since.
///
/// What happened since the head was read is cut off the log, which makes the two fit whatever
/// writers do, but for one case: a log that is full loses its oldest entry with each new one.
/// Then the head is read anew.
///
/// # Errors
/// What the store said; `Unavailable` for an action whose full log has gained entries in each of
/// 32 tries.
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
            // Nothing has changed since, so this is all the log there is: an import may have
            // brought less of it than the action counts.
            Some(now) if now == action => return Ok(Some(Whole { action, log })),
            Some(now) => action = now,
        }
    }
    Err(StoreError::new(
        ErrorKind::Unavailable,
        "log",
        format!("action {} changes faster than it can be read", action.uid),
    ))
}

/// An action's log up to the version of a head.
async fn log_until<S>(store: &S, head: &Action) -> Result<Vec<Transition>, StoreError>
where
    S: ActionStore + ?Sized,
{
    let mut query = LogQuery::of(head.uid).with_limit(Limits::PAGE);
    let mut log = Vec::new();
    loop {
        let page = store.log(&query).await?;
        for entry in page.items {
            // Entries come in the order of their versions: all the others are later still.
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

/// Whether a log has all the entries that a head counts and ends where the head is.
fn is_complete(head: &Action, log: &[Transition]) -> bool {
    let counted = || log.iter().filter(|entry| !entry.is_late());
    let kept = head.log_entries.min(Limits::LOG_ENTRIES) as usize;
    counted().count() == kept
        && counted().next_back().is_some_and(|last| {
            (last.status, last.outcome) == (head.status, head.outcome)
                && last.step == head.step
                && last.owner == head.owner
        })
}
