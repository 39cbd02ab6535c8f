//! What can be asked of a store, and what it answers.

use std::sync::Arc;

use super::action::Action;
use super::identity::{ActionUid, OpId, Version};
use super::limits::Invalid;
use super::new_action::NewAction;
use super::owner::{Owner, OwnerRef};
use super::report::{CancelRequest, Finish, Report};
use super::size::{BASE, RELATED, error, json, list, text};
use super::transition::Transition;
use super::words::{OwnerEnd, Status};

/// Commands that are written as one transaction, in order.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What to do, in this order; each command sees those before it.
    pub commands: Vec<Command>,
    /// What a refused command means for the others.
    pub mode: BatchMode,
}

impl Batch {
    /// Each command on its own: a refused one leaves no trace and disturbs nobody.
    #[must_use]
    pub fn each(commands: Vec<Command>) -> Batch {
        Batch {
            commands,
            mode: BatchMode::Each,
        }
    }

    /// All or nothing: one refusal refuses all.
    #[must_use]
    pub fn all(commands: Vec<Command>) -> Batch {
        Batch {
            commands,
            mode: BatchMode::All,
        }
    }
}

impl Batch {
    /// About how much memory the batch's texts take. What a store's
    /// [`max_bytes`](crate::Capabilities::max_bytes) is held against.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.commands.iter().map(Command::bytes).sum()
    }
}

/// What a refused command means for the others of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchMode {
    /// Nothing.
    Each,
    /// They are refused too, with [`Refused::Batch`].
    All,
}

/// One thing to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// Records a new action, queued. Repeated with the same uid and content it is
    /// [`Effect::Already`]. Refused if its parent is completed; a parent that is not on record is
    /// no obstacle.
    Create {
        /// The action.
        new: Arc<NewAction>,
        /// Who will be asked about it while it is queued; none for an action anybody may take.
        by: Option<OwnerRef>,
    },
    /// Changes an action.
    Apply {
        /// Which action.
        uid: ActionUid,
        /// Repeated with the same one, the command is [`Effect::Already`].
        op: OpId,
        /// What changes.
        change: Change,
        /// In whose name. That incarnation must be alive.
        by: Option<OwnerRef>,
        /// Refuses unless the action is at this version (a repeat is recognised first).
        if_version: Option<Version>,
    },
    /// Makes an incarnation the living one of its name. An incarnation that has ended is
    /// [`Refused::Fenced`] for as long as the store remembers it: see
    /// [`Limits::ENDED_OWNERS`](crate::Limits::ENDED_OWNERS).
    Claim {
        /// Who.
        owner: OwnerRef,
        /// Fences an incarnation that holds the name; otherwise that is [`Refused::OwnerAlive`].
        take_over: bool,
    },
    /// Shows that an incarnation lives.
    Renew(OwnerRef),
    /// Gives a name back.
    Release(OwnerRef),
    /// Ends an incarnation that has stood still for a whole lease.
    Fence {
        /// Who.
        owner: OwnerRef,
        /// How often it had renewed when it was last looked at; refused if it has since.
        if_renewals: u64,
    },
    /// Keeps a completed action from being removed, or no longer.
    Pin {
        /// Which action.
        uid: ActionUid,
        /// Whether it is to be kept.
        pinned: bool,
    },
    /// Removes a completed action that is not pinned and not a part of an unfinished one, with its
    /// log and keys. Of one that is not there: [`Effect::Already`].
    Remove {
        /// Which action.
        uid: ActionUid,
        /// Refuses unless the action is at this version.
        if_version: Version,
    },
    /// Takes an action over from another store, as it is, with its log. Of one that is there, at
    /// that version or a later one it came to from there: [`Effect::Already`].
    Import {
        /// The action.
        action: Arc<Action>,
        /// Its log, oldest first.
        log: Vec<Transition>,
    },
    /// Stands for a command of a later version of this library, so that the conformance suite can
    /// show that a store refuses what it does not know.
    #[doc(hidden)]
    Unknown,
}

impl Command {
    fn bytes(&self) -> usize {
        let long = match self {
            Command::Create { new, .. } => {
                let related = new.related.len() * RELATED;
                text(&new.description) + json(&new.attributes) + list(&new.exclusive) + related
            }
            Command::Apply { change, .. } => match change {
                Change::Report(r) => text(&r.description) + json(&r.attributes) + list(&r.warnings),
                Change::Finish(f) => json(&f.result) + error(&f.error) + list(&f.warnings),
                Change::RequestCancel(r) => text(&r.reason),
                Change::Start | Change::Adopt => 0,
            },
            Command::Import { action, log } => {
                let notes: usize = log.iter().map(|entry| BASE + text(&entry.note)).sum();
                return action.bytes() + notes;
            }
            _ => 0,
        };
        BASE + long
    }
}

/// What changes about an action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is being worked on, by whoever the command names.
    Start,
    /// It is alive and this far.
    Report(Report),
    /// Somebody wants it cancelled.
    RequestCancel(CancelRequest),
    /// It is over.
    Finish(Finish),
    /// Whoever the command names goes on with what a dead owner left.
    Adopt,
}

/// Whether a command changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It did.
    Applied,
    /// It had been done before, or there was nothing to do.
    Already,
}

/// That a command was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done {
    /// Whether it changed something.
    pub effect: Effect,
    /// The action as it is after the command; none for commands about owners and for a removal.
    pub action: Option<Arc<Action>>,
}

impl Done {
    /// An answer.
    #[must_use]
    pub fn new(effect: Effect, action: Option<Arc<Action>>) -> Done {
        Done { effect, action }
    }
}

/// Why a command was certainly not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The input breaks a rule.
    #[error("{0}")]
    Invalid(Invalid),
    /// There is no such action.
    #[error("there is no action {0}")]
    NotFound(ActionUid),
    /// The action, or another one, stands in the way.
    #[error("action {}: {clash}", current.uid)]
    Conflict {
        /// What clashes.
        clash: Clash,
        /// The action that stands in the way, as it is; in a batch that is all or nothing, as
        /// the commands before this one would have left it.
        current: Arc<Action>,
    },
    /// That owner is alive.
    #[error("owner {} is alive", .0.owner)]
    OwnerAlive(Box<Owner>),
    /// The owner in whose name the command speaks is not, or no longer, alive.
    #[error("owner {owner} {}", ended_in_words(*end))]
    Fenced {
        /// Who.
        owner: OwnerRef,
        /// How it ended: others fenced it, or it released its name itself.
        end: OwnerEnd,
        /// The action the command was about, as it is.
        current: Option<Arc<Action>>,
    },
    /// The batch was all or nothing, and the command at this index was refused.
    #[error("command {0} of the batch was refused")]
    Batch(usize),
}

fn ended_in_words(end: OwnerEnd) -> &'static str {
    match end {
        OwnerEnd::Fenced => "was fenced",
        OwnerEnd::Released => "has released its name",
        OwnerEnd::Disconnected => "has ended: the store was opened anew for one process",
        OwnerEnd::Unknown => "is not known to be alive",
    }
}

/// What stands in the way of a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Clash {
    /// Another action has this uid.
    #[error("the uid belongs to an action of other content")]
    Uid,
    /// The action's status does not allow it.
    #[error("{change} is not possible while it is {status}")]
    Status {
        /// Where the action is.
        status: Status,
        /// The change that was tried: `start`, `succeeded`, `a new part`.
        change: &'static str,
    },
    /// The action is at another version than the command demands.
    #[error("it is at version {found}, not {expected}")]
    Version {
        /// What the command demands.
        expected: Version,
        /// What the action is at.
        found: Version,
    },
    /// Only the action's owner may do that.
    #[error("only its owner may do that")]
    NotOwner,
    /// An unfinished action holds an exclusive key.
    #[error("it holds the exclusive key {0:?}")]
    Exclusive(Arc<str>),
    /// The idempotency key belongs to an action of other content.
    #[error("it has the idempotency key, with other content")]
    IdempotencyKey,
    /// The action is pinned.
    #[error("it is pinned")]
    Pinned,
}
