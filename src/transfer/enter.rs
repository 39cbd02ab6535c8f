//! Writes actions into a store, in batches within its limits.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::StoreError;
use crate::model::{Action, ActionUid, Command, ConflictReason, Effect, LogEntry, Rejection};
use crate::store::{ActionStore, ActionStoreExt};

/// Maximum number of refusals, and of differences, that a report lists: 100. Further ones are only
/// counted.
pub const LISTED: usize = 100;

/// Approximate size of a transaction, in bytes. Other writers wait for it.
const BATCH_BYTES: usize = 1024 * 1024;

/// Report of an import: the results of writing actions into a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Number of actions that were written.
    pub imported: u64,
    /// Number of actions that already existed, in the same or a later state.
    pub already: u64,
    /// Number of actions that the store refused.
    pub refused: u64,
    /// The first [`LISTED`] refusals.
    pub rejections: Vec<ImportRejection>,
}

/// Refusal of an action. Other actions are not affected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportRejection {
    /// The action.
    pub uid: ActionUid,
    /// Line of the action in the text of the export, if there is one.
    pub line: Option<u64>,
    /// Reason of the refusal.
    pub refused: Rejection,
    /// True if the store has an earlier state of the action: it was imported before, and changed in
    /// its first store since. To update it, complete and remove the earlier state, then import
    /// again.
    pub outdated: bool,
}

/// Action to be written.
#[derive(Debug)]
pub(super) struct Entering {
    pub(super) line: Option<u64>,
    pub(super) action: Arc<Action>,
    pub(super) log: Vec<LogEntry>,
}

/// Returns true if both are states of the same action, as far as can be told.
pub(super) fn same_origin(one: &Action, other: &Action) -> bool {
    (one.uid, one.digest, one.created_at) == (other.uid, other.digest, other.created_at)
}

impl Imported {
    /// Writes all queued actions, in batches. Written actions leave the queue. After an error, call
    /// it again: repeating the failed batch is safe.
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
                vec![Command::import(
                    entering.action.clone(),
                    entering.log.clone(),
                )]
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

    fn refuse(&mut self, entering: &Entering, refused: Rejection) {
        self.refused += 1;
        if self.rejections.len() == LISTED {
            return;
        }
        let outdated = match &refused {
            Rejection::Conflict {
                reason: ConflictReason::Uid,
                current,
            } => {
                same_origin(current, &entering.action) && current.version < entering.action.version
            }
            _ => false,
        };
        self.rejections.push(ImportRejection {
            uid: entering.action.uid,
            line: entering.line,
            refused,
            outdated,
        });
    }
}
