//! The common parts of the locks of a store.

use std::borrow::Cow;
use std::io;

use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// The openers that a lock keeps out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockMode {
    /// All openers.
    Exclusive,
    /// Openers that want the file exclusively.
    Shared,
}

pub(super) fn io_error(message: impl Into<Cow<'static, str>>, error: io::Error) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "open", message).with_source(error)
}
