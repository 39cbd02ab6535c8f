//! The fields of an action, a log entry and an owner: the one place where each is defined.
//!
//! Tags are odd, since a version that does not know the field must refuse the record. A later
//! field that may be carried along unread takes an even tag.

use std::sync::Arc;

use super::error::CodecError;
use super::leaf::{
    Count, Hundredths, Id, JsonObject, JsonText, Kind, Label, Leaf, LongCount, Micros, Object,
    Prose, Value, VersionNumber, Word,
};
use super::lists::{LabelPairs, List, Related};
use super::record::{Field, FieldSet, Record, record, sealed};
use super::wire::{Reader, Writer};
use crate::model::action::{Action, ActionError, Cancel, Evidence};
use crate::model::extra::Extra;
use crate::model::identity::{ActionUid, Digest, OpId};
use crate::model::limits::Limits;
use crate::model::log_entry::{LogEntry, LogEntryKind};
use crate::model::new_action::check_relations;
use crate::model::owner::{Incarnation, Owner, OwnerRef, OwnerState};
use crate::model::words::{Outcome, OwnerEnd, Source, Status};

record! {
    /// A field of an [`Action`].
    ActionField of Action, form 1, leaves ActionLeaves, |action|
    Uid uid 1 need Id<ActionUid> = action.uid;
    Source source 3 need Word<Source> = action.source;
    Name name 5 need Label = action.name;
    Object object 7 find Object = action.object.as_ref();
    Related related 9 list Related = action.related;
    Tenant tenant 11 need Label = action.tenant;
    Actor actor 13 find Label = action.actor.as_ref();
    Parent parent 15 find Id<ActionUid> = action.parent.as_ref();
    RetryOf retry_of 17 find Id<ActionUid> = action.retry_of.as_ref();
    Correlation correlation 19 find Label = action.correlation.as_ref();
    Exclusive exclusive 21 list List<Label, { Limits::EXCLUSIVE }> = action.exclusive;
    IdempotencyKey idempotency_key 23 find Label = action.idempotency_key.as_ref();
    Digest digest 25 need Id<Digest> = action.digest;
    CreatedAt created_at 27 need Micros = action.created_at;
    Status status 29 need Word<Status> = action.status;
    Outcome outcome 31 find Word<Outcome> = action.outcome.as_ref();
    Progress progress 33 need Hundredths = action.progress;
    Step step 35 find Label = action.step.as_ref();
    Description description 37 find Prose = action.description.as_ref();
    Attributes attributes 39 find JsonObject = action.attributes.as_ref();
    Result result 41 find JsonText = action.result.as_ref();
    ErrorCode error_code 43 find Label = action.error.as_ref().map(|error| &error.code);
    ErrorMessage error_message 45 find Prose = action.error.as_ref().map(|error| &error.message);
    ErrorDetail error_detail 47 find Prose =
        action.error.as_ref().and_then(|error| error.detail.as_ref());
    Warnings warnings 49 list List<Prose, { Limits::WARNINGS }> = action.warnings;
    Owner owner 51 find Label = action.owner.as_ref().map(|owner| &owner.name);
    Incarnation incarnation 53 find Id<Incarnation> =
        action.owner.as_ref().map(|owner| &owner.incarnation);
    CancelAt cancel_at 55 find Micros = action.cancel.as_ref().map(|cancel| &cancel.at);
    CancelBy cancel_by 57 find Label =
        action.cancel.as_ref().and_then(|cancel| cancel.by.as_ref());
    CancelReason cancel_reason 59 find Prose =
        action.cancel.as_ref().and_then(|cancel| cancel.reason.as_ref());
    EvidenceOwner evidence_owner 61 find Label =
        action.evidence.as_ref().map(|evidence| &evidence.owner.name);
    EvidenceIncarnation evidence_incarnation 63 find Id<Incarnation> =
        action.evidence.as_ref().map(|evidence| &evidence.owner.incarnation);
    EvidenceEnd evidence_end 65 find Word<OwnerEnd> =
        action.evidence.as_ref().map(|evidence| &evidence.end);
    EvidenceSeenAt evidence_seen_at 67 find Micros =
        action.evidence.as_ref().map(|evidence| &evidence.last_seen_at);
    EvidenceBy evidence_by 69 find Label =
        action.evidence.as_ref().map(|evidence| &evidence.decided_by);
    StartedAt started_at 71 find Micros = action.started_at.as_ref();
    FinishedAt finished_at 73 find Micros = action.finished_at.as_ref();
    LastSeenAt last_seen_at 75 need Micros = action.last_seen_at;
    Version version 77 need VersionNumber = action.version;
    LogEntries log_entries 79 need Count = action.log_entries;
    LastOp last_op 81 find Id<OpId> = action.last_op.as_ref();
    Labels labels 83 list LabelPairs = action.labels;
}

record! {
    /// A field of a [`LogEntry`].
    EntryField of LogEntry, form 2, leaves EntryLeaves, |entry|
    Uid uid 1 need Id<ActionUid> = entry.uid;
    Version version 3 need VersionNumber = entry.version;
    Kind kind 5 need Word<LogEntryKind> = entry.kind;
    At at 7 need Micros = entry.at;
    Status status 9 need Word<Status> = entry.status;
    Outcome outcome 11 find Word<Outcome> = entry.outcome.as_ref();
    Progress progress 13 need Hundredths = entry.progress;
    Step step 15 find Label = entry.step.as_ref();
    Owner owner 17 find Label = entry.owner.as_ref().map(|owner| &owner.name);
    Incarnation incarnation 19 find Id<Incarnation> =
        entry.owner.as_ref().map(|owner| &owner.incarnation);
    By by 21 find Label = entry.by.as_ref();
    Op op 23 find Id<OpId> = entry.op.as_ref();
    Note note 25 find Prose = entry.note.as_ref();
}

record! {
    /// A field of an [`Owner`].
    OwnerField of Owner, form 3, leaves OwnerLeaves, |owner|
    Name name 1 need Label = owner.owner.name;
    Incarnation incarnation 3 need Id<Incarnation> = owner.owner.incarnation;
    State state 5 need Word<OwnerState> = owner.state;
    Renewals renewals 7 need LongCount = owner.renewals;
    ClaimedAt claimed_at 9 need Micros = owner.claimed_at;
    RenewedAt renewed_at 11 need Micros = owner.renewed_at;
    EndedAt ended_at 13 find Micros = owner.ended_at.as_ref();
}

/// The error for a nested value that has only some of its parts.
fn halves(whole: &'static str) -> CodecError {
    CodecError::damaged(format!("{whole}: a part of it is missing"))
}

fn owner_ref(
    whole: &'static str,
    name: Option<Arc<str>>,
    incarnation: Option<Incarnation>,
) -> Result<Option<OwnerRef>, CodecError> {
    match (name, incarnation) {
        (Some(name), Some(incarnation)) => Ok(Some(OwnerRef { name, incarnation })),
        (None, None) => Ok(None),
        _ => Err(halves(whole)),
    }
}

impl ActionLeaves {
    #[inline]
    fn assemble(self, extra: Extra) -> Result<Action, CodecError> {
        // All of them: what a later version adds here cannot be forgotten below.
        let ActionLeaves {
            uid,
            source,
            name,
            object,
            related,
            tenant,
            actor,
            parent,
            retry_of,
            correlation,
            exclusive,
            idempotency_key,
            digest,
            created_at,
            status,
            outcome,
            progress,
            step,
            description,
            attributes,
            result,
            error_code,
            error_message,
            error_detail,
            warnings,
            owner,
            incarnation,
            cancel_at,
            cancel_by,
            cancel_reason,
            evidence_owner,
            evidence_incarnation,
            evidence_end,
            evidence_seen_at,
            evidence_by,
            started_at,
            finished_at,
            last_seen_at,
            version,
            log_entries,
            last_op,
            labels,
        } = self;
        let error = match (error_code, error_message, error_detail) {
            (Some(code), Some(message), detail) => Some(ActionError {
                code,
                message,
                detail,
            }),
            (None, None, None) => None,
            _ => return Err(halves("error")),
        };
        let cancel = match (cancel_at, cancel_by, cancel_reason) {
            (Some(at), by, reason) => Some(Cancel { at, by, reason }),
            (None, None, None) => None,
            _ => return Err(halves("cancel")),
        };
        let seen = owner_ref("evidence", evidence_owner, evidence_incarnation)?;
        let evidence = match (seen, evidence_end, evidence_seen_at, evidence_by) {
            (Some(owner), Some(end), Some(last_seen_at), Some(decided_by)) => Some(Evidence {
                owner,
                end,
                last_seen_at,
                decided_by,
            }),
            (None, None, None, None) => None,
            _ => return Err(halves("evidence")),
        };
        let action = Action {
            uid,
            source,
            name,
            object,
            related,
            tenant,
            actor,
            parent,
            retry_of,
            correlation,
            labels,
            exclusive,
            idempotency_key,
            status,
            outcome,
            progress,
            step,
            description,
            attributes,
            result,
            error,
            warnings,
            owner: owner_ref("owner", owner, incarnation)?,
            cancel,
            evidence,
            created_at,
            started_at,
            finished_at,
            last_seen_at,
            version,
            log_entries,
            last_op,
            digest,
            extra,
        };
        // Limits of single fields were checked as they were read.
        let checked = action.check_invariants().and_then(|()| {
            check_relations(
                action.source,
                action.object.as_ref(),
                &action.exclusive,
                action.uid,
                [action.parent, action.retry_of],
            )
        });
        match checked {
            Ok(()) => Ok(action),
            Err(invalid) => Err(CodecError::damaged(invalid.to_string())),
        }
    }
}

impl EntryLeaves {
    fn assemble(self, extra: Extra) -> Result<LogEntry, CodecError> {
        let EntryLeaves {
            uid,
            version,
            kind,
            at,
            status,
            outcome,
            progress,
            step,
            owner,
            incarnation,
            by,
            op,
            note,
        } = self;
        let entry = LogEntry {
            uid,
            kind,
            version,
            at,
            status,
            outcome,
            progress,
            step,
            owner: owner_ref("owner", owner, incarnation)?,
            by,
            op,
            note,
            extra,
        };
        if entry.is_late() && entry.op.is_some() {
            return Err(CodecError::damaged("op: a late report has none"));
        }
        Ok(entry)
    }
}

impl OwnerLeaves {
    fn assemble(self, extra: Extra) -> Result<Owner, CodecError> {
        let OwnerLeaves {
            name,
            incarnation,
            state,
            renewals,
            claimed_at,
            renewed_at,
            ended_at,
        } = self;
        if (state == OwnerState::Alive) != ended_at.is_none() {
            let what = "ended_at: is there exactly when the owner is not alive";
            return Err(CodecError::damaged(what));
        }
        Ok(Owner {
            owner: OwnerRef { name, incarnation },
            state,
            renewals,
            claimed_at,
            renewed_at,
            ended_at,
            extra,
        })
    }
}
