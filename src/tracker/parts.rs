//! Passes a cancel request on to the parts of an action.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::shared::Core;
use super::{Tracker, end};
use crate::error::Error;
use crate::model::{
    Action, ActionUid, Batch, CancelRequest, Change, Command, Detail, Filter, Finish, Order,
    Outcome, Query, Rejection, Status,
};
use crate::store::ActionStoreExt;

/// Options of [`Tracker::cancel`](crate::Tracker::cancel). A [`CancelRequest`] alone converts into
/// options that include the action's parts.
///
/// ```
/// # async fn example(tracker: action_store::Tracker) -> Result<(), action_store::Error> {
/// # let uid = action_store::ActionUid::new();
/// use action_store::tracker::CancelOptions;
/// use action_store::CancelRequest;
///
/// let request = CancelRequest::new().with_by("ann").with_reason("wrong cluster");
/// tracker.cancel(uid, CancelOptions::new(request).with_parts(false)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelOptions {
    /// The cancel request: who asks, and why.
    pub request: CancelRequest,
    /// If true, the request is also passed to the unfinished parts of the action, and to their
    /// parts. Default true.
    pub parts: bool,
}

impl CancelOptions {
    /// Creates options that include the action's parts.
    #[must_use]
    pub fn new(request: CancelRequest) -> CancelOptions {
        let parts = true;
        CancelOptions { request, parts }
    }

    /// Sets whether the request is also passed to the parts.
    #[must_use]
    pub fn with_parts(mut self, parts: bool) -> CancelOptions {
        self.parts = parts;
        self
    }
}

impl From<CancelRequest> for CancelOptions {
    fn from(request: CancelRequest) -> CancelOptions {
        CancelOptions::new(request)
    }
}

/// Parts per transaction.
const BATCH: u16 = 100;

/// Requests the cancellation of all unfinished parts below an action, in batches. Parts that have a
/// request are not changed, so a repeat is harmless.
pub(super) async fn ask(
    core: &Core,
    parent: ActionUid,
    request: &CancelRequest,
) -> Result<(), Error> {
    let mut parents = VecDeque::from([parent]);
    // A part may be recorded before its parent, so the links can form a cycle.
    let mut met = HashSet::from([parent]);
    while let Some(parent) = parents.pop_front() {
        let query = Query::new()
            .with_filter(Filter::Parent(parent))
            .with_filter(Filter::Unfinished)
            .with_order(Order::Oldest)
            .with_detail(Detail::Summary)
            .with_limit(BATCH);
        let mut pages = core.shared.store.pages(query);
        while let Some(page) = pages.next().await? {
            let new = page.items.iter().map(|part| part.uid);
            parents.extend(new.filter(|uid| met.insert(*uid)));
            ask_all(core, &page.items, request).await?;
        }
    }
    Ok(())
}

/// Requests the cancellation of some actions, and ends those that are queued.
async fn ask_all(core: &Core, parts: &[Arc<Action>], request: &CancelRequest) -> Result<(), Error> {
    let store = &core.shared.store;
    let unasked = parts.iter().filter(|part| part.cancel.is_none());
    let requests =
        unasked.map(|part| Command::apply(part.uid, Change::RequestCancel(request.clone())));
    let mut known: Vec<Arc<Action>> = parts
        .iter()
        .filter(|part| part.cancel.is_some())
        .cloned()
        .collect();
    let requests: Vec<Command> = requests.collect();
    if !requests.is_empty() {
        // A refused part was completed or removed in the meantime.
        let answers = store.write_repeating(Batch::each(requests)).await?;
        let asked = answers.into_iter().flatten();
        known.extend(asked.filter_map(|done| done.action));
    }
    let queued = known.iter().filter(|part| part.status == Status::Queued);
    let ends: Vec<Command> = queued.map(|part| end_of(core, part)).collect();
    if !ends.is_empty() {
        let answers = store.write_repeating(Batch::each(ends)).await?;
        let rejections = answers.iter().filter_map(|answer| answer.as_ref().err());
        // These have another owner or were started, and their owner reads the request.
        rejections.for_each(|refused| core.shared.note(refused));
    }
    Ok(())
}

/// Builds the command that ends a queued action after a cancel request, unless the action has
/// changed. The store refuses it if another owner of the action is alive.
pub(super) fn end_of(core: &Core, queued: &Action) -> Command {
    let own = queued.owner.as_ref() == Some(&core.shared.owner);
    Command::apply(queued.uid, Change::Finish(Finish::new(Outcome::Cancelled)))
        .by(own.then(|| core.shared.owner.clone()))
        .if_version(queued.version)
}

/// Passes the parent's cancel request to a part that was just begun, and to its parts. The parent's
/// request may have been passed on before the part existed.
pub(super) async fn ask_late(core: &Core, part: &Action) -> Result<Option<Arc<Action>>, Error> {
    let store = &core.shared.store;
    let Some(parent) = part.parent else {
        return Ok(None);
    };
    let parent = store.action(parent).await?;
    let Some(cancel) = parent.and_then(|parent| parent.cancel.clone()) else {
        return Ok(None);
    };
    let mut request = CancelRequest::new();
    request.by = cancel.by;
    request.reason = cancel.reason;
    match store.request_cancel(part.uid, request.clone()).await {
        Ok(asked) => {
            ask(core, part.uid, &request).await?;
            Ok(Some(asked))
        }
        // The part is completed or removed already.
        Err(Error::Rejected(Rejection::Conflict { .. } | Rejection::NotFound(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Tracker {
    /// Requests the cancellation of an action, owned by any process. Returns the action as it is
    /// after the request.
    ///
    /// A queued action ends at once. An executing action ends when its owner ends it. The owner
    /// learns of the request through [`Reporter::cancel_requested`](crate::Reporter::cancel_requested), which states the delay.
    ///
    /// The request is also passed to the unfinished parts of the action, and to their parts, 100
    /// per transaction. See [`CancelOptions::with_parts`]. A part that a tracker begins later,
    /// while its parent is unfinished, gets the request as soon as it is begun.
    ///
    /// A repeat of the same request returns the action, also if the first call has ended it.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if the action is completed otherwise, `Invalid` for a broken limit, and the
    /// store's errors. After an error some parts may not have the request. Call again: parts that
    /// already have a request are not changed.
    pub async fn cancel(
        &self,
        uid: ActionUid,
        options: impl Into<CancelOptions>,
    ) -> Result<Arc<Action>, Error> {
        let core = self.core.clone();
        let mut options = options.into();
        options.request.fit();
        let work = async move {
            let asked = end::cancel(&core, uid, options.request.clone()).await?;
            if options.parts {
                ask(&core, uid, &options.request).await?;
            }
            Ok(asked)
        };
        self.core.drive("cancel", work).await
    }
}
