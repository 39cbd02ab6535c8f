//! What a text, a JSON value and a page may be. Checked once, here, for every backend alike.
//!
//! The limits are those that keep a row readable everywhere: PostgreSQL refuses U+0000 in text
//! and fails on indexed text beyond about 2.7 kB; serde_json reads nothing nested deeper than 128.

use std::borrow::Cow;
use std::fmt;

/// The data limits, in one place. All lengths are in bytes of UTF-8.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits;

impl Limits {
    /// Longest label: names, kinds, ids, owners, tenants, actors, keys, steps, error codes.
    /// A label has at least one byte and no control character.
    pub const LABEL: usize = 255;
    /// Longest prose: descriptions, messages, details, warnings, reasons. No U+0000.
    pub const TEXT: usize = 4 * 1024;
    /// Longest JSON text: attributes and results.
    pub const JSON: usize = 64 * 1024;
    /// Deepest nesting of a JSON text; a scalar has depth 0.
    pub const JSON_DEPTH: usize = 32;
    /// Most warnings an action carries.
    pub const WARNINGS: usize = 32;
    /// Most related objects an action names.
    pub const RELATED: usize = 64;
    /// Most exclusive keys an action holds.
    pub const EXCLUSIVE: usize = 16;
    /// Log entries kept for an action; when there are more, the oldest go first.
    pub const LOG_ENTRIES: u32 = 256;
    /// Most terms in a query.
    pub const TERMS: usize = 16;
    /// Most objects in a set that a query asks about.
    pub const OBJECTS: usize = 1000;
    /// Largest page.
    pub const PAGE: u16 = 1000;
    /// Page size of [`Query::default`](crate::Query) and [`LogQuery::default`](crate::LogQuery).
    pub const DEFAULT_PAGE: u16 = 100;
    /// Rows a page may look at when terms beside the driving one filter them. A page that
    /// reaches it is short and goes on with its cursor.
    pub const SCAN: usize = 10_000;
    /// Ended owners that a store remembers, those that claimed last. To these come owners that still
    /// have an unfinished action, and the last ended incarnation of each name that is alive.
    pub const ENDED_OWNERS: usize = 1000;
    /// Most owners that one transaction forgets, beside one for each of its claims.
    pub(crate) const FORGOTTEN_OWNERS: usize = 1000;
    /// Highest version of an action that is imported: 2^62. A store counts on from there, and keeps
    /// versions up to [`Version::MAX`](crate::Version::MAX).
    pub const IMPORTED_VERSION: u64 = 1 << 62;
}

/// Input that breaks a documented limit or rule. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The field at fault, as it is called on the type it belongs to.
    pub field: Cow<'static, str>,
    /// What is wrong with it, and what would be right.
    pub reason: Cow<'static, str>,
}

impl Invalid {
    /// Says what is wrong with a field.
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

/// Checks a label: 1..=255 bytes, no control characters.
pub(crate) fn label(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(field, "must not be empty"));
    }
    if text.len() > Limits::LABEL {
        return Err(Invalid::new(
            field,
            format!("has {} bytes, at most {} fit", text.len(), Limits::LABEL),
        ));
    }
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Err(Invalid::new(
            field,
            format!("contains the control character {c:?}"),
        ));
    }
    Ok(())
}

/// Checks prose: at most 4 KiB, no U+0000.
pub(crate) fn prose(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.len() > Limits::TEXT {
        return Err(Invalid::new(
            field,
            format!("has {} bytes, at most {} fit", text.len(), Limits::TEXT),
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

/// Checks the length of a list.
pub(crate) fn at_most(field: &'static str, len: usize, most: usize) -> Result<(), Invalid> {
    if len > most {
        return Err(Invalid::new(
            field,
            format!("has {len} entries, at most {most} fit"),
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
    fn prose_may_have_lines_but_no_nul() {
        assert!(prose("message", "two\nlines\tand a tab").is_ok());
        assert!(prose("message", &"é".repeat(2048)).is_ok());
        assert!(prose("message", &"é".repeat(2049)).is_err());
        assert!(prose("message", "a\0").is_err());
    }
}
