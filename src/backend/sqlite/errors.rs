//! Maps errors of SQLite and sqlx: the kind, and whether anything was applied.

use super::identity::lost_file;
use crate::backend::sql::Phase;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

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

/// Returns SQLite's primary result code, if the error comes from SQLite.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    Some(extended_code(error)? & 0xff)
}

fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// The extended code of a failed write to a file.
const IOERR_WRITE: i32 = 778;

/// Returns true if the error shows that a transaction was not written completely: the disk or
/// database was full, or a write failed. The commit record is written last, so no later recovery
/// can find the transaction. A failed sync does not show this.
pub(super) fn was_cut_short(error: &sqlx::Error) -> bool {
    let full = |error: &std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
    match error {
        sqlx::Error::Io(error) => full(error),
        error => {
            extended_code(error) == Some(IOERR_WRITE) || primary_code(error) == Some(code::FULL)
        }
    }
}

/// Returns true if the connection cannot write. If one `open(2)` for writing fails, SQLite opens
/// the file read-only and never retries.
pub(super) fn is_read_only(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    source.and_then(|source| primary_code(source.downcast_ref()?)) == Some(code::READONLY)
}

/// Returns true if a constraint of the schema refused a statement.
pub(super) fn is_constraint(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(code::CONSTRAINT)
}

/// Returns true if SQLite refused a statement and did nothing: another connection holds a lock, or
/// a constraint failed.
pub(super) fn was_refused(error: &sqlx::Error) -> bool {
    let code = primary_code(error);
    matches!(code, Some(code::BUSY | code::LOCKED | code::CONSTRAINT))
}

/// Returns true if a statement names a missing table or column.
pub(super) fn is_unknown_name(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(code::ERROR)
}

/// Converts an error to the error of the whole call.
pub(super) fn store_error(operation: &'static str, phase: Phase, error: sqlx::Error) -> StoreError {
    if let Some(lost) = lost_file(&error) {
        return lost.into_error(operation, phase);
    }
    let (kind, message) = match (primary_code(&error), phase) {
        // After busy at COMMIT the transaction is still open, so it is rolled back.
        (Some(code::BUSY | code::LOCKED), _) => (ErrorKind::Unavailable, "the database is busy"),
        (_, Phase::Commit) => (
            ErrorKind::OutcomeUnknown,
            "the commit failed, and the store cannot be reached to see whether it was applied",
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
        // A conflict about the WAL's locks that did not end in time.
        (Some(code::INTERRUPT | code::PROTOCOL), _) => {
            (ErrorKind::Unavailable, "the database was interrupted")
        }
        // The schema refused what the model allowed: one of them is wrong or was changed.
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
            // A record far beyond its limits.
            sqlx::Error::Encode(_) => (ErrorKind::Invalid, "a value cannot be encoded"),
            _ => (
                ErrorKind::Unavailable,
                "the connection to the database failed",
            ),
        },
    };
    StoreError::new(kind, operation, message).with_source(error)
}

/// Returns true if another connection held the database for longer than this one waits.
pub(super) fn is_busy(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    let code = source.and_then(|source| primary_code(source.downcast_ref()?));
    matches!(code, Some(code::BUSY | code::LOCKED))
}

/// Returns true if one batch of a transaction may be the cause of its failure. The other batches
/// are then tried without it.
pub(super) fn may_lie_with_one(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    let code = source.and_then(|source| primary_code(source.downcast_ref()?));
    let too_much = matches!(code, Some(code::FULL | code::NOMEM | code::TOOBIG));
    error.kind() == ErrorKind::Corrupt || (too_much && error.kind() == ErrorKind::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::super::faults::coded;
    use super::*;

    fn of(code: i32, phase: Phase) -> StoreError {
        store_error("write", phase, coded(code))
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
            // The outcome is unknown, so nothing is retried without the caller.
            let unknown = late.kind() == OutcomeUnknown;
            assert!(!(unknown && may_lie_with_one(&late)), "{code}");
        }
        let gone = store_error("write", Phase::Commit, sqlx::Error::WorkerCrashed);
        assert_eq!(gone.kind(), OutcomeUnknown);
        let gone = store_error("write", Phase::Before, sqlx::Error::WorkerCrashed);
        assert_eq!(gone.kind(), Unavailable);
    }
}
