//! Entries of an action's log.

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
    /// Kind of log entry.
    LogEntryKind, "kind of transition", {
        /// The action was created.
        Created = 0 "created",
        /// The action was started.
        Started = 1 "started",
        /// The action entered another step.
        Step = 2 "step",
        /// The action got a new description, new attributes or a warning.
        Noted = 3 "noted",
        /// A cancel request was made.
        CancelRequested = 4 "cancel-requested",
        /// Another owner adopted the action.
        Adopted = 5 "adopted",
        /// The action was completed.
        Finished = 6 "finished",
        /// A fenced owner reported an outcome too late; the report had no effect. At most one for
        /// an action.
        LateReport = 7 "late-report",
    }
}

/// One entry of an action's log: a change of status, step or owner, a cancel request, or a note. A
/// report of progress alone writes no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEntry {
    /// Action of the log.
    pub uid: ActionUid,
    /// Kind of entry.
    pub kind: LogEntryKind,
    /// Version of the action after the change. For a late report: version of the action at that
    /// time.
    pub version: Version,
    /// Time of the change, never earlier than the previous entry. Late reports are not part of this
    /// order.
    pub at: Timestamp,
    /// Status of the action after the change.
    pub status: Status,
    /// Outcome of the action. For a late report: outcome that the sender reported.
    pub outcome: Option<Outcome>,
    /// Progress of the action after the change.
    pub progress: Progress,
    /// Step of the action after the change.
    pub step: Option<Arc<str>>,
    /// Owner of the action after the change. For a late report: its sender.
    pub owner: Option<OwnerRef>,
    /// Person or program that made the change, if it is not the owner: it asked to cancel, or it
    /// decided.
    pub by: Option<Arc<str>>,
    /// Operation of the change. `None` for the create and for a late report, which changed nothing.
    pub op: Option<OpId>,
    /// Text: the reason of a cancel request, the code and message of an error, or a warning.
    pub note: Option<Arc<str>>,
    /// Fields of a later version of this library.
    pub(crate) extra: Extra,
}

impl LogEntry {
    /// Creates an entry from the current state of an action.
    #[must_use]
    pub fn new(kind: LogEntryKind, action: &Action, at: Timestamp) -> LogEntry {
        LogEntry {
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

    /// Returns true for a late report.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.kind == LogEntryKind::LateReport
    }
}

/// Checks that a log belongs to an action: the entries are of this action and in order, and the
/// last one matches its current state.
pub(crate) fn check_log(action: &Action, log: &[LogEntry]) -> Result<(), Invalid> {
    let late = log.iter().filter(|entry| entry.is_late()).count();
    if late > 1 {
        return Err(Invalid::new(
            "log",
            "must not have more than one late report",
        ));
    }
    // Late reports are not counted: they must not displace entries of real changes.
    let counted = log.len() - late;
    at_most("log", counted, Limits::LOG_ENTRIES as usize)?;
    if counted > action.log_entries as usize {
        let reason = "is less than the number of entries in the log";
        return Err(Invalid::new("log_entries", reason));
    }
    let mut last: Option<&LogEntry> = None;
    for entry in log {
        label_opt("log.step", entry.step.as_deref())?;
        label_opt("log.by", entry.by.as_deref())?;
        prose_opt("log.note", entry.note.as_deref())?;
        if let Some(owner) = &entry.owner {
            owner.check()?;
        }
        if entry.uid != action.uid {
            return Err(Invalid::new(
                "log",
                "must not have an entry of another action",
            ));
        }
        if entry.version > action.version {
            return Err(Invalid::new(
                "log",
                "must not have an entry above the action's version",
            ));
        }
        if entry.is_late() {
            if entry.op.is_some() {
                let reason = "must not have a late report with an operation";
                return Err(Invalid::new("log", reason));
            }
            continue;
        }
        if last.is_some_and(|last| last.version >= entry.version || last.at > entry.at) {
            return Err(Invalid::new(
                "log",
                "must be in ascending order of versions and times",
            ));
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
        Some(_) => Err(Invalid::new(
            "log",
            "must end with the current state of the action",
        )),
        None => Err(Invalid::new(
            "log",
            "must not be empty: the create is an entry",
        )),
    }
}
