//! What becomes of a result that comes too late: it is refused, and told once.

use std::sync::Arc;

use crate::model::action::{Action, ActionError};
use crate::model::command::{Change, Command, Refused};
use crate::model::fit::as_prose;
use crate::model::time::Timestamp;
use crate::model::transition::{Transition, TransitionKind};
use crate::model::workspace::Loaded;

/// Enters a late report if a command was refused because its owner is fenced, and says how an
/// action of that owner ended.
///
/// Called when the refusal stands: for a batch that is all or nothing, after it was undone. What
/// made the owner fenced may then be undone as well, so everything is looked at anew.
pub(super) fn tell_late(command: &Command, refused: &Refused, loaded: &mut Loaded, now: Timestamp) {
    let (
        Command::Apply {
            uid,
            change: Change::Finish(finish),
            by: Some(by),
            ..
        },
        Refused::Fenced { .. },
    ) = (command, refused)
    else {
        return;
    };
    let Some(current) = loaded.action(*uid).cloned() else {
        return;
    };
    if loaded.alive(by).is_some() {
        return;
    }
    // The one late report a log keeps is for somebody who may have run the action. Its owner of
    // now has; one whose action was adopted is at least known to the store.
    let its_owner = current.owner.as_ref() == Some(by);
    let once_its_owner = current.started_at.is_some() && loaded.owner(by).is_some();
    if !its_owner && !once_its_owner {
        return;
    }
    let at = now.max(last_stamp(&current));
    let mut entry = Transition::new(TransitionKind::LateReport, &current, at);
    entry.outcome = Some(finish.outcome);
    entry.owner = Some(by.clone());
    // Not the command's: what was refused must not be taken for done when it is repeated.
    entry.op = None;
    entry.note = finish.error.as_ref().map(error_note);
    loaded.append_late(entry);
}

/// The latest time at which something is known to have happened to an action.
pub(super) fn last_stamp(action: &Action) -> Timestamp {
    let cancel = action.cancel.as_ref().map(|cancel| cancel.at);
    let stamps = [cancel, action.finished_at];
    let latest = stamps.into_iter().flatten().max();
    latest
        .unwrap_or(action.last_seen_at)
        .max(action.last_seen_at)
}

/// An error as the note of a log entry.
pub(super) fn error_note(error: &ActionError) -> Arc<str> {
    as_prose(&format!("{}: {}", error.code, error.message))
}
