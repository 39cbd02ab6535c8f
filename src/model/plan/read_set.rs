//! Lists the rows to load for a batch, and checks its commands without the store.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::command::{Batch, Change, Command};
use crate::model::fit::fitted;
use crate::model::identity::{ActionUid, Digest, OpId};
use crate::model::key::Key;
use crate::model::limits::{Invalid, label_opt};
use crate::model::log_entry::check_log;
use crate::model::owner::OwnerRef;
use crate::model::query::CheckError;
use crate::model::report::Finish;
use crate::model::words::Outcome;

/// Nearly every batch has one command and one row of each kind, so no list allocates.
type List<T> = SmallVec<[T; 1]>;

/// Rows to load for a batch, and the checks of its commands that need no store. Each list is sorted
/// and has no duplicates.
#[derive(Debug, Clone, Default)]
pub struct ReadSet {
    actions: List<ActionUid>,
    parents_of: List<ActionUid>,
    ops: List<(ActionUid, OpId)>,
    owners: List<OwnerRef>,
    keys: List<Key>,
    claims: usize,
    creates: usize,
    /// For each command, the result of the checks that need no store.
    pub(super) checked: List<Result<Checked, Invalid>>,
}

/// Result of the checks that need no store.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// Digest of a create.
    pub(super) digest: Option<Digest>,
    /// The command as it is recorded, if some of its texts had to be cut.
    pub(super) fitted: Option<Arc<Command>>,
}

/// Lists the rows to load for a batch. Checks everything that needs no store here, in the caller's
/// task.
///
/// # Errors
/// Returns [`CheckError::Unsupported`] if this version does not know a command of the batch.
pub fn read_set(batch: &Batch) -> Result<ReadSet, CheckError> {
    // There is nearly always one row of each kind for each command.
    let most = batch.commands.len();
    let mut read_set = ReadSet {
        actions: List::with_capacity(most),
        ops: List::with_capacity(most),
        checked: List::with_capacity(most),
        ..ReadSet::default()
    };
    for command in &batch.commands {
        read_set.checked.push(checked(command));
        match command {
            Command::Create { new, by } => {
                read_set.creates += 1;
                read_set.actions.push(new.uid);
                if let Some(parent) = new.parent {
                    read_set.actions.push(parent);
                }
                read_set.own(by);
                read_set.key(&new.tenant, &new.exclusive, &new.idempotency_key);
            }
            Command::Apply { uid, op, by, .. } => {
                read_set.actions.push(*uid);
                read_set.ops.push((*uid, *op));
                read_set.own(by);
            }
            Command::Claim { owner, .. } => {
                read_set.owner(owner);
                read_set.claims += 1;
            }
            Command::Renew(owner) | Command::Release(owner) | Command::Fence { owner, .. } => {
                read_set.owner(owner);
            }
            Command::Pin { uid, .. } => read_set.actions.push(*uid),
            Command::Remove { uid, .. } => {
                read_set.actions.push(*uid);
                read_set.parents_of.push(*uid);
            }
            Command::Import { action, .. } => {
                read_set.creates += 1;
                read_set.actions.push(action.uid);
                // A later batch of the transaction may remove this action.
                if let Some(parent) = action.parent {
                    read_set.actions.push(parent);
                }
                // The action is not stored yet, so its owner must be loaded separately; it may be
                // alive here.
                read_set.own(&action.owner);
                if let Some(op) = action.last_op {
                    read_set.ops.push((action.uid, op));
                }
                if action.is_unfinished() {
                    read_set.key(&action.tenant, &action.exclusive, &action.idempotency_key);
                } else {
                    read_set.key(&action.tenant, &[], &action.idempotency_key);
                }
            }
            Command::Unknown => return Err(CheckError::Unsupported("this command")),
        }
    }
    in_order(&mut read_set.actions);
    in_order(&mut read_set.parents_of);
    in_order(&mut read_set.ops);
    in_order(&mut read_set.owners);
    in_order(&mut read_set.keys);
    Ok(read_set)
}

/// Sorts a list and removes duplicates.
fn in_order<T: Ord>(list: &mut List<T>) {
    list.sort_unstable();
    list.dedup();
}

fn checked(command: &Command) -> Result<Checked, Invalid> {
    let fitted = fitted(command).map(Arc::new);
    let recorded = fitted.as_deref().unwrap_or(command);
    check(recorded)?;
    let digest = match recorded {
        // The digest of the recorded command: a repeat is the same, whether its texts were cut
        // before or not.
        Command::Create { new, .. } => Some(new.digest()),
        _ => None,
    };
    Ok(Checked { digest, fitted })
}

impl ReadSet {
    /// Returns the actions to load. For each, load its pin, and whether its log has a late report.
    #[must_use]
    pub fn actions(&self) -> &[ActionUid] {
        &self.actions
    }

    /// Returns the actions whose parents must be loaded, too, if they exist. These are the actions
    /// to remove. All of them are in [`actions`](ReadSet::actions).
    #[must_use]
    pub fn parents_of(&self) -> &[ActionUid] {
        &self.parents_of
    }

    /// Returns the operations to look up in the logs of the actions.
    #[must_use]
    pub fn ops(&self) -> &[(ActionUid, OpId)] {
        &self.ops
    }

    /// Returns the owners to load. Load the living incarnation of each name, too, and the owners of
    /// all loaded actions.
    #[must_use]
    pub fn owners(&self) -> &[OwnerRef] {
        &self.owners
    }

    /// Returns the number of claims. If it is not zero, load the ended owners that may be
    /// forgotten: see [`TxnState::put_ended`](crate::spi::TxnState::put_ended).
    #[must_use]
    pub fn claims(&self) -> usize {
        self.claims
    }

    /// Returns the number of commands that may add an action.
    #[cfg_attr(not(feature = "_sql"), allow(dead_code))]
    pub(crate) fn creates(&self) -> usize {
        self.creates
    }

    /// Returns the keys to look up. Load the actions that hold them, too.
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
        // Nearly always all commands of a batch have the same owner.
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

/// Checks everything about a command that needs no store.
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
                return Err(Invalid::new(
                    "by",
                    "is missing: a start or an adoption needs an owner",
                ));
            }
            match change {
                // The texts of a report were cut to their limits before.
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
        (Outcome::Failed, None, _) => Err(Invalid::new(
            "error",
            "is missing: a failed action must have an error",
        )),
        (Outcome::Succeeded, Some(_), _) => Err(Invalid::new(
            "error",
            "must not be set for a succeeded action",
        )),
        (Outcome::Lost, _, Some(_)) => Err(Invalid::new(
            "result",
            "must not be set for a lost action: its result is unknown",
        )),
        _ => Ok(()),
    }
}
