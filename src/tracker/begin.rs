//! Begins actions: records, starts and adopts them under this owner.

use std::sync::Arc;

use super::core::Core;
use super::handle::ActionHandle;
use super::in_flight::{Entry, key_of};
use super::parts;
use super::recorded::Recorded;
use super::run::unless_it_panics;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{
    Action, ActionUid, Batch, Change, Command, ConflictReason, Effect, Key, NewAction, Rejection,
    Status,
};
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
enum Begun {
    /// The action is begun and its children are queued.
    New(ActionHandle, Vec<Arc<Action>>),
    /// An action with the same idempotency key exists; nothing was recorded.
    Found(ActionUid),
}

/// Records a new action as queued.
pub(super) async fn enqueue(core: &Core, new: NewAction) -> Result<Recorded<Arc<Action>>, Error> {
    let uid = new.uid;
    let create = create_of(new, core);
    let store = &core.shared.store;
    // The first try is made here, to know if a repeat may find what it has recorded.
    let first = match store.write(Batch::each(vec![create.clone()])).await {
        Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => Err(error),
        answer => Ok(answer?),
    };
    let (done, unsure) = match first {
        Ok(answers) => match answers.into_iter().next() {
            Some(answer) => (noted(core, answer.map_err(Error::from))?, false),
            None => return Err(unanswered("enqueue").into()),
        },
        Err(unknown) => match store.command(create).await {
            // This try did nothing, but the first one may have.
            Err(Error::Store(_)) => return Err(unknown.into()),
            answer => (noted(core, answer)?, true),
        },
    };
    let action = done.action.ok_or_else(|| unanswered("enqueue"))?;
    if done.effect == Effect::Applied || (unsure && action.uid == uid) {
        let asked = parts::ask_late(core, &action).await?;
        return Ok(Recorded::New(asked.unwrap_or(action)));
    }
    Ok(Recorded::Found(action))
}

fn unanswered(operation: &'static str) -> StoreError {
    let message = "the store did not answer the command";
    StoreError::new(StoreErrorKind::Corrupt, operation, message)
}

pub(super) async fn begin(core: &Arc<Core>, new: NewAction) -> Result<ActionHandle, Error> {
    let (handle, _) = begin_all(core, new, Vec::new()).await?;
    Ok(handle)
}

/// Begins an action with its children. If the action was recorded before, returns its recorded
/// children.
pub(super) async fn begin_with_children(
    core: &Arc<Core>,
    parent: NewAction,
    children: Vec<NewAction>,
) -> Result<(ActionHandle, Vec<Arc<Action>>), Error> {
    let (handle, children) = begin_all(core, parent, children).await?;
    let children = match children {
        Some(children) => children,
        None => core.shared.store.children(handle.uid()).collect().await?,
    };
    Ok((handle, children))
}

/// Passes the parent's cancel request to an action that was just begun. On an error the handle is
/// dropped, which interrupts the action.
async fn asked(core: &Core, handle: ActionHandle) -> Result<ActionHandle, Error> {
    if let Some(asked) = parts::ask_late(core, &handle.action()).await? {
        handle.seen(&asked);
    }
    Ok(handle)
}

/// Begins an action with its children. Returns no children if the action was recorded before.
async fn begin_all(
    core: &Arc<Core>,
    parent: NewAction,
    children: Vec<NewAction>,
) -> Result<(ActionHandle, Option<Vec<Arc<Action>>>), Error> {
    if let Some(handle) = resume(core, parent.uid).await? {
        return Ok((asked(core, handle).await?, None));
    }
    let key = key_of(&parent);
    match record(core, parent, children).await? {
        Begun::New(handle, children) => Ok((asked(core, handle).await?, Some(children))),
        Begun::Found(uid) => Ok((start_found(core, uid, key).await?, None)),
    }
}

/// Records an action with its children and starts it, all in one commit.
async fn record(
    core: &Arc<Core>,
    new: NewAction,
    children: Vec<NewAction>,
) -> Result<Begun, Error> {
    let (uid, key) = (new.uid, key_of(&new));
    let create = create_of(new, core);
    let start = apply_of(uid, Change::Start, core);
    let mut commands = vec![create.clone(), start.clone()];
    let mut parts = Vec::with_capacity(children.len());
    for child in children {
        parts.push(child.uid);
        commands.push(create_of(child, core));
    }
    let written = core.shared.store.write_repeating(Batch::all(commands));
    let answers = match unless_it_panics("begin", written).await {
        Ok(answers) => answers,
        Err(error) => {
            return Err(unknown(core, Entry::taking(uid, key, start, parts), error).into());
        }
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
                return Ok(Begun::Found(noted(core, found)?.uid));
            }
            Err(refused) => return noted(core, Err(found_or(refused, uid))),
        }
    }
    // The answers are: the action as created, the action as started, its children.
    let mut actions = actions.into_iter().skip(1);
    let action = actions.next().ok_or_else(|| unanswered("begin"))?;
    let handle = ActionHandle::new(core.clone(), action);
    Ok(Begun::New(handle, actions.collect()))
}

/// Converts the refusal of a start: if the action is not queued any more, the call is a repeat.
fn found_or(refused: Rejection, uid: ActionUid) -> Error {
    match refused {
        Rejection::Conflict {
            reason: ConflictReason::Status { .. },
            current,
        } if current.uid == uid => Error::Found(current),
        refused => refused.into(),
    }
}

/// Starts an action that exists already, for a call that may be a repeat.
pub(super) async fn start_found(
    core: &Arc<Core>,
    uid: ActionUid,
    key: Option<Key>,
) -> Result<ActionHandle, Error> {
    take(core, uid, key, Change::Start)
        .await
        .map_err(|error| match error {
            Error::Rejected(refused) => found_or(refused, uid),
            error => error,
        })
}

/// Sends the starts and adoptions of earlier calls for an action again, if their outcome is unknown.
/// Returns the handle if one of them was applied.
async fn resume(core: &Arc<Core>, uid: ActionUid) -> Result<Option<ActionHandle>, Error> {
    let mut entries = core.shared.take_doubtful(uid).into_iter();
    while let Some(entry) = entries.next() {
        let Some(command) = entry.taking_command().cloned() else {
            continue;
        };
        let answer = core.shared.store.command_on_action(command);
        match noted(core, unless_it_panics("begin", answer).await) {
            Ok(action) => {
                let is_own = action.owner.as_ref() == Some(&core.shared.owner);
                if is_own && action.status == Status::Executing {
                    return Ok(Some(ActionHandle::new(core.clone(), action)));
                }
            }
            Err(error @ Error::Store(_)) => {
                for entry in [entry].into_iter().chain(entries) {
                    core.shared.put_doubtful(entry, core.runtime());
                }
                return Err(error);
            }
            // It was not applied.
            Err(_) => {}
        }
    }
    Ok(None)
}

pub(super) async fn start(core: &Arc<Core>, uid: ActionUid) -> Result<ActionHandle, Error> {
    take(core, uid, None, Change::Start).await
}

/// Starts or adopts an action under this owner. `key` is the idempotency key by which the caller may
/// repeat the call.
pub(super) async fn take(
    core: &Arc<Core>,
    uid: ActionUid,
    key: Option<Key>,
    change: Change,
) -> Result<ActionHandle, Error> {
    if let Some(handle) = resume(core, uid).await? {
        return Ok(handle);
    }
    let command = apply_of(uid, change, core);
    let taken = core.shared.store.command_on_action(command.clone());
    match noted(core, unless_it_panics("start", taken).await) {
        Ok(action) => Ok(ActionHandle::new(core.clone(), action)),
        Err(Error::Store(error)) => {
            Err(unknown(core, Entry::taking(uid, key, command, Vec::new()), error).into())
        }
        Err(refused) => Err(refused),
    }
}

/// Keeps a begin with an unknown outcome, for a repeat of the call. Without a repeat, no work runs
/// for the action. The background writer then sends the same command again, to learn whether it was
/// applied. It interrupts the action and the children created with it.
fn unknown(core: &Core, entry: Entry, error: StoreError) -> StoreError {
    if error.kind() == StoreErrorKind::OutcomeUnknown {
        core.shared.put_doubtful(entry, core.runtime());
    }
    error
}
