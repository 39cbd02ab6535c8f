//! Removes actions, in small transactions.

use std::collections::VecDeque;

use crate::error::StoreError;
use crate::model::{Action, ActionUid, Clash, Command, Effect, Refused, Version};
use crate::store::{ActionStore, ActionStoreExt};

/// What became of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Removed,
    Gone,
    Pinned,
    Changed,
}

/// Actions on their way out of a store, each with something to remember it by.
#[derive(Debug)]
pub(super) struct Removing<T> {
    queue: VecDeque<(ActionUid, Version, T)>,
}

impl<T: Copy> Removing<T> {
    pub(super) fn new() -> Removing<T> {
        Removing {
            queue: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, action: &Action, what: T) {
        self.queue.push_back((action.uid, action.version, what));
    }

    /// Removes at most so many in one transaction and says what became of each. Only what was
    /// answered is taken off the queue: after an error, or dropped, the same ones are tried again.
    pub(super) async fn step<S>(
        &mut self,
        store: &S,
        most: u16,
    ) -> Result<Vec<(ActionUid, T, Fate)>, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let commands = self.queue.iter().map(|(uid, if_version, _)| {
            vec![Command::Remove {
                uid: *uid,
                if_version: *if_version,
            }]
        });
        let (batch, count) = store.capabilities().fill(commands, most.into());
        let answers = store.write_repeating(batch).await?;
        let removed = self.queue.drain(..count).zip(answers);
        let fates = removed.map(|((uid, _, what), answer)| {
            let fate = match answer {
                Ok(done) if done.effect == Effect::Applied => Fate::Removed,
                Ok(_) => Fate::Gone,
                Err(Refused::Conflict {
                    clash: Clash::Pinned,
                    ..
                }) => Fate::Pinned,
                Err(_) => Fate::Changed,
            };
            (uid, what, fate)
        });
        Ok(fates.collect())
    }
}
