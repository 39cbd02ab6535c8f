//! Errors that do not depend on the database.

use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// The error for a row that is not where its index or its order says: pages were exchanged, or the
/// index is damaged.
pub(crate) fn out_of_place(operation: &'static str) -> StoreError {
    let what = "a row is not where its index or its order says";
    corrupt(operation, what)
}

/// The error for a stored value that breaks a rule.
pub(crate) fn corrupt(operation: &'static str, what: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, operation, what.into())
}
