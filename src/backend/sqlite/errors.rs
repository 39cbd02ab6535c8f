//! What SQLite's and sqlx's errors mean: what kind, and whether anything was applied.

use crate::error::{ErrorKind, StoreError};

/// How far a transaction had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before COMMIT was sent: nothing was applied, and nothing ever will be.
    Before,
    /// At COMMIT. A commit that failed may still be found after a crash.
    Commit,
}

/// Primary result codes, from SQLite's documentation ("Result and Error Codes").
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const NOTADB: i32 = 26;
}

/// SQLite's primary result code, if the error is one of SQLite's.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether a statement was refused by a rule of the schema.
pub(super) fn is_constraint(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(code::CONSTRAINT)
}

/// Says what an error means for the whole call.
pub(super) fn store_error(operation: &'static str, phase: Phase, error: sqlx::Error) -> StoreError {
    let (kind, message) = match (primary_code(&error), phase) {
        (Some(code::CORRUPT), _) => (ErrorKind::Corrupt, "the database is damaged"),
        (Some(code::NOTADB), _) => (ErrorKind::Corrupt, "the file is not a database"),
        // Busy at COMMIT leaves the transaction open, so it is rolled back and gone.
        (Some(code::BUSY | code::LOCKED), _) => (ErrorKind::Unavailable, "the database is busy"),
        (_, Phase::Commit) => (
            ErrorKind::OutcomeUnknown,
            "the commit failed and may yet be found after a crash",
        ),
        (Some(code::FULL), _) => (ErrorKind::Unavailable, "the database or its disk is full"),
        (Some(code::READONLY | code::PERM), _) => {
            (ErrorKind::Unavailable, "the database cannot be written")
        }
        (Some(code::CANTOPEN), _) => (ErrorKind::Unavailable, "the database cannot be opened"),
        (Some(code::IOERR), _) => (ErrorKind::Unavailable, "the disk failed"),
        // The model let through what the schema forbids: one of them is not what it was.
        (Some(code::CONSTRAINT), _) => (
            ErrorKind::Corrupt,
            "what is stored contradicts what was to be written",
        ),
        (Some(_), _) => (ErrorKind::Corrupt, "the database is not what it was"),
        (None, _) => match &error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                (ErrorKind::Corrupt, "a stored value cannot be read")
            }
            _ => (
                ErrorKind::Unavailable,
                "the connection to the database failed",
            ),
        },
    };
    StoreError::new(kind, operation, message).with_source(error)
}

/// A stored value that breaks a rule.
pub(super) fn corrupt(operation: &'static str, what: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, operation, what.into())
}
