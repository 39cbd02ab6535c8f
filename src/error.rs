//! What can go wrong with a store, and with a call through the convenient faces.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "tracker")]
use crate::model::Invalid;
use crate::model::{Action, CheckError, Refused};

/// What kind of failure, and so what to do about it.
///
/// Every kind but [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) means that nothing was applied,
/// ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot do it now: busy, full, read-only, out of reach. Try again later.
    Unavailable,
    /// Perhaps all of it was applied, perhaps nothing. Repeat the same batch: that is harmless.
    OutcomeUnknown,
    /// The input breaks a documented rule.
    Invalid,
    /// The store does not know or offer this.
    Unsupported,
    /// The feed has removed something the cursor has yet to show. Read the state anew.
    CursorExpired,
    /// What is stored contradicts itself or cannot be read. Nothing is repaired by guessing.
    Corrupt,
    /// What is stored belongs to a version this library cannot work with.
    Incompatible,
    /// The store was closed, or the runtime that drove it is gone.
    Closed,
    /// There is no such action. Of [`Error`] only.
    NotFound,
    /// An action stands in the way; see [`Error::current`]. Of [`Error`] only.
    Conflict,
    /// The owner in question is alive. Of [`Error`] only.
    OwnerAlive,
    /// The owner in whose name it was tried is not, or no longer, alive. Of [`Error`] only.
    Fenced,
}

/// A failure of the store itself. It speaks for the whole call.
#[derive(Clone)]
pub struct StoreError {
    kind: ErrorKind,
    operation: &'static str,
    message: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// A failure of an operation (`write`, `open`), in words that say what is wrong.
    #[must_use]
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> StoreError {
        StoreError {
            kind,
            operation,
            message: message.into(),
            source: None,
        }
    }

    /// Keeps what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> StoreError {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Which operation failed, by the name of the method or task (`write`, `list`, `backup`), for the
    /// log: `open` for all that comes with opening, and `connect` where the database was not
    /// reached at all.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// A refusal before anything was looked at.
    #[must_use]
    pub fn from_check(operation: &'static str, refused: CheckError) -> StoreError {
        let kind = match refused {
            CheckError::Invalid(_) => ErrorKind::Invalid,
            CheckError::Unsupported(_) => ErrorKind::Unsupported,
        };
        StoreError::new(kind, operation, refused.to_string())
    }

    pub(crate) fn closed(operation: &'static str) -> StoreError {
        StoreError::new(ErrorKind::Closed, operation, "the store is closed")
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

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("StoreError");
        debug
            .field("kind", &self.kind)
            .field("operation", &self.operation);
        debug
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Why a call through [`ActionStoreExt`](crate::ActionStoreExt) or a tracker failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The command was certainly not applied.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed; see [`ErrorKind`] for whether it was applied.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// What kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Store(error) => error.kind(),
            Error::Refused(refused) => match refused {
                Refused::Invalid(_) => ErrorKind::Invalid,
                Refused::NotFound(_) => ErrorKind::NotFound,
                Refused::OwnerAlive(_) => ErrorKind::OwnerAlive,
                Refused::Fenced { .. } => ErrorKind::Fenced,
                Refused::Conflict { .. } | Refused::Batch(_) => ErrorKind::Conflict,
            },
        }
    }

    /// The action that stands in the way, as it is: the one that was to be changed, or the one
    /// that holds the key. Also of a refusal that is the source of a store's error, as after the
    /// shutdown of a tracker.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Action>> {
        let refused = match self {
            Error::Refused(refused) => Some(refused),
            Error::Store(error) => error.source().and_then(|source| source.downcast_ref()),
        };
        match refused? {
            Refused::Conflict { current, .. } => Some(current),
            Refused::Fenced { current, .. } => current.as_ref(),
            _ => None,
        }
    }
}
