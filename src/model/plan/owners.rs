//! Commands about owners: claim, renew, release, fence.

use super::{Answer, fenced};
use crate::model::command::{Done, Effect};
use crate::model::owner::{Owner, OwnerRef, OwnerState};
use crate::model::rejection::Rejection;
use crate::model::time::Timestamp;
use crate::model::workspace::TxnState;

pub(super) fn claim(
    owner: &OwnerRef,
    take_over: bool,
    txn: &mut TxnState,
    now: Timestamp,
) -> Answer {
    match txn.owner(owner) {
        Some(known) if known.is_alive() => return Ok(Done::new(Effect::Already, None)),
        // An incarnation that has ended cannot become alive again.
        Some(_) => return Err(fenced(owner, txn, None)),
        None => {}
    }
    if let Some(living) = txn.living(&owner.name).cloned() {
        if !take_over {
            return Err(Rejection::OwnerAlive(Box::new(living)));
        }
        txn.set_owner(ended(living, OwnerState::Fenced, now));
    }
    txn.set_owner(Owner::claimed(owner.clone(), now));
    Ok(Done::new(Effect::Applied, None))
}

fn ended(mut owner: Owner, state: OwnerState, now: Timestamp) -> Owner {
    owner.state = state;
    owner.ended_at = Some(now.max(owner.renewed_at));
    owner
}

pub(super) fn renew(owner: &OwnerRef, txn: &mut TxnState, now: Timestamp) -> Answer {
    let Some(mut known) = txn.alive(owner).cloned() else {
        return Err(fenced(owner, txn, None));
    };
    known.renewals = known.renewals.saturating_add(1);
    known.renewed_at = now.max(known.renewed_at);
    txn.set_owner(known);
    Ok(Done::new(Effect::Applied, None))
}

pub(super) fn release(owner: &OwnerRef, txn: &mut TxnState, now: Timestamp) -> Answer {
    match txn.owner(owner).cloned() {
        Some(known) if known.is_alive() => {
            txn.set_owner(ended(known, OwnerState::Released, now));
            Ok(Done::new(Effect::Applied, None))
        }
        Some(known) if known.state == OwnerState::Released => Ok(Done::new(Effect::Already, None)),
        _ => Err(fenced(owner, txn, None)),
    }
}

/// Ends every loaded owner that is alive. Called when a process opens the store for itself alone.
#[cfg(feature = "sqlite-unbundled")]
pub(crate) fn disconnect(txn: &mut TxnState, now: Timestamp) {
    for living in txn.all_living() {
        txn.set_owner(ended(living, OwnerState::Disconnected, now));
    }
}

pub(super) fn fence(
    owner: &OwnerRef,
    if_renewals: u64,
    txn: &mut TxnState,
    now: Timestamp,
) -> Answer {
    match txn.alive(owner).cloned() {
        Some(alive) if alive.renewals == if_renewals => {
            txn.set_owner(ended(alive, OwnerState::Fenced, now));
            Ok(Done::new(Effect::Applied, None))
        }
        Some(alive) => Err(Rejection::OwnerAlive(Box::new(alive))),
        None => Ok(Done::new(Effect::Already, None)),
    }
}
