//! Maps errors of PostgreSQL and sqlx: the kind, and whether anything was applied.

use crate::backend::sql::Phase;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// Error codes, from PostgreSQL's documentation ("PostgreSQL Error Codes").
mod code {
    pub(super) const READ_ONLY: &str = "25006";
    pub(super) const IN_FAILED_TRANSACTION: &str = "25P02";
    pub(super) const IDLE_IN_TRANSACTION: &str = "25P03";
    pub(super) const COMPLETION_UNKNOWN: &str = "40003";
    pub(super) const SERIALIZATION: &str = "40001";
    pub(super) const DEADLOCK: &str = "40P01";
    pub(super) const NO_PRIVILEGE: &str = "42501";
    pub(super) const DISK_FULL: &str = "53100";
    pub(super) const OUT_OF_MEMORY: &str = "53200";
    pub(super) const LOCK_TIMEOUT: &str = "55P03";
    pub(super) const CANCELLED: &str = "57014";
    pub(super) const DIVISION_BY_ZERO: &str = "22012";
}

/// Returns the code that PostgreSQL or a pooler sent.
fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Returns the first two characters of a code: its class.
fn class(code: &str) -> &str {
    code.get(..2).unwrap_or_default()
}

fn code_of(error: &StoreError) -> Option<String> {
    code(std::error::Error::source(error)?.downcast_ref()?)
}

/// Returns true if the server refused a statement, and so the transaction. Anything else may hide
/// that the COMMIT behind it was carried out: the connection was lost, the server stopped, or a
/// pooler lost the server.
pub(super) fn was_refused(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| {
        !matches!(class(&code), "08" | "57" | "58" | "XX") && code != code::COMPLETION_UNKNOWN
            || code == code::CANCELLED
    })
}

/// Returns true if the connection must not be used again.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match code(error) {
        None => true,
        Some(code) => {
            matches!(class(&code), "08" | "58" | "XX")
                || (class(&code) == "57" && code != code::CANCELLED)
                || [
                    code::READ_ONLY,
                    code::IN_FAILED_TRANSACTION,
                    code::IDLE_IN_TRANSACTION,
                ]
                .contains(&code.as_str())
        }
    }
}

/// Returns true if a schema, a column, a type, a function or a table does not exist.
pub(super) fn is_unknown_name(error: &sqlx::Error) -> bool {
    const UNKNOWN: [&str; 5] = ["3F000", "42703", "42704", "42883", "42P01"];
    code(error).is_some_and(|code| UNKNOWN.contains(&code.as_str()))
}

/// Returns true if a transaction that was not applied may succeed at once, on another connection:
/// it lost a conflict, or its connection was lost, read-only or left in a failed transaction.
pub(super) fn comes_back(error: &StoreError) -> bool {
    let Some(source) = std::error::Error::source(error) else {
        return false;
    };
    let Some(error) = source.downcast_ref::<sqlx::Error>() else {
        return false;
    };
    match code(error) {
        Some(code) => {
            [code::SERIALIZATION, code::DEADLOCK, code::DIVISION_BY_ZERO].contains(&code.as_str())
                || is_lost(error)
        }
        None => matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)
        ),
    }
}

/// Converts an error to the error of the whole call.
pub(super) fn store_error(operation: &'static str, phase: Phase, error: sqlx::Error) -> StoreError {
    use ErrorKind::{Closed, Corrupt, Incompatible, Invalid, OutcomeUnknown, Unavailable};
    if phase == Phase::Commit {
        let message = "the connection was lost during the commit, and the database cannot be \
                       reached to see whether it was applied";
        return StoreError::new(OutcomeUnknown, operation, message).with_source(error);
    }
    let code = code(&error);
    let (kind, message) = match code.as_deref().map(|code| (class(code), code)) {
        Some((_, code::READ_ONLY)) => (Unavailable, "the server accepts no writes"),
        Some((_, code::LOCK_TIMEOUT)) => (Unavailable, "another writer holds the store"),
        Some((_, code::CANCELLED)) => (Unavailable, "the statement took too long"),
        Some((_, code::DISK_FULL)) => (Unavailable, "the server's disk is full"),
        Some((_, code::NO_PRIVILEGE)) => (Unavailable, "the role lacks a privilege"),
        Some((_, code::DIVISION_BY_ZERO)) => (Unavailable, "the transaction was lost"),
        Some(("53", _)) => (Unavailable, "the server lacks connections or memory"),
        Some(("54", _)) => (Unavailable, "it is more than PostgreSQL takes at once"),
        Some(("40", _)) => (Unavailable, "the transaction conflicts with another one"),
        Some(("28" | "3D", _)) => (Unavailable, "the server refuses the connection"),
        Some(("25", _)) => (Unavailable, "the connection was in another transaction"),
        Some(("42" | "3F", _)) => (Incompatible, "the schema differs from the library's"),
        // The schema refused what the model allowed: one of them is wrong or was changed.
        Some(("23", _)) => (Corrupt, "what is stored contradicts what was to be written"),
        Some((_, "XX001" | "XX002")) => (Corrupt, "the database is damaged"),
        Some(_) => (Unavailable, "the server failed"),
        None => match &error {
            sqlx::Error::PoolClosed => (Closed, "the host's pool is closed"),
            sqlx::Error::PoolTimedOut => (
                Unavailable,
                "no connection of the host's pool came free in time",
            ),
            sqlx::Error::Configuration(_) => (Invalid, "the URL or the options are wrong"),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                (Corrupt, "a stored value cannot be read")
            }
            // A record far beyond its limits.
            sqlx::Error::Encode(_) => (Invalid, "a value cannot be encoded"),
            _ => (Unavailable, "the connection to the server failed"),
        },
    };
    StoreError::new(kind, operation, message).with_source(error)
}

/// Returns true if one batch of a transaction may be the cause of its failure. The other batches
/// are then tried without it.
pub(super) fn may_lie_with_one(error: &StoreError) -> bool {
    let code = code_of(error);
    let too_much = code.is_some_and(|code| {
        class(&code) == "54" || [code::DISK_FULL, code::OUT_OF_MEMORY].contains(&code.as_str())
    });
    error.kind() == ErrorKind::Corrupt || (too_much && error.kind() == ErrorKind::Unavailable)
}
