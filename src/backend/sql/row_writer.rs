//! Records as rows.

use uuid::Uuid;

use super::columns::{
    ACTION, CHANGEABLE, DENSE_ENTRY, ENTRY, IDENTITY, OWNER, PROGRESSED, SPARSE, SPARSE_ENTRY,
    flags,
};
use crate::model::codec::{CodecError, Layout, Record, Value};
use crate::model::{Action, Key, LogEntry, Owner, OwnerRef};

/// Rows of one kind, in the form in which they are sent.
pub(crate) trait RowWriter: Sized {
    /// Begins a row, fills it and ends it. `fill` writes the fields in the order of the columns.
    fn row<T>(&mut self, fill: impl FnOnce(&mut Self) -> T) -> T;

    fn int(&mut self, number: i64);

    fn text(&mut self, text: &str);

    fn id(&mut self, id: &Uuid);

    fn null(&mut self);

    /// Writes the [sparse](super::Columns::sparse) fields of a row: like all other fields, or packed.
    fn sparse(&mut self, fill: impl FnOnce(&mut Self)) {
        fill(self);
    }

    /// Writes the body of a record.
    fn body<R: Record>(&mut self, layout: Layout<R>, record: &R) -> Result<(), CodecError>;

    /// Writes the body of an action: with [`body`](RowWriter::body), or faster.
    fn action_body(&mut self, action: &Action) -> Result<(), CodecError> {
        self.body(ACTION, action)
    }

    /// Writes the value of a column of a record.
    fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Int(number) => self.int(number),
            Value::Text(text) => self.text(text),
            Value::Id(id) => self.id(&id),
            _ => self.null(),
        }
    }

    /// Writes the values of some columns of a record.
    fn values<'f, R: Record>(
        &mut self,
        record: &R,
        fields: impl IntoIterator<Item = &'f R::Field>,
    ) {
        for field in fields {
            self.value(record.value(*field));
        }
    }

    fn owner(&mut self, owner: &OwnerRef) {
        self.text(&owner.name);
        self.id(owner.incarnation.as_uuid());
    }

    fn key(&mut self, key: &Key) {
        self.text(&key.tenant);
        self.int(key.kind.code().into());
        self.text(&key.key);
    }
}

/// Encodes a row of [`NEW_ACTION`](super::columns::NEW_ACTION).
pub(crate) fn encode_action<W: RowWriter>(
    out: &mut W,
    action: &Action,
    number: i64,
) -> Result<(), CodecError> {
    out.sparse(|out| out.values(action, SPARSE));
    out.int(number);
    out.int(flags(action));
    out.values(action, IDENTITY.iter().chain(CHANGEABLE));
    out.action_body(action)
}

/// Encodes a row of [`CHANGED_ACTION`](super::columns::CHANGED_ACTION).
pub(super) fn encode_update<W: RowWriter>(
    out: &mut W,
    action: &Action,
    number: i64,
) -> Result<(), CodecError> {
    out.int(number);
    out.int(flags(action));
    out.values(action, CHANGEABLE);
    out.action_body(action)
}

/// Encodes a row of [`PROGRESSED_ACTION`](super::columns::PROGRESSED_ACTION).
pub(super) fn encode_progress<W: RowWriter>(
    out: &mut W,
    action: &Action,
    number: i64,
) -> Result<(), CodecError> {
    out.int(number);
    out.values(action, PROGRESSED);
    out.action_body(action)
}

/// Encodes a row of [`NEW_ENTRY`](super::columns::NEW_ENTRY).
pub(super) fn encode_entry<W: RowWriter>(
    out: &mut W,
    logged: &LogEntry,
    entry: Option<i64>,
    action: i64,
) -> Result<(), CodecError> {
    out.sparse(|out| out.values(logged, SPARSE_ENTRY));
    match entry {
        Some(entry) => out.int(entry),
        None => out.null(),
    }
    out.int(action);
    out.values(logged, DENSE_ENTRY);
    out.body(ENTRY, logged)
}

/// Encodes a row of [`NEW_OWNER`](super::columns::NEW_OWNER).
pub(crate) fn encode_owner<W: RowWriter>(out: &mut W, owner: &Owner) -> Result<(), CodecError> {
    for value in OWNER.values(owner) {
        out.value(value);
    }
    out.body(OWNER, owner)
}
