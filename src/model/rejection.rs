//! Reasons why a command is refused.

use std::sync::Arc;

use super::action::Action;
use super::identity::{ActionUid, Version};
use super::limits::Invalid;
use super::owner::{Owner, OwnerRef};
use super::words::{OwnerEnd, Status};

/// Reason why a command was refused. A refused command was certainly not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The input breaks a rule.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// There is no such action.
    #[error("there is no action {0}")]
    NotFound(ActionUid),
    /// The command conflicts with the state of the action or of another one.
    #[error("action {}: {reason}", current.uid)]
    Conflict {
        /// Kind of conflict.
        reason: ConflictReason,
        /// Action that causes the conflict, in its current state. In a batch that is all or
        /// nothing, this includes the changes of the commands before this one.
        current: Arc<Action>,
    },
    /// The owner is alive.
    #[error("owner {} is alive", .0.owner)]
    OwnerAlive(Box<Owner>),
    /// The owner that sent the command is not alive.
    #[error("owner {owner} {}", ended_in_words(*end))]
    Fenced {
        /// Owner that sent the command.
        owner: OwnerRef,
        /// How the owner ended, such as fenced or released.
        end: OwnerEnd,
        /// Action that the command was about, in its current state.
        current: Option<Arc<Action>>,
    },
    /// The batch was all or nothing, and the command at this index (from 0) was refused.
    #[error("command {0} of the batch was refused")]
    Batch(usize),
}

fn ended_in_words(end: OwnerEnd) -> &'static str {
    match end {
        OwnerEnd::Fenced => "was fenced",
        OwnerEnd::Released => "has released its name",
        OwnerEnd::Disconnected => "has ended: the store was opened again for one process alone",
        OwnerEnd::Unknown => "is not known to be alive",
    }
}

/// Kind of conflict between a command and an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConflictReason {
    /// An action with this uid but different content is already recorded.
    #[error("it has the same uid but different content")]
    Uid,
    /// The status of the action does not allow the change.
    #[error("{change} is not possible while it is {status}")]
    Status {
        /// Status of the action.
        status: Status,
        /// Change that was tried, such as `start`, `succeeded` or `a new part`.
        change: &'static str,
    },
    /// The action is not at the version that the command requires.
    #[error("it is at version {found}, not {expected}")]
    Version {
        /// Version that the command requires.
        expected: Version,
        /// Version of the action.
        found: Version,
    },
    /// Only the owner of the action may make this change.
    #[error("only its owner may make this change")]
    NotOwner,
    /// An unfinished action holds the exclusive key.
    #[error("it holds the exclusive key {0:?}")]
    Exclusive(Arc<str>),
    /// An action with this idempotency key but different content is already recorded.
    #[error("it has the same idempotency key but different content")]
    IdempotencyKey,
    /// The action is pinned.
    #[error("it is pinned")]
    Pinned,
}
