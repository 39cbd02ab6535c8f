//! Decodes actions, log entries and owners from rows.
//!
//! SQLite returns each row as one JSON array. sqlx copies each column into its own value on
//! SQLite's thread, and frees it on ours. For the 42 columns of an action this was most of the cost
//! of a look-up.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, SeqAccess, Visitor};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::errors::corrupt;
use crate::error::StoreError;
use crate::model::{
    Action, ActionError, ActionUid, Cancel, Digest, Evidence, Extra, Incarnation, Json, LogEntry,
    LogEntryKind, ObjectRef, OpId, Outcome, Owner, OwnerEnd, OwnerRef, OwnerState, Progress,
    Source, Status, Timestamp, Version,
};

/// A field of a packed row.
enum Field<'r> {
    Null,
    Int(i64),
    Text(Cow<'r, str>),
    /// The sparse columns, packed [in one array](super::rows::Part::Sparse).
    Row(Fields<'r>),
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Field<'de>, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text, an integer, an array or null")
    }

    fn visit_unit<E>(self) -> Result<Field<'de>, E> {
        Ok(Field::Null)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<'de>, E> {
        Ok(Field::Int(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Field<'de>, E> {
        i64::try_from(number).map(Field::Int).map_err(E::custom)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, row: A) -> Result<Field<'de>, A::Error> {
        Fields::read(row).map(Field::Row)
    }
}

/// The fields of a packed row, in the order of its [`Layout`](super::rows::Layout).
struct Fields<'r>(Vec<Field<'r>>);

/// Enough for an action without sparse columns, with the extra values of a transaction.
const WIDTH: usize = 24;

impl<'de> Fields<'de> {
    fn read<A: SeqAccess<'de>>(mut row: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::with_capacity(WIDTH);
        while let Some(field) = row.next_element()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Fields<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, row: A) -> Result<Fields<'de>, A::Error> {
                Fields::read(row)
            }
        }
        deserializer.deserialize_seq(Visit)
    }
}

const UNREADABLE: &str = "a stored row cannot be read";

/// Reads the columns of a packed row in order.
pub(super) struct Columns<'r> {
    fields: std::vec::IntoIter<Field<'r>>,
    /// True if there is no row, so that all columns are NULL.
    nothing: bool,
    width: usize,
    operation: &'static str,
}

impl<'r> Columns<'r> {
    /// Reads the fields packed into the last column of a row; the columns before it are its key.
    pub(super) fn new(
        operation: &'static str,
        row: &'r SqliteRow,
    ) -> Result<Columns<'r>, StoreError> {
        // Read as bytes: invalid UTF-8 is then an error of this row only.
        let packed = row.try_get::<&[u8], usize>(row.len().saturating_sub(1));
        let broken = |error| corrupt(operation, UNREADABLE).with_source(error);
        Columns::parse(operation, packed.map_err(broken)?)
    }

    /// Reads the fields packed into one text.
    pub(super) fn parse(
        operation: &'static str,
        packed: &'r [u8],
    ) -> Result<Columns<'r>, StoreError> {
        let fields = serde_json::from_slice::<Fields<'r>>(packed);
        let broken = |error| corrupt(operation, UNREADABLE).with_source(error);
        let Fields(fields) = fields.map_err(broken)?;
        Ok(Columns::of(operation, Some(fields)))
    }

    fn of(operation: &'static str, fields: Option<Vec<Field<'r>>>) -> Columns<'r> {
        Columns {
            nothing: fields.is_none(),
            width: fields.as_ref().map_or(0, Vec::len),
            fields: fields.unwrap_or_default().into_iter(),
            operation,
        }
    }

    /// Reads the array of sparse columns.
    fn sparse(&mut self) -> Result<Columns<'r>, StoreError> {
        match self.next() {
            Some(Field::Row(Fields(fields))) => Ok(Columns::of(self.operation, Some(fields))),
            Some(Field::Null) => Ok(Columns::of(self.operation, None)),
            _ => Err(self.broken("is not an array")),
        }
    }

    fn next(&mut self) -> Option<Field<'r>> {
        match self.nothing {
            true => Some(Field::Null),
            false => self.fields.next(),
        }
    }

    fn broken(&self, what: &str) -> StoreError {
        let column = (self.width - self.fields.len()).saturating_sub(1);
        corrupt(
            self.operation,
            format!("column {column} of a stored row {what}"),
        )
    }

    fn some<T>(&self, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.broken("is missing"))
    }

    fn known<T, E>(&self, value: Result<T, E>) -> Result<T, StoreError> {
        value.map_err(|_| self.broken("has an unknown value"))
    }

    fn get_text(&mut self) -> Result<Option<Cow<'r, str>>, StoreError> {
        match self.next() {
            Some(Field::Text(text)) => Ok(Some(text)),
            Some(Field::Null) => Ok(None),
            _ => Err(self.broken("is not a text")),
        }
    }

    fn text_opt(&mut self) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.get_text()?.map(Arc::from))
    }

    fn text(&mut self) -> Result<Arc<str>, StoreError> {
        let text = self.text_opt()?;
        self.some(text)
    }

    pub(super) fn int_opt(&mut self) -> Result<Option<i64>, StoreError> {
        match self.next() {
            Some(Field::Int(number)) => Ok(Some(number)),
            Some(Field::Null) => Ok(None),
            _ => Err(self.broken("is not an integer")),
        }
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

    // As `hex` writes it, which returns an empty text for NULL.
    fn blob_opt(&mut self) -> Result<Option<Uuid>, StoreError> {
        match self.get_text()? {
            Some(hex) if !hex.is_empty() => {
                let uuid = Uuid::try_parse_ascii(hex.as_bytes());
                self.known(uuid).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn blob(&mut self) -> Result<Uuid, StoreError> {
        let blob = self.blob_opt()?;
        self.some(blob)
    }

    // The schema accepts only well-formed JSON, and the model checked it before.
    fn json_opt(&mut self) -> Result<Option<Json>, StoreError> {
        Ok(self.text_opt()?.map(Json::stored))
    }

    fn list<T: DeserializeOwned>(&mut self) -> Result<Arc<[T]>, StoreError> {
        match self.get_text()? {
            None => Ok(Arc::default()),
            Some(text) => self.known(serde_json::from_str(&text).map(Vec::into)),
        }
    }

    fn object(&mut self) -> Result<Option<ObjectRef>, StoreError> {
        let object = self.text_opt()?.map(TryInto::try_into);
        self.known(object.transpose())
    }

    fn progress(&mut self) -> Result<Progress, StoreError> {
        let progress = Progress::from_hundredths(self.number()?);
        self.known(progress)
    }

    fn version(&mut self) -> Result<Version, StoreError> {
        let version = Version::new(self.number()?);
        self.known(version)
    }

    pub(super) fn owner(&mut self) -> Result<Option<OwnerRef>, StoreError> {
        let (name, incarnation) = (self.text_opt()?, self.blob_opt()?);
        let owner = name.zip(incarnation).map(|(name, incarnation)| OwnerRef {
            name,
            incarnation: Incarnation::from_uuid(incarnation),
        });
        Ok(owner)
    }

    fn error(&mut self) -> Result<Option<ActionError>, StoreError> {
        let (code, message) = (self.text_opt()?, self.text_opt()?);
        let detail = self.text_opt()?;
        Ok(code.zip(message).map(|(code, message)| {
            let mut error = ActionError::new(code, message);
            error.detail = detail;
            error
        }))
    }

    fn cancel(&mut self) -> Result<Option<Cancel>, StoreError> {
        let (at, by, reason) = (self.time_opt()?, self.text_opt()?, self.text_opt()?);
        Ok(at.map(|at| {
            let mut cancel = Cancel::new(at);
            cancel.by = by;
            cancel.reason = reason;
            cancel
        }))
    }

    fn evidence(&mut self) -> Result<Option<Evidence>, StoreError> {
        let (owner, end) = (self.owner()?, self.word_opt(OwnerEnd::from_code)?);
        let (seen_at, decided_by) = (self.time_opt()?, self.text_opt()?);
        Ok(match (owner, end, seen_at, decided_by) {
            (Some(owner), Some(end), Some(at), Some(by)) => Some(Evidence::new(owner, end, at, by)),
            _ => None,
        })
    }
}

/// Reads the key of a row, which precedes the packed fields.
pub(super) fn read_key<'r, K>(operation: &'static str, row: &'r SqliteRow) -> Result<K, StoreError>
where
    K: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let key = row.try_get::<K, usize>(0);
    key.map_err(|error| corrupt(operation, "a row's key cannot be read").with_source(error))
}

/// Reads a row of [`ACTION`](super::rows::ACTION): the number and the action.
pub(super) fn decode_action(columns: &mut Columns<'_>) -> Result<(i64, Action), StoreError> {
    let c = columns;
    let number = c.int()?;
    let s = &mut c.sparse()?;
    // Struct fields are evaluated in the order written here, which is the order of the columns.
    let action = Action {
        actor: s.text_opt()?,
        idempotency_key: s.text_opt()?,
        parent: s.blob_opt()?.map(ActionUid::from_uuid),
        retry_of: s.blob_opt()?.map(ActionUid::from_uuid),
        correlation: s.text_opt()?,
        related: s.list()?,
        exclusive: s.list()?,
        attributes: s.json_opt()?,
        result: s.json_opt()?,
        error: s.error()?,
        warnings: s.list()?,
        cancel: s.cancel()?,
        evidence: s.evidence()?,
        uid: ActionUid::from_uuid(c.blob()?),
        source: c.word(Source::from_code)?,
        name: c.text()?,
        object: c.object()?,
        tenant: c.text()?,
        digest: Digest::from_uuid(c.blob()?),
        created_at: c.time()?,
        status: c.word(Status::from_code)?,
        outcome: c.word_opt(Outcome::from_code)?,
        progress: c.progress()?,
        step: c.text_opt()?,
        description: c.text_opt()?,
        owner: c.owner()?,
        started_at: c.time_opt()?,
        finished_at: c.time_opt()?,
        last_seen_at: c.time()?,
        version: c.version()?,
        log_entries: c.number()?,
        last_op: c.blob_opt()?.map(OpId::from_uuid),
        extra: Extra::default(),
    };
    match action.check_invariants() {
        Ok(()) => Ok((number, action)),
        Err(broken) => {
            let what = format!("action {}: {broken}", action.uid);
            Err(corrupt(c.operation, what))
        }
    }
}

/// Reads the uid of the action, then a row of [`ENTRY`](super::rows::ENTRY): the entry's number and
/// the entry.
pub(super) fn decode_entry(columns: &mut Columns<'_>) -> Result<(u64, LogEntry), StoreError> {
    let c = columns;
    let uid = ActionUid::from_uuid(c.blob()?);
    let s = &mut c.sparse()?;
    let entry = c.number()?;
    let _action = c.int()?;
    let transition = LogEntry {
        uid,
        step: s.text_opt()?,
        by: s.text_opt()?,
        note: s.text_opt()?,
        kind: c.word(LogEntryKind::from_code)?,
        version: c.version()?,
        at: c.time()?,
        status: c.word(Status::from_code)?,
        outcome: c.word_opt(Outcome::from_code)?,
        progress: c.progress()?,
        owner: c.owner()?,
        op: c.blob_opt()?.map(OpId::from_uuid),
        extra: Extra::default(),
    };
    Ok((entry, transition))
}

/// Reads a row of [`OWNER`](super::rows::OWNER).
pub(super) fn decode_owner(columns: &mut Columns<'_>) -> Result<Owner, StoreError> {
    let c = columns;
    let name = c.text()?;
    let incarnation = Incarnation::from_uuid(c.blob()?);
    let state = c.word(OwnerState::from_code)?;
    let renewals = c.number()?;
    let mut owner = Owner::claimed(OwnerRef { name, incarnation }, c.time()?);
    owner.state = state;
    owner.renewals = renewals;
    owner.renewed_at = c.time()?;
    owner.ended_at = c.time_opt()?;
    Ok(owner)
}
