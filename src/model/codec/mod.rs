//! The stored form: one encoding of an action, of a log entry and of an owner.
//!
//! - It detects damage: a checksum covers every byte, and the columns beside the encoding.
//! - It keeps fields of a later version, or refuses the record as
//!   [`Incompatible`](CodecError::Incompatible). It never drops a field.
//! - It checks limits and invariants of each record it decodes. Only JSON texts are not parsed
//!   again.
//!
//! [`encode`] and [`decode`] are for whole records. A [`Layout`] is for stores that keep some
//! fields in columns, or in a key, and the others in a body.
//!
//! # What a store does
//!
//! A SQL store declares once which fields have columns, and makes its statements from that:
//!
//! ```
//! use action_store::Action;
//! use action_store::spi::codec::{ActionField as F, Field, FieldSet, Layout, Value};
//!
//! const ACTIONS: Layout<Action> =
//!     Layout::without(FieldSet::<Action>::of(&[F::Uid, F::Name, F::Status, F::Version]));
//!
//! # use action_store::{NewAction, Timestamp};
//! # let new = NewAction::task("backup_bdb");
//! # let action = Action::new(&new, new.digest(), Timestamp::from_seconds(1));
//! let names: Vec<&str> = ACTIONS.columns().iter().map(|field| field.name()).collect();
//! assert_eq!(names, ["uid", "name", "status", "version"]);
//!
//! // Writing: bind the values and the body.
//! let values: Vec<Value<'_>> = ACTIONS.values(&action).collect();
//! let mut body = Vec::new();
//! ACTIONS.encode(&action, &mut body)?;
//!
//! // Reading: the values of the same columns in the same order.
//! assert_eq!(ACTIONS.decode(&values, &body)?, action);
//!
//! // A column that was changed by another program is detected.
//! let mut changed = values.clone();
//! changed[2] = Value::Int(1);
//! assert!(ACTIONS.decode(&changed, &body).is_err());
//! # Ok::<(), action_store::spi::codec::CodecError>(())
//! ```
//!
//! A field may have a column and stay in the body, too. The codec does not know of that column;
//! the store compares it with [`Record::value`].
//!
//! # Format, version 1
//!
//! A record is
//!
//! | bytes | content |
//! | --- | --- |
//! | 1 | version of the format: 1 |
//! | 1 | form: 1 for an action, 2 for a log entry, 3 for an owner |
//! | any | the fields, in ascending order of their tags, each tag at most once |
//! | 4 | checksum, little-endian |
//!
//! A **field** is its tag, the length of its value in bytes, and the value. Tag and length are
//! varints: seven bits a byte, the lowest bits first, the highest bit set in all bytes but the last
//! (LEB128), in the shortest form, below 2^32. An absent field is left out.
//!
//! A **value** is one of
//!
//! | kind | value |
//! | --- | --- |
//! | Unsigned | a number, little-endian, without the zero bytes at its end (0 has no byte); at most 2^63-1 |
//! | Signed | microseconds since the Unix epoch: n is stored like the unsigned number 2n if n is not negative, -2n-1 otherwise |
//! | Text | UTF-8 |
//! | Id | the 16 bytes of a UUID, in the order in which it is written |
//! | List | texts, each as its length (a varint) and its bytes; a list without items is left out |
//!
//! Words are unsigned numbers: the `code()` of [`Status`](crate::Status),
//! [`Outcome`](crate::Outcome), [`Source`](crate::Source), [`OwnerEnd`](crate::owner::OwnerEnd),
//! [`OwnerState`](crate::owner::OwnerState) and [`LogEntryKind`](crate::action::LogEntryKind). Progress is in
//! hundredths of a percent. The list `related` has three texts for each object: its role, its
//! written form, and its name, which is empty if there is none. The list `labels` has two texts for
//! each label, its key and its value, in the order of the keys.
//!
//! The **checksum** is CRC-32 as in zlib and PNG (polynomial 0x04C11DB7, reflected, initial value
//! and final xor 0xFFFFFFFF). It covers everything before it. If some fields are in columns, it
//! also covers these fields: encoded as above, in ascending order of their tags, right after the
//! rest. Its place and kind stay the same in later versions, so that damage and a later version
//! can be told apart.
//!
//! A **tag that the reader does not know** belongs to a later version. If it is odd, the field is
//! critical: the record must be refused. If it is even, the field is kept and written again, in its
//! place, whenever the record is written.
//!
//! ## Fields of an action
//!
//! | tag | name | kind | |
//! | --: | --- | --- | --- |
//! | 1 | `uid` | Id | always |
//! | 3 | `source` | Unsigned | always |
//! | 5 | `name` | Text | always |
//! | 7 | `object` | Text | |
//! | 9 | `related` | List | |
//! | 11 | `tenant` | Text | always |
//! | 13 | `actor` | Text | |
//! | 15 | `parent` | Id | |
//! | 17 | `retry_of` | Id | |
//! | 19 | `correlation` | Text | |
//! | 21 | `exclusive` | List | |
//! | 23 | `idempotency_key` | Text | |
//! | 25 | `digest` | Id | always |
//! | 27 | `created_at` | Signed | always |
//! | 29 | `status` | Unsigned | always |
//! | 31 | `outcome` | Unsigned | |
//! | 33 | `progress` | Unsigned | always |
//! | 35 | `step` | Text | |
//! | 37 | `description` | Text | |
//! | 39 | `attributes` | Text | |
//! | 41 | `result` | Text | |
//! | 43 | `error_code` | Text | |
//! | 45 | `error_message` | Text | |
//! | 47 | `error_detail` | Text | |
//! | 49 | `warnings` | List | |
//! | 51 | `owner` | Text | |
//! | 53 | `incarnation` | Id | |
//! | 55 | `cancel_at` | Signed | |
//! | 57 | `cancel_by` | Text | |
//! | 59 | `cancel_reason` | Text | |
//! | 61 | `evidence_owner` | Text | |
//! | 63 | `evidence_incarnation` | Id | |
//! | 65 | `evidence_end` | Unsigned | |
//! | 67 | `evidence_seen_at` | Signed | |
//! | 69 | `evidence_by` | Text | |
//! | 71 | `started_at` | Signed | |
//! | 73 | `finished_at` | Signed | |
//! | 75 | `last_seen_at` | Signed | always |
//! | 77 | `version` | Unsigned | always |
//! | 79 | `log_entries` | Unsigned | always |
//! | 81 | `last_op` | Id | |
//! | 83 | `labels` | List | |
//!
//! ## Fields of a log entry
//!
//! | tag | name | kind | |
//! | --: | --- | --- | --- |
//! | 1 | `uid` | Id | always |
//! | 3 | `version` | Unsigned | always |
//! | 5 | `kind` | Unsigned | always |
//! | 7 | `at` | Signed | always |
//! | 9 | `status` | Unsigned | always |
//! | 11 | `outcome` | Unsigned | |
//! | 13 | `progress` | Unsigned | always |
//! | 15 | `step` | Text | |
//! | 17 | `owner` | Text | |
//! | 19 | `incarnation` | Id | |
//! | 21 | `by` | Text | |
//! | 23 | `op` | Id | |
//! | 25 | `note` | Text | |
//!
//! ## Fields of an owner
//!
//! | tag | name | kind | |
//! | --: | --- | --- | --- |
//! | 1 | `name` | Text | always |
//! | 3 | `incarnation` | Id | always |
//! | 5 | `state` | Unsigned | always |
//! | 7 | `renewals` | Unsigned | always |
//! | 9 | `claimed_at` | Signed | always |
//! | 11 | `renewed_at` | Signed | always |
//! | 13 | `ended_at` | Signed | |

mod bytes;
mod error;
mod fields;
mod layout;
mod leaf;
mod lists;
mod record;
mod wire;

pub use error::{CodecError, Newer};
pub use fields::{ActionField, EntryField, OwnerField};
pub use layout::{Layout, decode, encode, unknown_fields, with_unknown_fields};
pub use leaf::{Kind, Value};
pub use record::{Field, FieldSet, Record};

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u8 = 1;

/// Longest encoded record, in bytes. An action at all its limits has less than half as many; the
/// rest is room for fields of a later version.
pub const LONGEST: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the tables above.
    fn rows<F: Field>() -> Vec<String> {
        let row = |field: &F| {
            let always = if field.is_required() { " always" } else { "" };
            let (tag, name, kind) = (field.tag(), field.name(), field.kind());
            format!("//! | {tag} | `{name}` | {kind:?} |{always} |")
        };
        F::ALL.iter().map(row).collect()
    }

    #[test]
    fn the_documented_tables_match_the_fields() {
        let documented: Vec<&str> = include_str!("mod.rs")
            .lines()
            .filter(|line| line.starts_with("//! | ") && line.contains("| `"))
            .collect();
        let fields = [
            rows::<ActionField>(),
            rows::<EntryField>(),
            rows::<OwnerField>(),
        ];
        assert_eq!(documented, fields.concat());
    }
}
