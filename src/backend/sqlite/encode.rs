//! Encodes actions, log entries and owners into rows.

use serde::Serialize;
use uuid::Uuid;

use super::rows;
use crate::model::codec::{CodecError, Record, Value};
use crate::model::{Action, LogEntry, Owner, OwnerRef};

/// Size in bytes after which the rows continue in another text. SQLite refuses a text of 1 GB, and
/// a row is much smaller than this.
#[cfg(not(test))]
const TEXT_BYTES: usize = 64 * 1024 * 1024;
#[cfg(test)]
const TEXT_BYTES: usize = 64 * 1024;

/// Builds the rows of a batch: a JSON array of arrays, and their bodies one after the other.
#[derive(Debug)]
pub(super) struct JsonRows {
    json: Vec<u8>,
    bodies: Vec<u8>,
    /// Completed lists, without their closing brackets.
    full: Vec<(Vec<u8>, Vec<u8>)>,
    rows: usize,
    in_row: bool,
    /// True while all fields of the current group are null.
    empty: bool,
    any_sparse: bool,
}

/// Rows as one JSON text, and their bodies one after the other.
#[derive(Debug)]
pub(super) struct List {
    pub(super) rows: String,
    pub(super) bodies: Vec<u8>,
}

impl JsonRows {
    pub(super) fn new() -> JsonRows {
        JsonRows {
            json: vec![b'['],
            bodies: Vec::new(),
            full: Vec::new(),
            rows: 0,
            in_row: false,
            empty: true,
            any_sparse: false,
        }
    }

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// True if a row has any [sparse](super::rows::Columns::sparse) column.
    pub(super) fn any_sparse(&self) -> bool {
        self.any_sparse
    }

    /// Returns the only row, without the outer array.
    pub(super) fn into_row(mut self) -> List {
        self.json.remove(0);
        List {
            rows: into_text(self.json),
            bodies: self.bodies,
        }
    }

    /// Returns all rows as one text. They have no bodies.
    pub(super) fn finish(self) -> String {
        let mut texts = self.into_lists().into_iter().map(|list| list.rows);
        let mut all = texts.next().unwrap_or_default();
        for text in texts {
            all.pop();
            all.push(',');
            all.push_str(text.get(1..).unwrap_or_default());
        }
        all
    }

    /// Returns the rows in order, in as many lists as SQLite's limit requires.
    pub(super) fn into_lists(mut self) -> Vec<List> {
        self.full.push((self.json, self.bodies));
        let close = |(mut json, bodies): (Vec<u8>, Vec<u8>)| {
            json.push(b']');
            List {
                rows: into_text(json),
                bodies,
            }
        };
        self.full.into_iter().map(close).collect()
    }

    /// Begins a row, fills it and ends it.
    pub(super) fn row<T>(&mut self, fill: impl FnOnce(&mut JsonRows) -> T) -> T {
        if self.json.len() + self.bodies.len() > TEXT_BYTES {
            let json = std::mem::replace(&mut self.json, vec![b'[']);
            self.full.push((json, std::mem::take(&mut self.bodies)));
        } else if self.rows > 0 {
            self.json.push(b',');
        }
        self.rows += 1;
        self.json.push(b'[');
        self.in_row = false;
        let filled = fill(self);
        self.json.push(b']');
        filled
    }

    /// Writes the field of a row that packs the sparse columns.
    fn sparse(&mut self, fill: impl FnOnce(&mut JsonRows)) {
        if self.in_row {
            self.json.push(b',');
        }
        let begin = self.json.len();
        self.json.push(b'[');
        (self.in_row, self.empty) = (false, true);
        fill(self);
        self.in_row = true;
        if self.empty {
            self.json.truncate(begin);
            self.json.extend_from_slice(b"null");
        } else {
            self.json.push(b']');
            self.any_sparse = true;
        }
    }

    /// Writes a row that contains only an identity.
    pub(super) fn item(&mut self, uuid: &Uuid) {
        self.in_row = self.rows > 0;
        self.rows += 1;
        self.blob(uuid);
    }

    fn next_field(&mut self) {
        if self.in_row {
            self.json.push(b',');
        }
        self.in_row = true;
    }

    fn field<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.next_field();
        self.empty = false;
        // Texts and numbers are written to memory, so neither can fail.
        let written = serde_json::to_writer(&mut self.json, value);
        debug_assert!(written.is_ok());
    }

    fn null(&mut self) {
        self.next_field();
        self.json.extend_from_slice(b"null");
    }

    pub(super) fn text(&mut self, text: &str) {
        self.field(text);
    }

    pub(super) fn int(&mut self, number: i64) {
        self.field(&number);
    }

    pub(super) fn blob(&mut self, uuid: &Uuid) {
        let mut buffer = Uuid::encode_buffer();
        let hex = uuid.simple().encode_lower(&mut buffer);
        self.next_field();
        self.empty = false;
        // The text contains nothing to escape.
        self.json.push(b'"');
        self.json.extend_from_slice(hex.as_bytes());
        self.json.push(b'"');
    }

    /// Writes the value of a column.
    fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Int(number) => self.int(number),
            Value::Text(text) => self.text(text),
            Value::Id(id) => self.blob(&id),
            _ => self.null(),
        }
    }

    /// Writes the body of a row: encodes it behind the others, and writes its place.
    fn body(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        let begin = self.bodies.len();
        encode(&mut self.bodies)?;
        let length = self.bodies.len() - begin;
        // SQLite counts from 1.
        self.int(i64::try_from(begin + 1).unwrap_or(i64::MAX));
        self.int(i64::try_from(length).unwrap_or(i64::MAX));
        Ok(())
    }

    pub(super) fn owner(&mut self, owner: &OwnerRef) {
        self.text(&owner.name);
        self.blob(owner.incarnation.as_uuid());
    }
}

fn into_text(json: Vec<u8>) -> String {
    // serde_json writes only UTF-8; without unsafe code the check is needed.
    String::from_utf8(json).unwrap_or_default()
}

/// Encodes a row of [`NEW_ACTION`](super::rows::NEW_ACTION).
pub(super) fn encode_action(
    out: &mut JsonRows,
    action: &Action,
    number: i64,
) -> Result<(), CodecError> {
    out.sparse(|out| {
        rows::SPARSE
            .iter()
            .for_each(|field| out.value(action.value(*field)));
    });
    out.int(number);
    out.int(flags(action));
    for field in rows::IDENTITY.iter().chain(rows::CHANGEABLE) {
        out.value(action.value(*field));
    }
    out.body(|out| encode_body(action, out))
}

/// Encodes a row of [`CHANGED_ACTION`](super::rows::CHANGED_ACTION).
pub(super) fn encode_update(
    out: &mut JsonRows,
    action: &Action,
    number: i64,
) -> Result<(), CodecError> {
    out.int(number);
    out.int(flags(action));
    for field in rows::CHANGEABLE {
        out.value(action.value(*field));
    }
    out.body(|out| encode_body(action, out))
}

/// Encodes a row of [`PROGRESSED_ACTION`](super::rows::PROGRESSED_ACTION).
pub(super) fn encode_progress(
    out: &mut JsonRows,
    action: &Action,
    number: i64,
) -> Result<(), CodecError> {
    out.int(number);
    for field in rows::PROGRESSED {
        out.value(action.value(*field));
    }
    out.body(|out| encode_body(action, out))
}

/// Returns the column `flags`: what the rules of the schema need of the body.
pub(super) fn flags(action: &Action) -> i64 {
    let flags = [
        action.started_at.is_some(),
        action.result.is_some(),
        action.error.is_some(),
        action.evidence.is_some(),
        action.cancel.is_some(),
        !action.related.is_empty(),
    ];
    let bit = |(place, is_set): (usize, &bool)| i64::from(*is_set) << place;
    flags.iter().enumerate().map(bit).sum()
}

/// Encodes the column `body` of an action: the length in bytes of the body of its
/// [`ACTION`](rows::ACTION) layout, the length of each of its columns, and that body. The lengths
/// split what [`STORED_ACTION`](rows::STORED_ACTION) joins.
///
/// A zero byte makes the length even if it is odd: in a database in UTF-16, SQLite drops the last
/// byte of a joined value of odd length.
fn encode_body(action: &Action, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let begin = out.len();
    let mut body = Vec::with_capacity(256);
    rows::ACTION.encode(action, &mut body)?;
    put_length(out, body.len());
    for value in rows::ACTION.values(action) {
        put_length(
            out,
            match value {
                Value::Text(text) => text.len(),
                Value::Id(id) => id.as_bytes().len(),
                _ => 0,
            },
        );
    }
    out.append(&mut body);
    if !(out.len() - begin).is_multiple_of(2) {
        out.push(0);
    }
    Ok(())
}

/// Appends a length, seven bits a byte, the lowest first.
fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// Encodes a row of [`NEW_ENTRY`](super::rows::NEW_ENTRY).
pub(super) fn encode_entry(
    out: &mut JsonRows,
    logged: &LogEntry,
    entry: i64,
    action: i64,
) -> Result<(), CodecError> {
    out.sparse(|out| {
        rows::SPARSE_ENTRY
            .iter()
            .for_each(|field| out.value(logged.value(*field)));
    });
    out.int(entry);
    out.int(action);
    for field in rows::DENSE_ENTRY {
        out.value(logged.value(*field));
    }
    out.body(|out| rows::ENTRY.encode(logged, out))
}

/// Encodes a row of [`NEW_OWNER`](super::rows::NEW_OWNER).
pub(super) fn encode_owner(out: &mut JsonRows, owner: &Owner) -> Result<(), CodecError> {
    for value in rows::OWNER.values(owner) {
        out.value(value);
    }
    out.body(|out| rows::OWNER.encode(owner, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_more_than_a_text_takes_go_on_in_another() {
        let long = "x".repeat(TEXT_BYTES / 2);
        let envelope = |rows: usize| {
            let mut envelope = JsonRows::new();
            for number in 0..rows {
                envelope.row(|row| {
                    row.int(i64::try_from(number).unwrap());
                    row.text(&long);
                });
            }
            envelope
        };
        for (rows, texts) in [(0, 1), (1, 1), (2, 1), (3, 2), (7, 4)] {
            let lists = envelope(rows).into_lists();
            assert_eq!(lists.len(), texts, "{rows}");
            let mut numbers = Vec::new();
            for list in lists {
                let list: Vec<(usize, String)> = serde_json::from_str(&list.rows).unwrap();
                numbers.extend(list.into_iter().map(|(number, _)| number));
            }
            assert_eq!(numbers, (0..rows).collect::<Vec<_>>());
        }
        let all: Vec<(usize, String)> = serde_json::from_str(&envelope(7).finish()).unwrap();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn every_character_survives_the_envelope() {
        let all: String = (1..0x250u32)
            .filter_map(char::from_u32)
            .chain(['😀', '\u{ffff}'])
            .collect();
        let mut envelope = JsonRows::new();
        envelope.row(|row| {
            row.text(&all);
            row.null();
            row.int(i64::MIN);
        });
        let (text, nothing, number): (String, (), i64) =
            serde_json::from_str::<Vec<_>>(&envelope.finish())
                .unwrap()
                .pop()
                .unwrap();
        assert_eq!((text, nothing, number), (all, (), i64::MIN));
    }
}
