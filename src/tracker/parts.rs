//! Passes a cancel request on to the parts of an action.

use std::sync::Arc;

use super::core::Core;
use super::{Tracker, end};
use crate::error::Error;
use crate::model::{Action, ActionUid, CancelRequest, Rejection};
use crate::store::ActionStoreExt;
use crate::store::cancel_all::{self, CancelAll, CancelReport};

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

/// Requests the cancellation of all unfinished parts below an action.
async fn ask(core: &Core, parent: ActionUid, request: &CancelRequest) -> Result<(), Error> {
    let own = Some(&core.shared.owner);
    let (mut requested, mut fenced) = (0, None);
    let store = &core.shared.store;
    let asked =
        cancel_all::ask_parts(store, own, parent, request, &mut requested, &mut fenced).await;
    fenced.iter().for_each(|refused| core.shared.note(refused));
    Ok(asked?)
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

    /// Executes one step of requesting the cancellation of all unfinished actions that match some
    /// filters, as [`ActionStoreExt::cancel_all`] does. It also ends queued actions of this tracker
    /// at once.
    ///
    /// ```
    /// # async fn example(tracker: action_store::Tracker) -> Result<(), action_store::Error> {
    /// use action_store::command::CancelAll;
    /// use action_store::{CancelRequest, Filter, ObjectRef};
    ///
    /// let request = CancelRequest::new().with_by("ann").with_reason("node 7 is replaced");
    /// let on_node = Filter::Touches(ObjectRef::node(7));
    /// let mut next = Some(CancelAll::new(request).with_filter(on_node));
    /// while let Some(step) = next {
    ///     let report = tracker.cancel_all(step.clone()).await?;
    ///     if let Some(error) = report.error {
    ///         return Err(error.into()); // or pause, and go on with `step.resume(&report)`
    ///     }
    ///     next = step.resume(&report);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `OutcomeUnknown` if the tracker's task ended. An error of the store is in the report.
    pub async fn cancel_all(&self, all: CancelAll) -> Result<CancelReport, Error> {
        let core = self.core.clone();
        let work = async move {
            let own = Some(&core.shared.owner);
            let (report, fenced) = cancel_all::cancel_all(&core.shared.store, own, &all).await;
            fenced.iter().for_each(|refused| core.shared.note(refused));
            Ok(report)
        };
        self.core.drive("cancel_all", work).await
    }
}
