//! SQL literals, for statements that are sent as text.
//!
//! Texts are written as `E'...'`, in which a backslash is an escape whatever
//! `standard_conforming_strings` says. PostgreSQL has no text with a NUL character. A command with
//! one is refused, but what it names is looked up before: NULL, which is not found.

use uuid::Uuid;

use crate::backend::sql::{RowWriter, Type};
use crate::model::codec::{CodecError, Layout, Record};

/// Appends bytes as hexadecimal digits.
fn push_hex(sql: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    sql.reserve(2 * bytes.len());
    let mut digits = [0; 512];
    for piece in bytes.chunks(256) {
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(piece) {
            *pair = [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ];
        }
        // Digits are text.
        let text = std::str::from_utf8(&digits[..2 * piece.len()]);
        sql.push_str(text.unwrap_or_default());
    }
}

/// The value of each hexadecimal digit; 16 or more for any other byte.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut digit = 0;
    while digit < 10 {
        values[b'0' as usize + digit] = digit as u8;
        digit += 1;
    }
    while digit < 16 {
        values[b'a' as usize + digit - 10] = digit as u8;
        values[b'A' as usize + digit - 10] = digit as u8;
        digit += 1;
    }
    values
};

/// Returns the bytes of hexadecimal digits.
pub(super) fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut bytes = Vec::with_capacity(pairs.len());
    let mut all = 0;
    for [high, low] in pairs {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        all |= high | low;
        bytes.push(high << 4 | low & 15);
    }
    (rest.is_empty() && all < 16).then_some(bytes)
}

pub(super) fn push_int(sql: &mut String, number: i64) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    let _ = write!(sql, "'{number}'::bigint");
}

pub(super) fn push_text(sql: &mut String, text: &str) {
    if text.contains('\0') {
        return sql.push_str("NULL::text");
    }
    sql.push_str("E'");
    push_escaped(sql, text);
    sql.push('\'');
}

pub(super) fn push_id(sql: &mut String, id: &Uuid) {
    let mut buffer = Uuid::encode_buffer();
    sql.push('\'');
    sql.push_str(id.hyphenated().encode_lower(&mut buffer));
    sql.push_str("'::uuid");
}

/// Escapes a text inside `E'...'`.
fn push_escaped(sql: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '\\']) {
        let (before, after) = rest.split_at(at);
        sql.push_str(before);
        // One byte, as both characters are ASCII.
        let (special, after) = after.split_at(1);
        sql.push_str(special);
        sql.push_str(special);
        rest = after;
    }
    sql.push_str(rest);
}

const fn name_of(kind: Type) -> &'static str {
    match kind {
        Type::Int => "bigint",
        Type::Text => "text",
        Type::Id => "uuid",
        Type::Bytes => "bytea",
    }
}

/// Rows as one array for each column, so that a statement has the same shape for any number of
/// rows: `unnest($rows) AS j(...)`.
#[derive(Debug)]
pub(super) struct Rows {
    /// Each column, as the inside of an `E'{...}'`.
    columns: Vec<(Type, String)>,
    /// Arrays that are large enough. More rows go on in others.
    full: Vec<Vec<(Type, String)>>,
    /// Size in bytes after which rows go on in other arrays.
    most: usize,
    next: usize,
    /// Rows in `columns`.
    rows: usize,
}

/// Size in bytes after which rows go on in other arrays. PostgreSQL takes values and messages of up
/// to 1 GB, and a row is much smaller than this.
#[cfg(not(test))]
const ARRAY_BYTES: usize = 16 * 1024 * 1024;
#[cfg(test)]
const ARRAY_BYTES: usize = 1024;

impl Rows {
    pub(super) fn new(types: &[Type]) -> Rows {
        Rows {
            columns: types.iter().map(|kind| (*kind, String::new())).collect(),
            full: Vec::new(),
            most: usize::MAX,
            next: 0,
            rows: 0,
        }
    }

    /// Creates rows that are sent in as many arrays as their size requires.
    pub(super) fn in_lists(types: &[Type]) -> Rows {
        Rows {
            most: ARRAY_BYTES,
            ..Rows::new(types)
        }
    }

    /// Returns the next column of the row, after the comma.
    fn field(&mut self) -> Option<&mut String> {
        let (_, array) = self.columns.get_mut(self.next)?;
        self.next += 1;
        if self.rows > 0 {
            array.push(',');
        }
        Some(array)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(array) = self.field() {
            // One backslash for the value, escaped in the array and again in the literal.
            array.push_str("\"\\\\\\\\x");
            push_hex(array, bytes);
            array.push('"');
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0 && self.full.is_empty()
    }

    /// Returns the rows as arrays, separated by commas: one text, or several for many rows.
    pub(super) fn lists(&self) -> impl Iterator<Item = String> {
        let rest = (self.rows > 0).then_some(&self.columns);
        self.full.iter().chain(rest).map(|columns| arrays(columns))
    }

    /// Returns rows that are not [in lists](Rows::in_lists) as one array for each column.
    pub(super) fn list(&self) -> String {
        debug_assert!(self.full.is_empty());
        arrays(&self.columns)
    }
}

impl RowWriter for Rows {
    fn row<T>(&mut self, fill: impl FnOnce(&mut Rows) -> T) -> T {
        let bytes = self.columns.iter().map(|(_, array)| array.len());
        if bytes.sum::<usize>() > self.most {
            let types: Vec<Type> = self.columns.iter().map(|(kind, _)| *kind).collect();
            let columns = Rows::new(&types).columns;
            self.full
                .push(std::mem::replace(&mut self.columns, columns));
            self.rows = 0;
        }
        self.next = 0;
        let filled = fill(self);
        debug_assert_eq!(self.next, self.columns.len());
        self.rows += 1;
        filled
    }

    fn int(&mut self, number: i64) {
        use std::fmt::Write;
        if let Some(array) = self.field() {
            // Writing to a string cannot fail.
            let _ = write!(array, "{number}");
        }
    }

    fn null(&mut self) {
        if let Some(array) = self.field() {
            array.push_str("NULL");
        }
    }

    fn id(&mut self, id: &Uuid) {
        let mut buffer = Uuid::encode_buffer();
        if let Some(array) = self.field() {
            array.push_str(id.hyphenated().encode_lower(&mut buffer));
        }
    }

    fn text(&mut self, text: &str) {
        if text.contains('\0') {
            return self.null();
        }
        let Some(array) = self.field() else { return };
        array.push('"');
        let mut rest = text;
        while let Some(at) = rest.find(['"', '\\', '\'']) {
            let (before, after) = rest.split_at(at);
            array.push_str(before);
            let (special, after) = after.split_at(1);
            // Escaped in the array, and each backslash again in the literal.
            array.push_str(match special {
                "\"" => "\\\\\"",
                "\\" => "\\\\\\\\",
                _ => "''",
            });
            rest = after;
        }
        array.push_str(rest);
        array.push('"');
    }

    fn body<R: Record>(&mut self, layout: Layout<R>, record: &R) -> Result<(), CodecError> {
        let mut body = Vec::new();
        layout.encode(record, &mut body)?;
        self.bytes(&body);
        Ok(())
    }
}

fn arrays(columns: &[(Type, String)]) -> String {
    let bytes: usize = columns.iter().map(|(_, array)| array.len() + 16).sum();
    let mut sql = String::with_capacity(bytes);
    for (place, (kind, array)) in columns.iter().enumerate() {
        if place > 0 {
            sql.push_str(", ");
        }
        sql.push_str("E'{");
        sql.push_str(array);
        sql.push_str("}'::");
        sql.push_str(name_of(*kind));
        sql.push_str("[]");
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_come_back_as_bytes() {
        let all: Vec<u8> = (0..=255).collect();
        let mut digits = String::new();
        push_hex(&mut digits, &all);
        assert_eq!(from_hex(digits.as_bytes()), Some(all));
        for bad in ["0", "0g", "+1", " 1"] {
            assert_eq!(from_hex(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn quotes_and_backslashes_stay_inside_their_literal() {
        let mut sql = String::new();
        push_text(&mut sql, r"a'b\c\'; DROP");
        assert_eq!(sql, r"E'a''b\\c\\''; DROP'");
        let mut rows = Rows::new(&[Type::Text, Type::Bytes]);
        rows.row(|row| {
            row.text(r#"a"b\c'd,}"#);
            row.bytes(&[0xab]);
        });
        rows.row(|row| {
            row.null();
            row.bytes(&[]);
        });
        let sql = rows.list();
        let text = r#"E'{"a\\"b\\\\c''d,}",NULL}'::text[]"#;
        let bytes = r#"E'{"\\\\xab","\\\\x"}'::bytea[]"#;
        assert_eq!(sql, format!("{text}, {bytes}"));
    }

    #[test]
    fn many_rows_go_on_in_other_arrays() {
        let mut rows = Rows::in_lists(&[Type::Int, Type::Text]);
        assert_eq!(rows.lists().count(), 0);
        for number in 0..3 {
            rows.row(|row| {
                row.int(number);
                row.text(&"x".repeat(ARRAY_BYTES));
            });
        }
        let lists: Vec<String> = rows.lists().collect();
        assert_eq!(lists.len(), 3);
        for (number, list) in lists.iter().enumerate() {
            assert!(list.starts_with(&format!("E'{{{number}}}'::bigint[], ")));
        }
    }

    #[test]
    fn a_text_with_a_nul_character_is_null() {
        let mut rows = Rows::new(&[Type::Text]);
        rows.row(|row| row.text("a\0b"));
        assert_eq!(rows.list(), "E'{NULL}'::text[]");
        let mut sql = String::new();
        push_text(&mut sql, "a\0b");
        assert_eq!(sql, "NULL::text");
    }
}
