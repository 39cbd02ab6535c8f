//! Ending an action from outside its work: by a cancel request, or by hand.

use std::sync::Arc;

use super::begin::noted;
use super::shared::Core;
use crate::error::Error;
use crate::model::{
    Action, ActionError, ActionUid, CancelRequest, Change, Command, Finish, OpId, Outcome, Refused,
    Status,
};
use crate::store::ActionStoreExt;

pub(super) async fn cancel(
    core: &Arc<Core>,
    uid: ActionUid,
    request: CancelRequest,
) -> Result<Arc<Action>, Error> {
    let store = &core.shared.store;
    let asked = store.request_cancel(uid, request).await?;
    if asked.status != Status::Queued {
        return Ok(asked);
    }
    // Its owner's to end, if it has one that is alive and elsewhere: that one hears of it. And
    // only if nobody has started it meanwhile.
    let own = asked.owner.as_ref() == Some(&core.shared.owner);
    let end = Command::Apply {
        uid,
        op: OpId::new(),
        change: Change::Finish(Finish::new(Outcome::Cancelled)),
        by: own.then(|| core.shared.owner.clone()),
        if_version: Some(asked.version),
    };
    match store.command_on_action(end).await {
        Err(Error::Refused(Refused::Conflict { current, .. })) => Ok(current),
        Err(Error::Refused(_)) => Ok(asked),
        answer => answer,
    }
}

pub(super) async fn settle(
    core: &Core,
    uid: ActionUid,
    reason: Arc<str>,
) -> Result<Arc<Action>, Error> {
    let store = &core.shared.store;
    let now = store.action(uid).await?.ok_or(Refused::NotFound(uid))?;
    let (outcome, code, message) = match now.status {
        Status::Queued => (
            Outcome::Interrupted,
            ActionError::INTERRUPTED,
            "it was never started, and settled by an operator",
        ),
        _ => (
            Outcome::Lost,
            ActionError::LOST,
            "its owner ended without a word; settled by an operator",
        ),
    };
    let error = ActionError::new(code, message).with_detail(reason);
    let end = Command::Apply {
        uid,
        op: OpId::new(),
        change: Change::Finish(Finish::new(outcome).with_error(error)),
        by: Some(core.shared.owner.clone()),
        // A queued one may be started meanwhile, by this very owner, who could then end it.
        if_version: (now.status == Status::Queued).then_some(now.version),
    };
    noted(core, store.command_on_action(end).await)
}
