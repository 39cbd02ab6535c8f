//! Rows that travel as one text. Each row is a message from SQLite's thread, which costs more than
//! to read the row.
//!
//! The text has each key, a colon, and the record in hexadecimal, separated by commas. So a damaged
//! record does not disturb the others.

use std::borrow::Cow;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::backend::sql::corrupt;
use crate::error::StoreError;

/// Maximum number of rows in one text. A record has at most 1 MB in hexadecimal, and SQLite refuses
/// a text of 1 GB.
pub(super) const MOST: usize = 101;

const UNREADABLE: &str = "a stored row cannot be read";

/// Returns the statement that joins the rows of a statement, whose columns are `key` and `record`.
pub(super) fn join(rows: &str) -> String {
    format!("SELECT NULL, group_concat(r.key || ':' || hex(r.record)) FROM ({rows}) AS r")
}

/// A key and its record.
pub(super) type Keyed<'r> = (Cow<'r, str>, Cow<'r, [u8]>);

/// Reads rows, joined ones or single ones.
pub(super) fn read<'r>(
    operation: &'static str,
    is_joined: bool,
    rows: &'r [SqliteRow],
) -> Result<Vec<Keyed<'r>>, StoreError> {
    let unreadable = |error| corrupt(operation, UNREADABLE).with_source(error);
    if !is_joined {
        let row = |row: &'r SqliteRow| {
            let key = row.try_get::<i64, usize>(0)?.to_string();
            Ok((key.into(), row.try_get::<&[u8], usize>(1)?.into()))
        };
        let rows: Result<Vec<Keyed<'r>>, sqlx::Error> = rows.iter().map(row).collect();
        return rows.map_err(unreadable);
    }
    let mut read = Vec::new();
    for row in rows {
        let text = row.try_get::<Option<&str>, usize>(1).map_err(unreadable)?;
        for row in text.into_iter().flat_map(|text| text.split(',')) {
            let row = row.split_once(':');
            let row = row.and_then(|(key, hex)| Some((key.into(), from_hex(hex)?.into())));
            read.push(row.ok_or_else(|| corrupt(operation, UNREADABLE))?);
        }
    }
    Ok(read)
}

/// Reads bytes as SQLite's `hex` writes them.
pub(super) fn from_hex(hex: &str) -> Option<Vec<u8>> {
    const DIGITS: [u8; 256] = {
        let mut digits = [u8::MAX; 256];
        let mut digit = 0;
        while digit < 16 {
            digits[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
            digit += 1;
        }
        digits
    };
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let mut bytes = Vec::with_capacity(pairs.len());
    let mut bad = u8::from(!rest.is_empty());
    for [high, low] in pairs {
        let (high, low) = (DIGITS[usize::from(*high)], DIGITS[usize::from(*low)]);
        bad |= (high | low) & 0xf0;
        bytes.push(high << 4 | low & 0x0f);
    }
    (bad == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_as_it_is_written() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let hex: String = all.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(from_hex(&hex), Some(all));
        assert_eq!(from_hex(""), Some(Vec::new()));
        for bad in ["0", "0G", "g0", "00 ", "é"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
