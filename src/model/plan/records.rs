//! Commands that add or remove actions or pins: create, import, pin, remove.

use std::sync::Arc;

use super::repeat::descends;
use super::{Answer, already, applied, conflict, fenced};
use crate::model::action::Action;
use crate::model::command::{Clash, Done, Effect, Refused};
use crate::model::identity::{ActionUid, Digest, Version};
use crate::model::key::Key;
use crate::model::new_action::NewAction;
use crate::model::owner::OwnerRef;
use crate::model::time::Timestamp;
use crate::model::transition::{Transition, TransitionKind};
use crate::model::workspace::Loaded;

pub(super) fn create(
    new: &NewAction,
    digest: Digest,
    by: Option<&OwnerRef>,
    loaded: &mut Loaded,
    now: Timestamp,
) -> Answer {
    if let Some(current) = loaded.action(new.uid) {
        return match current.digest == digest {
            true => already(current),
            false => Err(conflict(Clash::Uid, current)),
        };
    }
    let idempotency = new.idempotency_key.as_ref();
    let idempotency = idempotency.map(|key| Key::idempotency(&new.tenant, key));
    if let Some(current) = idempotency.and_then(|key| loaded.holder(&key)) {
        return match current.digest == digest {
            true => already(current),
            false => Err(conflict(Clash::IdempotencyKey, current)),
        };
    }
    if let Some(by) = by.filter(|by| loaded.alive(by).is_none()) {
        return Err(fenced(by, loaded, None));
    }
    if let Some(parent) = new.parent.and_then(|uid| loaded.action(uid))
        && !parent.is_unfinished()
    {
        return Err(conflict(not_while(parent, "a new part"), parent));
    }
    for key in &new.exclusive {
        if let Some(holder) = loaded.holder(&Key::exclusive(&new.tenant, key)) {
            return Err(conflict(Clash::Exclusive(key.clone()), holder));
        }
    }
    let mut action = Action::new(new, digest, now);
    action.owner = by.cloned();
    let action = Arc::new(action);
    let created = Transition::new(TransitionKind::Created, &action, now);
    loaded.enter_action(action.clone(), [created]);
    applied(action)
}

pub(super) fn pin(uid: ActionUid, pinned: bool, loaded: &mut Loaded) -> Answer {
    let Some(current) = loaded.action(uid).cloned() else {
        return Err(Refused::NotFound(uid));
    };
    if loaded.is_pinned(uid) == pinned {
        return already(&current);
    }
    loaded.set_pin(uid, pinned);
    applied(current)
}

pub(super) fn remove(uid: ActionUid, if_version: Version, loaded: &mut Loaded) -> Answer {
    let Some(current) = loaded.action(uid) else {
        return Ok(Done::new(Effect::Already, None));
    };
    let found = current.version;
    let clash = if found != if_version {
        Clash::Version {
            expected: if_version,
            found,
        }
    } else if current.is_unfinished() {
        not_while(current, "removal")
    } else if loaded.is_pinned(uid) {
        Clash::Pinned
    } else if let Some(parent) = current.parent.and_then(|uid| loaded.action(uid))
        && parent.is_unfinished()
    {
        return Err(conflict(not_while(parent, "the removal of a part"), parent));
    } else {
        loaded.remove_action(uid);
        return Ok(Done::new(Effect::Applied, None));
    };
    Err(conflict(clash, current))
}

/// Returns the conflict of a change that the action's status does not allow.
fn not_while(action: &Action, change: &'static str) -> Clash {
    let status = action.status;
    Clash::Status { status, change }
}

pub(super) fn import(action: &Arc<Action>, log: &[Transition], loaded: &mut Loaded) -> Answer {
    if let Some(current) = loaded.action(action.uid) {
        return match descends(current, action, loaded) {
            true => already(current),
            false => Err(conflict(Clash::Uid, current)),
        };
    }
    for key in action.exclusive.iter().filter(|_| action.is_unfinished()) {
        if let Some(holder) = loaded.holder(&Key::exclusive(&action.tenant, key)) {
            return Err(conflict(Clash::Exclusive(key.clone()), holder));
        }
    }
    let idempotency = action.idempotency_key.as_ref();
    let idempotency = idempotency.map(|key| Key::idempotency(&action.tenant, key));
    if let Some(holder) = idempotency.and_then(|key| loaded.holder(&key)) {
        return Err(conflict(Clash::IdempotencyKey, holder));
    }
    loaded.enter_action(action.clone(), log.iter().cloned());
    applied(action.clone())
}
