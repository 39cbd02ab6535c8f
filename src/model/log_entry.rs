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
    ///
    /// A log keeps the entries of the [lifecycle](LogEntryKind::is_lifecycle). Beyond
    /// [`Limits::LOG_ENTRIES`](crate::Limits::LOG_ENTRIES) entries, the oldest steps and notes are
    /// dropped. [`Action::log_dropped`](crate::Action::log_dropped) counts them.
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

impl LogEntryKind {
    /// Returns true for an entry of the lifecycle, and false for a step or a note.
    #[must_use]
    pub const fn is_lifecycle(self) -> bool {
        !matches!(self, LogEntryKind::Step | LogEntryKind::Noted)
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

/// Removes the entries that a log loses, and returns them. `log` is a whole log, oldest entry
/// first; `kind` returns the kind of an entry.
///
/// A log keeps [`Limits::LOG_ENTRIES`](crate::Limits::LOG_ENTRIES) entries. Late reports are not
/// counted, and always stay. These rules say what goes:
///
/// 1. The oldest steps and notes go first.
///
/// 2. If there are none left, the oldest adoptions go. Otherwise the log of an action that is
///    adopted again and again would grow without limit.
///
/// 3. The newest entry always stays, because it shows the current state of the action.
///
/// A store calls this for the actions in [`WriteSet::trim`](crate::spi::WriteSet::trim), or repeats
/// these rules in its own language.
pub fn trim_log<T>(log: &mut Vec<T>, kind: impl Fn(&T) -> LogEntryKind) -> Vec<T> {
    let late = |entry: &T| kind(entry) == LogEntryKind::LateReport;
    let counted = log.iter().filter(|entry| !late(entry)).count();
    let mut excess = counted.saturating_sub(Limits::LOG_ENTRIES as usize);
    let mut dropped = Vec::new();
    let detail = |kind: LogEntryKind| !kind.is_lifecycle();
    let adoption = |kind: LogEntryKind| kind == LogEntryKind::Adopted;
    for goes in [detail as fn(LogEntryKind) -> bool, adoption] {
        if excess == 0 {
            break;
        }
        let newest = log.iter().rposition(|entry| !late(entry)).unwrap_or(0);
        let gone = log.extract_if(..newest, |entry| {
            let gone = excess > 0 && goes(kind(entry));
            excess -= usize::from(gone);
            gone
        });
        dropped.extend(gone);
    }
    dropped
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
