//! What can go wrong between two stores.

use std::io;
use std::sync::Arc;

use crate::error::{ErrorKind, StoreError};
use crate::model::Invalid;

/// Which store of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that is read.
    From,
    /// The one that is written (and read, to verify).
    To,
}

/// Why a transfer stopped. What was written before stays and is whole; running the transfer again
/// goes over it without harm.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A store failed.
    #[error("the store that is {}", match side { Side::From => "read", Side::To => "written" })]
    Store {
        /// Which one.
        side: Side,
        /// What it said.
        source: StoreError,
    },
    /// A line is not what the format has there. Nothing was written of it, nor of the lines since
    /// the checkpoint before it.
    #[error("line {line}: {reason}")]
    Line {
        /// Which line, the first being 1.
        line: u64,
        /// `Incompatible` for another version or a field or word this version does not know,
        /// `Corrupt` for damage, `Invalid` for a value that breaks a rule of the model.
        kind: ErrorKind,
        /// What is wrong with it.
        reason: String,
    },
    /// The text ends before the export does. Nothing was written of the lines since the last
    /// checkpoint.
    #[error("the export is cut off after line {lines}")]
    CutOff {
        /// How many whole lines there were.
        lines: u64,
    },
    /// Reading or writing the text failed.
    #[error("the text of the export, at line {line}")]
    Text {
        /// Which line, the first being 1.
        line: u64,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
}

impl TransferError {
    /// What kind of failure, and so what to do about it. `Unavailable` for text that could not be
    /// read or written, `Corrupt` for text that is cut off.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            TransferError::Store { source, .. } => source.kind(),
            TransferError::Line { kind, .. } => *kind,
            TransferError::CutOff { .. } => ErrorKind::Corrupt,
            TransferError::Text { .. } => ErrorKind::Unavailable,
        }
    }

    pub(super) fn from(source: StoreError) -> TransferError {
        let side = Side::From;
        TransferError::Store { side, source }
    }

    pub(super) fn to(source: StoreError) -> TransferError {
        let side = Side::To;
        TransferError::Store { side, source }
    }

    pub(super) fn text(line: u64, source: io::Error) -> TransferError {
        let source = Arc::new(source);
        TransferError::Text { line, source }
    }
}

/// What is wrong with a line, before it is known which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) kind: ErrorKind,
    pub(super) reason: String,
}

impl BadLine {
    pub(super) fn new(kind: ErrorKind, reason: impl Into<String>) -> BadLine {
        let reason = reason.into();
        BadLine { kind, reason }
    }

    pub(super) fn corrupt(reason: impl Into<String>) -> BadLine {
        BadLine::new(ErrorKind::Corrupt, reason)
    }

    pub(super) fn at(self, line: u64) -> TransferError {
        let BadLine { kind, reason } = self;
        TransferError::Line { line, kind, reason }
    }
}

impl From<Invalid> for BadLine {
    fn from(invalid: Invalid) -> BadLine {
        BadLine::new(ErrorKind::Invalid, invalid.to_string())
    }
}
