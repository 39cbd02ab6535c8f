//! Removes actions in small transactions.

use std::collections::VecDeque;

use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Command, ConflictReason, Effect, Limits, Rejection, Version,
};
use crate::store::{ActionStore, ActionStoreExt};

/// Result of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Removed,
    Gone,
    Pinned,
    /// The action is a part of an unfinished action.
    Part,
    Changed,
}

/// Queue of actions to remove, each with the caller's tag.
#[derive(Debug)]
pub(super) struct Removing<T> {
    queue: VecDeque<Leaving<T>>,
}

#[derive(Debug)]
struct Leaving<T> {
    uid: ActionUid,
    if_version: Version,
    what: T,
    /// Approximate number of bytes that are deleted, once known.
    bytes: Option<usize>,
}

/// Approximate size of a log entry, in bytes.
const ENTRY: usize = 256;

/// Maximum number of actions read at once to learn their sizes.
const WEIGHED: usize = 50;

/// Estimates the bytes deleted with an action: its row and its log. All texts except the result
/// count twice, because the log may repeat them.
fn weight(action: &Action) -> usize {
    let entries = action.log_entries.min(Limits::LOG_ENTRIES);
    let log = usize::try_from(entries).unwrap_or(usize::MAX);
    2 * action.bytes() - action.result.as_ref().map_or(0, |json| json.as_str().len())
        + log.saturating_mul(ENTRY)
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
        self.queue.push_back(Leaving {
            uid: action.uid,
            if_version: action.version,
            what,
            bytes: None,
        });
    }

    /// Returns how many actions at the front of the queue fit into `most_bytes`: at least one.
    ///
    /// The actions were found without their results, so this reads them again.
    async fn fitting<S>(
        &mut self,
        store: &S,
        most: usize,
        most_bytes: usize,
    ) -> Result<usize, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let at_once = WEIGHED.min(store.capabilities().max_commands).max(1);
        let most = most.min(self.queue.len());
        let (mut count, mut bytes) = (0, 0_usize);
        while count < most {
            let next = match self.queue.get(count).and_then(|leaving| leaving.bytes) {
                Some(next) => next,
                None => {
                    let unknown = self.queue.iter_mut().skip(count);
                    let unknown = unknown.take(at_once.min(most - count));
                    let mut unknown: Vec<_> = unknown.collect();
                    let uids: Vec<_> = unknown.iter().map(|leaving| leaving.uid).collect();
                    let found = store.get(&uids).await?;
                    for (leaving, found) in unknown.iter_mut().zip(found) {
                        leaving.bytes = Some(found.as_deref().map_or(0, weight));
                    }
                    continue;
                }
            };
            bytes = bytes.saturating_add(next);
            if count > 0 && bytes > most_bytes {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Removes at most `most` actions and about `most_bytes` in one transaction, and returns the
    /// result of each.
    ///
    /// Actions leave the queue only with an answer. After an error or a cancelled call, the same
    /// ones are tried again.
    pub(super) async fn step<S>(
        &mut self,
        store: &S,
        most: u16,
        most_bytes: usize,
    ) -> Result<Vec<(ActionUid, T, Fate)>, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let most = self.fitting(store, most.into(), most_bytes).await?;
        let commands = self
            .queue
            .iter()
            .map(|leaving| vec![Command::remove(leaving.uid, leaving.if_version)]);
        let (batch, count) = store.capabilities().fill(commands, most);
        let answers = store.write_repeating(batch).await?;
        let removed = self.queue.drain(..count).zip(answers);
        let fates = removed.map(|(leaving, answer)| {
            let Leaving { uid, what, .. } = leaving;
            let fate = match answer {
                Ok(done) if done.effect == Effect::Applied => Fate::Removed,
                Ok(_) => Fate::Gone,
                Err(Rejection::Conflict {
                    reason: ConflictReason::Pinned,
                    ..
                }) => Fate::Pinned,
                Err(Rejection::Conflict { current, .. }) if current.uid != uid => Fate::Part,
                Err(_) => Fate::Changed,
            };
            (uid, what, fate)
        });
        Ok(fates.collect())
    }
}
