//! Errors of a transfer.

use std::io;
use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};
use crate::model::Invalid;

/// One of the two stores of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The store that is read.
    From,
    /// The store that is written. It is also read for verification.
    To,
}

/// Error that stopped a transfer.
///
/// Everything written before is complete and stays. It is safe to run the transfer again.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A store failed.
    #[error("the {} store failed", match side { Side::From => "source", Side::To => "destination" })]
    Store {
        /// The store that failed.
        side: Side,
        /// The error of the store.
        source: StoreError,
    },
    /// A line does not follow the format. This line and the lines since the last checkpoint were
    /// not written to the store.
    #[error("line {line}: {reason}")]
    Line {
        /// Number of the line, counted from 1.
        line: u64,
        /// `Incompatible` for another version, or a field or word that this version does not know.
        /// `Corrupt` for damage. `Invalid` for a value that breaks a rule of the model.
        kind: StoreErrorKind,
        /// Description of the problem.
        reason: String,
    },
    /// The text ends before the last line of the export. The lines since the last checkpoint were
    /// not written to the store.
    #[error("the export is cut off after line {lines}")]
    CutOff {
        /// Number of lines that were read.
        lines: u64,
    },
    /// Reading or writing the text failed.
    #[error("cannot read or write line {line} of the export")]
    Text {
        /// Number of the line, counted from 1.
        line: u64,
        /// The error of the operating system.
        source: Arc<io::Error>,
    },
}

impl TransferError {
    /// Returns the kind of the error, by which a caller can decide what to do. `Unavailable` if the
    /// text could not be read or written; `Corrupt` if the text is cut off.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            TransferError::Store { source, .. } => source.kind(),
            TransferError::Line { kind, .. } => *kind,
            TransferError::CutOff { .. } => StoreErrorKind::Corrupt,
            TransferError::Text { .. } => StoreErrorKind::Unavailable,
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

/// Problem with a line whose number is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) kind: StoreErrorKind,
    pub(super) reason: String,
}

impl BadLine {
    pub(super) fn new(kind: StoreErrorKind, reason: impl Into<String>) -> BadLine {
        let reason = reason.into();
        BadLine { kind, reason }
    }

    pub(super) fn corrupt(reason: impl Into<String>) -> BadLine {
        BadLine::new(StoreErrorKind::Corrupt, reason)
    }

    pub(super) fn at(self, line: u64) -> TransferError {
        let BadLine { kind, reason } = self;
        TransferError::Line { line, kind, reason }
    }
}

impl From<Invalid> for BadLine {
    fn from(invalid: Invalid) -> BadLine {
        BadLine::new(StoreErrorKind::Invalid, invalid.to_string())
    }
}
