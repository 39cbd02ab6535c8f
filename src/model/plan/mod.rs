//! Decides the commands of a batch, and lists the rows to load for it.

mod apply;
mod late;
mod needs;
mod owners;
mod records;
mod repeat;

use std::sync::Arc;

use super::action::Action;
use super::command::{Batch, BatchMode, Clash, Command, Done, Effect, Refused};
use super::identity::Digest;
use super::limits::Invalid;
use super::owner::{OwnerRef, OwnerState};
use super::time::Timestamp;
use super::words::OwnerEnd;
use super::workspace::Loaded;
use apply::Apply;
use late::tell_late;
use repeat::told_before;

pub use needs::{Needs, needs};
#[cfg(feature = "sqlite-unbundled")]
pub(crate) use owners::disconnect;

type Answer = Result<Done, Refused>;

/// Decides the commands of a batch in order, and returns one answer for each.
///
/// The changes are made in `loaded`; [`Loaded::into_changes`] returns the rows to save. `now` is
/// the time of the store's clock. The times of an action never go backwards, even if `now` does.
pub fn plan(batch: &Batch, needs: &Needs, loaded: &mut Loaded, now: Timestamp) -> Vec<Answer> {
    let told = told_before(batch, loaded);
    // The commands as they are recorded.
    let commands = batch.commands.iter().zip(&*needs.checked);
    let commands = commands.map(|(command, checked)| match checked {
        Ok(checked) => checked.fitted.as_deref().unwrap_or(command),
        Err(_) => command,
    });
    let checked = commands.clone().zip(&*needs.checked).enumerate();
    let mut decided = checked.map(|(index, (command, checked))| {
        let told = told.contains(&index);
        move |loaded: &mut Loaded| -> Answer {
            let checked = checked.as_ref().map_err(|i| Refused::Invalid(i.clone()))?;
            decide(command, checked.digest, told, loaded, now)
        }
    });
    match batch.mode {
        BatchMode::Each => decided
            .zip(commands)
            .map(|(decide, command)| {
                let answer = decide(loaded);
                if let Err(refused) = &answer {
                    tell_late(command, refused, loaded, now);
                }
                answer
            })
            .collect(),
        BatchMode::All => {
            loaded.begin();
            let mut answers: Vec<Answer> = Vec::with_capacity(batch.commands.len());
            let refused = decided.try_for_each(|decide| {
                answers.push(Ok(decide(loaded)?));
                Ok(())
            });
            loaded.end(refused.is_ok());
            match refused {
                Ok(()) => answers,
                Err(refused) => {
                    let index = answers.len();
                    if let Some(command) = commands.clone().nth(index) {
                        tell_late(command, &refused, loaded, now);
                    }
                    let mut answers = vec![Err(Refused::Batch(index)); batch.commands.len()];
                    answers[index] = Err(refused);
                    answers
                }
            }
        }
    }
}

fn decide(
    command: &Command,
    digest: Option<Digest>,
    told: bool,
    loaded: &mut Loaded,
    now: Timestamp,
) -> Answer {
    match command {
        Command::Create { new, by } => {
            let digest = digest.unwrap_or_else(|| new.digest());
            records::create(new, digest, by.as_ref(), loaded, now)
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
            apply.decide(loaded)
        }
        Command::Claim { owner, take_over } => owners::claim(owner, *take_over, loaded, now),
        Command::Renew(owner) => owners::renew(owner, loaded, now),
        Command::Release(owner) => owners::release(owner, loaded, now),
        Command::Fence { owner, if_renewals } => owners::fence(owner, *if_renewals, loaded, now),
        Command::Pin { uid, pinned } => records::pin(*uid, *pinned, loaded),
        Command::Remove { uid, if_version } => records::remove(*uid, *if_version, loaded),
        Command::Import { action, log } => records::import(action, log, loaded),
        Command::Unknown => Err(Refused::Invalid(Invalid::new("command", "is unknown"))),
    }
}

fn already(action: &Arc<Action>) -> Answer {
    Ok(Done::new(Effect::Already, Some(action.clone())))
}

fn applied(action: Arc<Action>) -> Answer {
    Ok(Done::new(Effect::Applied, Some(action)))
}

/// Returns how an owner that is not alive ended.
fn end_of(owner: &OwnerRef, loaded: &Loaded) -> OwnerEnd {
    let state = loaded.owner(owner).map(|known| known.state);
    match state {
        None => OwnerEnd::Unknown,
        Some(OwnerState::Released) => OwnerEnd::Released,
        Some(OwnerState::Disconnected) => OwnerEnd::Disconnected,
        Some(OwnerState::Fenced | OwnerState::Alive) => OwnerEnd::Fenced,
    }
}

fn conflict(clash: Clash, current: &Arc<Action>) -> Refused {
    Refused::Conflict {
        clash,
        current: current.clone(),
    }
}

fn fenced(owner: &OwnerRef, loaded: &Loaded, current: Option<&Arc<Action>>) -> Refused {
    Refused::Fenced {
        owner: owner.clone(),
        end: end_of(owner, loaded),
        current: current.cloned(),
    }
}
