//! Recognises reports in a batch that is written again.

use std::collections::{BTreeSet, HashMap};

use crate::model::action::Action;
use crate::model::command::{Batch, BatchMode, Change, Command};
use crate::model::identity::ActionUid;
use crate::model::owner::OwnerRef;
use crate::model::workspace::TxnState;

/// Returns the indexes of the reports that were applied when the same batch was written before.
///
/// Normally a repeat is recognised by the action's last operation or by its log. A report of
/// progress alone writes no log entry. Once the next command of the batch has changed the action,
/// the operation of the report is forgotten.
///
/// Without this function, a repeat of the report would be refused (the action is completed by now),
/// or would act a second time (it sets an earlier step). But the next command of the batch comes
/// after the report. If that command was applied, the report was applied, too.
pub(super) fn told_before(batch: &Batch, txn: &TxnState) -> BTreeSet<usize> {
    let mut told = BTreeSet::new();
    if batch.commands.len() < 2 {
        return told;
    }
    // For each action, the owners of later commands that are known to have been applied.
    let mut later: HashMap<ActionUid, Vec<Option<&OwnerRef>>> = HashMap::new();
    for (index, command) in batch.commands.iter().enumerate().rev() {
        let Command::Apply {
            uid,
            op,
            change,
            by,
            if_version,
        } = command
        else {
            continue;
        };
        let by = by.as_ref();
        let Some(current) = txn.action(*uid) else {
            continue;
        };
        if txn.has_op(*uid, *op) {
            if matches!(change, Change::Report(_) | Change::Finish(_)) {
                later.entry(*uid).or_default().push(by);
            }
        } else if matches!(change, Change::Report(_))
            && let Some(names) = later.get(uid)
        {
            // In a batch of independent commands, the report may have been refused, and is then
            // decided again. It was applied if it required no version and came from the owner that
            // the action has had since.
            let alike = if_version.is_none() && names.contains(&by) && runs(by, current);
            if batch.mode == BatchMode::All || alike {
                told.insert(index);
            }
        }
    }
    told
}

fn runs(by: Option<&OwnerRef>, action: &Action) -> bool {
    by.is_some() && by == action.owner.as_ref() && action.started_at.is_some()
}

/// Returns true if the stored action is the imported one, or a later version of it.
pub(super) fn descends(current: &Action, imported: &Action, txn: &TxnState) -> bool {
    let same_origin = current.digest == imported.digest
        && current.created_at == imported.created_at
        && current.version > imported.version;
    let went_on = match imported.last_op {
        Some(op) => txn.has_op(current.uid, op),
        None => true,
    };
    current == imported || (same_origin && went_on)
}
