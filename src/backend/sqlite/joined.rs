//! Rows that travel as one value. Each row is a message from SQLite's thread, which costs more than
//! to read the row.
//!
//! The value has each key, the length of the record, and the record, separated by colons, and a
//! comma between two rows. So a damaged record does not disturb the others.
//!
//! A host may have its database in UTF-16. There, SQLite would convert the records like texts when
//! it joins them. So the value is a text there, with the records in hexadecimal and without lengths.

use std::borrow::Cow;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, TypeInfo as _, ValueRef as _};

use crate::backend::sql::corrupt;
use crate::error::StoreError;

/// Maximum number of rows in one value. A record has at most 1 MB in hexadecimal, and SQLite refuses
/// a value of 1 GB.
pub(super) const MOST: usize = 101;

const UNREADABLE: &str = "a stored row cannot be read";

/// Returns the statement that joins the rows of a statement, whose columns are `key` and `record`.
pub(super) fn join(rows: &str) -> String {
    // A constant, which SQLite computes once.
    let is_utf8 = "CAST('a' AS BLOB) = x'61'";
    format!(
        "SELECT NULL, CASE WHEN {is_utf8} THEN CAST(j.joined AS BLOB) ELSE j.joined END FROM (\
         SELECT group_concat(r.key || ':' || CASE WHEN {is_utf8} \
         THEN length(r.record) || ':' || r.record ELSE hex(r.record) END) AS joined \
         FROM ({rows}) AS r) AS j"
    )
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
        let value = row.try_get_raw(1).map_err(unreadable)?;
        let is_text = value.type_info().name() == "TEXT";
        let split = if is_text {
            let text = row.try_get::<&str, usize>(1).map_err(unreadable)?;
            split_text(text, &mut read)
        } else {
            let bytes = row.try_get::<Option<&[u8]>, usize>(1);
            split_bytes(bytes.map_err(unreadable)?.unwrap_or_default(), &mut read)
        };
        split.ok_or_else(|| corrupt(operation, UNREADABLE))?;
    }
    Ok(read)
}

fn split_bytes<'r>(mut joined: &'r [u8], rows: &mut Vec<Keyed<'r>>) -> Option<()> {
    let colon = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b':');
    while !joined.is_empty() {
        let (key, rest) = joined.split_at_checked(colon(joined)?)?;
        let rest = rest.get(1..)?;
        let (length, rest) = rest.split_at_checked(colon(rest)?)?;
        let length = std::str::from_utf8(length).ok()?.parse().ok()?;
        let (record, rest) = rest.get(1..)?.split_at_checked(length)?;
        rows.push((std::str::from_utf8(key).ok()?.into(), record.into()));
        joined = rest.strip_prefix(b",").unwrap_or(rest);
    }
    Some(())
}

fn split_text<'r>(joined: &'r str, rows: &mut Vec<Keyed<'r>>) -> Option<()> {
    for row in joined.split(',') {
        let (key, hex) = row.split_once(':')?;
        rows.push((key.into(), from_hex(hex)?.into()));
    }
    Some(())
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
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{AssertSqlSafe, ConnectOptions as _};

    use super::*;

    #[tokio::test]
    async fn rows_are_read_as_they_are_joined_in_each_encoding() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let records = [&[][..], b"1:2,3", &all, b",", &[0, 0xff, 0xc3]];
        let rows = records.iter().enumerate().map(|(key, record)| {
            let hex: String = record.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("SELECT {key} AS key, x'{hex}' AS record")
        });
        let rows = rows.collect::<Vec<_>>().join(" UNION ALL ");
        for (encoding, kind) in [
            ("UTF-8", "BLOB"),
            ("UTF-16le", "TEXT"),
            ("UTF-16be", "TEXT"),
        ] {
            let options = SqliteConnectOptions::new().in_memory(true);
            let options = options.pragma("encoding", format!("'{encoding}'"));
            let mut connection = options.connect().await.unwrap();
            for rows in [&*rows, "SELECT 1 AS key, x'' AS record WHERE false"] {
                let joined = sqlx::query(AssertSqlSafe(join(rows)));
                let joined = joined.fetch_all(&mut connection).await.unwrap();
                let read = read("test", true, &joined).unwrap();
                if read.is_empty() {
                    assert!(rows.ends_with("false"));
                    continue;
                }
                let value = joined[0].try_get_raw(1).unwrap();
                assert_eq!(value.type_info().name(), kind);
                let keys: Vec<&str> = read.iter().map(|(key, _)| &**key).collect();
                assert_eq!(keys, ["0", "1", "2", "3", "4"]);
                assert!(read.iter().map(|(_, record)| &**record).eq(records));
            }
        }
    }

    #[test]
    fn rows_that_are_cut_off_are_not_read() {
        let joined = b"12:3:abc,13:0:";
        let split = |bytes: &[u8]| {
            let mut rows = Vec::new();
            split_bytes(bytes, &mut rows).map(|()| rows.len())
        };
        assert_eq!(split(joined), Some(2));
        for length in 0..joined.len() {
            // A row or a comma at the end is whole.
            let whole = [(0, 0), (8, 1), (9, 1)];
            let whole = whole.iter().find(|(at, _)| *at == length);
            assert_eq!(split(&joined[..length]), whole.map(|(_, rows)| *rows));
        }
        for bad in [
            &b"12:abc"[..],
            b"12:-1:",
            b"12:99999999999999999999:",
            b"\xff:0:",
        ] {
            assert_eq!(split(bad), None);
        }
    }

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
