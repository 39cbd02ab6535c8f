//! An action as it is recorded.

use std::fmt;
use std::sync::Arc;

use super::extra::Extra;
use super::fit::Warnings;
use super::identity::{ActionUid, Digest, OpId, Version};
use super::json::Json;
use super::limits::{Invalid, Limits, at_most, label, label_opt, prose, prose_opt};
use super::new_action::NewAction;
use super::object::{ObjectRef, ObjectSet, RelatedObject};
use super::owner::OwnerRef;
use super::progress::Progress;
use super::time::Timestamp;
use super::words::{Outcome, OwnerEnd, Source, Status};

/// Why an action did not succeed, for two audiences.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActionError {
    /// A word for programs: `disk_full`, `lost`. A label.
    pub code: Arc<str>,
    /// A sentence for everybody who may see the action. Prose.
    pub message: Arc<str>,
    /// What only operators may see: sources, paths, drivers' words. Prose.
    pub detail: Option<Arc<str>>,
}

impl ActionError {
    /// The code of an action whose owner ended without a word.
    pub const LOST: &'static str = "lost";
    /// The code of an action that was stopped before it was through or never started.
    pub const INTERRUPTED: &'static str = "interrupted";

    /// A code for programs and a message for everybody.
    #[must_use]
    pub fn new(code: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> ActionError {
        ActionError {
            code: code.into(),
            message: message.into(),
            detail: None,
        }
    }

    /// Adds what only operators may see.
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
    /// Leaves the operators' detail out: `Debug` ends up in logs.
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

/// That somebody asked for an action to be cancelled. A wish, not a status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancel {
    /// When.
    pub at: Timestamp,
    /// Who asked. A label.
    pub by: Option<Arc<str>>,
    /// Why. Prose.
    pub reason: Option<Arc<str>>,
}

impl Cancel {
    /// A wish of that time.
    #[must_use]
    pub fn new(at: Timestamp) -> Cancel {
        Cancel {
            at,
            by: None,
            reason: None,
        }
    }
}

/// What is known about an owner in whose place somebody else completed the action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// Who owned the action.
    pub owner: OwnerRef,
    /// How that owner came to its end, as the store saw it.
    pub end: OwnerEnd,
    /// The action's last sign of life before that.
    pub last_seen_at: Timestamp,
    /// Who decided. A label: an owner's name, or what the decider called itself.
    pub decided_by: Arc<str>,
}

impl Evidence {
    /// What is known about an owner.
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

/// An action as it is recorded.
///
/// Flat, because this is the edge: a store reads and writes it field by field. Its invariants
/// (which fields a status brings and forbids) are checked by [`Action::check`] wherever one comes
/// in from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Action {
    /// Which action.
    pub uid: ActionUid,
    /// What kind of machinery.
    pub source: Source,
    /// What is done: `backup_bdb`, `SMCreateBDB`. A label.
    pub name: Arc<str>,
    /// What it is done to.
    pub object: Option<ObjectRef>,
    /// What else it touches.
    pub related: Arc<[RelatedObject]>,
    /// Whose action it is. A label; `default` unless the host says otherwise.
    pub tenant: Arc<str>,
    /// Who asked for it. A label.
    pub actor: Option<Arc<str>>,
    /// The action it is a part of.
    pub parent: Option<ActionUid>,
    /// The completed action it tries again.
    pub retry_of: Option<ActionUid>,
    /// The host's request or trace id. A label.
    pub correlation: Option<Arc<str>>,
    /// Keys that no other unfinished action of the tenant may hold. Labels.
    pub exclusive: Arc<[Arc<str>]>,
    /// The key under which a repeated create finds this action, for as long as it is kept.
    pub idempotency_key: Option<Arc<str>>,

    /// Where it is.
    pub status: Status,
    /// How it ended; exactly when completed.
    pub outcome: Option<Outcome>,
    /// How far it has come: 100 % exactly when it has succeeded.
    pub progress: Progress,
    /// The step it is in. A label.
    pub step: Option<Arc<str>>,
    /// A sentence about it. Prose.
    pub description: Option<Arc<str>>,
    /// Whatever else the host wants shown: a small JSON object.
    pub attributes: Option<Json>,
    /// What it brought about, for whoever started it.
    pub result: Option<Json>,
    /// Why it did not succeed; always for failed, interrupted and lost, never for succeeded.
    pub error: Option<ActionError>,
    /// What went not quite right. Prose, each said once.
    pub warnings: Arc<[Arc<str>]>,
    /// Who runs it. An executing action always has one.
    pub owner: Option<OwnerRef>,
    /// Whether somebody asked to cancel it.
    pub cancel: Option<Cancel>,
    /// What is known of the owner it was taken from.
    pub evidence: Option<Evidence>,

    /// When it was created.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it was completed; exactly when completed.
    pub finished_at: Option<Timestamp>,
    /// Its last sign of life: the last accepted change or report of the action itself.
    pub last_seen_at: Timestamp,

    /// How many changes it has had.
    pub version: Version,
    /// How many log entries it has had; the newest [`Limits::LOG_ENTRIES`] are kept.
    pub log_entries: u32,
    /// The operation that changed it last; none since it was created.
    pub last_op: Option<OpId>,
    /// What its create asked for.
    pub digest: Digest,
    /// Fields of a later version; every change carries them over.
    pub(crate) extra: Extra,
}

impl Action {
    /// The action that a `NewAction` becomes: queued, version 1.
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

    /// Whether it is queued or executing.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.status != Status::Completed
    }

    /// Whether it touches an object, as its subject or as a related one.
    #[must_use]
    pub fn touches(&self, object: &ObjectRef) -> bool {
        self.object.as_ref() == Some(object) || self.related.iter().any(|r| &r.object == object)
    }

    /// Whether it touches one of these objects, as its subject or as a related one.
    #[must_use]
    pub fn touches_any(&self, objects: &ObjectSet) -> bool {
        let related = self.related.iter().map(|related| &related.object);
        self.object
            .iter()
            .chain(related)
            .any(|o| objects.contains(o))
    }

    /// Checks every limit and every invariant of an action that comes from outside, by import.
    ///
    /// # Errors
    /// [`Invalid`] names the field that breaks a rule.
    pub fn check(&self) -> Result<(), Invalid> {
        self.check_texts()?;
        let version = self.version.get();
        if version > Limits::IMPORTED_VERSION {
            let most = Limits::IMPORTED_VERSION;
            let reason = format!("{version}; the highest that is imported is {most}");
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

    /// Checks what a status brings and forbids.
    ///
    /// # Errors
    /// [`Invalid`] names the field that does not fit the status.
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
            "is there exactly when the action is completed",
        )?;
        rule(
            self.finished_at.is_some() == completed,
            "finished_at",
            "is there exactly when the action is completed",
        )?;
        rule(
            completed || self.result.is_none(),
            "result",
            "comes with completion only",
        )?;
        rule(
            completed || self.evidence.is_none(),
            "evidence",
            "comes with completion only",
        )?;
        rule(
            self.status != Status::Executing || self.owner.is_some(),
            "owner",
            "is missing: an executing action has one",
        )?;
        rule(
            self.status != Status::Executing || self.started_at.is_some(),
            "started_at",
            "is missing: an executing action was started",
        )?;
        rule(
            self.status != Status::Queued || self.started_at.is_none(),
            "started_at",
            "is there although the action is queued",
        )?;
        rule(
            self.started_at.is_some() || self.progress == Progress::ZERO,
            "progress",
            "is there although the action never started",
        )?;
        rule(
            match self.outcome {
                None | Some(Succeeded) => self.error.is_none(),
                Some(Failed | Interrupted | Lost) => self.error.is_some(),
                Some(Cancelled) => true,
            },
            "error",
            "does not fit the outcome",
        )?;
        rule(
            self.outcome != Some(Succeeded) || self.progress == Progress::DONE,
            "progress",
            "is below 100 although the action succeeded",
        )?;
        rule(
            self.outcome == Some(Succeeded) || self.progress < Progress::DONE,
            "progress",
            "is 100 although the action has not succeeded",
        )?;
        rule(
            self.outcome != Some(Lost) || self.evidence.is_some(),
            "evidence",
            "is missing: a lost action has it",
        )?;
        rule(
            self.started_at.is_some() || !matches!(self.outcome, Some(Succeeded | Lost)),
            "started_at",
            "is missing: only a started action can succeed or be lost",
        )?;
        rule(
            self.stamps_run_forward(),
            "created_at",
            "is later than the start, the end, the cancel request or the last sign of life",
        )?;
        rule(
            self.log_entries >= 1,
            "log_entries",
            "is 0 although creation is one",
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
