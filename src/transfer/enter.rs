//! Enters actions into a store, in batches it accepts.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::StoreError;
use crate::model::{Action, ActionUid, Clash, Command, Effect, Refused, Transition};
use crate::store::{ActionStore, ActionStoreExt};

/// Most refusals, and most differences, that a report lists; beyond it they are only counted.
pub const LISTED: usize = 100;

/// About how many bytes are entered in one transaction: other writers wait for it.
const BATCH_BYTES: usize = 1024 * 1024;

/// What became of the actions that were to be entered into a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// How many were entered.
    pub imported: u64,
    /// How many were there already, or something they became since.
    pub already: u64,
    /// How many were refused.
    pub refused: u64,
    /// Why, for the first [`LISTED`] of them.
    pub refusals: Vec<Refusal>,
}

/// That an action was refused. The others are not disturbed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Which action.
    pub uid: ActionUid,
    /// The line it stands on, if it came from a text.
    pub line: Option<u64>,
    /// Why.
    pub refused: Refused,
    /// Whether the action is there in an earlier state: it was entered before, and changed since
    /// in the store it comes from. Nothing brings the two together but that the earlier one is
    /// completed and removed.
    pub outdated: bool,
}

/// An action on its way into a store.
#[derive(Debug)]
pub(super) struct Entering {
    pub(super) line: Option<u64>,
    pub(super) action: Arc<Action>,
    pub(super) log: Vec<Transition>,
}

/// Whether two are states of one action, as far as can be told.
pub(super) fn same_origin(one: &Action, other: &Action) -> bool {
    (one.uid, one.digest, one.created_at) == (other.uid, other.digest, other.created_at)
}

impl Imported {
    /// Enters everything, in batches. What was entered is taken off the queue; after an error the
    /// rest can be entered again, and so can the batch that failed.
    pub(super) async fn enter<S>(
        &mut self,
        store: &S,
        queue: &mut VecDeque<Entering>,
    ) -> Result<(), StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let mut limits = store.capabilities();
        limits.max_bytes = limits.max_bytes.min(BATCH_BYTES);
        while !queue.is_empty() {
            let commands = queue.iter().map(|entering| {
                vec![Command::Import {
                    action: entering.action.clone(),
                    log: entering.log.clone(),
                }]
            });
            let (batch, count) = limits.fill(commands, limits.max_commands);
            let answers = store.write_repeating(batch).await?;
            for (entering, answer) in queue.drain(..count).zip(answers) {
                match answer {
                    Ok(done) if done.effect == Effect::Applied => self.imported += 1,
                    Ok(_) => self.already += 1,
                    Err(refused) => self.refuse(&entering, refused),
                }
            }
        }
        Ok(())
    }

    fn refuse(&mut self, entering: &Entering, refused: Refused) {
        self.refused += 1;
        if self.refusals.len() == LISTED {
            return;
        }
        let outdated = match &refused {
            Refused::Conflict {
                clash: Clash::Uid,
                current,
            } => {
                same_origin(current, &entering.action) && current.version < entering.action.version
            }
            _ => false,
        };
        self.refusals.push(Refusal {
            uid: entering.action.uid,
            line: entering.line,
            refused,
            outdated,
        });
    }
}
