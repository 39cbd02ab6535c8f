//! Late results: they are refused, and the first one is recorded in the log.

use std::sync::Arc;

use crate::model::action::{Action, ActionError};
use crate::model::command::{Change, Command};
use crate::model::fit::as_prose;
use crate::model::log_entry::{LogEntry, LogEntryKind};
use crate::model::rejection::Rejection;
use crate::model::time::Timestamp;
use crate::model::workspace::TxnState;

/// Appends a late report if a fenced owner's end of an action was refused.
///
/// Called when the refusal is final. For a batch that is all or nothing, that is after its changes
/// were undone. The change that fenced the owner may be undone, too, so this function checks
/// everything again.
pub(super) fn tell_late(
    command: &Command,
    refused: &Rejection,
    txn: &mut TxnState,
    now: Timestamp,
) {
    let (
        Command::Apply {
            uid,
            change: Change::Finish(finish),
            by: Some(by),
            ..
        },
        Rejection::Fenced { .. },
    ) = (command, refused)
    else {
        return;
    };
    let Some(current) = txn.action(*uid).cloned() else {
        return;
    };
    if txn.alive(by).is_some() {
        return;
    }
    // A log keeps only one late report, so it must come from an owner that may have run the action.
    // The current owner has run it. A former owner, before an adoption, is at least known to the
    // store.
    let its_owner = current.owner.as_ref() == Some(by);
    let once_its_owner = current.started_at.is_some() && txn.owner(by).is_some();
    if !its_owner && !once_its_owner {
        return;
    }
    let at = now.max(last_stamp(&current));
    let mut entry = LogEntry::new(LogEntryKind::LateReport, &current, at);
    entry.outcome = Some(finish.outcome);
    entry.owner = Some(by.clone());
    // Without the operation: otherwise a repeat of the refused command would count as applied.
    entry.op = None;
    entry.note = finish.error.as_ref().map(error_note);
    txn.append_late(entry);
}

/// Returns the latest known time of a change of an action.
pub(super) fn last_stamp(action: &Action) -> Timestamp {
    let cancel = action.cancel.as_ref().map(|cancel| cancel.at);
    let stamps = [cancel, action.finished_at];
    let latest = stamps.into_iter().flatten().max();
    latest
        .unwrap_or(action.last_seen_at)
        .max(action.last_seen_at)
}

/// Returns an error as the note of a log entry.
pub(super) fn error_note(error: &ActionError) -> Arc<str> {
    as_prose(&format!("{}: {}", error.code, error.message))
}
