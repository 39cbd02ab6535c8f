//! What SQLite's and sqlx's errors mean: what kind, and whether anything was applied.

use super::identity::lost_file;
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
    pub(super) const ERROR: i32 = 1;
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const TOOBIG: i32 = 18;
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

/// Whether a statement names a table or column that is not there.
pub(super) fn is_unknown_name(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(code::ERROR)
}

/// Says what an error means for the whole call.
pub(super) fn store_error(operation: &'static str, phase: Phase, error: sqlx::Error) -> StoreError {
    if let Some(lost) = lost_file(&error) {
        return lost.into_error(operation, phase);
    }
    let (kind, message) = match (primary_code(&error), phase) {
        // Busy at COMMIT leaves the transaction open, so it is rolled back and gone.
        (Some(code::BUSY | code::LOCKED), _) => (ErrorKind::Unavailable, "the database is busy"),
        (_, Phase::Commit) => (
            ErrorKind::OutcomeUnknown,
            "the commit failed and may yet be found after a crash",
        ),
        (Some(code::CORRUPT), _) => (ErrorKind::Corrupt, "the database is damaged"),
        (Some(code::NOTADB), _) => (ErrorKind::Corrupt, "the file is not a database"),
        (Some(code::FULL), _) => (ErrorKind::Unavailable, "the database or its disk is full"),
        (Some(code::READONLY | code::PERM), _) => {
            (ErrorKind::Unavailable, "the database cannot be written")
        }
        (Some(code::CANTOPEN), _) => (ErrorKind::Unavailable, "the database cannot be opened"),
        (Some(code::IOERR), _) => (ErrorKind::Unavailable, "the disk failed"),
        (Some(code::NOMEM), _) => (ErrorKind::Unavailable, "there is not enough memory"),
        (Some(code::TOOBIG), _) => (
            ErrorKind::Unavailable,
            "it is more than SQLite takes at once",
        ),
        // A race for the log file's locks that did not end in time.
        (Some(code::INTERRUPT | code::PROTOCOL), _) => {
            (ErrorKind::Unavailable, "the database was interrupted")
        }
        // The model let through what the schema forbids: one of them is not what it was.
        (Some(code::CONSTRAINT), _) => (
            ErrorKind::Corrupt,
            "what is stored contradicts what was to be written",
        ),
        (Some(_), _) => (ErrorKind::Corrupt, "the database is not what it was"),
        (None, _) => match &error {
            sqlx::Error::PoolClosed => (ErrorKind::Closed, "the host's pool is closed"),
            sqlx::Error::PoolTimedOut => (
                ErrorKind::Unavailable,
                "no connection of the host's pool came free in time",
            ),
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

/// Whether somebody else held the database for longer than the connection waits.
pub(super) fn is_busy(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    let code = source.and_then(|source| primary_code(source.downcast_ref()?));
    matches!(code, Some(code::BUSY | code::LOCKED))
}

/// Whether a transaction of several batches may have failed for what one of them needs or meets,
/// so that the others are to be tried without it.
pub(super) fn may_lie_with_one(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    let code = source.and_then(|source| primary_code(source.downcast_ref()?));
    let too_much = matches!(code, Some(code::FULL | code::NOMEM | code::TOOBIG));
    error.kind() == ErrorKind::Corrupt || (too_much && error.kind() == ErrorKind::Unavailable)
}

/// A stored value that breaks a rule.
pub(super) fn corrupt(operation: &'static str, what: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, operation, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Coded(i32);

    impl std::fmt::Display for Coded {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "code {}", self.0)
        }
    }

    impl std::error::Error for Coded {}

    impl sqlx::error::DatabaseError for Coded {
        fn message(&self) -> &str {
            ""
        }

        fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some(self.0.to_string().into())
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> sqlx::error::ErrorKind {
            sqlx::error::ErrorKind::Other
        }
    }

    fn of(code: i32, phase: Phase) -> StoreError {
        store_error("write", phase, sqlx::Error::Database(Box::new(Coded(code))))
    }

    #[test]
    fn what_a_code_means_depends_on_how_far_the_transaction_had_come() {
        use ErrorKind::{Corrupt, OutcomeUnknown, Unavailable};
        for (code, before, at_commit, with_one) in [
            (5, Unavailable, Unavailable, false),       // SQLITE_BUSY
            (517, Unavailable, Unavailable, false),     // SQLITE_BUSY_SNAPSHOT
            (7, Unavailable, OutcomeUnknown, true),     // SQLITE_NOMEM
            (8, Unavailable, OutcomeUnknown, false),    // SQLITE_READONLY
            (9, Unavailable, OutcomeUnknown, false),    // SQLITE_INTERRUPT
            (10, Unavailable, OutcomeUnknown, false),   // SQLITE_IOERR
            (1034, Unavailable, OutcomeUnknown, false), // SQLITE_IOERR_FSYNC
            (11, Corrupt, OutcomeUnknown, true),        // SQLITE_CORRUPT
            (13, Unavailable, OutcomeUnknown, true),    // SQLITE_FULL
            (15, Unavailable, OutcomeUnknown, false),   // SQLITE_PROTOCOL
            (18, Unavailable, OutcomeUnknown, true),    // SQLITE_TOOBIG
            (19, Corrupt, OutcomeUnknown, true),        // SQLITE_CONSTRAINT
            (787, Corrupt, OutcomeUnknown, true),       // SQLITE_CONSTRAINT_FOREIGNKEY
            (26, Corrupt, OutcomeUnknown, true),        // SQLITE_NOTADB
        ] {
            let (early, late) = (of(code, Phase::Before), of(code, Phase::Commit));
            assert_eq!((early.kind(), late.kind()), (before, at_commit), "{code}");
            assert_eq!(may_lie_with_one(&early), with_one, "{code}");
            // Whether it was made is unknown: nothing is tried again behind the caller's back.
            let unknown = late.kind() == OutcomeUnknown;
            assert!(!(unknown && may_lie_with_one(&late)), "{code}");
        }
        let gone = store_error("write", Phase::Commit, sqlx::Error::WorkerCrashed);
        assert_eq!(gone.kind(), OutcomeUnknown);
        let gone = store_error("write", Phase::Before, sqlx::Error::WorkerCrashed);
        assert_eq!(gone.kind(), Unavailable);
    }
}
