//! Actions, log entries and owners on their way out of rows.

use std::sync::Arc;

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

    /// The uid of a row of [`ACTION_COLUMNS`](super::rows::ACTION_COLUMNS), before it is read.
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

    pub(super) fn time_opt(&mut self) -> Result<Option<Timestamp>, StoreError> {
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

/// Reads the columns of [`ACTION_COLUMNS`](super::rows::ACTION_COLUMNS): the number and the action.
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

/// Reads the uid of the action, then the columns of [`LOG_COLUMNS`](super::rows::LOG_COLUMNS): the entry's number and the
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

/// Reads the columns of [`OWNER_COLUMNS`](super::rows::OWNER_COLUMNS).
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
