//! Removes actions, in small transactions.

use std::collections::VecDeque;

use crate::error::StoreError;
use crate::model::{Action, ActionUid, Clash, Command, Effect, Limits, Refused, Version};
use crate::store::{ActionStore, ActionStoreExt};

/// What became of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Removed,
    Gone,
    Pinned,
    /// It is a part of an unfinished action.
    Part,
    Changed,
}

/// Actions on their way out of a store, each with something to remember it by.
#[derive(Debug)]
pub(super) struct Removing<T> {
    queue: VecDeque<Leaving<T>>,
}

#[derive(Debug)]
struct Leaving<T> {
    uid: ActionUid,
    if_version: Version,
    what: T,
    /// About how many bytes go with it, once that is known.
    bytes: Option<usize>,
}

/// About what an entry of a log takes.
const ENTRY: usize = 256;

/// Most actions that are read at once to learn how large they are.
const WEIGHED: usize = 50;

/// About how much is deleted with an action: its row and its log. Texts but the result are counted
/// twice, since the log may note them.
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

    /// Returns how many of the first actions have at most so many bytes together: at least one.
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

    /// Removes at most so many in one transaction, and about so many bytes, and says what became of
    /// each. Only what was answered is taken off the queue: after an error, or dropped, the same
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
        let commands = self.queue.iter().map(|leaving| {
            vec![Command::Remove {
                uid: leaving.uid,
                if_version: leaving.if_version,
            }]
        });
        let (batch, count) = store.capabilities().fill(commands, most);
        let answers = store.write_repeating(batch).await?;
        let removed = self.queue.drain(..count).zip(answers);
        let fates = removed.map(|(leaving, answer)| {
            let Leaving { uid, what, .. } = leaving;
            let fate = match answer {
                Ok(done) if done.effect == Effect::Applied => Fate::Removed,
                Ok(_) => Fate::Gone,
                Err(Refused::Conflict {
                    clash: Clash::Pinned,
                    ..
                }) => Fate::Pinned,
                Err(Refused::Conflict { current, .. }) if current.uid != uid => Fate::Part,
                Err(_) => Fate::Changed,
            };
            (uid, what, fate)
        });
        Ok(fates.collect())
    }
}
