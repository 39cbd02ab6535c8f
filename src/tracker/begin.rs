//! Taking an action into this owner's hands.

use std::sync::Arc;

use super::handle::ActionHandle;
use super::open::Entry;
use super::shared::Core;
use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{
    Action, ActionUid, Batch, Change, Command, Finish, NewAction, OpId, Outcome, Refused,
};
use crate::store::ActionStoreExt;

pub(super) fn create_of(new: NewAction, core: &Core) -> Command {
    Command::Create {
        new: Arc::new(new),
        by: Some(core.shared.owner.clone()),
    }
}

fn start_of(uid: ActionUid, core: &Core) -> Command {
    apply_of(uid, Change::Start, core)
}

fn apply_of(uid: ActionUid, change: Change, core: &Core) -> Command {
    Command::Apply {
        uid,
        op: OpId::new(),
        change,
        by: Some(core.shared.owner.clone()),
        if_version: None,
    }
}

/// Takes note of what an answer says about the owner.
pub(super) fn noted<T>(core: &Core, answer: Result<T, Error>) -> Result<T, Error> {
    if let Err(Error::Refused(refused)) = &answer {
        core.shared.note(refused);
    }
    answer
}

/// What came of recording a new action and starting it.
enum Recorded {
    /// It is begun, and its children are queued.
    Begun(ActionHandle, Vec<Arc<Action>>),
    /// There is one by its idempotency key; nothing was recorded.
    Found(ActionUid),
}

pub(super) async fn begin(core: &Arc<Core>, new: NewAction) -> Result<ActionHandle, Error> {
    match record(core, new, Vec::new()).await? {
        Recorded::Begun(handle, _) => Ok(handle),
        Recorded::Found(uid) => start(core, uid).await,
    }
}

pub(super) async fn begin_with_children(
    core: &Arc<Core>,
    parent: NewAction,
    children: Vec<NewAction>,
) -> Result<(ActionHandle, Vec<Arc<Action>>), Error> {
    match record(core, parent, children).await? {
        Recorded::Begun(handle, children) => Ok((handle, children)),
        Recorded::Found(uid) => {
            let children = core.shared.store.children(uid).collect().await?;
            Ok((start(core, uid).await?, children))
        }
    }
}

/// Records an action with its children and starts it, all in one commit.
async fn record(
    core: &Arc<Core>,
    new: NewAction,
    children: Vec<NewAction>,
) -> Result<Recorded, Error> {
    let uid = new.uid;
    let create = create_of(new, core);
    let mut commands = vec![create.clone(), start_of(uid, core)];
    let mut uids = vec![uid];
    for child in children {
        uids.push(child.uid);
        commands.push(create_of(child, core));
    }
    let written = core.shared.store.write_repeating(Batch::all(commands));
    let answers = match written.await {
        Ok(answers) => answers,
        Err(error) => return Err(unknown(core, uids, error).into()),
    };
    let mut actions = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Ok(done) => actions.extend(done.action),
            // Says only that another command was refused.
            Err(Refused::Batch(_)) => {}
            // The create found another action by its idempotency key, and this one never was.
            Err(Refused::NotFound(missing)) if missing == uid => {
                let found = core.shared.store.command_on_action(create).await;
                return Ok(Recorded::Found(noted(core, found)?.uid));
            }
            Err(refused) => return noted(core, Err(refused.into())),
        }
    }
    // As it was created, as it was started, its children.
    let mut actions = actions.into_iter().skip(1);
    let action = actions.next().ok_or_else(|| {
        let message = "the store did not answer the command";
        StoreError::new(ErrorKind::Corrupt, "begin", message)
    })?;
    let handle = ActionHandle::new(core.clone(), action);
    Ok(Recorded::Begun(handle, actions.collect()))
}

pub(super) async fn start(core: &Arc<Core>, uid: ActionUid) -> Result<ActionHandle, Error> {
    take(core, uid, Change::Start).await
}

/// Takes an action into this owner's hands.
pub(super) async fn take(
    core: &Arc<Core>,
    uid: ActionUid,
    change: Change,
) -> Result<ActionHandle, Error> {
    let command = apply_of(uid, change, core);
    let taken = core.shared.store.command_on_action(command).await;
    match noted(core, taken) {
        Ok(action) => Ok(ActionHandle::new(core.clone(), action)),
        Err(Error::Store(error)) => Err(unknown(core, [uid], error).into()),
        Err(refused) => Err(refused),
    }
}

/// If nobody knows whether actions were begun, nobody will ever work on them: whatever came of
/// them is to be interrupted.
fn unknown(
    core: &Core,
    uids: impl IntoIterator<Item = ActionUid>,
    error: StoreError,
) -> StoreError {
    if error.kind() == ErrorKind::OutcomeUnknown {
        for uid in uids {
            let finish = Finish::new(Outcome::Interrupted);
            core.shared.put_end(Entry::unknown(uid, finish));
        }
    }
    error
}
