//! What to load for a batch, and what is wrong with it whatever the store holds.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::command::{Batch, Change, Command};
use crate::model::fit::fitted;
use crate::model::identity::{ActionUid, Digest, OpId};
use crate::model::key::Key;
use crate::model::limits::{Invalid, label_opt};
use crate::model::owner::OwnerRef;
use crate::model::query::CheckError;
use crate::model::report::Finish;
use crate::model::transition::check_log;
use crate::model::words::Outcome;

/// Nearly every batch has one command and names one of everything, which needs no allocation.
type List<T> = SmallVec<[T; 1]>;

/// What a batch's plan looks at, and what can be said of its commands without looking. Each list
/// is in order and names everything once.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    actions: List<ActionUid>,
    parents_of: List<ActionUid>,
    ops: List<(ActionUid, OpId)>,
    owners: List<OwnerRef>,
    keys: List<Key>,
    claims: usize,
    /// For each command what is wrong with it whatever the store holds.
    pub(super) checked: List<Result<Checked, Invalid>>,
}

/// The part of a command's judgement that needs no store.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// Of a create the digest of what it asks for.
    pub(super) digest: Option<Digest>,
    /// The command as it is recorded, if some of its texts had to be cut.
    pub(super) fitted: Option<Arc<Command>>,
}

/// What to load for a batch. Everything that can be checked without the store is checked here,
/// in the caller's own task.
///
/// # Errors
/// [`CheckError::Unsupported`] if the batch has a command this version does not know.
pub fn needs(batch: &Batch) -> Result<Needs, CheckError> {
    // Whatever there is of a kind, there is nearly always one for each command.
    let most = batch.commands.len();
    let mut needs = Needs {
        actions: List::with_capacity(most),
        ops: List::with_capacity(most),
        checked: List::with_capacity(most),
        ..Needs::default()
    };
    for command in &batch.commands {
        needs.checked.push(checked(command));
        match command {
            Command::Create { new, by } => {
                needs.actions.push(new.uid);
                if let Some(parent) = new.parent {
                    needs.actions.push(parent);
                }
                needs.own(by);
                needs.key(&new.tenant, &new.exclusive, &new.idempotency_key);
            }
            Command::Apply { uid, op, by, .. } => {
                needs.actions.push(*uid);
                needs.ops.push((*uid, *op));
                needs.own(by);
            }
            Command::Claim { owner, .. } => {
                needs.owner(owner);
                needs.claims += 1;
            }
            Command::Renew(owner) | Command::Release(owner) | Command::Fence { owner, .. } => {
                needs.owner(owner);
            }
            Command::Pin { uid, .. } => needs.actions.push(*uid),
            Command::Remove { uid, .. } => {
                needs.actions.push(*uid);
                needs.parents_of.push(*uid);
            }
            Command::Import { action, .. } => {
                needs.actions.push(action.uid);
                // A later batch of the transaction may remove it again.
                if let Some(parent) = action.parent {
                    needs.actions.push(parent);
                }
                // Not stored yet, so nobody else would ask for its owner, who may live here.
                needs.own(&action.owner);
                if let Some(op) = action.last_op {
                    needs.ops.push((action.uid, op));
                }
                if action.is_unfinished() {
                    needs.key(&action.tenant, &action.exclusive, &action.idempotency_key);
                } else {
                    needs.key(&action.tenant, &[], &action.idempotency_key);
                }
            }
            Command::Unknown => return Err(CheckError::Unsupported("this command")),
        }
    }
    in_order(&mut needs.actions);
    in_order(&mut needs.parents_of);
    in_order(&mut needs.ops);
    in_order(&mut needs.owners);
    in_order(&mut needs.keys);
    Ok(needs)
}

/// Sorts a list and leaves each entry once.
fn in_order<T: Ord>(list: &mut List<T>) {
    list.sort_unstable();
    list.dedup();
}

fn checked(command: &Command) -> Result<Checked, Invalid> {
    let fitted = fitted(command).map(Arc::new);
    let recorded = fitted.as_deref().unwrap_or(command);
    check(recorded)?;
    let digest = match recorded {
        // Of what is recorded, so that a repeat is the same whether or not it was cut before.
        Command::Create { new, .. } => Some(new.digest()),
        _ => None,
    };
    Ok(Checked { digest, fitted })
}

impl Needs {
    /// The actions to load, each with its pin and whether its log has a late report.
    #[must_use]
    pub fn actions(&self) -> &[ActionUid] {
        &self.actions
    }

    /// The actions whose parents to load, too, as far as these are there: those that are to be
    /// removed. All of them are among [`actions`](Needs::actions).
    #[must_use]
    pub fn parents_of(&self) -> &[ActionUid] {
        &self.parents_of
    }

    /// The operations to look for in the logs of those actions.
    #[must_use]
    pub fn ops(&self) -> &[(ActionUid, OpId)] {
        &self.ops
    }

    /// The owners to load, each with the living incarnation of its name. To these come the owners
    /// of the actions loaded.
    #[must_use]
    pub fn owners(&self) -> &[OwnerRef] {
        &self.owners
    }

    /// How many claims there are. If there are any, the ended owners that may be forgotten are to
    /// be loaded: see [`Loaded::put_ended`](crate::Loaded::put_ended).
    #[must_use]
    pub fn claims(&self) -> usize {
        self.claims
    }

    /// The keys to look up. To the actions above come those that hold them.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    fn own(&mut self, by: &Option<OwnerRef>) {
        if let Some(by) = by {
            self.owner(by);
        }
    }

    fn owner(&mut self, owner: &OwnerRef) {
        // Nearly always all of a batch is said in one name.
        if self.owners.last() != Some(owner) {
            self.owners.push(owner.clone());
        }
    }

    fn key(&mut self, tenant: &Arc<str>, exclusive: &[Arc<str>], idempotency: &Option<Arc<str>>) {
        for key in exclusive {
            self.keys.push(Key::exclusive(tenant, key));
        }
        if let Some(key) = idempotency {
            self.keys.push(Key::idempotency(tenant, key));
        }
    }
}

/// Everything about a command that can be judged without the store.
fn check(command: &Command) -> Result<(), Invalid> {
    let named = |by: &Option<OwnerRef>| by.as_ref().map_or(Ok(()), OwnerRef::check);
    match command {
        Command::Create { new, by } => {
            new.check()?;
            named(by)
        }
        Command::Apply { change, by, .. } => {
            named(by)?;
            if by.is_none() && matches!(change, Change::Start | Change::Adopt) {
                return Err(Invalid::new("by", "is missing: it becomes the owner"));
            }
            match change {
                // A report has been made to fit.
                Change::Start | Change::Adopt | Change::Report(_) => Ok(()),
                Change::RequestCancel(request) => label_opt("by", request.by.as_deref()),
                Change::Finish(finish) => check_finish(finish),
            }
        }
        Command::Claim { owner, .. }
        | Command::Renew(owner)
        | Command::Release(owner)
        | Command::Fence { owner, .. } => owner.check(),
        Command::Pin { .. } | Command::Remove { .. } | Command::Unknown => Ok(()),
        Command::Import { action, log } => {
            action.check()?;
            check_log(action, log)
        }
    }
}

fn check_finish(finish: &Finish) -> Result<(), Invalid> {
    label_opt("decided_by", finish.decided_by.as_deref())?;
    match (finish.outcome, &finish.error, &finish.result) {
        (Outcome::Failed, None, _) => Err(Invalid::new("error", "is missing: a failure has one")),
        (Outcome::Succeeded, Some(_), _) => Err(Invalid::new("error", "comes with success")),
        (Outcome::Lost, _, Some(_)) => Err(Invalid::new("result", "nobody knows a lost result")),
        _ => Ok(()),
    }
}
