//! Commands that add or remove actions or pins: create, import, pin, remove.

use std::sync::Arc;

use super::repeat::descends;
use super::{Answer, already, applied, conflict, fenced};
use crate::model::action::Action;
use crate::model::command::{Done, Effect};
use crate::model::identity::{ActionUid, Digest, Version};
use crate::model::key::Key;
use crate::model::log_entry::{LogEntry, LogEntryKind};
use crate::model::new_action::NewAction;
use crate::model::owner::OwnerRef;
use crate::model::rejection::{ConflictReason, Rejection};
use crate::model::time::Timestamp;
use crate::model::workspace::TxnState;

pub(super) fn create(
    new: &NewAction,
    digest: Digest,
    by: Option<&OwnerRef>,
    txn: &mut TxnState,
    now: Timestamp,
) -> Answer {
    if let Some(current) = txn.action(new.uid) {
        return if current.digest == digest {
            already(current)
        } else {
            Err(conflict(ConflictReason::Uid, current))
        };
    }
    let idempotency = new.idempotency_key.as_ref();
    let idempotency = idempotency.map(|key| Key::idempotency(&new.tenant, key));
    if let Some(current) = idempotency.and_then(|key| txn.holder(&key)) {
        return if current.digest == digest {
            already(current)
        } else {
            Err(conflict(ConflictReason::IdempotencyKey, current))
        };
    }
    if let Some(by) = by.filter(|by| txn.alive(by).is_none()) {
        return Err(fenced(by, txn, None));
    }
    if let Some(parent) = new.parent.and_then(|uid| txn.action(uid))
        && !parent.is_unfinished()
    {
        return Err(conflict(not_while(parent, "a new part"), parent));
    }
    for key in &new.exclusive {
        if let Some(holder) = txn.holder(&Key::exclusive(&new.tenant, key)) {
            return Err(conflict(ConflictReason::Exclusive(key.clone()), holder));
        }
    }
    let mut action = Action::new(new, digest, now);
    action.owner = by.cloned();
    let action = Arc::new(action);
    let created = LogEntry::new(LogEntryKind::Created, &action, now);
    txn.enter_action(action.clone(), [created]);
    applied(action)
}

pub(super) fn pin(uid: ActionUid, pinned: bool, txn: &mut TxnState) -> Answer {
    let Some(current) = txn.action(uid).cloned() else {
        return Err(Rejection::NotFound(uid));
    };
    if txn.is_pinned(uid) == pinned {
        return already(&current);
    }
    txn.set_pin(uid, pinned);
    applied(current)
}

pub(super) fn remove(uid: ActionUid, if_version: Version, txn: &mut TxnState) -> Answer {
    let Some(current) = txn.action(uid) else {
        return Ok(Done::new(Effect::Already, None));
    };
    let found = current.version;
    let reason = if found != if_version {
        ConflictReason::Version {
            expected: if_version,
            found,
        }
    } else if current.is_unfinished() {
        not_while(current, "removal")
    } else if txn.is_pinned(uid) {
        ConflictReason::Pinned
    } else if let Some(parent) = current.parent.and_then(|uid| txn.action(uid))
        && parent.is_unfinished()
    {
        return Err(conflict(not_while(parent, "the removal of a part"), parent));
    } else {
        txn.remove_action(uid);
        return Ok(Done::new(Effect::Applied, None));
    };
    Err(conflict(reason, current))
}

/// Returns the conflict of a change that the action's status does not allow.
fn not_while(action: &Action, change: &'static str) -> ConflictReason {
    let status = action.status;
    ConflictReason::Status { status, change }
}

pub(super) fn import(action: &Arc<Action>, log: &[LogEntry], txn: &mut TxnState) -> Answer {
    if let Some(current) = txn.action(action.uid) {
        return if descends(current, action, txn) {
            already(current)
        } else {
            Err(conflict(ConflictReason::Uid, current))
        };
    }
    for key in action.exclusive.iter().filter(|_| action.is_unfinished()) {
        if let Some(holder) = txn.holder(&Key::exclusive(&action.tenant, key)) {
            return Err(conflict(ConflictReason::Exclusive(key.clone()), holder));
        }
    }
    let idempotency = action.idempotency_key.as_ref();
    let idempotency = idempotency.map(|key| Key::idempotency(&action.tenant, key));
    if let Some(holder) = idempotency.and_then(|key| txn.holder(&key)) {
        return Err(conflict(ConflictReason::IdempotencyKey, holder));
    }
    txn.enter_action(action.clone(), log.iter().cloned());
    applied(action.clone())
}
