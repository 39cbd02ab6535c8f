//! Whole records, and records with some fields in columns.

use super::bytes::{put_varint, seal, unseal};
use super::error::{CodecError, Newer};
use super::leaf::Value;
use super::record::{Field, FieldSet, Record};
use super::wire::{Places, Reader, Writer, check_fields};
use super::{ActionField, LONGEST, VERSION};
use crate::model::action::Action;

/// Encodes a whole record.
///
/// # Errors
/// Returns [`CodecError::TooLarge`] for a record far beyond its limits.
///
/// # Examples
/// ```
/// use action_store::spi::codec;
/// use action_store::{Action, NewAction, Timestamp};
///
/// let new = NewAction::task("backup_bdb");
/// let action = Action::new(&new, new.digest(), Timestamp::from_seconds(1_760_400_087));
/// let bytes = codec::encode(&action)?;
/// assert_eq!(codec::decode::<Action>(&bytes)?, action);
/// # Ok::<(), codec::CodecError>(())
/// ```
pub fn encode<R: Record>(record: &R) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(256);
    Layout::WHOLE.encode(record, &mut out)?;
    Ok(out)
}

/// Decodes a whole record.
///
/// A store that finds records by a key must compare the key with the record. Otherwise it would
/// not notice that damage has swapped two records. A [`Layout`] without the key compares it.
///
/// # Errors
/// Returns [`CodecError`] if the record is damaged or was written by a later version.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, CodecError> {
    Layout::WHOLE.decode(&[], bytes)
}

/// Returns the fields of a later version that came with a record, as bytes of the format. Empty
/// for nearly all records.
///
/// A store or a format that does not use [`encode`] must keep these bytes, too, and pass them to
/// [`with_unknown_fields`] when it reads the record.
#[must_use]
pub fn unknown_fields<R: Record>(record: &R) -> &[u8] {
    record.extra().as_bytes()
}

/// Returns a record with its unknown fields replaced by `fields`, as [`unknown_fields`] returned
/// them.
///
/// They may come from another version of this library. A field that this version knows becomes
/// the record's own.
///
/// # Errors
/// Returns [`CodecError::Damaged`] for bytes that are not fields, and for fields that the record
/// already has. Returns [`CodecError::Incompatible`] for a critical field.
pub fn with_unknown_fields<R: Record>(record: &R, fields: &[u8]) -> Result<R, CodecError> {
    check_fields(fields)?;
    let mut whole = Vec::new();
    Layout::WHOLE.write(record, fields, &mut whole)?;
    decode(&whole)
}

/// Layout of a stored record: some fields in columns or in a key, and all others in a body.
///
/// The checksum in the body covers the columns, too. A column that was changed, or a body that
/// belongs to other columns, is detected when the row is decoded.
///
/// # Examples
/// A store that keeps actions under their uid:
///
/// ```
/// use action_store::spi::codec::{ActionField, CodecError, FieldSet, Layout, Value};
/// use action_store::{Action, NewAction, Timestamp};
///
/// const LAYOUT: Layout<Action> = Layout::without(FieldSet::<Action>::of(&[ActionField::Uid]));
///
/// let new = NewAction::task("backup_bdb");
/// let action = Action::new(&new, new.digest(), Timestamp::from_seconds(1_760_400_087));
/// let mut body = Vec::new();
/// LAYOUT.encode(&action, &mut body)?;
///
/// let key = Value::Id(*action.uid.as_uuid());
/// assert_eq!(LAYOUT.decode(&[key], &body)?, action);
///
/// let other = Value::Id(*NewAction::task("another").uid.as_uuid());
/// assert!(matches!(LAYOUT.decode(&[other], &body), Err(CodecError::Damaged(_))));
/// # Ok::<(), CodecError>(())
/// ```
#[derive(Debug)]
pub struct Layout<R: Record> {
    columns: FieldSet<R>,
}

impl<R: Record> Layout<R> {
    /// Creates a layout with all fields in the body.
    pub const WHOLE: Layout<R> = Layout::without(FieldSet::EMPTY);

    /// Creates a layout with these fields in columns and all others in the body.
    #[must_use]
    pub const fn without(columns: FieldSet<R>) -> Layout<R> {
        Layout { columns }
    }

    /// Returns the fields in columns. [`values`](Layout::values) returns them and
    /// [`decode`](Layout::decode) takes them in this order.
    #[must_use]
    pub const fn columns(&self) -> FieldSet<R> {
        self.columns
    }

    /// Returns the values of a record's columns.
    pub fn values<'r>(&self, record: &'r R) -> impl Iterator<Item = Value<'r>> {
        self.columns.iter().map(|field| record.value(field))
    }

    /// Appends the body of a record.
    ///
    /// # Errors
    /// Returns [`CodecError::TooLarge`] for a record far beyond its limits, and appends nothing.
    pub fn encode(&self, record: &R, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.write(record, unknown_fields(record), out)
    }

    fn write(&self, record: &R, unknown: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let start = out.len();
        out.reserve(256);
        out.extend_from_slice(&[VERSION, R::FORM]);
        let mut writer = Writer::new(out, unknown);
        record.write(!self.columns.bits, &mut writer);
        writer.finish();
        let end = out.len();
        if !self.columns.is_empty() {
            record.write(self.columns.bits, &mut Writer::new(out, &[]));
        }
        seal(out, start, end);
        match out.len() - start {
            0..=LONGEST => Ok(()),
            bytes => {
                out.truncate(start);
                Err(CodecError::TooLarge { bytes })
            }
        }
    }

    /// Decodes a record from the values of its columns and its body.
    ///
    /// # Errors
    /// Returns [`CodecError`] if the record is damaged or was written by a later version.
    pub fn decode(&self, columns: &[Value<'_>], body: &[u8]) -> Result<R, CodecError> {
        self.read(FieldSet::EMPTY, columns, body)
    }

    fn read(
        &self,
        skipped: FieldSet<R>,
        columns: &[Value<'_>],
        body: &[u8],
    ) -> Result<R, CodecError> {
        if body.len() > LONGEST {
            let what = format!("it has {} bytes; the limit is {LONGEST}", body.len());
            return Err(CodecError::damaged(what));
        }
        let inside = if self.columns.is_empty() && columns.is_empty() {
            unseal(body, &[])?
        } else {
            unseal(body, &self.apart(columns)?)?
        };
        let fields = match inside {
            // The rest cannot be read: its shape is unknown.
            [version, ..] if *version != VERSION => {
                return Err(CodecError::Incompatible(Newer::Version(*version)));
            }
            [_, form, fields @ ..] if *form == R::FORM => fields,
            [_, form, ..] => {
                let what = format!("it is a record of form {form}, not {}", R::FORM);
                return Err(CodecError::damaged(what));
            }
            _ => return Err(CodecError::damaged("it has no frame")),
        };
        let places = Places {
            held: self.columns.bits,
            skipped: skipped.bits,
        };
        R::read(Reader::new(columns, places, fields)?)
    }

    /// Encodes the fields in columns as they would be in a body.
    fn apart(&self, columns: &[Value<'_>]) -> Result<Vec<u8>, CodecError> {
        if columns.len() != self.columns.len() {
            let (given, held) = (columns.len(), self.columns.len());
            let what = format!("{given} column values are given; the layout has {held}");
            return Err(CodecError::damaged(what));
        }
        let mut apart = Vec::with_capacity(256);
        for (field, value) in self.columns.iter().zip(columns) {
            if *value == Value::Null {
                continue;
            }
            put_varint(&mut apart, field.tag() as usize);
            let put = value.put(field.kind(), &mut apart);
            put.ok_or_else(|| {
                let name = field.name();
                CodecError::damaged(format!("the column {name} has a value of another type"))
            })?;
        }
        Ok(apart)
    }
}

impl Layout<Action> {
    /// Decodes an action as [`Detail::Summary`](crate::query::Detail::Summary) shows it: without its
    /// result and without the operators' detail of its error.
    ///
    /// # Errors
    /// Returns [`CodecError`] if the record is damaged or was written by a later version.
    pub fn decode_summary(&self, columns: &[Value<'_>], body: &[u8]) -> Result<Action, CodecError> {
        const DETAIL: FieldSet<Action> =
            FieldSet::<Action>::of(&[ActionField::Result, ActionField::ErrorDetail]);
        self.read(DETAIL, columns, body)
    }
}

impl<R: Record> Clone for Layout<R> {
    fn clone(&self) -> Layout<R> {
        *self
    }
}

impl<R: Record> Copy for Layout<R> {}
