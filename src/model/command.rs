//! What can be asked of a store, and what it answers.

use std::sync::Arc;

use super::action::{Action, ActionError};
use super::fit::{Notes, value_or_note};
use super::identity::{ActionUid, OpId, Version};
use super::json::Json;
use super::limits::Invalid;
#[cfg(doc)]
use super::limits::Limits;
use super::new_action::NewAction;
use super::owner::{Owner, OwnerRef};
use super::progress::Progress;
use super::transition::Transition;
use super::words::{Outcome, OwnerEnd, Status};

/// Commands that are written as one transaction, in order.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What to do, in this order; each command sees those before it.
    pub commands: Vec<Command>,
    /// What a refused command means for the others.
    pub mode: BatchMode,
}

impl Batch {
    /// Each command on its own: a refused one leaves no trace and disturbs nobody.
    #[must_use]
    pub fn each(commands: Vec<Command>) -> Batch {
        Batch {
            commands,
            mode: BatchMode::Each,
        }
    }

    /// All or nothing: one refusal refuses all.
    #[must_use]
    pub fn all(commands: Vec<Command>) -> Batch {
        Batch {
            commands,
            mode: BatchMode::All,
        }
    }
}

impl Batch {
    /// About how much memory the batch's texts take. What a store's
    /// [`max_bytes`](crate::Capabilities::max_bytes) is held against.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.commands.iter().map(Command::bytes).sum()
    }
}

/// What a refused command means for the others of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchMode {
    /// Nothing.
    Each,
    /// They are refused too, with [`Refused::Batch`].
    All,
}

/// One thing to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// Records a new action, queued. Repeated with the same uid and content it is
    /// [`Effect::Already`].
    Create {
        /// The action.
        new: Arc<NewAction>,
        /// Who will be asked about it while it is queued; none for an action anybody may take.
        by: Option<OwnerRef>,
    },
    /// Changes an action.
    Apply {
        /// Which action.
        uid: ActionUid,
        /// Repeated with the same one, the command is [`Effect::Already`].
        op: OpId,
        /// What changes.
        change: Change,
        /// In whose name. That incarnation must be alive.
        by: Option<OwnerRef>,
        /// Refuses unless the action is at this version (a repeat is recognised first).
        if_version: Option<Version>,
    },
    /// Makes an incarnation the living one of its name.
    Claim {
        /// Who.
        owner: OwnerRef,
        /// Fences an incarnation that holds the name; otherwise that is [`Refused::OwnerAlive`].
        take_over: bool,
    },
    /// Shows that an incarnation lives.
    Renew(OwnerRef),
    /// Gives a name back.
    Release(OwnerRef),
    /// Ends an incarnation that has stood still for a whole lease.
    Fence {
        /// Who.
        owner: OwnerRef,
        /// How often it had renewed when it was last looked at; refused if it has since.
        if_renewals: u64,
    },
    /// Keeps a completed action from being removed, or no longer.
    Pin {
        /// Which action.
        uid: ActionUid,
        /// Whether it is to be kept.
        pinned: bool,
    },
    /// Removes a completed action that is not pinned, with its log and keys. Of one that is not
    /// there: [`Effect::Already`].
    Remove {
        /// Which action.
        uid: ActionUid,
        /// Refuses unless the action is at this version.
        if_version: Version,
    },
    /// Takes an action over from another store, as it is, with its log. Of one that is there, at
    /// that version or a later one it came to from there: [`Effect::Already`].
    Import {
        /// The action.
        action: Arc<Action>,
        /// Its log, oldest first.
        log: Vec<Transition>,
    },
    /// Stands for a command of a later version of this library, so that the conformance suite can
    /// show that a store refuses what it does not know.
    #[doc(hidden)]
    Unknown,
}

impl Command {
    fn bytes(&self) -> usize {
        /// What a command takes beside its long texts.
        const BASE: usize = 512;
        fn text(text: &Option<Arc<str>>) -> usize {
            text.as_ref().map_or(0, |text| text.len())
        }
        fn json(json: &Option<Json>) -> usize {
            json.as_ref().map_or(0, |json| json.as_str().len())
        }
        fn list(texts: &[Arc<str>]) -> usize {
            texts.iter().map(|text| text.len()).sum()
        }
        fn error(error: &Option<ActionError>) -> usize {
            let bytes = |e: &ActionError| e.message.len() + text(&e.detail);
            error.as_ref().map_or(0, bytes)
        }
        let long = match self {
            Command::Create { new, .. } => {
                let related = new.related.len() * 256;
                text(&new.description) + json(&new.attributes) + list(&new.exclusive) + related
            }
            Command::Apply { change, .. } => match change {
                Change::Report(r) => text(&r.description) + json(&r.attributes) + list(&r.warnings),
                Change::Finish(f) => json(&f.result) + error(&f.error) + list(&f.warnings),
                Change::RequestCancel(r) => text(&r.reason),
                Change::Start | Change::Adopt => 0,
            },
            Command::Import { action, log } => {
                let notes: usize = log.iter().map(|entry| BASE + text(&entry.note)).sum();
                let reason = action.cancel.as_ref().map_or(0, |c| text(&c.reason));
                let asked = text(&action.description) + json(&action.attributes) + reason;
                let told = json(&action.result) + error(&action.error) + list(&action.warnings);
                asked + told + list(&action.exclusive) + action.related.len() * 256 + notes
            }
            _ => 0,
        };
        BASE + long
    }
}

/// What changes about an action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is being worked on, by whoever the command names.
    Start,
    /// It is alive and this far.
    Report(Report),
    /// Somebody wants it cancelled.
    RequestCancel(CancelRequest),
    /// It is over.
    Finish(Finish),
    /// Whoever the command names goes on with what a dead owner left.
    Adopt,
}

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

/// Whether a command changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It did.
    Applied,
    /// It had been done before, or there was nothing to do.
    Already,
}

/// That a command was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done {
    /// Whether it changed something.
    pub effect: Effect,
    /// The action as it is after the command; none for commands about owners and for a removal.
    pub action: Option<Arc<Action>>,
}

impl Done {
    /// An answer.
    #[must_use]
    pub fn new(effect: Effect, action: Option<Arc<Action>>) -> Done {
        Done { effect, action }
    }
}

/// Why a command was certainly not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The input breaks a rule.
    #[error("{0}")]
    Invalid(Invalid),
    /// There is no such action.
    #[error("there is no action {0}")]
    NotFound(ActionUid),
    /// The action, or another one, stands in the way.
    #[error("action {}: {clash}", current.uid)]
    Conflict {
        /// What clashes.
        clash: Clash,
        /// The action that stands in the way, as it is; in a batch that is all or nothing, as
        /// the commands before this one would have left it.
        current: Arc<Action>,
    },
    /// That owner is alive.
    #[error("owner {} is alive", .0.owner)]
    OwnerAlive(Box<Owner>),
    /// The owner in whose name the command speaks is not, or no longer, alive.
    #[error("owner {owner} {}", ended_in_words(*end))]
    Fenced {
        /// Who.
        owner: OwnerRef,
        /// How it ended: others fenced it, or it released its name itself.
        end: OwnerEnd,
        /// The action the command was about, as it is.
        current: Option<Arc<Action>>,
    },
    /// The batch was all or nothing, and the command at this index was refused.
    #[error("command {0} of the batch was refused")]
    Batch(usize),
}

fn ended_in_words(end: OwnerEnd) -> &'static str {
    match end {
        OwnerEnd::Fenced => "was fenced",
        OwnerEnd::Released => "has released its name",
        OwnerEnd::Unknown => "is not known to be alive",
    }
}

/// What stands in the way of a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Clash {
    /// Another action has this uid.
    #[error("the uid belongs to an action of other content")]
    Uid,
    /// The action's status does not allow it.
    #[error("{change} is not possible while it is {status}")]
    Status {
        /// Where the action is.
        status: Status,
        /// What was tried: `start`, `succeeded`.
        change: &'static str,
    },
    /// The action is at another version than the command demands.
    #[error("it is at version {found}, not {expected}")]
    Version {
        /// What the command demands.
        expected: Version,
        /// What the action is at.
        found: Version,
    },
    /// Only the action's owner may do that.
    #[error("only its owner may do that")]
    NotOwner,
    /// An unfinished action holds an exclusive key.
    #[error("it holds the exclusive key {0:?}")]
    Exclusive(Arc<str>),
    /// The idempotency key belongs to an action of other content.
    #[error("it has the idempotency key, with other content")]
    IdempotencyKey,
    /// The action is pinned.
    #[error("it is pinned")]
    Pinned,
}
