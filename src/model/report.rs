//! The texts and values of a change: a report, a cancel request, an end.

use std::sync::Arc;

use super::action::ActionError;
#[cfg(doc)]
use super::command::Effect;
use super::fit::{Notes, value_or_note};
use super::json::Json;
#[cfg(doc)]
use super::limits::Limits;
use super::progress::Progress;
use super::words::Outcome;

/// How far an action is. Everything is optional; an empty report is a bare sign of life.
///
/// A report is never refused for what its fields contain: it would fail the work it reports on.
/// Values that break a limit are recorded as far as they fit:
///
/// | field | what breaks a limit |
/// | --- | --- |
/// | `progress` | out of range: left as it was |
/// | `step` | longer than [`Limits::LABEL`]: cut at a character, ` [cut]` at the end; control characters: replaced with U+FFFD; empty: left as it was |
/// | `description` | longer than [`Limits::TEXT`]: cut, ` [cut]` at the end; U+0000: replaced with U+FFFD |
/// | `attributes` | not valid as attributes: left as they were, as a whole |
/// | `warnings` | each as `description`; beyond [`Limits::WARNINGS`]: left out |
///
/// Each such change adds a warning to the action that names the field and what was wrong, at most
/// one for a field and what happened to it. A warning that is cut only shows the mark. If the
/// action has [`Limits::WARNINGS`] warnings already, the last one takes the note in front of its
/// text. A whole batch has a limit, too: [`Capabilities::max_bytes`](crate::Capabilities::max_bytes).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How far it has come. A value that is not above the recorded one changes nothing: a report
    /// with nothing else is [`Effect::Already`], also once this owner has ended the action. A bare
    /// report is the way to show life without progress.
    pub progress: Option<Progress>,
    /// The step it is in now. A label.
    pub step: Option<Arc<str>>,
    /// A new description. Prose.
    pub description: Option<Arc<str>>,
    /// New attributes, in place of all those before.
    pub attributes: Option<Json>,
    /// Warnings to add; one that is there already is not added again. Prose.
    pub warnings: Vec<Arc<str>>,
    /// Notes about what was left out or cut; they become warnings.
    pub(super) notes: Notes,
}

impl Report {
    /// True if it says how far the action has come, and nothing else.
    pub(super) fn is_progress_alone(&self) -> bool {
        let only = Report {
            progress: self.progress,
            ..Report::default()
        };
        self.progress.is_some() && *self == only
    }

    /// A bare sign of life.
    #[must_use]
    pub fn new() -> Report {
        Report::default()
    }

    /// Says how far it has come. Takes a [`Progress`], or the answer of a constructor that may
    /// refuse: `with_progress(Progress::percent(x))`. A refused value leaves the progress as it was
    /// and adds a warning.
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

    /// Names the step it is in now.
    #[must_use]
    pub fn with_step(mut self, step: impl Into<Arc<str>>) -> Report {
        self.step = Some(step.into());
        self
    }

    /// Describes it anew.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Arc<str>>) -> Report {
        self.description = Some(description.into());
        self
    }

    /// Replaces its attributes. Takes a [`Json`], or the answer of a constructor that may refuse:
    /// `with_attributes(Json::of(&value))`, without `?`. A refused value leaves the attributes as
    /// they were and adds a warning that says why.
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

/// Who wants an action cancelled, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelRequest {
    /// The name of the person or program that asks. A label; one that breaks the rules is refused.
    pub by: Option<Arc<str>>,
    /// Why. Prose; cut like the description of a [`Report`] if it does not fit.
    pub reason: Option<Arc<str>>,
    /// Notes about what was cut; they become warnings.
    pub(super) notes: Notes,
}

impl CancelRequest {
    /// A request by nobody in particular.
    #[must_use]
    pub fn new() -> CancelRequest {
        CancelRequest::default()
    }

    /// Says who asks.
    #[must_use]
    pub fn with_by(mut self, by: impl Into<Arc<str>>) -> CancelRequest {
        self.by = Some(by.into());
        self
    }

    /// Says why.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Arc<str>>) -> CancelRequest {
        self.reason = Some(reason.into());
        self
    }
}

/// How an action ended.
///
/// The texts of an end that do not fit are cut and noted as those of a [`Report`] are: the end is
/// recorded. Only a combination that makes no sense is refused: a failure without an error, a
/// success with one, lost with a result, and a `decided_by` that is no label.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finish {
    /// How.
    pub outcome: Outcome,
    /// What it brought about, or how far it came. Never with lost: nobody knows.
    pub result: Option<Json>,
    /// Why it did not succeed. Required for failed; interrupted and lost have words of their own
    /// when none are given; never with success.
    pub error: Option<ActionError>,
    /// Warnings to add. Prose.
    pub warnings: Vec<Arc<str>>,
    /// Who decided, when it is not the action's owner who says so. A label; the name of the
    /// owner the command names unless set, or `unnamed`.
    pub decided_by: Option<Arc<str>>,
    /// Notes about what was left out or cut; they become warnings.
    pub(super) notes: Notes,
}

impl Finish {
    /// An end of that kind.
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

    /// It did what it was for.
    #[must_use]
    pub fn succeeded() -> Finish {
        Finish::new(Outcome::Succeeded)
    }

    /// It ended with an error.
    #[must_use]
    pub fn failed(error: ActionError) -> Finish {
        Finish::new(Outcome::Failed).with_error(error)
    }

    /// Keeps what it brought about. Takes a [`Json`], or the answer of a constructor that may
    /// refuse: `with_result(Json::of(&value))`, without `?`. A refused value is not kept: the end is
    /// recorded without a result, and a warning on the action says so and why.
    #[must_use]
    pub fn with_result(mut self, result: impl TryInto<Json, Error: std::fmt::Display>) -> Finish {
        self.result = value_or_note(result, "result was left out", &mut self.notes);
        self
    }

    /// Says why it did not succeed.
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

    /// Says who decided in the owner's place.
    #[must_use]
    pub fn with_decided_by(mut self, decided_by: impl Into<Arc<str>>) -> Finish {
        self.decided_by = Some(decided_by.into());
        self
    }
}
