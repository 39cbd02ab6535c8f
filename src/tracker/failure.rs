//! Turns errors into what an action records: bounded in length, without secrets in public fields.

use std::any::Any;
use std::error::Error as StdError;

#[cfg(doc)]
use crate::model::Limits;
use crate::model::{ActionError, UNNAMED_CODE, as_prose};

impl ActionError {
    /// The code of a failure without a code of its own: a foreign error converted by `?`.
    pub const INTERNAL: &'static str = UNNAMED_CODE;

    /// The code of work that stopped because of a cancel request.
    pub const CANCELLED: &'static str = "cancelled";

    /// The error that work returns when it stopped because of a cancel request.
    /// [`ActionHandle::run`](crate::ActionHandle::run) records it as cancelled, not as failed.
    #[must_use]
    pub fn cancelled() -> ActionError {
        ActionError::new(ActionError::CANCELLED, "it was cancelled on request")
    }

    /// Adds an error and its causes to the operators' detail, after any detail that is there. A
    /// text longer than [`Limits::TEXT`] is truncated with a mark.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError) -> ActionError {
        let chain = chain(&source);
        let detail = match &self.detail {
            Some(detail) => format!("{detail}: {chain}"),
            None => chain,
        };
        self.detail = Some(as_prose(&detail));
        self
    }
}

/// Stores the text of a foreign error in the operators' detail, behind a general public message.
/// Driver errors can contain paths, addresses and passwords.
///
/// `?` uses this in the closures of [`Tracker::run`](crate::Tracker::run). To say more in public,
/// use [`ActionError::new`] and [`ActionError::with_source`].
///
/// This conversion is possible only because [`ActionError`] does not implement
/// [`std::error::Error`].
impl<E: StdError> From<E> for ActionError {
    fn from(error: E) -> ActionError {
        ActionError::new(ActionError::INTERNAL, "it failed with an internal error")
            .with_source(error)
    }
}

/// Formats an error and its causes on one line. Many errors print their cause themselves; it is not
/// repeated.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    // Limits the loop, in case a faulty error is its own cause.
    for _ in 0..16 {
        let Some(inner) = cause else { break };
        let said = inner.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

/// Builds the error for work that panicked, with the panic text as the operators' detail.
pub(super) fn panicked(payload: &(dyn Any + Send)) -> ActionError {
    let error = stopped_by_panic();
    match panic_text(payload) {
        Some(text) => error.with_detail(as_prose(&format!("panicked: {text}"))),
        None => error,
    }
}

/// Returns the text of a panic, if it has one.
pub(super) fn panic_text(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

pub(super) fn stopped_by_panic() -> ActionError {
    ActionError::new(
        ActionError::INTERRUPTED,
        "it was stopped by an internal error",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_foreign_error_stays_behind_a_general_message() {
        let fails = || -> Result<(), ActionError> {
            Err(Outer(std::io::Error::other("password=hunter2")))?;
            Ok(())
        };
        let error = fails().unwrap_err();
        assert_eq!(&*error.code, "internal_error");
        assert!(!error.message.contains("hunter2"));
        assert!(!format!("{error:?} {error}").contains("hunter2"));
        assert_eq!(error.detail.as_deref(), Some("outer: password=hunter2"));
        assert_eq!(error.check(), Ok(()));
    }
}
