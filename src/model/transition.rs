//! One entry of an action's log.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::action::Action;
use super::extra::Extra;
use super::identity::{ActionUid, OpId, Version};
use super::limits::{Invalid, Limits, at_most, label_opt, prose_opt};
use super::owner::OwnerRef;
use super::progress::Progress;
use super::time::Timestamp;
use super::words::{Outcome, Status, UnknownWord, words};

words! {
    /// What happened.
    TransitionKind, "kind of transition", {
        /// It was recorded.
        Created = 0 "created",
        /// It was started.
        Started = 1 "started",
        /// It went on to another step.
        Step = 2 "step",
        /// It was described anew, got other attributes or a warning.
        Noted = 3 "noted",
        /// Somebody asked to cancel it.
        CancelRequested = 4 "cancel-requested",
        /// Another owner took it over.
        Adopted = 5 "adopted",
        /// It was completed.
        Finished = 6 "finished",
        /// A fenced owner said how it ended, too late to count. At most one for an action.
        LateReport = 7 "late-report",
    }
}

/// One entry of an action's log: a change of status, step or owner, a cancel request, a note.
/// Progress alone makes no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// Whose log.
    pub uid: ActionUid,
    /// What happened.
    pub kind: TransitionKind,
    /// The version of the action that this made; for a late report the version it found.
    pub version: Version,
    /// When. Never earlier than the entry before (late reports aside: they are of another time
    /// than what the action's owner does).
    pub at: Timestamp,
    /// Where the action was then.
    pub status: Status,
    /// How it ended; for a late report how its sender says it ended.
    pub outcome: Option<Outcome>,
    /// How far it had come.
    pub progress: Progress,
    /// The step it was in.
    pub step: Option<Arc<str>>,
    /// Who owned it then; for a late report who sent it.
    pub owner: Option<OwnerRef>,
    /// Who brought it about, when that is not the owner: who asked to cancel, who decided.
    pub by: Option<Arc<str>>,
    /// The operation that did it; creation has none, nor has a late report, which did nothing.
    pub op: Option<OpId>,
    /// Words to it: the reason of a cancel request, the code and message of an error, a warning.
    pub note: Option<Arc<str>>,
    /// Fields of a later version.
    pub(crate) extra: Extra,
}

impl Transition {
    /// An entry that says where an action is now.
    #[must_use]
    pub fn new(kind: TransitionKind, action: &Action, at: Timestamp) -> Transition {
        Transition {
            uid: action.uid,
            kind,
            version: action.version,
            at,
            status: action.status,
            outcome: action.outcome,
            progress: action.progress,
            step: action.step.clone(),
            owner: action.owner.clone(),
            by: None,
            op: action.last_op,
            note: None,
            extra: Extra::default(),
        }
    }

    /// Whether it is the entry of a report that came too late.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.kind == TransitionKind::LateReport
    }
}

/// Checks that a log can be that of an action: its own entries, in order, the last of them where
/// the action is.
pub(crate) fn check_log(action: &Action, log: &[Transition]) -> Result<(), Invalid> {
    let late = log.iter().filter(|entry| entry.is_late()).count();
    if late > 1 {
        return Err(Invalid::new("log", "has more than one late report"));
    }
    // A late report does not count: it must not push out what did happen.
    let counted = log.len() - late;
    at_most("log", counted, Limits::LOG_ENTRIES as usize)?;
    if counted > action.log_entries as usize {
        let reason = "is less than what the log has";
        return Err(Invalid::new("log_entries", reason));
    }
    let mut last: Option<&Transition> = None;
    for entry in log {
        label_opt("log.step", entry.step.as_deref())?;
        label_opt("log.by", entry.by.as_deref())?;
        prose_opt("log.note", entry.note.as_deref())?;
        if let Some(owner) = &entry.owner {
            owner.check()?;
        }
        if entry.uid != action.uid {
            return Err(Invalid::new("log", "has an entry of another action"));
        }
        if entry.version > action.version {
            return Err(Invalid::new("log", "goes beyond the action's version"));
        }
        if entry.is_late() {
            if entry.op.is_some() {
                let reason = "has a late report with an operation: it did nothing";
                return Err(Invalid::new("log", reason));
            }
            continue;
        }
        if last.is_some_and(|last| last.version >= entry.version || last.at > entry.at) {
            return Err(Invalid::new("log", "is not in order"));
        }
        last = Some(entry);
    }
    match last {
        Some(last)
            if last.status == action.status
                && last.outcome == action.outcome
                && last.step == action.step
                && last.owner == action.owner =>
        {
            Ok(())
        }
        Some(_) => Err(Invalid::new("log", "does not end where the action is")),
        None => Err(Invalid::new(
            "log",
            "is empty although creation is an entry",
        )),
    }
}
