//! Finds the tokio runtime of the caller.

use tokio::runtime::Handle;

use crate::error::{StoreError, StoreErrorKind};

/// Returns the runtime of the caller. `operation` names what needs it, for the error.
///
/// # Errors
/// `Closed` outside a tokio runtime.
pub(crate) fn current(operation: &'static str) -> Result<Handle, StoreError> {
    Handle::try_current().map_err(|error| {
        let message = "called outside a tokio runtime";
        StoreError::new(StoreErrorKind::Closed, operation, message).with_source(error)
    })
}
