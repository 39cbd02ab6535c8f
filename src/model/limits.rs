//! Limits of texts, JSON values, lists and pages. They are the same for all backends.
//!
//! The limits keep a row readable everywhere. PostgreSQL refuses U+0000 in text, and it fails on
//! indexed text beyond about 2.7 kB. serde_json reads at most 128 levels of nesting.

use std::borrow::Cow;
use std::fmt;

/// The data limits. All lengths are in bytes of UTF-8.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits;

impl Limits {
    /// Maximum length of a label: 255 bytes. Names, kinds, ids, owners, tenants, actors, keys,
    /// steps and error codes are labels. A label has at least one byte and no control characters.
    pub const LABEL: usize = 255;
    /// Maximum length of prose: 4 KiB. Descriptions, messages, details, warnings and reasons are
    /// prose. Prose must not contain U+0000.
    pub const TEXT: usize = 4 * 1024;
    /// Maximum length of a JSON text, such as attributes or a result: 64 KiB.
    pub const JSON: usize = 64 * 1024;
    /// Maximum nesting of a JSON text: 32 levels. A scalar has depth 0.
    pub const JSON_DEPTH: usize = 32;
    /// Maximum number of warnings of an action.
    pub const WARNINGS: usize = 32;
    /// Maximum number of related objects of an action.
    pub const RELATED: usize = 64;
    /// Maximum number of exclusive keys of an action.
    pub const EXCLUSIVE: usize = 16;
    /// Maximum number of [labels](crate::action::Labels) of an action.
    pub const LABELS: usize = 16;
    /// Maximum length of the key of a label: 63 bytes. A key has at least one byte, no `=` and no
    /// control characters.
    pub const LABEL_KEY: usize = 63;
    /// Maximum length of the value of a label: 127 bytes. A value has at least one byte and no
    /// control characters.
    pub const LABEL_VALUE: usize = 127;
    /// Number of log entries kept for each action, late reports not counted. Beyond it, the oldest
    /// steps and notes are deleted, and the entries of the lifecycle stay. If there are no steps and
    /// notes left, the oldest adoptions are deleted.
    pub const LOG_ENTRIES: u32 = 256;
    /// Maximum number of conditions in a query.
    pub const FILTERS: usize = 32;
    /// Maximum number of objects in a set that a query uses.
    pub const OBJECTS: usize = 1000;
    /// Maximum page size.
    pub const PAGE: u16 = 1000;
    /// Default page size of [`Query`](crate::Query) and [`LogQuery`](crate::LogQuery).
    pub const DEFAULT_PAGE: u16 = 100;
    /// Maximum number of rows that a page reads to find matches. A page that reaches it is short
    /// and has a cursor for the next page.
    pub const SCAN: usize = 10_000;
    /// Number of ended owners that a store remembers, by latest claim. The store also remembers
    /// owners with an unfinished action, and the last ended incarnation of each living name.
    pub const ENDED_OWNERS: usize = 1000;
    /// Maximum number of owners that one transaction forgets, plus one for each claim in it.
    pub(crate) const FORGOTTEN_OWNERS: usize = 1000;
    /// Maximum version of an imported action: 2^62. The store can count on from there to
    /// [`Version::MAX`](crate::action::Version::MAX).
    pub const IMPORTED_VERSION: u64 = 1 << 62;
}

/// Input that breaks a documented limit or rule. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// Name of the field, as on its Rust type.
    pub field: Cow<'static, str>,
    /// Error text: the wrong value or the broken rule, and the allowed values.
    pub reason: Cow<'static, str>,
}

impl Invalid {
    /// Creates an error for a field.
    #[must_use]
    pub fn new(
        field: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Invalid {
        Invalid {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Invalid {}

/// Checks a label: 1 to 255 bytes, no control characters.
pub(crate) fn label(field: &'static str, text: &str) -> Result<(), Invalid> {
    without_control(field, text, Limits::LABEL)
}

/// Checks a text that is not empty, has at most `most` bytes and no control characters.
pub(super) fn without_control(field: &'static str, text: &str, most: usize) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(field, "must not be empty"));
    }
    if text.len() > most {
        return Err(Invalid::new(
            field,
            format!("has {} bytes; the limit is {most}", text.len()),
        ));
    }
    // Nearly all labels are printable ASCII, which is checked faster.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some(c) => {
            let reason = format!("contains the control character {c:?}");
            Err(Invalid::new(field, reason))
        }
    }
}

/// Checks prose: at most 4 KiB, no U+0000.
pub(crate) fn prose(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.len() > Limits::TEXT {
        return Err(Invalid::new(
            field,
            format!("has {} bytes; the limit is {}", text.len(), Limits::TEXT),
        ));
    }
    if text.contains('\0') {
        return Err(Invalid::new(field, "contains U+0000"));
    }
    Ok(())
}

/// Checks an optional label.
pub(crate) fn label_opt(field: &'static str, text: Option<&str>) -> Result<(), Invalid> {
    text.map_or(Ok(()), |text| label(field, text))
}

/// Checks optional prose.
pub(crate) fn prose_opt(field: &'static str, text: Option<&str>) -> Result<(), Invalid> {
    text.map_or(Ok(()), |text| prose(field, text))
}

/// Checks the number of items in a list.
pub(crate) fn at_most(field: &'static str, len: usize, most: usize) -> Result<(), Invalid> {
    if len > most {
        return Err(Invalid::new(
            field,
            format!("has {len} entries; the limit is {most}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_refused_when_empty_too_long_or_with_control_characters() {
        assert!(label("name", "backup_bdb").is_ok());
        assert!(label("name", &"x".repeat(255)).is_ok());
        for bad in ["", &"x".repeat(256), "a\0b", "a\nb", "\u{85}"] {
            assert!(label("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prose_may_have_line_breaks_but_no_nul() {
        assert!(prose("message", "two\nlines\tand a tab").is_ok());
        assert!(prose("message", &"é".repeat(2048)).is_ok());
        assert!(prose("message", &"é".repeat(2049)).is_err());
        assert!(prose("message", "a\0").is_err());
    }
}
