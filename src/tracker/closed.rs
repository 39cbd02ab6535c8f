//! The error of calls that come after the shutdown, or that the shutdown overtook.

use super::ownership::Ownership;
use super::shared::Shared;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{Outcome, OwnerEnd, Rejection};

/// Returns the error of calls after the shutdown.
pub(super) fn shut_down(operation: &'static str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Closed,
        operation,
        "the tracker was shut down",
    )
}

impl Shared {
    /// Replaces a refusal by "the tracker was shut down" if the shutdown caused it. The refusal
    /// becomes the source.
    pub(super) fn explained(&self, operation: &'static str, error: Error) -> Error {
        match error {
            Error::Rejected(refused) if self.is_shut_down_by(&refused) => {
                shut_down(operation).with_source(refused).into()
            }
            error => error,
        }
    }

    fn is_shut_down_by(&self, refused: &Rejection) -> bool {
        self.ownership() == Ownership::Ended
            && match refused {
                // The store cannot tell how an owner ended once it has removed the name.
                Rejection::Fenced { owner, end, .. } => {
                    *owner == self.owner && *end != OwnerEnd::Fenced
                }
                // The shutdown has ended the action and has not released the name yet.
                Rejection::Conflict { current, .. } => {
                    let its_owner = current.owner.as_ref() == Some(&self.owner);
                    its_owner && current.outcome == Some(Outcome::Interrupted)
                }
                _ => false,
            }
    }
}
