//! Commands to a store, and the answers to them.

use std::sync::Arc;

use super::action::Action;
use super::identity::{ActionUid, OpId, Version};
use super::log_entry::LogEntry;
use super::new_action::NewAction;
use super::owner::OwnerRef;
#[cfg(doc)]
use super::rejection::Rejection;
use super::report::{CancelRequest, Finish, Report};
use super::size::{BASE, RELATED, error, json, list, text};

/// Commands that are written in one transaction, in order.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Batch {
    /// Commands, in order. Each command sees the effects of the commands before it.
    pub commands: Vec<Command>,
    /// How a refused command affects the other commands.
    pub mode: BatchMode,
}

impl Batch {
    /// Creates a batch with a mode.
    #[must_use]
    pub fn new(commands: Vec<Command>, mode: BatchMode) -> Batch {
        Batch { commands, mode }
    }

    /// Creates a batch of independent commands. A refused command changes nothing; the others are
    /// still applied.
    #[must_use]
    pub fn each(commands: Vec<Command>) -> Batch {
        Batch {
            commands,
            mode: BatchMode::Each,
        }
    }

    /// Creates a batch that is all or nothing: one refused command refuses the whole batch.
    #[must_use]
    pub fn all(commands: Vec<Command>) -> Batch {
        Batch {
            commands,
            mode: BatchMode::All,
        }
    }
}

impl Batch {
    /// Returns the estimated size of the batch's texts in memory, in bytes. A store compares it
    /// with [`max_bytes`](crate::Capabilities::max_bytes).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.commands.iter().map(Command::bytes).sum()
    }
}

/// How a refused command affects the other commands of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchMode {
    /// The other commands are still applied.
    Each,
    /// The other commands are refused too, with [`Rejection::Batch`].
    All,
}

/// One command to a store.
///
/// Use the constructors to make one. The variants may get more fields in a later version, so they
/// cannot be written out in other crates.
///
/// ```
/// use action_store::{ActionStore, ActionStoreExt, Batch, Change, Command, MemoryStore, NewAction};
/// use action_store::{OwnerRef, Report};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, owner) = (MemoryStore::new(), OwnerRef::new("worker@host-1"));
/// store.command(Command::claim(owner.clone())).await?;
///
/// let backup = NewAction::task("backup_bdb");
/// let uid = backup.uid;
/// let copying = Report::new().with_step("copy");
/// let batch = Batch::all(vec![
///     Command::create(backup).by(owner.clone()),
///     Command::apply(uid, Change::Start).by(owner.clone()),
///     Command::apply(uid, Change::Report(copying)).by(owner),
/// ]);
/// for answer in store.write(batch).await? {
///     answer?;
/// }
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// Records a new action with status queued.
    ///
    /// A repeat with the same uid and the same content returns [`Effect::Already`]. The command is
    /// refused if the parent is completed. A parent that is not on record does not matter.
    #[non_exhaustive]
    Create {
        /// Action to record.
        new: Arc<NewAction>,
        /// Owner that is responsible for the action while it is queued. `None` if any owner may
        /// start it.
        by: Option<OwnerRef>,
    },
    /// Changes an action.
    #[non_exhaustive]
    Apply {
        /// Action to change.
        uid: ActionUid,
        /// Identity of this operation. A repeat with the same `op` returns [`Effect::Already`].
        op: OpId,
        /// Change to make.
        change: Change,
        /// Owner that makes the change. The incarnation must be alive.
        by: Option<OwnerRef>,
        /// Refuses the command unless the action is at this version. A repeat is recognised before
        /// this check.
        if_version: Option<Version>,
    },
    /// Makes an incarnation the living one of its name.
    ///
    /// An incarnation that has ended is refused with [`Rejection::Fenced`] while the store remembers
    /// it; see [`Limits::ENDED_OWNERS`](crate::Limits::ENDED_OWNERS).
    #[non_exhaustive]
    Claim {
        /// Incarnation that claims its name.
        owner: OwnerRef,
        /// If true, fences another incarnation that holds the name. If false, that incarnation
        /// causes [`Rejection::OwnerAlive`].
        take_over: bool,
    },
    /// Renews an incarnation's lease.
    Renew(OwnerRef),
    /// Releases a name. The incarnation ends.
    Release(OwnerRef),
    /// Ends an incarnation that has not renewed for a whole lease.
    #[non_exhaustive]
    Fence {
        /// Incarnation to fence.
        owner: OwnerRef,
        /// Number of renewals that the caller last saw. The command is refused if the incarnation
        /// has renewed since.
        if_renewals: u64,
    },
    /// Pins a completed action, so that it is not removed, or unpins it.
    #[non_exhaustive]
    Pin {
        /// Action to pin or unpin.
        uid: ActionUid,
        /// True to pin, false to unpin.
        pinned: bool,
    },
    /// Removes a completed action with its log and its keys.
    ///
    /// A pinned action and a part of an unfinished action are refused. If there is no such action,
    /// the command returns [`Effect::Already`].
    #[non_exhaustive]
    Remove {
        /// Action to remove.
        uid: ActionUid,
        /// Refuses the command unless the action is at this version.
        if_version: Version,
    },
    /// Copies an action and its log unchanged from another store.
    ///
    /// Returns [`Effect::Already`] if the store has the action at this version, or at a later
    /// version that it reached from this one.
    #[non_exhaustive]
    Import {
        /// Action to import.
        action: Arc<Action>,
        /// Log of the action, oldest entry first.
        log: Vec<LogEntry>,
    },
    /// Command of a later version of this library. The conformance suite uses it to test that a
    /// store refuses unknown commands.
    #[doc(hidden)]
    Unknown,
}

impl Command {
    /// Creates a command that records a new action with status queued.
    ///
    /// Without [`by`](Command::by), any owner may start the action.
    #[must_use]
    pub fn create(new: impl Into<Arc<NewAction>>) -> Command {
        let new = new.into();
        Command::Create { new, by: None }
    }

    /// Creates a command that changes an action, with a new operation id.
    ///
    /// Without [`by`](Command::by), it is made on behalf of no owner.
    #[must_use]
    pub fn apply(uid: ActionUid, change: Change) -> Command {
        Command::Apply {
            uid,
            op: OpId::new(),
            change,
            by: None,
            if_version: None,
        }
    }

    /// Creates a command that makes an incarnation the living one of its name. It fences another
    /// incarnation that holds the name, unless [`with_take_over`](Command::with_take_over) is set
    /// to false.
    #[must_use]
    pub fn claim(owner: OwnerRef) -> Command {
        let take_over = true;
        Command::Claim { owner, take_over }
    }

    /// Creates a command that renews an incarnation's lease.
    #[must_use]
    pub fn renew(owner: OwnerRef) -> Command {
        Command::Renew(owner)
    }

    /// Creates a command that releases a name and ends its incarnation.
    #[must_use]
    pub fn release(owner: OwnerRef) -> Command {
        Command::Release(owner)
    }

    /// Creates a command that ends an incarnation, unless it has renewed since `if_renewals`
    /// renewals were seen.
    #[must_use]
    pub fn fence(owner: OwnerRef, if_renewals: u64) -> Command {
        Command::Fence { owner, if_renewals }
    }

    /// Creates a command that pins an action (true) or unpins it (false).
    #[must_use]
    pub fn pin(uid: ActionUid, pinned: bool) -> Command {
        Command::Pin { uid, pinned }
    }

    /// Creates a command that removes a completed action, if it is at this version.
    #[must_use]
    pub fn remove(uid: ActionUid, if_version: Version) -> Command {
        Command::Remove { uid, if_version }
    }

    /// Creates a command that copies an action and its log, oldest entry first, from another store.
    #[must_use]
    pub fn import(action: impl Into<Arc<Action>>, log: Vec<LogEntry>) -> Command {
        let action = action.into();
        Command::Import { action, log }
    }

    /// Sets the owner that gives the command, or `None` for no owner. For commands made by
    /// [`create`](Command::create) and [`apply`](Command::apply); has no effect on others.
    #[must_use]
    pub fn by(mut self, owner: impl Into<Option<OwnerRef>>) -> Command {
        if let Command::Create { by, .. } | Command::Apply { by, .. } = &mut self {
            *by = owner.into();
        }
        self
    }

    /// Sets the identity of the operation, to repeat it safely. For commands made by
    /// [`apply`](Command::apply); has no effect on others.
    #[must_use]
    pub fn with_op(mut self, op_id: OpId) -> Command {
        if let Command::Apply { op, .. } = &mut self {
            *op = op_id;
        }
        self
    }

    /// Refuses the command unless the action is at this version; `None` accepts any. For commands
    /// made by [`apply`](Command::apply); has no effect on others.
    #[must_use]
    pub fn if_version(mut self, version: impl Into<Option<Version>>) -> Command {
        if let Command::Apply { if_version, .. } = &mut self {
            *if_version = version.into();
        }
        self
    }

    /// Sets whether a claim fences another incarnation that holds the name. For commands made by
    /// [`claim`](Command::claim); has no effect on others.
    #[must_use]
    pub fn with_take_over(mut self, fences: bool) -> Command {
        if let Command::Claim { take_over, .. } = &mut self {
            *take_over = fences;
        }
        self
    }

    fn bytes(&self) -> usize {
        let long = match self {
            Command::Create { new, .. } => {
                let related = new.related.len() * RELATED;
                let found = new.labels.bytes() + list(&new.exclusive) + related;
                text(&new.description) + json(&new.attributes) + found
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

/// Change to an action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Starts the action. The owner in the command becomes its owner.
    Start,
    /// Reports progress or other values, or only a sign of life.
    Report(Report),
    /// Asks the owner to cancel the action.
    RequestCancel(CancelRequest),
    /// Completes the action.
    Finish(Finish),
    /// Makes the owner in the command the owner of an action whose owner is dead.
    Adopt,
}

/// Effect of an accepted command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The command was applied.
    Applied,
    /// The command had been applied before, or there was nothing to do.
    Already,
}

/// Answer to an accepted command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done {
    /// Effect of the command.
    pub effect: Effect,
    /// Action after the command. `None` for commands about owners and for a removal.
    pub action: Option<Arc<Action>>,
}

impl Done {
    /// Creates an answer.
    #[must_use]
    pub fn new(effect: Effect, action: Option<Arc<Action>>) -> Done {
        Done { effect, action }
    }
}
