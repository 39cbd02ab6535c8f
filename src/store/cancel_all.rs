//! Requests the cancellation of many actions.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use super::ActionStore;
use super::ext::ActionStoreExt;
use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Batch, CancelRequest, Change, Command, Cursor, Detail, Filter, Finish,
    Order, Outcome, OwnerRef, Query, Rejection, Status,
};

/// Actions per transaction.
const BATCH: u16 = 100;

/// One step of cancelling all unfinished actions that match some filters. See
/// [`ActionStoreExt::cancel_all`].
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use action_store::command::CancelAll;
/// use action_store::{ActionStoreExt, CancelRequest, Filter, MemoryStore, NewAction, ObjectRef};
///
/// let store = MemoryStore::new();
/// for bdb in 1..=250 {
///     store.create(NewAction::task("backup_bdb").with_object(ObjectRef::bdb(bdb))).await?;
/// }
/// let request = CancelRequest::new().with_by("ann").with_reason("maintenance");
/// let backups = CancelAll::new(request).with_filter(Filter::Name("backup_bdb".into()));
///
/// let dry = store.cancel_all(&backups.clone().with_dry_run(true)).await;
/// assert_eq!((dry.matched, dry.requested), (250, 0));
///
/// let mut next = Some(backups.with_limit(100));
/// while let Some(step) = next {
///     let report = store.cancel_all(&step).await;
///     println!("{} of {}: {:?}", report.ended, report.matched, report.next.map(|c| c.to_string()));
///     next = step.resume(&report);
/// #   if report.error.is_some() { break }
/// }
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CancelAll {
    /// The request that each action gets: who asks, and why.
    pub request: CancelRequest,
    /// Conditions that an action must meet, all of them. Completed actions never match.
    pub filters: Vec<Filter>,
    /// If true, the request is also passed to the unfinished parts of each action, and to their
    /// parts. Default true.
    pub parts: bool,
    /// If true, matching actions are counted and nothing is written. Parts are not counted. Default
    /// false.
    pub dry_run: bool,
    /// Maximum number of matching actions in one step. Default 1,000, at least 1. Each transaction
    /// has at most 100.
    pub limit: u32,
    /// Where to continue: [`CancelReport::next`] of the step before. Default: at the oldest action.
    pub after: Option<Cursor>,
}

impl CancelAll {
    /// Creates the first step for all unfinished actions.
    #[must_use]
    pub fn new(request: CancelRequest) -> CancelAll {
        CancelAll {
            request,
            filters: Vec::new(),
            parts: true,
            dry_run: false,
            limit: 1000,
            after: None,
        }
    }

    /// Adds a condition.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> CancelAll {
        self.filters.push(filter);
        self
    }

    /// Sets whether the request is also passed to the parts of each action.
    #[must_use]
    pub fn with_parts(mut self, parts: bool) -> CancelAll {
        self.parts = parts;
        self
    }

    /// Sets whether actions are only counted.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> CancelAll {
        self.dry_run = dry_run;
        self
    }

    /// Sets the maximum number of matching actions in one step.
    #[must_use]
    pub fn with_limit(mut self, limit: u32) -> CancelAll {
        self.limit = limit;
        self
    }

    /// Sets where to continue.
    #[must_use]
    pub fn with_after(mut self, after: Option<Cursor>) -> CancelAll {
        self.after = after;
        self
    }

    /// Returns the step that continues after a report, or none if all steps are done. After an
    /// error it repeats from the last transaction that was recorded.
    #[must_use]
    pub fn resume(self, report: &CancelReport) -> Option<CancelAll> {
        (!report.is_complete()).then(|| self.with_after(report.next))
    }
}

/// Result of one step of [`ActionStoreExt::cancel_all`].
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
#[must_use = "it says if there is more to do, and if the step failed"]
pub struct CancelReport {
    /// Unfinished actions that matched in this step.
    pub matched: u64,
    /// The matching actions that were queued.
    pub queued: u64,
    /// The matching actions that were executing. They end when their owner ends them.
    pub executing: u64,
    /// Actions that got the request in this step.
    pub requested: u64,
    /// Actions that had a request before. It was not changed.
    pub already: u64,
    /// Queued actions that ended as cancelled in this step. Others have an owner that is alive,
    /// which ends them.
    pub ended: u64,
    /// Actions that were completed or removed before they got the request.
    pub gone: u64,
    /// Parts of the matching actions that got the request in this step.
    pub parts: u64,
    /// Where the next step continues. `None` at the end, or if the first transaction failed.
    pub next: Option<Cursor>,
    /// The error that stopped the step. The counts include what was recorded before it. A part may
    /// be missing the request then. [`CancelAll::resume`] repeats the transaction that failed.
    /// Actions that have the request are not changed: if they are still unfinished, they match again
    /// and count as `already`.
    pub error: Option<StoreError>,
}

impl CancelReport {
    /// Returns true if no error stopped the step and no action is left to examine.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.error.is_none() && self.next.is_none()
    }
}

/// Result of requesting the cancellation of some actions.
#[derive(Debug, Default)]
struct Asked {
    requested: u64,
    already: u64,
    gone: u64,
    /// The actions that have a request now and are queued.
    queued: Vec<Arc<Action>>,
}

/// Executes one step. `own` is the owner that calls, which may end its own queued actions. Also
/// returns the refusal that says that `own` is fenced, if there was one.
pub(crate) async fn cancel_all<S: ActionStore + ?Sized>(
    store: &S,
    own: Option<&OwnerRef>,
    all: &CancelAll,
) -> (CancelReport, Option<Rejection>) {
    let mut report = CancelReport {
        next: all.after,
        ..CancelReport::default()
    };
    let mut fenced = None;
    let mut request = all.request.clone();
    request.fit();
    let done = walk(store, own, all, &request, &mut report, &mut fenced).await;
    report.error = done.err();
    (report, fenced)
}

/// Adds to the report as it goes, so that it includes what was recorded before an error.
async fn walk<S: ActionStore + ?Sized>(
    store: &S,
    own: Option<&OwnerRef>,
    all: &CancelAll,
    request: &CancelRequest,
    report: &mut CancelReport,
    fenced: &mut Option<Rejection>,
) -> Result<(), StoreError> {
    let mut query = Query::new()
        .with_filter(Filter::Unfinished)
        .with_order(Order::Oldest)
        .with_detail(Detail::Summary);
    query.filters.extend(all.filters.iter().cloned());
    let most = u64::from(all.limit.max(1));
    while report.matched < most {
        let left = u16::try_from(most - report.matched).unwrap_or(u16::MAX);
        query.limit = batch_of(store).min(left);
        query.after = report.next;
        let page = store.list(&query).await?;
        let asked = match all.dry_run {
            true => Asked {
                already: count(&page.items, |action| action.cancel.is_some()),
                ..Asked::default()
            },
            false => ask(store, &page.items, request).await?,
        };
        report.matched += count(&page.items, |_| true);
        report.queued += count(&page.items, |action| action.status == Status::Queued);
        report.executing += count(&page.items, |action| action.status == Status::Executing);
        report.requested += asked.requested;
        report.already += asked.already;
        report.gone += asked.gone;
        report.ended += end(store, own, &asked.queued, fenced).await?;
        if all.parts && !all.dry_run {
            for action in &page.items {
                ask_parts(store, own, action.uid, request, &mut report.parts, fenced).await?;
            }
        }
        report.next = page.next;
        if report.next.is_none() {
            break;
        }
    }
    Ok(())
}

fn count(actions: &[Arc<Action>], which: impl Fn(&Action) -> bool) -> u64 {
    actions.iter().map(|action| u64::from(which(action))).sum()
}

fn batch_of<S: ActionStore + ?Sized>(store: &S) -> u16 {
    let most = store.capabilities().max_commands;
    u16::try_from(most).unwrap_or(BATCH).clamp(1, BATCH)
}

/// Requests the cancellation of all unfinished parts below an action, in batches. Adds to the number
/// of those that got the request. Parts that have a request are not changed, so a repeat is
/// harmless.
pub(crate) async fn ask_parts<S: ActionStore + ?Sized>(
    store: &S,
    own: Option<&OwnerRef>,
    parent: ActionUid,
    request: &CancelRequest,
    requested: &mut u64,
    fenced: &mut Option<Rejection>,
) -> Result<(), StoreError> {
    let mut parents = VecDeque::from([parent]);
    // A part may be recorded before its parent, so the links can form a cycle.
    let mut met = HashSet::from([parent]);
    while let Some(parent) = parents.pop_front() {
        let query = Query::new()
            .with_filter(Filter::Parent(parent))
            .with_filter(Filter::Unfinished)
            .with_order(Order::Oldest)
            .with_detail(Detail::Summary)
            .with_limit(batch_of(store));
        let mut pages = store.pages(query);
        while let Some(page) = pages.next().await? {
            let new = page.items.iter().map(|part| part.uid);
            parents.extend(new.filter(|uid| met.insert(*uid)));
            let asked = ask(store, &page.items, request).await?;
            *requested += asked.requested;
            end(store, own, &asked.queued, fenced).await?;
        }
    }
    Ok(())
}

/// Requests the cancellation of some actions, in one transaction.
async fn ask<S: ActionStore + ?Sized>(
    store: &S,
    actions: &[Arc<Action>],
    request: &CancelRequest,
) -> Result<Asked, StoreError> {
    let mut asked = Asked::default();
    let mut requests = Vec::new();
    for action in actions {
        if action.cancel.is_some() {
            asked.already += 1;
            asked.queued.push(action.clone());
        } else {
            let change = Change::RequestCancel(request.clone());
            requests.push(Command::apply(action.uid, change));
        }
    }
    if !requests.is_empty() {
        for answer in store.write_repeating(Batch::each(requests)).await? {
            match answer {
                Ok(done) => {
                    asked.requested += 1;
                    asked.queued.extend(done.action);
                }
                // It was completed or removed in the meantime.
                Err(_) => asked.gone += 1,
            }
        }
    }
    asked
        .queued
        .retain(|action| action.status == Status::Queued);
    Ok(asked)
}

/// Ends queued actions that have a cancel request, in one transaction. Returns the number of those
/// that have ended. The store refuses the others: they have another owner or were started, and their
/// owner reads the request.
async fn end<S: ActionStore + ?Sized>(
    store: &S,
    own: Option<&OwnerRef>,
    queued: &[Arc<Action>],
    fenced: &mut Option<Rejection>,
) -> Result<u64, StoreError> {
    let ends: Vec<Command> = queued.iter().map(|action| end_of(own, action)).collect();
    let mut ended = 0;
    if !ends.is_empty() {
        for answer in store.write_repeating(Batch::each(ends)).await? {
            match answer {
                Ok(_) => ended += 1,
                Err(rejection) if is_fence(own, &rejection) => *fenced = Some(rejection),
                Err(_) => {}
            }
        }
    }
    Ok(ended)
}

/// Returns true if a refusal says that the owner is fenced.
fn is_fence(own: Option<&OwnerRef>, rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::Fenced { owner, .. } if Some(owner) == own)
}

/// Builds the command that ends a queued action after a cancel request, unless the action has
/// changed. The store refuses it if another owner of the action is alive.
pub(crate) fn end_of(own: Option<&OwnerRef>, queued: &Action) -> Command {
    let by = own.filter(|own| queued.owner.as_ref() == Some(*own));
    Command::apply(queued.uid, Change::Finish(Finish::new(Outcome::Cancelled)))
        .by(by.cloned())
        .if_version(queued.version)
}
