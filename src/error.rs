//! Errors of stores, of the convenience methods and of the tracker.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::SerializeStruct as _;

use crate::model::codec::CodecError;
use crate::model::{Action, CheckError, Invalid, Rejection};

/// The kind of a store's failure. It decides how to react.
///
/// Every kind except [`OutcomeUnknown`](StoreErrorKind::OutcomeUnknown) means that nothing was
/// applied and nothing will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store is busy, full, read-only or unreachable. Try again later.
    Unavailable,
    /// All of the batch may have been applied, or nothing. The time for an answer was up after the
    /// write had begun, or the store could not be reached to find out. It is safe to repeat the same
    /// batch. A full disk is [`Unavailable`](StoreErrorKind::Unavailable).
    OutcomeUnknown,
    /// The input breaks a documented rule.
    Invalid,
    /// The store does not know or offer this feature.
    Unsupported,
    /// The store cannot continue from this cursor: changes that come after it were removed, or the store
    /// was restored from a backup. Read all actions again.
    CursorExpired,
    /// The stored data is inconsistent or unreadable. The store does not repair it by guessing.
    Corrupt,
    /// The stored data has a format version that this library does not support.
    Incompatible,
    /// The store was closed, or its runtime has shut down.
    Closed,
}

/// The kind of an [`Error`]: a kind of the store, or of a rejection.
///
/// Every kind except [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) means that nothing was applied
/// and nothing will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// See [`StoreErrorKind::Unavailable`].
    Unavailable,
    /// See [`StoreErrorKind::OutcomeUnknown`].
    OutcomeUnknown,
    /// The input breaks a documented rule. The store or the command says so.
    Invalid,
    /// See [`StoreErrorKind::Unsupported`].
    Unsupported,
    /// See [`StoreErrorKind::CursorExpired`].
    CursorExpired,
    /// See [`StoreErrorKind::Corrupt`].
    Corrupt,
    /// See [`StoreErrorKind::Incompatible`].
    Incompatible,
    /// The store was closed, the tracker was shut down, or the runtime has ended.
    Closed,
    /// The action does not exist.
    NotFound,
    /// The command conflicts with an action; see [`Error::current`].
    Conflict,
    /// The action exists already, so the call is a repeat; see [`Error::is_repeat`].
    Found,
    /// The owner is alive.
    OwnerAlive,
    /// The owner named in the command is not alive, or no longer.
    Fenced,
}

impl From<StoreErrorKind> for ErrorKind {
    fn from(kind: StoreErrorKind) -> ErrorKind {
        match kind {
            StoreErrorKind::Unavailable => ErrorKind::Unavailable,
            StoreErrorKind::OutcomeUnknown => ErrorKind::OutcomeUnknown,
            StoreErrorKind::Invalid => ErrorKind::Invalid,
            StoreErrorKind::Unsupported => ErrorKind::Unsupported,
            StoreErrorKind::CursorExpired => ErrorKind::CursorExpired,
            StoreErrorKind::Corrupt => ErrorKind::Corrupt,
            StoreErrorKind::Incompatible => ErrorKind::Incompatible,
            StoreErrorKind::Closed => ErrorKind::Closed,
        }
    }
}

/// A failure of the store. It applies to the whole call.
///
/// Serialized as an object with `kind`, `operation`, `message` and `causes`, for operators: the
/// causes may name paths and addresses.
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    message: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    is_in_use: bool,
}

impl StoreError {
    /// Creates an error of an operation (`write`, `open`), with a message that says what is wrong.
    #[must_use]
    pub fn new(
        kind: StoreErrorKind,
        operation: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> StoreError {
        StoreError {
            kind,
            operation,
            message: message.into(),
            source: None,
            is_in_use: false,
        }
    }

    /// Marks the error of an opening that found the store open elsewhere.
    #[cfg(feature = "sqlite-unbundled")]
    pub(crate) fn with_in_use(mut self) -> StoreError {
        self.is_in_use = true;
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> StoreError {
        self.source = Some(Arc::new(source));
        self
    }

    /// Returns the same error with another kind.
    pub(crate) fn with_kind(mut self, kind: StoreErrorKind) -> StoreError {
        self.kind = kind;
        self
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Returns true if the store cannot be opened because it is open elsewhere, in this process or
    /// another one. The kind is then [`Unavailable`](StoreErrorKind::Unavailable).
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.is_in_use
    }

    /// Returns true if a repeat of the same call may succeed: the kind is
    /// [`Unavailable`](StoreErrorKind::Unavailable) or [`OutcomeUnknown`](StoreErrorKind::OutcomeUnknown).
    /// Pause before the repeat, and limit the number of repeats.
    ///
    /// A write may be repeated after both kinds, because a batch that was applied is not applied
    /// again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Unavailable | StoreErrorKind::OutcomeUnknown
        )
    }

    /// Returns the name of the method or task that failed (`write`, `list`, `backup`), for the log.
    ///
    /// `open` covers all steps of opening. `connect` means that the database was not reached at
    /// all.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Converts a rejected check. The store has not been read.
    #[must_use]
    pub fn from_check(operation: &'static str, refused: CheckError) -> StoreError {
        let kind = match refused {
            CheckError::Invalid(_) => StoreErrorKind::Invalid,
            CheckError::Unsupported(_) => StoreErrorKind::Unsupported,
        };
        StoreError::new(kind, operation, refused.to_string())
    }

    /// A stored record that cannot be decoded: `Corrupt` if it is damaged, `Incompatible` if a
    /// later version wrote it. `Invalid` for one that is too large to be encoded.
    #[must_use]
    pub fn from_codec(operation: &'static str, error: CodecError) -> StoreError {
        let kind = match error {
            CodecError::Damaged(_) => StoreErrorKind::Corrupt,
            CodecError::Incompatible(_) => StoreErrorKind::Incompatible,
            CodecError::TooLarge { .. } => StoreErrorKind::Invalid,
        };
        StoreError::new(kind, operation, error.to_string())
    }

    pub(crate) fn closed(operation: &'static str) -> StoreError {
        StoreError::new(StoreErrorKind::Closed, operation, "the store is closed")
    }

    #[cfg(feature = "tracker")]
    pub(crate) fn invalid(operation: &'static str, invalid: Invalid) -> StoreError {
        StoreError::from_check(operation, invalid.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.message)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl Serialize for StoreError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("StoreError", 4)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("operation", self.operation)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("causes", &causes(self))?;
        fields.end()
    }
}

/// Returns the texts of the causes of an error, the nearest first.
fn causes(error: &dyn StdError) -> Vec<String> {
    // Limits the loop, in case a faulty error is its own cause.
    let chain = std::iter::successors(error.source(), |&cause| cause.source()).take(16);
    chain.map(ToString::to_string).collect()
}

/// Input that was refused before a store saw it. `?` converts it where a function of this crate
/// returns a [`StoreError`]; the operation is then `check`.
impl From<Invalid> for StoreError {
    fn from(invalid: Invalid) -> StoreError {
        StoreError::from_check("check", invalid.into())
    }
}

/// A failure of a call through [`ActionStoreExt`](crate::ActionStoreExt) or a tracker.
///
/// Serialized as an object with `kind`, `message` and `causes`, for operators.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command was not applied.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store failed. The [`ErrorKind`] tells if the command may have been applied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The call found the action that an earlier call recorded, by the same uid or idempotency key.
    /// It did nothing. See [`Error::is_repeat`].
    #[error("action {} exists already and is {}", .0.uid, .0.status)]
    Found(Arc<Action>),
}

/// Input that was refused before a store saw it, such as an [`ObjectRef`](crate::ObjectRef) without
/// an id.
impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Error {
        Error::Rejected(Rejection::Invalid(invalid))
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Error", 3)?;
        fields.serialize_field("kind", &self.kind())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.serialize_field("causes", &causes(self))?;
        fields.end()
    }
}

impl Error {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Store(error) => error.kind().into(),
            Error::Found(_) => ErrorKind::Found,
            Error::Rejected(refused) => match refused {
                Rejection::Invalid(_) => ErrorKind::Invalid,
                Rejection::NotFound(_) => ErrorKind::NotFound,
                Rejection::OwnerAlive(_) => ErrorKind::OwnerAlive,
                Rejection::Fenced { .. } => ErrorKind::Fenced,
                Rejection::Conflict { .. } | Rejection::Batch(_) => ErrorKind::Conflict,
            },
        }
    }

    /// Returns true if a repeat of the same call may succeed. See
    /// [`StoreError::is_retryable`]. False for a rejection: it is certain.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Store(error) => error.is_retryable(),
            Error::Rejected(_) | Error::Found(_) => false,
        }
    }

    /// Returns true if the call is a repeat: an earlier call recorded its action, which is begun or
    /// completed. [`current`](Error::current) returns the action.
    ///
    /// For a request with an idempotency key this is an answer and not a failure.
    /// [`Tracker::begin_or_find`](crate::Tracker::begin_or_find) returns it as one.
    #[must_use]
    pub fn is_repeat(&self) -> bool {
        matches!(self, Error::Found(_))
    }

    /// Returns the current state of the conflicting action: the one to be changed, the one that was
    /// found, or the one that holds the key. It also looks at a refusal
    /// that is the source of a store's error, as after the shutdown of a tracker.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Action>> {
        let refused = match self {
            Error::Found(found) => return Some(found),
            Error::Rejected(refused) => Some(refused),
            Error::Store(error) => error.source().and_then(|source| source.downcast_ref()),
        };
        match refused? {
            Rejection::Conflict { current, .. } => Some(current),
            Rejection::Fenced { current, .. } => current.as_ref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectRef;

    #[test]
    fn a_question_mark_converts_invalid_input_into_both_errors() {
        fn of_a_call() -> Result<ObjectRef, Error> {
            Ok(ObjectRef::new("bdb", "")?)
        }
        fn of_a_store() -> Result<ObjectRef, StoreError> {
            Ok(ObjectRef::new("bdb", "")?)
        }
        let error = of_a_call().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(!error.is_retryable());
        assert_eq!(of_a_store().unwrap_err().kind(), StoreErrorKind::Invalid);
    }

    #[test]
    fn errors_are_serialized_with_their_causes() {
        let cause = std::io::Error::other("disk full");
        let error = StoreError::new(StoreErrorKind::OutcomeUnknown, "write", "no answer");
        let error = error.with_source(cause);
        let expected = serde_json::json!({
            "kind": "outcome_unknown",
            "operation": "write",
            "message": "no answer",
            "causes": ["disk full"],
        });
        assert_eq!(serde_json::to_value(&error).unwrap(), expected);
        let expected = serde_json::json!({
            "kind": "outcome_unknown",
            "message": "write: no answer",
            "causes": ["disk full"],
        });
        assert_eq!(serde_json::to_value(Error::from(error)).unwrap(), expected);
    }
}
