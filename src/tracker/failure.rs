//! How errors become what an action records: never too long, never with a secret in public.

use std::any::Any;
use std::error::Error as StdError;

#[cfg(doc)]
use crate::model::Limits;
use crate::model::{ActionError, UNNAMED_CODE, as_prose};

impl ActionError {
    /// The code of a failure that has no code: a foreign error that came through `?`.
    pub const INTERNAL: &'static str = UNNAMED_CODE;

    /// The code of work that stopped because somebody asked for that.
    pub const CANCELLED: &'static str = "cancelled";

    /// What work returns that has stopped because somebody asked for that:
    /// [`ActionHandle::run`](crate::ActionHandle::run) records it as cancelled, not as failed.
    #[must_use]
    pub fn cancelled() -> ActionError {
        ActionError::new(ActionError::CANCELLED, "it was cancelled on request")
    }

    /// Keeps an error and what caused it as the operators' detail; what was there before stays in
    /// front. A text beyond [`Limits::TEXT`] is cut, visibly.
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

/// A foreign error becomes the operators' detail behind a public message that says nothing:
/// drivers' words carry paths, addresses and passwords. This is what `?` does in the closures of
/// [`Tracker::run`](crate::Tracker::run); say more with [`ActionError::new`] and
/// [`ActionError::with_source`].
///
/// (For this conversion to exist, [`ActionError`] is not itself a [`std::error::Error`].)
impl<E: StdError> From<E> for ActionError {
    fn from(error: E) -> ActionError {
        ActionError::new(ActionError::INTERNAL, "it failed for an internal reason")
            .with_source(error)
    }
}

/// An error and its causes in one line. Many errors print their cause themselves; it is not said
/// twice.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    // A chain that runs in a circle is somebody's bug, not a reason to hang.
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

/// What a panic said, for operators.
pub(super) fn panicked(payload: &(dyn Any + Send)) -> ActionError {
    let error = stopped_by_panic();
    match panic_text(payload) {
        Some(text) => error.with_detail(as_prose(&format!("panicked: {text}"))),
        None => error,
    }
}

/// The text of a panic, if it has one.
pub(super) fn panic_text(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

pub(super) fn stopped_by_panic() -> ActionError {
    ActionError::new(
        ActionError::INTERRUPTED,
        "it was stopped before it was through, by an internal error",
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
