//! Rows as JSON.

use serde::Serialize;
use uuid::Uuid;

use crate::backend::sql::{ACTION, RowWriter};
use crate::model::Action;
use crate::model::codec::{CodecError, Layout, Record, Value};

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

    /// True if a row has any [sparse](crate::backend::sql::Columns::sparse) column.
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

    /// Writes a row that contains only an identity.
    pub(super) fn item(&mut self, uuid: &Uuid) {
        self.in_row = self.rows > 0;
        self.rows += 1;
        self.id(uuid);
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

    /// Writes the body of a row: encodes it behind the others, and writes its place.
    fn place(
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
}

impl RowWriter for JsonRows {
    fn row<T>(&mut self, fill: impl FnOnce(&mut JsonRows) -> T) -> T {
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

    fn text(&mut self, text: &str) {
        self.field(text);
    }

    fn int(&mut self, number: i64) {
        self.field(&number);
    }

    fn id(&mut self, id: &Uuid) {
        let mut buffer = Uuid::encode_buffer();
        let hex = id.simple().encode_lower(&mut buffer);
        self.next_field();
        self.empty = false;
        // The text contains nothing to escape.
        self.json.push(b'"');
        self.json.extend_from_slice(hex.as_bytes());
        self.json.push(b'"');
    }

    fn null(&mut self) {
        self.next_field();
        self.json.extend_from_slice(b"null");
    }

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

    fn body<R: Record>(&mut self, layout: Layout<R>, record: &R) -> Result<(), CodecError> {
        self.place(|out| layout.encode(record, out))
    }

    fn action_body(&mut self, action: &Action) -> Result<(), CodecError> {
        self.place(|out| encode_body(action, out))
    }
}

fn into_text(json: Vec<u8>) -> String {
    // serde_json writes only UTF-8; without unsafe code the check is needed.
    String::from_utf8(json).unwrap_or_default()
}

/// Encodes the column `body` of an action: the length in bytes of the body of its
/// [`ACTION`] layout, the length of each of its columns, and that body. The lengths split what
/// [`STORED_ACTION`](super::rows::STORED_ACTION) joins.
///
/// A zero byte makes the length even if it is odd: in a database in UTF-16, SQLite drops the last
/// byte of a joined value of odd length.
fn encode_body(action: &Action, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let begin = out.len();
    let mut body = Vec::with_capacity(256);
    ACTION.encode(action, &mut body)?;
    put_length(out, body.len());
    for value in ACTION.values(action) {
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
