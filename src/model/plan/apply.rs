//! Changes to an action: checks that a change is allowed, and computes the new state.

use std::sync::Arc;

use super::late::{error_note, last_stamp};
use super::{Answer, already, applied, conflict, end_of, fenced};
use crate::model::action::{Action, ActionError, Cancel, Evidence};
use crate::model::command::Change;
use crate::model::identity::{ActionUid, OpId, Version};
use crate::model::lifecycle::{Authority, Event, Transition};
use crate::model::log_entry::{LogEntry, LogEntryKind};
use crate::model::owner::OwnerRef;
use crate::model::progress::Progress;
use crate::model::rejection::{ConflictReason, Rejection};
use crate::model::report::{CancelRequest, Finish, Report};
use crate::model::time::Timestamp;
use crate::model::warnings::Warnings;
use crate::model::words::Outcome;
use crate::model::workspace::TxnState;

/// One `Command::Apply`.
pub(super) struct Apply<'c> {
    pub(super) uid: ActionUid,
    pub(super) op: OpId,
    pub(super) change: &'c Change,
    pub(super) by: Option<&'c OwnerRef>,
    pub(super) if_version: Option<Version>,
    /// True if this is a report that was applied when the same batch was written before.
    pub(super) told: bool,
    pub(super) now: Timestamp,
}

impl Apply<'_> {
    pub(super) fn decide(&self, txn: &mut TxnState) -> Answer {
        let Some(current) = txn.action(self.uid).cloned() else {
            return Err(Rejection::NotFound(self.uid));
        };
        // Checked first: everything else may have changed since the first time.
        if self.told || txn.has_op(self.uid, self.op) {
            return already(&current);
        }
        if let Some(by) = self.by.filter(|by| txn.alive(by).is_none()) {
            return Err(fenced(by, txn, Some(&current)));
        }
        if let Some(expected) = self.if_version.filter(|v| *v != current.version) {
            let found = current.version;
            return Err(conflict(
                ConflictReason::Version { expected, found },
                &current,
            ));
        }
        match self.change {
            Change::Report(report) => self.report(report, &current, txn),
            Change::RequestCancel(request) => self.request_cancel(request, &current, txn),
            Change::Start | Change::Finish(_) | Change::Adopt => self.make_move(&current, txn),
        }
    }

    fn not_possible(&self, change: &'static str, current: &Arc<Action>) -> Rejection {
        let status = current.status;
        conflict(ConflictReason::Status { status, change }, current)
    }

    fn report(&self, report: &Report, current: &Arc<Action>, txn: &mut TxnState) -> Answer {
        let its_owner = self.by.is_some() && self.by == current.owner.as_ref();
        // Only success sets 100 %.
        let progress = report.progress.map(|p| p.min(Progress::MAX_UNFINISHED));
        let reached = progress.is_some_and(|p| p <= current.progress);
        // A report of progress alone writes no log entry, so its operation is forgotten after the
        // next change. It is still a repeat: its owner has reached that progress, and may have
        // ended the action since.
        let ended = current.started_at.is_some() && !current.is_unfinished();
        if ended && its_owner && reached && report.is_progress_alone() {
            return already(current);
        }
        if current.started_at.is_none() || !current.is_unfinished() {
            return Err(self.not_possible("a report", current));
        }
        if !its_owner {
            return Err(conflict(ConflictReason::NotOwner, current));
        }
        let mut next = self.next_of(current);
        let new_step = report.step.is_some() && report.step != current.step;
        if new_step {
            next.step.clone_from(&report.step);
        }
        if report.description.is_some() {
            next.description.clone_from(&report.description);
        }
        if report.attributes.is_some() {
            next.attributes.clone_from(&report.attributes);
        }
        let warning = add_warnings(&mut next, &report.warnings, &report.notes);
        let noted = warning.is_some()
            || next.description != current.description
            || next.attributes != current.attributes;
        if reached && !new_step && !noted {
            return already(current);
        }
        next.progress = current.progress.max(progress.unwrap_or_default());
        let kind = match (new_step, noted) {
            (true, _) => Some(LogEntryKind::Step),
            (false, true) => Some(LogEntryKind::Noted),
            (false, false) => None,
        };
        self.save(next, kind, |entry| entry.note = warning, txn)
    }

    fn request_cancel(
        &self,
        request: &CancelRequest,
        current: &Arc<Action>,
        txn: &mut TxnState,
    ) -> Answer {
        if !current.is_unfinished() {
            return Err(self.not_possible("a cancel request", current));
        }
        if current.cancel.is_some() {
            return already(current);
        }
        let mut next = self.next_of(current);
        let mut cancel = Cancel::new(next.last_seen_at);
        cancel.by.clone_from(&request.by);
        cancel.reason.clone_from(&request.reason);
        next.cancel = Some(cancel);
        add_warnings(&mut next, &[], &request.notes);
        // A cancel request is no sign of life of the action.
        next.last_seen_at = current.last_seen_at;
        let (by, reason) = (request.by.clone(), request.reason.clone());
        let note = |entry: &mut LogEntry| {
            entry.by = by;
            entry.note = reason;
        };
        self.save(next, Some(LogEntryKind::CancelRequested), note, txn)
    }

    fn make_move(&self, current: &Arc<Action>, txn: &mut TxnState) -> Answer {
        let Some(by_move) = Event::of(self.change) else {
            return already(current);
        };
        let Some(edge) = Transition::find(current.status, by_move) else {
            let change = match by_move {
                Event::Start => "start",
                Event::Adopt => "adoption",
                Event::Finish(outcome) => outcome.as_str(),
            };
            return Err(self.not_possible(change, current));
        };
        let its_owner = self.by.is_some() && self.by == current.owner.as_ref();
        let owner_alive = current.owner.as_ref().and_then(|owner| txn.alive(owner));
        match (edge.authority, owner_alive) {
            (Authority::AnyOwner, _) => {}
            (Authority::ItsOwner, _) if its_owner => {}
            (Authority::ItsOwnerOrAnybodyWithout, Some(_)) if its_owner => {}
            (Authority::ItsOwnerOrAnybodyWithout | Authority::AnybodyOnceOwnerDied, None) => {}
            (Authority::AnybodyOnceOwnerDied, Some(alive)) => {
                return Err(Rejection::OwnerAlive(Box::new(alive.clone())));
            }
            (Authority::ItsOwner | Authority::ItsOwnerOrAnybodyWithout, _) => {
                return Err(conflict(ConflictReason::NotOwner, current));
            }
        }
        let mut next = self.next_of(current);
        next.status = edge.to;
        match self.change {
            Change::Start => {
                next.owner = self.by.cloned();
                next.started_at = Some(next.last_seen_at);
                self.save(next, Some(LogEntryKind::Started), |_| (), txn)
            }
            Change::Adopt => {
                next.owner = self.by.cloned();
                self.save(next, Some(LogEntryKind::Adopted), |_| (), txn)
            }
            Change::Finish(finish) => self.finish(finish, next, current, txn),
            Change::Report(_) | Change::RequestCancel(_) => already(current),
        }
    }

    fn finish(
        &self,
        finish: &Finish,
        mut next: Action,
        current: &Action,
        txn: &mut TxnState,
    ) -> Answer {
        next.outcome = Some(finish.outcome);
        next.finished_at = Some(next.last_seen_at);
        next.result.clone_from(&finish.result);
        next.error = finish
            .error
            .clone()
            .or_else(|| own_words(finish.outcome, current));
        add_warnings(&mut next, &finish.warnings, &finish.notes);
        if finish.outcome == Outcome::Succeeded {
            next.progress = Progress::DONE;
        }
        let mut decided_by = finish.decided_by.clone();
        if let Some(owner) = current
            .owner
            .as_ref()
            .filter(|owner| self.by != Some(*owner))
        {
            // The owner did not complete the action, so this is no sign of life.
            next.last_seen_at = current.last_seen_at;
            let decider = decided_by.or_else(|| self.by.map(|by| by.name.clone()));
            let decider = decider.unwrap_or_else(|| "unnamed".into());
            let end = end_of(owner, txn);
            let seen = current.last_seen_at;
            next.evidence = Some(Evidence::new(owner.clone(), end, seen, decider.clone()));
            decided_by = Some(decider);
        }
        let note = next.error.as_ref().map(error_note);
        let finished = |entry: &mut LogEntry| {
            entry.by = decided_by;
            entry.note = note;
        };
        self.save(next, Some(LogEntryKind::Finished), finished, txn)
    }

    /// Returns the action with the next version and a new sign of life.
    fn next_of(&self, current: &Action) -> Action {
        let mut next = current.clone();
        next.version = current.version.next();
        next.last_op = Some(self.op);
        next.last_seen_at = self.latest(current);
        next
    }

    /// Returns the time of the change. It is never earlier than the last change of the action.
    fn latest(&self, current: &Action) -> Timestamp {
        self.now.max(last_stamp(current))
    }

    fn save(
        &self,
        mut next: Action,
        kind: Option<LogEntryKind>,
        complete: impl FnOnce(&mut LogEntry),
        txn: &mut TxnState,
    ) -> Answer {
        if let Some(kind) = kind {
            next.log_entries = next.log_entries.saturating_add(1);
            let at = self.latest(&next);
            let mut entry = LogEntry::new(kind, &next, at);
            complete(&mut entry);
            txn.append(entry);
        }
        let next = Arc::new(next);
        txn.set_action(next.clone());
        applied(next)
    }
}

/// Returns the standard error of an outcome that came without one.
fn own_words(outcome: Outcome, current: &Action) -> Option<ActionError> {
    match outcome {
        Outcome::Lost => Some(ActionError::new(
            ActionError::LOST,
            "its owner ended without reporting how it went",
        )),
        Outcome::Interrupted if current.started_at.is_none() => Some(ActionError::new(
            ActionError::INTERRUPTED,
            "it was never started",
        )),
        Outcome::Interrupted => Some(ActionError::new(
            ActionError::INTERRUPTED,
            "it was stopped before it was through",
        )),
        Outcome::Succeeded | Outcome::Failed | Outcome::Cancelled => None,
    }
}

/// Adds the warnings and notes that the action does not have yet. Returns the first that it added.
fn add_warnings(action: &mut Action, new: &[Arc<str>], notes: &[Arc<str>]) -> Option<Arc<str>> {
    if new.is_empty() && notes.is_empty() {
        return None;
    }
    let mut warnings = Warnings::new(&action.warnings);
    new.iter().for_each(|warning| warnings.add(warning));
    notes.iter().for_each(|note| warnings.note(note));
    let (texts, added) = warnings.into_parts();
    if added.is_some() {
        action.warnings = texts.into();
    }
    added
}
