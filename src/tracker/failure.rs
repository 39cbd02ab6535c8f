//! How errors become what an action records: never too long, never with a secret in public.

use std::any::Any;
use std::error::Error as StdError;
use std::sync::Arc;

use crate::model::{ActionError, Finish, Limits};

/// What stands at the end of a text that was too long.
const CUT: &str = " [cut]";

impl ActionError {
    /// The code of a failure for which nobody chose one: a foreign error that came through `?`.
    pub const INTERNAL: &'static str = "internal_error";

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
        self.detail = Some(prose(&detail));
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
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let error = stopped_by_panic();
    match text {
        Some(text) => error.with_detail(prose(&format!("panicked: {text}"))),
        None => error,
    }
}

pub(super) fn stopped_by_panic() -> ActionError {
    ActionError::new(
        ActionError::INTERRUPTED,
        "it was stopped before it was through, by an internal error",
    )
}

/// A finish whose texts fit: an outcome is worth more than the end of a message.
pub(super) fn fitted(mut finish: Finish) -> Finish {
    if let Some(error) = &mut finish.error {
        fit(&mut error.message);
        if let Some(detail) = &mut error.detail {
            fit(detail);
        }
        error.code = code(&error.code);
    }
    finish.warnings.truncate(Limits::WARNINGS);
    finish.warnings.iter_mut().for_each(fit);
    finish
}

/// Makes a text fit as prose.
pub(super) fn fit(text: &mut Arc<str>) {
    if text.len() > Limits::TEXT || text.contains('\0') {
        *text = prose(text);
    }
}

fn prose(text: &str) -> Arc<str> {
    let text = text.replace('\0', "\u{fffd}");
    match text.len() {
        0..=Limits::TEXT => text.into(),
        _ => format!("{}{CUT}", head(&text, Limits::TEXT - CUT.len())).into(),
    }
}

/// A code that fits as a label.
fn code(code: &Arc<str>) -> Arc<str> {
    if code.is_empty() {
        return ActionError::INTERNAL.into();
    }
    if code.len() <= Limits::LABEL && !code.contains(char::is_control) {
        return code.clone();
    }
    head(&code.replace(char::is_control, "_"), Limits::LABEL).into()
}

/// As much of a text as fits in so many bytes.
fn head(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
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

    #[test]
    fn a_text_that_does_not_fit_is_cut_and_says_so() {
        let long = "é".repeat(5000);
        let error = ActionError::new("", format!("a\0{long}")).with_detail(long);
        let finish = Finish::failed(error).with_warning("w\0".repeat(4096));
        let finish = fitted(finish);
        let error = finish.error.unwrap();
        assert_eq!(error.check(), Ok(()));
        assert!(error.message.ends_with(CUT) && error.message.starts_with("a\u{fffd}é"));
        assert!(error.detail.unwrap().ends_with(CUT));
        assert!(finish.warnings[0].ends_with(CUT));
        assert_eq!(&*code(&"a\nb".into()), "a_b");
        assert_eq!(code(&"é".repeat(200).into()).len(), 254);
    }

    #[test]
    fn a_text_that_fits_is_left_alone() {
        let mut text: Arc<str> = "é".repeat(2048).into();
        let before = text.clone();
        fit(&mut text);
        assert!(Arc::ptr_eq(&before, &text));
    }
}
