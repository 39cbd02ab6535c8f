//! Converts an action with its log to a line of the export format, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::codec::{self, CodecError, Record};
use crate::model::{
    Action, ActionError, ActionUid, Cancel, Digest, Evidence, Extra, Incarnation, Invalid, Json,
    Labels, LogEntry, OpId, OwnerRef, Progress, RelatedObject, Timestamp, UnknownWord, Version,
    check_log,
};

type Text = Arc<str>;

/// The fields of [`Action`], under the same names. Adding or removing a field requires a new
/// version of the format; the golden file checks this.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireAction {
    uid: Text,
    source: Text,
    name: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    related: Vec<WireRelated>,
    tenant: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_of: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation: Option<Text>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<Text, Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclusive: Vec<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<Text>,
    status: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Text>,
    progress: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<Text>,
    // Strings, not nested JSON: a program that parses and rewrites a line would otherwise change
    // spaces, numbers and escapes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attributes: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<WireError>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<WireOwner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel: Option<WireCancel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence: Option<WireEvidence>,
    created_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at: Option<i64>,
    last_seen_at: i64,
    version: u64,
    log_entries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_op: Option<Text>,
    digest: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown_fields: Option<Text>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRelated {
    role: Text,
    object: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Text>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireError {
    code: Text,
    message: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Text>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireOwner {
    name: Text,
    incarnation: Text,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCancel {
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Text>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEvidence {
    owner: WireOwner,
    end: Text,
    last_seen_at: i64,
    decided_by: Text,
}

/// The fields of [`LogEntry`], without `uid`, which is the action's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireEntry {
    kind: Text,
    version: u64,
    at: i64,
    status: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Text>,
    progress: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<WireOwner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    op: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown_fields: Option<Text>,
}

fn word(word: &'static str) -> Text {
    word.into()
}

impl From<&OwnerRef> for WireOwner {
    fn from(owner: &OwnerRef) -> WireOwner {
        WireOwner {
            name: owner.name.clone(),
            incarnation: owner.incarnation.to_string().into(),
        }
    }
}

/// Returns the fields of a later version, in hexadecimal.
fn unknown_text<R: Record>(record: &R) -> Option<Text> {
    let fields = codec::unknown_fields(record);
    let digits = fields.iter().map(|byte| format!("{byte:02x}"));
    (!fields.is_empty()).then(|| digits.collect::<String>().into())
}

/// Returns the record with the fields that [`unknown_text`] wrote.
fn with_unknown<R: Record>(record: R, text: Option<Text>) -> Result<R, Unreadable> {
    let Some(text) = text else {
        return Ok(record);
    };
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
        _ => None,
    };
    let fields: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    let bad = || Invalid::new("unknown_fields", "is not hexadecimal");
    let fields = fields.ok_or_else(bad)?;
    Ok(codec::with_unknown_fields(&record, &fields)?)
}

impl From<&Action> for WireAction {
    fn from(action: &Action) -> WireAction {
        let json = |json: &Option<Json>| json.as_ref().map(|json| json.as_str().into());
        let related = action.related.iter().map(|related| WireRelated {
            role: related.role.clone(),
            object: related.object.as_str().into(),
            name: related.name.clone(),
        });
        WireAction {
            uid: action.uid.to_string().into(),
            source: word(action.source.as_str()),
            name: action.name.clone(),
            object: action.object.as_ref().map(|object| object.as_str().into()),
            related: related.collect(),
            tenant: action.tenant.clone(),
            actor: action.actor.clone(),
            parent: action.parent.map(|uid| uid.to_string().into()),
            retry_of: action.retry_of.map(|uid| uid.to_string().into()),
            correlation: action.correlation.clone(),
            labels: action.labels.pairs().cloned().collect(),
            exclusive: action.exclusive.to_vec(),
            idempotency_key: action.idempotency_key.clone(),
            status: word(action.status.as_str()),
            outcome: action.outcome.map(|outcome| word(outcome.as_str())),
            progress: action.progress.hundredths(),
            step: action.step.clone(),
            description: action.description.clone(),
            attributes: json(&action.attributes),
            result: json(&action.result),
            error: action.error.as_ref().map(|error| WireError {
                code: error.code.clone(),
                message: error.message.clone(),
                detail: error.detail.clone(),
            }),
            warnings: action.warnings.to_vec(),
            owner: action.owner.as_ref().map(WireOwner::from),
            cancel: action.cancel.as_ref().map(|cancel| WireCancel {
                at: cancel.at.as_micros(),
                by: cancel.by.clone(),
                reason: cancel.reason.clone(),
            }),
            evidence: action.evidence.as_ref().map(|evidence| WireEvidence {
                owner: WireOwner::from(&evidence.owner),
                end: word(evidence.end.as_str()),
                last_seen_at: evidence.last_seen_at.as_micros(),
                decided_by: evidence.decided_by.clone(),
            }),
            created_at: action.created_at.as_micros(),
            started_at: action.started_at.map(Timestamp::as_micros),
            finished_at: action.finished_at.map(Timestamp::as_micros),
            last_seen_at: action.last_seen_at.as_micros(),
            version: action.version.get(),
            log_entries: action.log_entries,
            last_op: action.last_op.map(|op| op.to_string().into()),
            digest: action.digest.as_uuid().to_string().into(),
            unknown_fields: unknown_text(action),
        }
    }
}

impl From<&LogEntry> for WireEntry {
    fn from(entry: &LogEntry) -> WireEntry {
        WireEntry {
            kind: word(entry.kind.as_str()),
            version: entry.version.get(),
            at: entry.at.as_micros(),
            status: word(entry.status.as_str()),
            outcome: entry.outcome.map(|outcome| word(outcome.as_str())),
            progress: entry.progress.hundredths(),
            step: entry.step.clone(),
            owner: entry.owner.as_ref().map(WireOwner::from),
            by: entry.by.clone(),
            op: entry.op.map(|op| op.to_string().into()),
            note: entry.note.clone(),
            unknown_fields: unknown_text(entry),
        }
    }
}

/// Reason why a well-formed line is not a valid action.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// A value breaks a rule.
    Invalid(Invalid),
    /// An unknown word, perhaps of a later version.
    Word(UnknownWord),
    /// Fields of a later version that are damaged or critical.
    Codec(CodecError),
}

impl From<CodecError> for Unreadable {
    fn from(error: CodecError) -> Unreadable {
        Unreadable::Codec(error)
    }
}

impl From<Invalid> for Unreadable {
    fn from(invalid: Invalid) -> Unreadable {
        Unreadable::Invalid(invalid)
    }
}

impl From<UnknownWord> for Unreadable {
    fn from(unknown: UnknownWord) -> Unreadable {
        Unreadable::Word(unknown)
    }
}

/// Reads a UUID in canonical form.
pub(super) fn canonical(field: &'static str, text: &str) -> Result<Uuid, Invalid> {
    match Uuid::try_parse(text) {
        // Other spellings would give one thing several names.
        Ok(uuid) if uuid.hyphenated().to_string() == text => Ok(uuid),
        _ => Err(Invalid::new(
            field,
            "is not a UUID in lower-case hyphenated form",
        )),
    }
}

/// Reads an optional identity.
fn identity<T>(
    field: &'static str,
    text: Option<Text>,
    wrap: fn(Uuid) -> T,
) -> Result<Option<T>, Invalid> {
    text.map(|text| Ok(wrap(canonical(field, &text)?)))
        .transpose()
}

fn parsed<T: std::str::FromStr<Err = E>, E>(text: Option<Text>) -> Result<Option<T>, E> {
    text.map(|text| text.parse()).transpose()
}

fn json(field: &'static str, text: Option<Text>) -> Result<Option<Json>, Invalid> {
    let named = |invalid: Invalid| Invalid::new(field, invalid.reason);
    text.map(|text| Json::new(text).map_err(named)).transpose()
}

impl WireOwner {
    fn read(self, field: &'static str) -> Result<OwnerRef, Invalid> {
        Ok(OwnerRef {
            name: self.name,
            incarnation: Incarnation::from_uuid(canonical(field, &self.incarnation)?),
        })
    }
}

impl WireRelated {
    fn read(self) -> Result<RelatedObject, Invalid> {
        Ok(RelatedObject {
            role: self.role,
            object: self.object.parse()?,
            name: self.name,
        })
    }
}

impl WireEvidence {
    fn read(self) -> Result<Evidence, Unreadable> {
        Ok(Evidence {
            owner: self.owner.read("evidence.owner.incarnation")?,
            end: self.end.parse()?,
            last_seen_at: Timestamp::from_micros(self.last_seen_at),
            decided_by: self.decided_by,
        })
    }
}

impl WireAction {
    /// Returns the action and its log, both checked by the model's rules for external input.
    pub(super) fn read(self, log: Vec<WireEntry>) -> Result<(Action, Vec<LogEntry>), Unreadable> {
        let related = self.related.into_iter().map(WireRelated::read);
        let owner = self.owner.map(|owner| owner.read("owner.incarnation"));
        // Every field comes from the line, so a new field of the model must also be added to the
        // line.
        let action = Action {
            uid: self.uid.parse()?,
            source: self.source.parse()?,
            name: self.name,
            object: parsed(self.object)?,
            related: related.collect::<Result<_, _>>()?,
            tenant: self.tenant,
            actor: self.actor,
            parent: identity("parent", self.parent, ActionUid::from_uuid)?,
            retry_of: identity("retry_of", self.retry_of, ActionUid::from_uuid)?,
            correlation: self.correlation,
            labels: Labels::in_order(self.labels.into_iter().collect())?,
            exclusive: self.exclusive.into(),
            idempotency_key: self.idempotency_key,
            status: self.status.parse()?,
            outcome: parsed(self.outcome)?,
            progress: Progress::from_hundredths(self.progress)?,
            step: self.step,
            description: self.description,
            attributes: json("attributes", self.attributes)?,
            result: json("result", self.result)?,
            error: self.error.map(|error| ActionError {
                code: error.code,
                message: error.message,
                detail: error.detail,
            }),
            warnings: self.warnings.into(),
            owner: owner.transpose()?,
            cancel: self.cancel.map(|cancel| Cancel {
                at: Timestamp::from_micros(cancel.at),
                by: cancel.by,
                reason: cancel.reason,
            }),
            evidence: self.evidence.map(WireEvidence::read).transpose()?,
            created_at: Timestamp::from_micros(self.created_at),
            started_at: self.started_at.map(Timestamp::from_micros),
            finished_at: self.finished_at.map(Timestamp::from_micros),
            last_seen_at: Timestamp::from_micros(self.last_seen_at),
            version: Version::new(self.version)?,
            log_entries: self.log_entries,
            last_op: identity("last_op", self.last_op, OpId::from_uuid)?,
            digest: Digest::from_uuid(canonical("digest", &self.digest)?),
            extra: Extra::default(),
        };
        action.check()?;
        let action = with_unknown(action, self.unknown_fields)?;
        let log = log.into_iter().map(|entry| entry.read(&action));
        let log: Vec<LogEntry> = log.collect::<Result<_, _>>()?;
        check_log(&action, &log)?;
        Ok((action, log))
    }
}

impl WireEntry {
    fn read(self, action: &Action) -> Result<LogEntry, Unreadable> {
        let owner = self.owner.map(|owner| owner.read("log.owner.incarnation"));
        let entry = LogEntry {
            uid: action.uid,
            kind: self.kind.parse()?,
            version: Version::new(self.version)?,
            at: Timestamp::from_micros(self.at),
            status: self.status.parse()?,
            outcome: parsed(self.outcome)?,
            progress: Progress::from_hundredths(self.progress)?,
            step: self.step,
            owner: owner.transpose()?,
            by: self.by,
            op: identity("log.op", self.op, OpId::from_uuid)?,
            note: self.note,
            extra: Extra::default(),
        };
        with_unknown(entry, self.unknown_fields)
    }
}
