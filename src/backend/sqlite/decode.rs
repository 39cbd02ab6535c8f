//! Decodes actions, log entries and owners from rows.
//!
//! SQLite returns each row as one value. sqlx copies each column into its own value on SQLite's
//! thread, and frees it on ours, which costs more than to decode it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::joined::from_hex;
use crate::backend::sql::{ACTION, ENTRY, OWNER, corrupt};
use crate::error::StoreError;
use crate::model::codec::{CodecError, Field as _, Kind, Layout, Record, Value};
use crate::model::{Action, Detail, Incarnation, LogEntry, Owner, OwnerRef, Timestamp};

/// A field of a packed row.
enum Field<'r> {
    Null,
    Int(i64),
    Text(Cow<'r, str>),
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
        out.write_str("a text, an integer or null")
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
}

/// The fields of a packed row, in their order in SQL.
struct Fields<'r>(Vec<Field<'r>>);

/// Enough for a log entry.
const WIDTH: usize = 16;

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Fields<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(WIDTH);
                while let Some(field) = row.next_element()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_seq(Visit)
    }
}

const UNREADABLE: &str = "a stored row cannot be read";

/// Reads the fields of a packed row in order.
pub(super) struct Columns<'r> {
    fields: std::vec::IntoIter<Field<'r>>,
    width: usize,
    operation: &'static str,
}

impl<'r> Columns<'r> {
    /// Reads the fields packed into the last column of a row; the columns before it are its key.
    pub(super) fn new(
        operation: &'static str,
        row: &'r SqliteRow,
    ) -> Result<Columns<'r>, StoreError> {
        let packed = read_bytes(operation, row, row.len().saturating_sub(1))?;
        let fields = serde_json::from_slice::<Fields<'r>>(packed);
        let broken = |error| corrupt(operation, UNREADABLE).with_source(error);
        let Fields(fields) = fields.map_err(broken)?;
        Ok(Columns {
            width: fields.len(),
            fields: fields.into_iter(),
            operation,
        })
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

    fn text(&mut self) -> Result<Cow<'r, str>, StoreError> {
        match self.fields.next() {
            Some(Field::Text(text)) => Ok(text),
            _ => Err(self.broken("is not a text")),
        }
    }

    pub(super) fn int_opt(&mut self) -> Result<Option<i64>, StoreError> {
        match self.fields.next() {
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

    pub(super) fn time_opt(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.int_opt()?.map(Timestamp::from_micros))
    }

    /// Reads an identity as `hex` writes it.
    pub(super) fn id(&mut self) -> Result<Uuid, StoreError> {
        let uuid = Uuid::try_parse_ascii(self.text()?.as_bytes());
        self.known(uuid)
    }

    pub(super) fn owner(&mut self) -> Result<OwnerRef, StoreError> {
        Ok(OwnerRef {
            name: self.text()?.into(),
            incarnation: Incarnation::from_uuid(self.id()?),
        })
    }

    /// Reads a body as `hex` writes it.
    fn body(&mut self) -> Result<Vec<u8>, StoreError> {
        let hex = self.text()?;
        self.known(from_hex(&hex).ok_or(()))
    }

    /// Reads a record: its body, then its columns.
    fn record<R: Record>(&mut self, layout: Layout<R>) -> Result<R, StoreError> {
        let body = self.body()?;
        let fields: Vec<Field<'r>> = self.fields.by_ref().take(layout.columns().len()).collect();
        let mut values = Vec::with_capacity(fields.len());
        for (column, field) in layout.columns().iter().zip(&fields) {
            values.push(match (field, column.kind()) {
                // As `hex` writes NULL.
                (Field::Text(hex), Kind::Id) if hex.is_empty() => Value::Null,
                (Field::Text(hex), Kind::Id) => {
                    let id = Uuid::try_parse_ascii(hex.as_bytes());
                    Value::Id(self.known(id)?)
                }
                (Field::Text(text), _) => Value::Text(text),
                (Field::Int(number), _) => Value::Int(*number),
                (Field::Null, _) => Value::Null,
            });
        }
        let record = layout.decode(&values, &body);
        record.map_err(|error| StoreError::from_codec(self.operation, error))
    }
}

/// Reads a column as bytes. Invalid UTF-8 is then an error of this row only.
fn read_bytes<'r>(
    operation: &'static str,
    row: &'r SqliteRow,
    column: usize,
) -> Result<&'r [u8], StoreError> {
    let bytes = row.try_get::<&[u8], usize>(column);
    bytes.map_err(|error| corrupt(operation, UNREADABLE).with_source(error))
}

/// Reads the key of a row, which precedes the record.
pub(super) fn read_key<'r, K>(operation: &'static str, row: &'r SqliteRow) -> Result<K, StoreError>
where
    K: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let key = row.try_get::<K, usize>(0);
    key.map_err(|error| corrupt(operation, "a row's key cannot be read").with_source(error))
}

/// Reads an action from a column with a [`STORED_ACTION`](super::rows::STORED_ACTION).
pub(super) fn decode_action(
    operation: &'static str,
    row: &SqliteRow,
    column: usize,
    detail: Detail,
) -> Result<Action, StoreError> {
    decode_stored(operation, read_bytes(operation, row, column)?, detail)
}

/// Reads an action from the bytes of a [`STORED_ACTION`](super::rows::STORED_ACTION).
pub(super) fn decode_stored(
    operation: &'static str,
    stored: &[u8],
    detail: Detail,
) -> Result<Action, StoreError> {
    split_action(stored, detail).map_err(|error| StoreError::from_codec(operation, error))
}

/// The number of fields of an action that have columns.
const COLUMNS: usize = ACTION.columns().len();

/// How a database stores its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// Decodes what `encode_body` encoded, followed by the columns. Texts come in the encoding of the
/// database. That is UTF-8, except in the database of a host that chose another one.
fn split_action(stored: &[u8], detail: Detail) -> Result<Action, CodecError> {
    let decoded = decode_in(Encoding::Utf8, stored, detail);
    if decoded.is_ok() {
        return decoded;
    }
    let others = [Encoding::Utf16Le, Encoding::Utf16Be].into_iter();
    let mut others = others.map(|encoding| decode_in(encoding, stored, detail));
    others.find(Result::is_ok).unwrap_or(decoded)
}

fn decode_in(encoding: Encoding, stored: &[u8], detail: Detail) -> Result<Action, CodecError> {
    let split = || {
        let (length, mut rest) = take_length(stored)?;
        let mut lengths = [0; COLUMNS];
        for length in &mut lengths {
            (*length, rest) = take_length(rest)?;
        }
        let (body, rest) = rest.split_at_checked(length)?;
        let padding = (stored.len() - rest.len()) % 2;
        let mut joined = rest.get(padding..)?;
        let mut texts: [Cow<'_, str>; COLUMNS] = Default::default();
        let mut values = [Value::Null; COLUMNS];
        let columns = ACTION.columns().iter().zip(lengths);
        for ((field, length), (text, value)) in columns.zip(texts.iter_mut().zip(&mut values)) {
            match (length, field.kind()) {
                (0, _) => {}
                (_, Kind::Id) => {
                    let (id, rest) = joined.split_at_checked(length)?;
                    (*value, joined) = (Value::Id(Uuid::from_slice(id).ok()?), rest);
                }
                _ => (*text, joined) = take_text(encoding, length, joined)?,
            }
        }
        joined.is_empty().then_some((body, texts, values))
    };
    let Some((body, texts, mut values)) = split() else {
        let what = "its columns are not those of its body";
        return Err(CodecError::Damaged(what.into()));
    };
    for (text, value) in texts.iter().zip(&mut values) {
        if !text.is_empty() {
            *value = Value::Text(text);
        }
    }
    match detail {
        Detail::Summary => ACTION.decode_summary(&values, body),
        _ => ACTION.decode(&values, body),
    }
}

/// Reads a text that has this length in UTF-8.
fn take_text(encoding: Encoding, length: usize, bytes: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let unit = match encoding {
        Encoding::Utf8 => {
            let (text, rest) = bytes.split_at_checked(length)?;
            return Some((std::str::from_utf8(text).ok()?.into(), rest));
        }
        Encoding::Utf16Le => u16::from_le_bytes,
        Encoding::Utf16Be => u16::from_be_bytes,
    };
    let (pairs, _) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(length);
    let mut units = 0;
    for char in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let char = char.ok()?;
        text.push(char);
        units += char.len_utf16();
        if text.len() >= length {
            break;
        }
    }
    let rest = bytes.get(2 * units..)?;
    (text.len() == length).then_some((text.into(), rest))
}

/// Reads a length that `encode` wrote: at most three bytes.
fn take_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for (index, byte) in bytes.iter().take(3).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Some((length, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Reads a [`STORED_ENTRY`](super::rows::STORED_ENTRY): the number of the entry and the entry.
pub(super) fn decode_entry(columns: &mut Columns<'_>) -> Result<(u64, LogEntry), StoreError> {
    Ok((columns.number()?, columns.record(ENTRY)?))
}

/// Reads a [`STORED_OWNER`](super::rows::STORED_OWNER): the number of the owner and the owner.
pub(super) fn decode_owner(columns: &mut Columns<'_>) -> Result<(u64, Owner), StoreError> {
    Ok((columns.number()?, columns.record(OWNER)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_in_the_encoding_of_the_database() {
        for text in ["plane", "größe", "節点 7", "😀"] {
            let units: Vec<u16> = text.encode_utf16().collect();
            let bytes = |bytes: fn(u16) -> [u8; 2]| {
                let all = units.iter().flat_map(|unit| bytes(*unit));
                all.chain(*b"rest").collect::<Vec<u8>>()
            };
            for (encoding, bytes) in [
                (Encoding::Utf8, [text.as_bytes(), b"rest"].concat()),
                (Encoding::Utf16Le, bytes(u16::to_le_bytes)),
                (Encoding::Utf16Be, bytes(u16::to_be_bytes)),
            ] {
                let (read, rest) = take_text(encoding, text.len(), &bytes).unwrap();
                assert_eq!((&*read, rest), (text, &b"rest"[..]), "{encoding:?}");
            }
        }
    }
}
