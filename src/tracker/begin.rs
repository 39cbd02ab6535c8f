//! Begins actions: records, starts and adopts them under this owner.

use std::sync::Arc;

use super::handle::ActionHandle;
use super::in_flight::Entry;
use super::parts;
use super::shared::Core;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{Action, ActionUid, Batch, Change, Command, NewAction, Rejection};
use crate::store::ActionStoreExt;

pub(super) fn create_of(mut new: NewAction, core: &Core) -> Command {
    new.fit();
    Command::create(new).by(core.shared.owner.clone())
}

fn apply_of(uid: ActionUid, change: Change, core: &Core) -> Command {
    Command::apply(uid, change).by(core.shared.owner.clone())
}

/// Records what an answer says about the owner.
pub(super) fn noted<T>(core: &Core, answer: Result<T, Error>) -> Result<T, Error> {
    if let Err(Error::Rejected(refused)) = &answer {
        core.shared.note(refused);
    }
    answer
}

/// Result of recording a new action and starting it.
enum Recorded {
    /// The action is begun and its children are queued.
    Begun(ActionHandle, Vec<Arc<Action>>),
    /// An action with the same idempotency key exists; nothing was recorded.
    Found(ActionUid),
}

pub(super) async fn begin(core: &Arc<Core>, new: NewAction) -> Result<ActionHandle, Error> {
    match record(core, new, Vec::new()).await? {
        Recorded::Begun(handle, _) => asked(core, handle).await,
        Recorded::Found(uid) => start(core, uid).await,
    }
}

/// Passes the parent's cancel request to an action that was just begun. On an error the handle is
/// dropped, which interrupts the action.
async fn asked(core: &Core, handle: ActionHandle) -> Result<ActionHandle, Error> {
    if let Some(asked) = parts::ask_late(core, &handle.action()).await? {
        handle.seen(&asked);
    }
    Ok(handle)
}

pub(super) async fn begin_with_children(
    core: &Arc<Core>,
    parent: NewAction,
    children: Vec<NewAction>,
) -> Result<(ActionHandle, Vec<Arc<Action>>), Error> {
    match record(core, parent, children).await? {
        Recorded::Begun(handle, children) => Ok((asked(core, handle).await?, children)),
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
    let start = apply_of(uid, Change::Start, core);
    let mut commands = vec![create.clone(), start.clone()];
    let mut parts = Vec::with_capacity(children.len());
    for child in children {
        parts.push(child.uid);
        commands.push(create_of(child, core));
    }
    let written = core.shared.store.write_repeating(Batch::all(commands));
    let answers = match written.await {
        Ok(answers) => answers,
        Err(error) => return Err(unknown(core, uid, start, parts, error).into()),
    };
    let mut actions = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Ok(done) => actions.extend(done.action),
            // Says only that another command of the batch was refused.
            Err(Rejection::Batch(_)) => {}
            // The create found another action by its idempotency key, so this uid was not recorded.
            Err(Rejection::NotFound(missing)) if missing == uid => {
                let found = core.shared.store.command_on_action(create).await;
                return Ok(Recorded::Found(noted(core, found)?.uid));
            }
            Err(refused) => return noted(core, Err(refused.into())),
        }
    }
    // The answers are: the action as created, the action as started, its children.
    let mut actions = actions.into_iter().skip(1);
    let action = actions.next().ok_or_else(|| {
        let message = "the store did not answer the command";
        StoreError::new(StoreErrorKind::Corrupt, "begin", message)
    })?;
    let handle = ActionHandle::new(core.clone(), action);
    Ok(Recorded::Begun(handle, actions.collect()))
}

pub(super) async fn start(core: &Arc<Core>, uid: ActionUid) -> Result<ActionHandle, Error> {
    take(core, uid, Change::Start).await
}

/// Starts or adopts an action under this owner.
pub(super) async fn take(
    core: &Arc<Core>,
    uid: ActionUid,
    change: Change,
) -> Result<ActionHandle, Error> {
    let command = apply_of(uid, change, core);
    let taken = core.shared.store.command_on_action(command.clone()).await;
    match noted(core, taken) {
        Ok(action) => Ok(ActionHandle::new(core.clone(), action)),
        Err(Error::Store(error)) => Err(unknown(core, uid, command, Vec::new(), error).into()),
        Err(refused) => Err(refused),
    }
}

/// Queues an interruption if the outcome of a begin is unknown, since no work will run for that
/// action. The retry sends the same command again to learn whether it was applied, and then
/// interrupts the action and the children created with it.
fn unknown(
    core: &Core,
    uid: ActionUid,
    taking: Command,
    children: Vec<ActionUid>,
    error: StoreError,
) -> StoreError {
    if error.kind() == StoreErrorKind::OutcomeUnknown {
        core.shared.put_end(Entry::taking(uid, taking, children));
    }
    error
}
