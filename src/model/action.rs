//! The record of an action.

use std::fmt;
use std::sync::Arc;

use super::extra::Extra;
use super::identity::{ActionUid, Digest, OpId, Version};
use super::json::Json;
use super::labels::Labels;
use super::limits::{Invalid, Limits, at_most, label, label_opt, prose, prose_opt};
use super::new_action::NewAction;
use super::object::{ObjectRef, ObjectSet, RelatedObject};
use super::owner::OwnerRef;
use super::progress::Progress;
use super::time::Timestamp;
use super::warnings::Warnings;
use super::words::{Outcome, OwnerEnd, Source, Status};

/// Error of an action that did not succeed. It separates the public message from details for
/// operators.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActionError {
    /// Code for programs, such as `disk_full` or `lost`. A [label](Limits::LABEL).
    pub code: Arc<str>,
    /// Message for everybody who may see the action. [Prose](Limits::TEXT).
    pub message: Arc<str>,
    /// Detail for operators only: error sources, paths, driver messages. [Prose](Limits::TEXT).
    pub detail: Option<Arc<str>>,
}

impl ActionError {
    /// Code of a lost action: its owner ended without reporting an outcome.
    pub const LOST: &'static str = "lost";
    /// Code of an interrupted action: it never started, or it was stopped before it was done.
    pub const INTERRUPTED: &'static str = "interrupted";

    /// Creates an error with a code for programs and a message for everybody.
    #[must_use]
    pub fn new(code: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> ActionError {
        ActionError {
            code: code.into(),
            message: message.into(),
            detail: None,
        }
    }

    /// Adds the detail that only operators may see.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Arc<str>>) -> ActionError {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        label("error.code", &self.code)?;
        prose("error.message", &self.message)?;
        prose_opt("error.detail", self.detail.as_deref())
    }
}

impl fmt::Debug for ActionError {
    /// Omits the operators' detail, because `Debug` output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActionError")
            .field("code", &self.code)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Request to cancel an action. It does not change the status; the owner decides how the action
/// ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancel {
    /// Time of the request.
    pub at: Timestamp,
    /// Person or program that asked. A [label](Limits::LABEL).
    pub by: Option<Arc<str>>,
    /// Reason for the request. [Prose](Limits::TEXT).
    pub reason: Option<Arc<str>>,
}

impl Cancel {
    /// Creates a request made at a time, without a name and a reason.
    #[must_use]
    pub fn new(at: Timestamp) -> Cancel {
        Cancel {
            at,
            by: None,
            reason: None,
        }
    }
}

/// Facts about the owner of an action that this owner did not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// Owner of the action.
    pub owner: OwnerRef,
    /// How the owner ended, as the store saw it.
    pub end: OwnerEnd,
    /// Last sign of life of the action before it was completed.
    pub last_seen_at: Timestamp,
    /// Name of the owner or program that completed the action. A [label](Limits::LABEL).
    pub decided_by: Arc<str>,
}

impl Evidence {
    /// Creates the facts about an owner.
    #[must_use]
    pub fn new(
        owner: OwnerRef,
        end: OwnerEnd,
        last_seen_at: Timestamp,
        decided_by: impl Into<Arc<str>>,
    ) -> Evidence {
        Evidence {
            owner,
            end,
            last_seen_at,
            decided_by: decided_by.into(),
        }
    }
}

/// The record of an action.
///
/// The struct is flat because a store reads and writes it field by field. The status decides which
/// fields must be set and which must not. [`Action::check`] checks these invariants whenever an
/// action is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Action {
    /// Identity of the action.
    pub uid: ActionUid,
    /// Kind of action: a task, a state machine, or other.
    pub source: Source,
    /// Name of the operation, such as `backup_bdb` or `SMCreateBDB`. A [label](Limits::LABEL).
    pub name: Arc<str>,
    /// Object that the action works on.
    pub object: Option<ObjectRef>,
    /// Other objects that the action touches.
    pub related: Arc<[RelatedObject]>,
    /// Tenant of the action. A [label](Limits::LABEL); `default` unless the host sets it.
    pub tenant: Arc<str>,
    /// Person or program that asked for the action. A [label](Limits::LABEL).
    pub actor: Option<Arc<str>>,
    /// Action that this action is a part of.
    pub parent: Option<ActionUid>,
    /// Completed action that this action retries.
    pub retry_of: Option<ActionUid>,
    /// Request or trace id of the host. A [label](Limits::LABEL).
    pub correlation: Option<Arc<str>>,
    /// Labels, by which the action is found. They never change.
    pub labels: Labels,
    /// Keys that no other unfinished action of the tenant may hold. [Labels](Limits::LABEL).
    pub exclusive: Arc<[Arc<str>]>,
    /// Idempotency key. A repeated create with this key finds this action until the action is
    /// removed.
    pub idempotency_key: Option<Arc<str>>,

    /// Status of the action.
    pub status: Status,
    /// Outcome; set if and only if the action is completed.
    pub outcome: Option<Outcome>,
    /// Progress; 100 % if and only if the action has succeeded.
    pub progress: Progress,
    /// Current step. A [label](Limits::LABEL).
    pub step: Option<Arc<str>>,
    /// Description for people. [Prose](Limits::TEXT).
    pub description: Option<Arc<str>>,
    /// Further values that the host shows: a small JSON object.
    pub attributes: Option<Json>,
    /// Result of the action, for the caller that started it.
    pub result: Option<Json>,
    /// Error. Always set for failed, interrupted and lost actions; never for succeeded ones.
    pub error: Option<ActionError>,
    /// Warnings. [Prose](Limits::TEXT), without duplicates; at most [`Limits::WARNINGS`].
    pub warnings: Arc<[Arc<str>]>,
    /// Owner. An executing action always has one.
    pub owner: Option<OwnerRef>,
    /// Cancel request, if there is one.
    pub cancel: Option<Cancel>,
    /// Facts about the owner, if the owner did not complete the action.
    pub evidence: Option<Evidence>,

    /// Time of the create.
    pub created_at: Timestamp,
    /// Time of the start.
    pub started_at: Option<Timestamp>,
    /// Time of completion; set if and only if the action is completed.
    pub finished_at: Option<Timestamp>,
    /// Last sign of life: time of the last accepted change or report of the action itself.
    pub last_seen_at: Timestamp,

    /// Number of changes so far; the create is the first.
    pub version: Version,
    /// Number of log entries written so far, late reports not counted.
    /// [`Limits::LOG_ENTRIES`] of them are kept.
    pub log_entries: u32,
    /// Operation that made the last change. `None` until the first change after the create.
    pub last_op: Option<OpId>,
    /// Digest of the content of the create.
    pub digest: Digest,
    /// Fields of a later version of this library. Every change keeps them.
    pub(crate) extra: Extra,
}

impl Action {
    /// Creates the action for a `NewAction`: queued, at version 1.
    #[must_use]
    pub fn new(new: &NewAction, digest: Digest, at: Timestamp) -> Action {
        Action {
            uid: new.uid,
            source: new.source,
            name: new.name.clone(),
            object: new.object.clone(),
            related: new.related.clone().into(),
            tenant: new.tenant.clone(),
            actor: new.actor.clone(),
            parent: new.parent,
            retry_of: new.retry_of,
            correlation: new.correlation.clone(),
            labels: new.labels.clone(),
            exclusive: new.exclusive.clone().into(),
            idempotency_key: new.idempotency_key.clone(),
            status: Status::Queued,
            outcome: None,
            progress: Progress::ZERO,
            step: None,
            description: new.description.clone(),
            attributes: new.attributes.clone(),
            result: None,
            error: None,
            warnings: Warnings::of(&new.notes),
            owner: None,
            cancel: None,
            evidence: None,
            created_at: at,
            started_at: None,
            finished_at: None,
            last_seen_at: at,
            version: Version::FIRST,
            log_entries: 1,
            last_op: None,
            digest,
            extra: Extra::default(),
        }
    }

    /// Returns true if the action is queued or executing.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.status != Status::Completed
    }

    /// Returns the number of log entries that were dropped because of [`Limits::LOG_ENTRIES`].
    ///
    /// They are the oldest steps and notes; the entries of the lifecycle stay. An action that was
    /// imported with only a part of its log lacks more entries than this.
    #[must_use]
    pub fn log_dropped(&self) -> u32 {
        self.log_entries.saturating_sub(Limits::LOG_ENTRIES)
    }

    /// Returns true if the action touches `object`, as its own object or as a related one.
    #[must_use]
    pub fn touches(&self, object: &ObjectRef) -> bool {
        self.object.as_ref() == Some(object) || self.related.iter().any(|r| &r.object == object)
    }

    /// Returns true if the action touches one of `objects`, as its own object or as a related one.
    #[must_use]
    pub fn touches_any(&self, objects: &ObjectSet) -> bool {
        let related = self.related.iter().map(|related| &related.object);
        self.object
            .iter()
            .chain(related)
            .any(|o| objects.contains(o))
    }

    /// Checks all limits and invariants of an action that is imported.
    ///
    /// # Errors
    /// Returns [`Invalid`] with the first field that breaks a rule.
    pub fn check(&self) -> Result<(), Invalid> {
        self.check_texts()?;
        let version = self.version.get();
        if version > Limits::IMPORTED_VERSION {
            let most = Limits::IMPORTED_VERSION;
            let reason = format!("{version}; the limit for an imported action is {most}");
            return Err(Invalid::new("version", reason));
        }
        self.check_invariants()
    }

    fn check_texts(&self) -> Result<(), Invalid> {
        NewAction::from(self).check()?;
        label_opt("step", self.step.as_deref())?;
        at_most("warnings", self.warnings.len(), Limits::WARNINGS)?;
        for warning in &*self.warnings {
            prose("warnings", warning)?;
        }
        if let Some(error) = &self.error {
            error.check()?;
        }
        if let Some(owner) = &self.owner {
            owner.check()?;
        }
        if let Some(cancel) = &self.cancel {
            label_opt("cancel.by", cancel.by.as_deref())?;
            prose_opt("cancel.reason", cancel.reason.as_deref())?;
        }
        if let Some(evidence) = &self.evidence {
            evidence.owner.check()?;
            label("evidence.decided_by", &evidence.decided_by)?;
        }
        Ok(())
    }

    /// Checks that each field fits the status of the action.
    ///
    /// # Errors
    /// Returns [`Invalid`] with the first field that does not fit the status.
    pub fn check_invariants(&self) -> Result<(), Invalid> {
        use Outcome::{Cancelled, Failed, Interrupted, Lost, Succeeded};
        let rule = |holds: bool, field: &'static str, reason: &'static str| {
            if holds {
                Ok(())
            } else {
                Err(Invalid::new(field, reason))
            }
        };
        let completed = self.status == Status::Completed;
        rule(
            self.outcome.is_some() == completed,
            "outcome",
            "must be set if and only if the action is completed",
        )?;
        rule(
            self.finished_at.is_some() == completed,
            "finished_at",
            "must be set if and only if the action is completed",
        )?;
        rule(
            completed || self.result.is_none(),
            "result",
            "must not be set before the action is completed",
        )?;
        rule(
            completed || self.evidence.is_none(),
            "evidence",
            "must not be set before the action is completed",
        )?;
        rule(
            self.status != Status::Executing || self.owner.is_some(),
            "owner",
            "is missing: an executing action must have an owner",
        )?;
        rule(
            self.status != Status::Executing || self.started_at.is_some(),
            "started_at",
            "is missing: an executing action must have a start time",
        )?;
        rule(
            self.status != Status::Queued || self.started_at.is_none(),
            "started_at",
            "must not be set while the action is queued",
        )?;
        rule(
            self.started_at.is_some() || self.progress == Progress::ZERO,
            "progress",
            "must be 0 for an action that was never started",
        )?;
        rule(
            match self.outcome {
                None | Some(Succeeded) => self.error.is_none(),
                Some(Failed | Interrupted | Lost) => self.error.is_some(),
                Some(Cancelled) => true,
            },
            "error",
            "is required if failed, interrupted or lost; otherwise allowed only if cancelled",
        )?;
        rule(
            self.outcome != Some(Succeeded) || self.progress == Progress::DONE,
            "progress",
            "must be 100 percent for a succeeded action",
        )?;
        rule(
            self.outcome == Some(Succeeded) || self.progress < Progress::DONE,
            "progress",
            "must be below 100 percent unless the action has succeeded",
        )?;
        rule(
            self.outcome != Some(Lost) || self.evidence.is_some(),
            "evidence",
            "is missing: a lost action must have it",
        )?;
        rule(
            self.started_at.is_some() || !matches!(self.outcome, Some(Succeeded | Lost)),
            "started_at",
            "is missing: only a started action can succeed or be lost",
        )?;
        rule(
            self.stamps_run_forward(),
            "created_at",
            "must not be later than the start, the end, the cancel request or the last sign of life",
        )?;
        rule(
            self.log_entries >= 1,
            "log_entries",
            "must be at least 1: the create is an entry",
        )
    }

    fn stamps_run_forward(&self) -> bool {
        let cancel = self.cancel.as_ref().map(|cancel| cancel.at);
        let within = [self.started_at, cancel, Some(self.last_seen_at)];
        within.into_iter().flatten().all(|stamp| {
            self.created_at <= stamp && self.finished_at.is_none_or(|end| stamp <= end)
        })
    }
}
