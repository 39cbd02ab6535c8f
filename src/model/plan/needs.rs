//! What to load for a batch, and what is wrong with it whatever the store holds.

use std::sync::Arc;

use crate::model::command::{Batch, Change, Command};
use crate::model::fit::fitted;
use crate::model::identity::{ActionUid, Digest, OpId};
use crate::model::limits::{Invalid, label_opt};
use crate::model::owner::OwnerRef;
use crate::model::query::CheckError;
use crate::model::report::Finish;
use crate::model::short::Short;
use crate::model::transition::check_log;
use crate::model::words::Outcome;
use crate::model::workspace::Key;

/// What a batch's plan looks at, and what can be said of its commands without looking. Each list
/// is in order and names everything once.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    actions: Short<ActionUid>,
    ops: Short<(ActionUid, OpId)>,
    owners: Short<Arc<str>>,
    keys: Short<Key>,
    /// For each command what is wrong with it whatever the store holds.
    pub(super) checked: Short<Result<Checked, Invalid>>,
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
        actions: Short::with_capacity(most),
        ops: Short::with_capacity(most),
        checked: Short::with_capacity(most),
        ..Needs::default()
    };
    for command in &batch.commands {
        needs.checked.push(checked(command));
        match command {
            Command::Create { new, by } => {
                needs.actions.push(new.uid);
                needs.own(by);
                needs.key(&new.tenant, &new.exclusive, &new.idempotency_key);
            }
            Command::Apply { uid, op, by, .. } => {
                needs.actions.push(*uid);
                needs.ops.push((*uid, *op));
                needs.own(by);
            }
            Command::Claim { owner, .. }
            | Command::Renew(owner)
            | Command::Release(owner)
            | Command::Fence { owner, .. } => {
                needs.owner(owner);
            }
            Command::Pin { uid, .. } | Command::Remove { uid, .. } => {
                needs.actions.push(*uid);
            }
            Command::Import { action, .. } => {
                needs.actions.push(action.uid);
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
    needs.actions.put_in_order();
    needs.ops.put_in_order();
    needs.owners.put_in_order();
    needs.keys.put_in_order();
    Ok(needs)
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

    /// The operations to look for in the logs of those actions.
    #[must_use]
    pub fn ops(&self) -> &[(ActionUid, OpId)] {
        &self.ops
    }

    /// The owner names of which to load every incarnation. To these come the owners of the
    /// actions loaded.
    #[must_use]
    pub fn owners(&self) -> &[Arc<str>] {
        &self.owners
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
        if self.owners.last() != Some(&owner.name) {
            self.owners.push(owner.name.clone());
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
