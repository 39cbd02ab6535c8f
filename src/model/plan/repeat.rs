//! Recognises the reports of a batch that is written again.

use std::collections::{BTreeSet, HashMap};

use crate::model::action::Action;
use crate::model::command::{Batch, BatchMode, Change, Command};
use crate::model::identity::ActionUid;
use crate::model::owner::OwnerRef;
use crate::model::workspace::Loaded;

/// The reports of a batch, by index, that were carried out when the same batch was written
/// before.
///
/// An operation is known by the action's last one and by its log. Progress alone makes no entry
/// there, so once the next command of the same batch has changed the action, nothing shows the
/// report's own operation any more: written again, it would be refused (the action is completed
/// by now) or act a second time (back to the step it named). That next command shows it: it
/// stands behind the report, so the report was carried out with it.
pub(super) fn told_before(batch: &Batch, loaded: &Loaded) -> BTreeSet<usize> {
    let mut told = BTreeSet::new();
    if batch.commands.len() < 2 {
        return told;
    }
    // For each action the names in which commands further on are known to have changed it.
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
        let Some(current) = loaded.action(*uid) else {
            continue;
        };
        if loaded.has_op(*uid, *op) {
            if matches!(change, Change::Report(_) | Change::Finish(_)) {
                later.entry(*uid).or_default().push(by);
            }
        } else if matches!(change, Change::Report(_))
            && let Some(names) = later.get(uid)
        {
            // Alone, the report may have been refused for its own reasons; then it is judged
            // again. It was not if all of the batch was carried out, or if it demanded no version
            // and spoke for the owner the action has had since.
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

/// Whether an action of the store came from the one that is to be imported, or is that very one.
pub(super) fn descends(current: &Action, imported: &Action, loaded: &Loaded) -> bool {
    let same_origin = current.digest == imported.digest
        && current.created_at == imported.created_at
        && current.version > imported.version;
    let went_on = match imported.last_op {
        Some(op) => loaded.has_op(current.uid, op),
        None => true,
    };
    current == imported || (same_origin && went_on)
}
