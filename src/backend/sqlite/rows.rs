//! Actions, log entries and owners as rows, there and back.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::errors::corrupt;
use crate::error::StoreError;
use crate::model::{
    Action, ActionError, ActionUid, Cancel, Digest, Evidence, Incarnation, Json, NewAction, OpId,
    Outcome, Owner, OwnerEnd, OwnerRef, OwnerState, Progress, Source, Status, Timestamp,
    Transition, TransitionKind, Version,
};

/// The columns of `actions_action`, in the order in which [`decode_action`] reads and
/// [`encode_action`] writes them.
pub(super) const ACTION_COLUMNS: &[&str] = &[
    "number",
    "uid",
    "source",
    "name",
    "object",
    "related",
    "tenant",
    "actor",
    "parent",
    "retry_of",
    "correlation",
    "exclusive",
    "idempotency_key",
    "digest",
    "created_at",
    "status",
    "outcome",
    "progress",
    "step",
    "description",
    "attributes",
    "result",
    "error_code",
    "error_message",
    "error_detail",
    "warnings",
    "owner",
    "incarnation",
    "cancel_at",
    "cancel_by",
    "cancel_reason",
    "evidence_owner",
    "evidence_incarnation",
    "evidence_end",
    "evidence_seen_at",
    "evidence_by",
    "started_at",
    "finished_at",
    "last_seen_at",
    "version",
    "log_entries",
    "last_op",
];

/// Where the columns begin that a change may touch.
pub(super) const FIRST_CHANGEABLE: usize = 15;

/// The columns that hold identities; they travel as hexadecimal text.
pub(super) const BLOBS: &[&str] = &[
    "uid",
    "parent",
    "retry_of",
    "digest",
    "incarnation",
    "evidence_incarnation",
    "last_op",
    "op",
];

/// The columns of `actions_log`.
pub(super) const LOG_COLUMNS: &[&str] = &[
    "entry",
    "action",
    "kind",
    "version",
    "at",
    "status",
    "outcome",
    "progress",
    "step",
    "owner",
    "incarnation",
    "by",
    "op",
    "note",
];

/// The columns of `actions_owner` but its id.
pub(super) const OWNER_COLUMNS: &[&str] = &[
    "name",
    "incarnation",
    "state",
    "renewals",
    "claimed_at",
    "renewed_at",
    "ended_at",
];

/// Builds one JSON array of arrays: the envelope in which the rows of a batch travel.
#[derive(Debug)]
pub(super) struct Envelope {
    json: Vec<u8>,
    rows: usize,
    in_row: bool,
}

impl Envelope {
    pub(super) fn new() -> Envelope {
        Envelope {
            json: vec![b'['],
            rows: 0,
            in_row: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn finish(mut self) -> String {
        self.json.push(b']');
        // serde_json writes UTF-8 only; without unsafe code this is how to say so.
        String::from_utf8(self.json).unwrap_or_default()
    }

    /// Begins a row, fills it, ends it.
    pub(super) fn row(&mut self, fill: impl FnOnce(&mut Envelope)) {
        if self.rows > 0 {
            self.json.push(b',');
        }
        self.rows += 1;
        self.json.push(b'[');
        self.in_row = false;
        fill(self);
        self.json.push(b']');
    }

    fn field<T: Serialize + ?Sized>(&mut self, value: &T) {
        if self.in_row {
            self.json.push(b',');
        }
        self.in_row = true;
        // Texts and numbers into memory: neither can fail.
        let written = serde_json::to_writer(&mut self.json, value);
        debug_assert!(written.is_ok());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.field(text);
    }

    fn text_opt(&mut self, text: Option<&str>) {
        self.field(&text);
    }

    pub(super) fn int(&mut self, number: i64) {
        self.field(&number);
    }

    fn int_opt(&mut self, number: Option<i64>) {
        self.field(&number);
    }

    pub(super) fn blob(&mut self, uuid: &Uuid) {
        self.blob_opt(Some(uuid));
    }

    fn blob_opt(&mut self, uuid: Option<&Uuid>) {
        let mut buffer = Uuid::encode_buffer();
        self.field(&uuid.map(|uuid| &*uuid.simple().encode_lower(&mut buffer)));
    }

    /// A list as JSON text; an empty one is NULL.
    fn list<T: Serialize>(&mut self, items: &[T]) {
        let text = (!items.is_empty()).then(|| serde_json::to_string(items).unwrap_or_default());
        self.field(&text);
    }

    fn owner(&mut self, owner: Option<&OwnerRef>) {
        self.text_opt(owner.map(|owner| &*owner.name));
        self.blob_opt(owner.map(|owner| owner.incarnation.as_uuid()));
    }
}

fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An action as the columns of [`ACTION_COLUMNS`].
pub(super) fn encode_action(out: &mut Envelope, action: &Action, number: i64) {
    out.int(number);
    out.blob(action.uid.as_uuid());
    out.int(action.source.code().into());
    out.text(&action.name);
    out.text_opt(action.object.as_ref().map(|object| object.as_str()));
    out.list(&action.related);
    out.text(&action.tenant);
    out.text_opt(action.actor.as_deref());
    out.blob_opt(action.parent.as_ref().map(ActionUid::as_uuid));
    out.blob_opt(action.retry_of.as_ref().map(ActionUid::as_uuid));
    out.text_opt(action.correlation.as_deref());
    out.list(&action.exclusive);
    out.text_opt(action.idempotency_key.as_deref());
    out.blob(action.digest.as_uuid());
    out.int(action.created_at.as_micros());
    encode_changeable(out, action);
}

/// The number, and the columns from [`FIRST_CHANGEABLE`] on.
pub(super) fn encode_update(out: &mut Envelope, action: &Action, number: i64) {
    out.int(number);
    encode_changeable(out, action);
}

/// The number, and what progress alone changes.
pub(super) fn encode_progress(out: &mut Envelope, action: &Action, number: i64) {
    out.int(number);
    out.int(action.progress.hundredths().into());
    out.int(action.last_seen_at.as_micros());
    out.int(to_column(action.version.get()));
    out.blob_opt(action.last_op.as_ref().map(OpId::as_uuid));
}

fn encode_changeable(out: &mut Envelope, action: &Action) {
    out.int(action.status.code().into());
    out.int_opt(action.outcome.map(|outcome| outcome.code().into()));
    out.int(action.progress.hundredths().into());
    out.text_opt(action.step.as_deref());
    out.text_opt(action.description.as_deref());
    out.text_opt(action.attributes.as_ref().map(Json::as_str));
    out.text_opt(action.result.as_ref().map(Json::as_str));
    let error = action.error.as_ref();
    out.text_opt(error.map(|error| &*error.code));
    out.text_opt(error.map(|error| &*error.message));
    out.text_opt(error.and_then(|error| error.detail.as_deref()));
    out.list(&action.warnings);
    out.owner(action.owner.as_ref());
    let cancel = action.cancel.as_ref();
    out.int_opt(cancel.map(|cancel| cancel.at.as_micros()));
    out.text_opt(cancel.and_then(|cancel| cancel.by.as_deref()));
    out.text_opt(cancel.and_then(|cancel| cancel.reason.as_deref()));
    let evidence = action.evidence.as_ref();
    out.owner(evidence.map(|evidence| &evidence.owner));
    out.int_opt(evidence.map(|evidence| evidence.end.code().into()));
    out.int_opt(evidence.map(|evidence| evidence.last_seen_at.as_micros()));
    out.text_opt(evidence.map(|evidence| &*evidence.decided_by));
    out.int_opt(action.started_at.map(Timestamp::as_micros));
    out.int_opt(action.finished_at.map(Timestamp::as_micros));
    out.int(action.last_seen_at.as_micros());
    out.int(to_column(action.version.get()));
    out.int(action.log_entries.into());
    out.blob_opt(action.last_op.as_ref().map(OpId::as_uuid));
}

/// A log entry as the columns of [`LOG_COLUMNS`].
pub(super) fn encode_entry(out: &mut Envelope, t: &Transition, entry: i64, action: i64) {
    out.int(entry);
    out.int(action);
    out.int(t.kind.code().into());
    out.int(to_column(t.version.get()));
    out.int(t.at.as_micros());
    out.int(t.status.code().into());
    out.int_opt(t.outcome.map(|outcome| outcome.code().into()));
    out.int(t.progress.hundredths().into());
    out.text_opt(t.step.as_deref());
    out.owner(t.owner.as_ref());
    out.text_opt(t.by.as_deref());
    out.blob_opt(t.op.as_ref().map(OpId::as_uuid));
    out.text_opt(t.note.as_deref());
}

/// An owner as the columns of [`OWNER_COLUMNS`].
pub(super) fn encode_owner(out: &mut Envelope, owner: &Owner) {
    out.owner(Some(&owner.owner));
    out.int(match owner.state {
        OwnerState::Alive => 0,
        OwnerState::Fenced => 1,
        OwnerState::Released => 2,
    });
    out.int(to_column(owner.renewals));
    out.int(owner.claimed_at.as_micros());
    out.int(owner.renewed_at.as_micros());
    out.int_opt(owner.ended_at.map(Timestamp::as_micros));
}

/// Reads a row's columns one after the other.
pub(super) struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
    operation: &'static str,
}

impl<'r> Columns<'r> {
    pub(super) fn new(operation: &'static str, row: &'r SqliteRow) -> Columns<'r> {
        Columns {
            row,
            next: 0,
            operation,
        }
    }

    /// The uid of a row of [`ACTION_COLUMNS`], before it is read.
    pub(super) fn peek_uid(&self) -> Result<ActionUid, StoreError> {
        let mut columns = Columns::new(self.operation, self.row);
        columns.next = 1;
        Ok(ActionUid::from_uuid(columns.blob()?))
    }

    fn broken(&self, what: &str) -> StoreError {
        let column = self.next.saturating_sub(1);
        corrupt(
            self.operation,
            format!("column {column} of a stored row {what}"),
        )
    }

    fn get<T>(&mut self) -> Result<Option<T>, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let value = self.row.try_get::<Option<T>, usize>(self.next);
        self.next += 1;
        value.map_err(|error| self.broken("cannot be read").with_source(error))
    }

    fn some<T>(&self, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.broken("is missing"))
    }

    fn known<T, E>(&self, value: Result<T, E>) -> Result<T, StoreError> {
        value.map_err(|_| self.broken("is none of the values it can have"))
    }

    fn text_opt(&mut self) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.get::<&str>()?.map(Arc::from))
    }

    fn text(&mut self) -> Result<Arc<str>, StoreError> {
        let text = self.text_opt()?;
        self.some(text)
    }

    pub(super) fn int_opt(&mut self) -> Result<Option<i64>, StoreError> {
        self.get::<i64>()
    }

    pub(super) fn int(&mut self) -> Result<i64, StoreError> {
        let int = self.int_opt()?;
        self.some(int)
    }

    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, StoreError> {
        let number = T::try_from(self.int()?);
        self.known(number)
    }

    fn word<T>(&mut self, from_code: fn(u8) -> Option<T>) -> Result<T, StoreError> {
        let word = from_code(self.number()?);
        self.known(word.ok_or(()))
    }

    fn word_opt<T>(&mut self, from_code: fn(u8) -> Option<T>) -> Result<Option<T>, StoreError> {
        let code = self.int_opt()?;
        let word = code.map(|code| u8::try_from(code).ok().and_then(from_code).ok_or(()));
        self.known(word.transpose())
    }

    fn time_opt(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.int_opt()?.map(Timestamp::from_micros))
    }

    fn time(&mut self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_micros(self.int()?))
    }

    fn blob_opt(&mut self) -> Result<Option<Uuid>, StoreError> {
        let bytes = self.get::<&[u8]>()?.map(Uuid::from_slice);
        self.known(bytes.transpose())
    }

    pub(super) fn blob(&mut self) -> Result<Uuid, StoreError> {
        let blob = self.blob_opt()?;
        self.some(blob)
    }

    // The schema lets only well-formed JSON in, and the model checked it before.
    fn json_opt(&mut self) -> Result<Option<Json>, StoreError> {
        Ok(self.text_opt()?.map(Json::stored))
    }

    fn list<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, StoreError> {
        match self.get::<&str>()? {
            None => Ok(Vec::new()),
            Some(text) => self.known(serde_json::from_str(text)),
        }
    }

    fn owner(&mut self) -> Result<Option<OwnerRef>, StoreError> {
        let (name, incarnation) = (self.text_opt()?, self.blob_opt()?);
        let owner = name.zip(incarnation).map(|(name, incarnation)| OwnerRef {
            name,
            incarnation: Incarnation::from_uuid(incarnation),
        });
        Ok(owner)
    }
}

/// Reads the columns of [`ACTION_COLUMNS`]: the number and the action.
pub(super) fn decode_action(columns: &mut Columns<'_>) -> Result<(i64, Action), StoreError> {
    let c = columns;
    let number = c.int()?;
    let uid = ActionUid::from_uuid(c.blob()?);
    let source = c.word(Source::from_code)?;
    let mut new = NewAction::new(source, c.text()?).with_uid(uid);
    let object = c.text_opt()?.map(TryInto::try_into);
    new.object = c.known(object.transpose())?;
    new.related = c.list()?;
    new.tenant = c.text()?;
    new.actor = c.text_opt()?;
    new.parent = c.blob_opt()?.map(ActionUid::from_uuid);
    new.retry_of = c.blob_opt()?.map(ActionUid::from_uuid);
    new.correlation = c.text_opt()?;
    new.exclusive = c.list()?;
    new.idempotency_key = c.text_opt()?;
    let digest = Digest::from_uuid(c.blob()?);
    let mut action = Action::new(&new, digest, c.time()?);
    action.status = c.word(Status::from_code)?;
    action.outcome = c.word_opt(Outcome::from_code)?;
    let progress = Progress::from_hundredths(c.number()?);
    action.progress = c.known(progress)?;
    action.step = c.text_opt()?;
    action.description = c.text_opt()?;
    action.attributes = c.json_opt()?;
    action.result = c.json_opt()?;
    let (code, message, detail) = (c.text_opt()?, c.text_opt()?, c.text_opt()?);
    action.error = code.zip(message).map(|(code, message)| {
        let mut error = ActionError::new(code, message);
        error.detail = detail;
        error
    });
    action.warnings = c.list()?.into();
    action.owner = c.owner()?;
    let (at, by, reason) = (c.time_opt()?, c.text_opt()?, c.text_opt()?);
    action.cancel = at.map(|at| {
        let mut cancel = Cancel::new(at);
        cancel.by = by;
        cancel.reason = reason;
        cancel
    });
    let (owner, end) = (c.owner()?, c.word_opt(OwnerEnd::from_code)?);
    let (seen_at, decided_by) = (c.time_opt()?, c.text_opt()?);
    action.evidence = match (owner, end, seen_at, decided_by) {
        (Some(owner), Some(end), Some(at), Some(by)) => Some(Evidence::new(owner, end, at, by)),
        _ => None,
    };
    action.started_at = c.time_opt()?;
    action.finished_at = c.time_opt()?;
    action.last_seen_at = c.time()?;
    let version = Version::stored(c.number()?);
    action.version = c.some(version)?;
    action.log_entries = c.number()?;
    action.last_op = c.blob_opt()?.map(OpId::from_uuid);
    match action.check_invariants() {
        Ok(()) => Ok((number, action)),
        Err(broken) => Err(corrupt(c.operation, format!("action {uid}: {broken}"))),
    }
}

/// Reads the uid of the action, then the columns of [`LOG_COLUMNS`]: the entry's number and the
/// entry.
pub(super) fn decode_entry(columns: &mut Columns<'_>) -> Result<(u64, Transition), StoreError> {
    let c = columns;
    let uid = ActionUid::from_uuid(c.blob()?);
    let entry = c.number()?;
    let _action = c.int()?;
    let kind = c.word(TransitionKind::from_code)?;
    let version = Version::stored(c.number()?);
    let version = c.some(version)?;
    let at = c.time()?;
    let status = c.word(Status::from_code)?;
    let outcome = c.word_opt(Outcome::from_code)?;
    let progress = Progress::from_hundredths(c.number()?);
    let transition = Transition {
        uid,
        kind,
        version,
        at,
        status,
        outcome,
        progress: c.known(progress)?,
        step: c.text_opt()?,
        owner: c.owner()?,
        by: c.text_opt()?,
        op: c.blob_opt()?.map(OpId::from_uuid),
        note: c.text_opt()?,
    };
    Ok((entry, transition))
}

/// Reads the columns of [`OWNER_COLUMNS`].
pub(super) fn decode_owner(columns: &mut Columns<'_>) -> Result<Owner, StoreError> {
    let c = columns;
    let name = c.text()?;
    let incarnation = Incarnation::from_uuid(c.blob()?);
    let state = match c.int()? {
        0 => OwnerState::Alive,
        1 => OwnerState::Fenced,
        2 => OwnerState::Released,
        _ => return Err(c.broken("is no owner's state")),
    };
    let renewals = c.number()?;
    let mut owner = Owner::claimed(OwnerRef { name, incarnation }, c.time()?);
    owner.state = state;
    owner.renewals = renewals;
    owner.renewed_at = c.time()?;
    owner.ended_at = c.time_opt()?;
    Ok(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_survives_the_envelope() {
        let all: String = (1..0x250u32)
            .filter_map(char::from_u32)
            .chain(['😀', '\u{ffff}'])
            .collect();
        let mut envelope = Envelope::new();
        envelope.row(|row| {
            row.text(&all);
            row.text_opt(None);
            row.int(i64::MIN);
        });
        let (text, nothing, number): (String, (), i64) =
            serde_json::from_str::<Vec<_>>(&envelope.finish())
                .unwrap()
                .pop()
                .unwrap();
        assert_eq!((text, nothing, number), (all, (), i64::MIN));
    }

    #[test]
    fn the_changeable_columns_begin_where_the_constant_says() {
        assert_eq!(ACTION_COLUMNS[FIRST_CHANGEABLE], "status");
        assert_eq!(ACTION_COLUMNS[FIRST_CHANGEABLE - 1], "created_at");
    }
}
