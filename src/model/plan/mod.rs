//! Decides the commands of a batch, and lists the rows to load for it.

mod apply;
mod late;
mod owners;
mod read_set;
mod records;
mod repeat;

use std::sync::Arc;

use super::action::Action;
use super::command::{Batch, BatchMode, Command, Done, Effect};
use super::identity::Digest;
use super::limits::Invalid;
use super::owner::{OwnerRef, OwnerState};
use super::rejection::{ConflictReason, Rejection};
use super::time::Timestamp;
use super::words::OwnerEnd;
use super::workspace::TxnState;
use apply::Apply;
use late::tell_late;
use repeat::told_before;

#[cfg(feature = "sqlite-unbundled")]
pub(crate) use owners::disconnect;
pub use read_set::{ReadSet, read_set};

type Answer = Result<Done, Rejection>;

/// Decides the commands of a batch in order, and returns one answer for each.
///
/// The changes are made in `txn`; [`TxnState::into_write_set`] returns the rows to save. `now` is
/// the time of the store's clock. The times of an action never go backwards, even if `now` does.
pub fn plan(batch: &Batch, read_set: &ReadSet, txn: &mut TxnState, now: Timestamp) -> Vec<Answer> {
    let told = told_before(batch, txn);
    let all = batch.mode == BatchMode::All;
    if all {
        txn.begin();
    }
    let mut answers: Vec<Answer> = Vec::with_capacity(batch.commands.len());
    let commands = batch.commands.iter().zip(&*read_set.checked);
    for (index, (command, checked)) in commands.enumerate() {
        // The command as it is recorded.
        let command = match checked {
            Ok(checked) => checked.fitted.as_deref().unwrap_or(command),
            Err(_) => command,
        };
        let answer = match checked {
            Ok(checked) => decide(command, checked.digest, told.contains(&index), txn, now),
            Err(invalid) => Err(Rejection::Invalid(invalid.clone())),
        };
        if let Err(refused) = &answer {
            if all {
                txn.end(false);
            }
            tell_late(command, refused, txn, now);
            if all {
                let mut answers = vec![Err(Rejection::Batch(index)); batch.commands.len()];
                answers[index] = answer;
                return answers;
            }
        }
        answers.push(answer);
    }
    if all {
        txn.end(true);
    }
    answers
}

fn decide(
    command: &Command,
    digest: Option<Digest>,
    told: bool,
    txn: &mut TxnState,
    now: Timestamp,
) -> Answer {
    match command {
        Command::Create { new, by } => {
            let digest = digest.unwrap_or_else(|| new.digest());
            records::create(new, digest, by.as_ref(), txn, now)
        }
        Command::Apply {
            uid,
            op,
            change,
            by,
            if_version,
        } => {
            let apply = Apply {
                uid: *uid,
                op: *op,
                change,
                by: by.as_ref(),
                if_version: *if_version,
                told,
                now,
            };
            apply.decide(txn)
        }
        Command::Claim { owner, take_over } => owners::claim(owner, *take_over, txn, now),
        Command::Renew(owner) => owners::renew(owner, txn, now),
        Command::Release(owner) => owners::release(owner, txn, now),
        Command::Fence { owner, if_renewals } => owners::fence(owner, *if_renewals, txn, now),
        Command::Pin { uid, pinned } => records::pin(*uid, *pinned, txn),
        Command::Remove { uid, if_version } => records::remove(*uid, *if_version, txn),
        Command::Import { action, log } => records::import(action, log, txn),
        Command::Unknown => Err(Rejection::Invalid(Invalid::new("command", "is unknown"))),
    }
}

fn already(action: &Arc<Action>) -> Answer {
    Ok(Done::new(Effect::Already, Some(action.clone())))
}

fn applied(action: Arc<Action>) -> Answer {
    Ok(Done::new(Effect::Applied, Some(action)))
}

/// Returns how an owner that is not alive ended.
fn end_of(owner: &OwnerRef, txn: &TxnState) -> OwnerEnd {
    let state = txn.owner(owner).map(|known| known.state);
    match state {
        None => OwnerEnd::Unknown,
        Some(OwnerState::Released) => OwnerEnd::Released,
        Some(OwnerState::Disconnected) => OwnerEnd::Disconnected,
        Some(OwnerState::Fenced | OwnerState::Alive) => OwnerEnd::Fenced,
    }
}

fn conflict(reason: ConflictReason, current: &Arc<Action>) -> Rejection {
    Rejection::Conflict {
        reason,
        current: current.clone(),
    }
}

fn fenced(owner: &OwnerRef, txn: &TxnState, current: Option<&Arc<Action>>) -> Rejection {
    Rejection::Fenced {
        owner: owner.clone(),
        end: end_of(owner, txn),
        current: current.cloned(),
    }
}
