//! Errors of encoding and decoding.

use std::borrow::Cow;

/// Error of encoding or decoding a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes are not what was encoded: the checksum does not match, or the record breaks a
    /// rule of the model.
    #[error("the stored record is damaged: {0}")]
    Damaged(Cow<'static, str>),
    /// The bytes are intact, but a later version of this library wrote them.
    #[error("the stored record was written by a later version of this library: {0}")]
    Incompatible(Newer),
    /// The record has more bytes than [`LONGEST`](super::LONGEST). Only encoding returns this
    /// error.
    #[error(
        "the encoded record has {bytes} bytes; the limit is {}",
        super::LONGEST
    )]
    TooLarge {
        /// Length of the encoded record.
        bytes: usize,
    },
}

/// The part of a record that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Newer {
    /// The version of the format.
    #[error("format version {0}")]
    Version(u8),
    /// The tag of a critical field.
    #[error("critical field with tag {0}")]
    Field(u32),
    /// The code of a word, such as a status.
    #[error("{field} has code {code}")]
    Word {
        /// Name of the field.
        field: &'static str,
        /// Code in the record.
        code: u64,
    },
}

impl CodecError {
    pub(super) fn damaged(what: impl Into<Cow<'static, str>>) -> CodecError {
        CodecError::Damaged(what.into())
    }
}

/// Error of a field, without its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bad {
    /// No version of this library writes these bytes.
    Damaged(Cow<'static, str>),
    /// Code of a word that a later version added.
    Word(u64),
}

impl Bad {
    pub(super) fn damaged(what: impl Into<Cow<'static, str>>) -> Bad {
        Bad::Damaged(what.into())
    }

    /// Adds the name of the field.
    #[cold]
    pub(super) fn of(self, field: &'static str) -> CodecError {
        match self {
            Bad::Damaged(what) => CodecError::damaged(format!("{field}: {what}")),
            Bad::Word(code) => CodecError::Incompatible(Newer::Word { field, code }),
        }
    }
}

impl From<crate::model::limits::Invalid> for Bad {
    fn from(invalid: crate::model::limits::Invalid) -> Bad {
        Bad::Damaged(invalid.reason)
    }
}
