//! Ends actions from outside their work: by a cancel request, or by an operator.

use std::sync::Arc;

use super::Tracker;
use super::begin::noted;
use super::core::Core;
use crate::error::Error;
use crate::model::{
    Action, ActionError, ActionUid, CancelRequest, Change, Command, Finish, Outcome, Rejection,
    Status,
};
use crate::store::ActionStoreExt;
use crate::store::cancel_all::end_of;

/// An operator's decision to end an action of a dead owner. See
/// [`Tracker::settle`]. A plain text converts into the reason.
///
/// ```
/// # async fn example(tracker: action_store::Tracker) -> Result<(), action_store::Error> {
/// # let uid = action_store::ActionUid::new();
/// use action_store::tracker::Settlement;
///
/// tracker.settle(uid, Settlement::new("node 7 burnt down").with_by("ann")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settlement {
    /// The reason: a text for operators, stored in the detail of the action's error. A text that is
    /// too long is truncated with a mark.
    pub reason: Arc<str>,
    /// The person or system that decided: a label, stored in the evidence and the log. Default: the
    /// tracker's owner name.
    pub by: Option<Arc<str>>,
}

impl Settlement {
    /// Creates a settlement with a reason, decided by the tracker's owner name.
    #[must_use]
    pub fn new(reason: impl Into<Arc<str>>) -> Settlement {
        let reason = reason.into();
        Settlement { reason, by: None }
    }

    /// Sets the person or system that decided.
    #[must_use]
    pub fn with_by(mut self, by: impl Into<Arc<str>>) -> Settlement {
        self.by = Some(by.into());
        self
    }
}

impl<T: Into<Arc<str>>> From<T> for Settlement {
    fn from(reason: T) -> Settlement {
        Settlement::new(reason)
    }
}

impl Tracker {
    /// Completes an action of a dead owner by hand: an executing one as lost, a queued one as
    /// interrupted.
    ///
    /// A repeat with the same reason returns the settled action.
    ///
    /// The [`Settlement`] gives the reason, which operators read, and may name who decided, for the
    /// evidence and the log. A plain text is the reason alone.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` if `by` is not a label, `OwnerAlive` if the action's owner is alive,
    /// and as [`enqueue`](Tracker::enqueue). `Conflict` if the action is completed, was changed at
    /// the same time, or is queued under another owner that is alive.
    pub async fn settle(
        &self,
        uid: ActionUid,
        settlement: impl Into<Settlement> + Send,
    ) -> Result<Arc<Action>, Error> {
        let core = self.core.clone();
        let settlement = settlement.into();
        let work = async move {
            let _gate = core.enter("settle").await?;
            settle(&core, uid, settlement).await
        };
        self.core.drive("settle", work).await
    }
}

pub(super) async fn cancel(
    core: &Arc<Core>,
    uid: ActionUid,
    request: CancelRequest,
) -> Result<Arc<Action>, Error> {
    let store = &core.shared.store;
    let asked = match store.request_cancel(uid, request.clone()).await {
        // A repeat of a request that has ended a queued action.
        Err(Error::Rejected(Rejection::Conflict { current, .. }))
            if current.outcome == Some(Outcome::Cancelled)
                && current.cancel.as_ref().is_some_and(|known| {
                    known.by == request.by && known.reason == request.reason
                }) =>
        {
            return Ok(current);
        }
        answer => answer?,
    };
    if asked.status != Status::Queued {
        return Ok(asked);
    }
    // If the action has another owner that is alive, that owner ends it; it reads the request
    // itself.
    match store
        .command_on_action(end_of(Some(&core.shared.owner), &asked))
        .await
    {
        Err(Error::Rejected(Rejection::Conflict { current, .. })) => Ok(current),
        Err(Error::Rejected(_)) => Ok(asked),
        answer => answer,
    }
}

async fn settle(core: &Core, uid: ActionUid, settlement: Settlement) -> Result<Arc<Action>, Error> {
    let store = &core.shared.store;
    let now = store.action(uid).await?.ok_or(Rejection::NotFound(uid))?;
    let decided_by = settlement.by;
    let decided_by = decided_by.unwrap_or_else(|| core.shared.owner.name.clone());
    let mut finish =
        Finish::settled(now.status, Some(settlement.reason)).with_decided_by(decided_by);
    finish.fit();
    if is_settled_so(&now, &finish) {
        return Ok(now);
    }
    // This owner may start a queued action at the same time, and the end would then apply to it.
    let if_version = (now.status == Status::Queued).then_some(now.version);
    let end = Command::apply(uid, Change::Finish(finish))
        .by(core.shared.owner.clone())
        .if_version(if_version);
    let settled = noted(core, store.command_on_action(end).await)?;
    core.shared.tell_settled(uid);
    Ok(settled)
}

/// Returns true if an earlier call has settled an action for the same reason.
fn is_settled_so(now: &Action, finish: &Finish) -> bool {
    let detail =
        |error: &Option<ActionError>| error.as_ref().and_then(|error| error.detail.clone());
    let by_others = matches!(now.outcome, Some(Outcome::Lost | Outcome::Interrupted));
    let reason = detail(&finish.error);
    by_others && reason.is_some() && detail(&now.error) == reason
}
