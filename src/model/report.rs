//! Values of a change: a report, a cancel request, an end.

use std::sync::Arc;

use super::action::ActionError;
#[cfg(doc)]
use super::command::Effect;
use super::fit::{Notes, value_or_note};
use super::json::Json;
#[cfg(doc)]
use super::limits::Limits;
use super::progress::Progress;
use super::words::{Outcome, Status};

/// Report about an action that is being executed. All fields are optional; an empty report is a
/// sign of life.
///
/// A report is never refused because of its values, since that would fail the work it reports on.
/// Values that break a limit are changed to fit:
///
/// | field | when a value breaks a limit |
/// | --- | --- |
/// | `progress` | out of range: left as it was |
/// | `step` | longer than [`Limits::LABEL`]: cut at a character, ` [cut]` at the end; control characters: replaced with U+FFFD; empty: left as it was |
/// | `description` | longer than [`Limits::TEXT`]: cut, ` [cut]` at the end; U+0000: replaced with U+FFFD |
/// | `attributes` | not valid as attributes: left as they were, as a whole |
/// | `warnings` | each as `description`; beyond [`Limits::WARNINGS`]: left out |
///
/// Each such change adds a warning to the action, with the field and the reason. There is at most
/// one warning for each field and kind of change. A warning text that is cut only gets the mark `
/// [cut]`. If the action already has [`Limits::WARNINGS`] warnings, the note is put in front of the
/// last one.
///
/// A batch has a limit, too: [`Capabilities::max_bytes`](crate::Capabilities::max_bytes).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Progress so far. A value that is not above the recorded one changes nothing. A report with
    /// only such a value returns [`Effect::Already`], even after this owner has ended the action.
    /// To give a sign of life without progress, send an empty report.
    pub progress: Option<Progress>,
    /// Current step. A [label](Limits::LABEL).
    pub step: Option<Arc<str>>,
    /// New description. [Prose](Limits::TEXT).
    pub description: Option<Arc<str>>,
    /// New attributes. They replace all previous attributes.
    pub attributes: Option<Json>,
    /// Warnings to add. [Prose](Limits::TEXT). A warning that the action already has is not added
    /// again.
    pub warnings: Vec<Arc<str>>,
    /// Notes about values that were left out or cut. They become warnings.
    pub(super) notes: Notes,
}

impl Report {
    /// Returns true if the report has progress and nothing else.
    pub(super) fn is_progress_alone(&self) -> bool {
        let only = Report {
            progress: self.progress,
            ..Report::default()
        };
        self.progress.is_some() && *self == only
    }

    /// Creates an empty report: a sign of life.
    #[must_use]
    pub fn new() -> Report {
        Report::default()
    }

    /// Sets the progress. Takes a [`Progress`] or the `Result` of its constructors:
    /// `with_progress(Progress::percent(x))`. An error leaves the progress unchanged and adds a
    /// warning.
    #[must_use]
    pub fn with_progress(
        mut self,
        progress: impl TryInto<Progress, Error: std::fmt::Display>,
    ) -> Report {
        let what = "progress was left as it was";
        if let Some(progress) = value_or_note(progress, what, &mut self.notes) {
            self.progress = Some(progress);
        }
        self
    }

    /// Sets the current step.
    #[must_use]
    pub fn with_step(mut self, step: impl Into<Arc<str>>) -> Report {
        self.step = Some(step.into());
        self
    }

    /// Sets a new description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Arc<str>>) -> Report {
        self.description = Some(description.into());
        self
    }

    /// Replaces the attributes. Takes a [`Json`] or the `Result` of its constructors:
    /// `with_attributes(Json::of(&value))`, without `?`. An error leaves the attributes unchanged
    /// and adds a warning with the reason.
    #[must_use]
    pub fn with_attributes(
        mut self,
        attributes: impl TryInto<Json, Error: std::fmt::Display>,
    ) -> Report {
        let what = "attributes were left as they were";
        if let Some(attributes) = value_or_note(attributes, what, &mut self.notes) {
            self.attributes = Some(attributes);
        }
        self
    }

    /// Adds a warning.
    #[must_use]
    pub fn with_warning(mut self, warning: impl Into<Arc<str>>) -> Report {
        self.warnings.push(warning.into());
        self
    }
}

/// Request to cancel an action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelRequest {
    /// Person or program that asks. A [label](Limits::LABEL); a value that breaks the rules of a
    /// label is refused.
    pub by: Option<Arc<str>>,
    /// Reason for the request. [Prose](Limits::TEXT); cut if it is too long, as in a [`Report`].
    pub reason: Option<Arc<str>>,
    /// Notes about texts that were cut. They become warnings.
    pub(super) notes: Notes,
}

impl CancelRequest {
    /// Creates a request without a name and a reason.
    #[must_use]
    pub fn new() -> CancelRequest {
        CancelRequest::default()
    }

    /// Sets the person or program that asks.
    #[must_use]
    pub fn with_by(mut self, by: impl Into<Arc<str>>) -> CancelRequest {
        self.by = Some(by.into());
        self
    }

    /// Sets the reason.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Arc<str>>) -> CancelRequest {
        self.reason = Some(reason.into());
        self
    }
}

/// End of an action.
///
/// Texts that are too long are cut and noted as in a [`Report`], so that the end is always
/// recorded. These combinations are refused:
///
/// - A failure without an error.
/// - A success with an error.
/// - A lost outcome with a result.
/// - A `decided_by` that is not a [label](Limits::LABEL).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finish {
    /// Outcome of the action.
    pub outcome: Outcome,
    /// Result, complete or partial. Not allowed for a lost action, because its result is unknown.
    pub result: Option<Json>,
    /// Error. Required for a failed action, not allowed for a succeeded one. Interrupted and lost
    /// actions get a standard error if there is none.
    pub error: Option<ActionError>,
    /// Warnings to add. [Prose](Limits::TEXT).
    pub warnings: Vec<Arc<str>>,
    /// Name of the decider, if the action is not ended by its owner. A [label](Limits::LABEL). By
    /// default the name of the owner in the command, or `unnamed` if the command has none.
    pub decided_by: Option<Arc<str>>,
    /// Notes about values that were left out or cut. They become warnings.
    pub(super) notes: Notes,
}

impl Finish {
    /// Creates an end with an outcome.
    #[must_use]
    pub fn new(outcome: Outcome) -> Finish {
        Finish {
            outcome,
            result: None,
            error: None,
            warnings: Vec::new(),
            decided_by: None,
            notes: Notes::new(),
        }
    }

    /// Creates the end of an action that succeeded.
    #[must_use]
    pub fn succeeded() -> Finish {
        Finish::new(Outcome::Succeeded)
    }

    /// Creates the end of an action that failed with an error.
    #[must_use]
    pub fn failed(error: ActionError) -> Finish {
        Finish::new(Outcome::Failed).with_error(error)
    }

    /// Creates the end by which an operator settles an action of this status whose owner is no
    /// longer alive: lost if it was executing, interrupted if it was queued. The reason is for
    /// operators: it becomes the [detail](ActionError::detail) of the error. See
    /// [`Tracker::settle`](crate::Tracker::settle), which ends an action so.
    #[must_use]
    pub fn settled(status: Status, reason: Option<Arc<str>>) -> Finish {
        let (outcome, code, message) = match status {
            Status::Queued => (
                Outcome::Interrupted,
                ActionError::INTERRUPTED,
                "it was never started; an operator settled it",
            ),
            _ => (
                Outcome::Lost,
                ActionError::LOST,
                "its owner is no longer alive; an operator settled it",
            ),
        };
        let mut error = ActionError::new(code, message);
        error.detail = reason;
        Finish::new(outcome).with_error(error)
    }

    /// Sets the result. Takes a [`Json`] or the `Result` of its constructors:
    /// `with_result(Json::of(&value))`, without `?`. An error leaves the result out and adds a
    /// warning with the reason; the end is still recorded.
    #[must_use]
    pub fn with_result(mut self, result: impl TryInto<Json, Error: std::fmt::Display>) -> Finish {
        self.result = value_or_note(result, "result was left out", &mut self.notes);
        self
    }

    /// Sets the error.
    #[must_use]
    pub fn with_error(mut self, error: ActionError) -> Finish {
        self.error = Some(error);
        self
    }

    /// Adds a warning.
    #[must_use]
    pub fn with_warning(mut self, warning: impl Into<Arc<str>>) -> Finish {
        self.warnings.push(warning.into());
        self
    }

    /// Sets the name of the decider, if it is not the owner.
    #[must_use]
    pub fn with_decided_by(mut self, decided_by: impl Into<Arc<str>>) -> Finish {
        self.decided_by = Some(decided_by.into());
        self
    }
}
