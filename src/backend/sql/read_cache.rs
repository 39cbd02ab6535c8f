//! The read cache: unfinished actions that the writer remembers, and the actions that were completed
//! last, for look-ups by uid.
//!
//! # Why the cache never differs from the database
//!
//! At every moment a cached action is equal to the database's answer at that moment:
//!
//! - Only one process has the store open, and only its writer changes
//!   actions.
//!
//! - *Before* the writer sends a transaction, it [withholds](ReadCache::invalidate) every action
//!   that the transaction changes. They are not cached until the outcome is known. Look-ups then
//!   read the database, which alone knows the outcome of the commit.
//!
//! - *After* the commit, and before any caller is answered, it [publishes](ReadCache::publish) the
//!   new values. Removed actions are left out. Completed ones never change again; the oldest of
//!   them leave when there are too many.
//!
//! - After any failure the writer drops its cache, and this one with it
//!   ([`WriteCache`](super::write_cache::WriteCache), when it is dropped).
//!
//! So a cached look-up gives the same answer as the database. It shows every write that was
//! acknowledged before it began, and only durable ones. It is never older than a page, a log or a
//! look-up that was shown before. No revisions need to be compared. A page may show a commit that
//! the writer does not know of yet, but the actions of that commit are not cached then.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use super::memory_size::bytes;
use crate::backend::UidMap;
use crate::model::{Action, ActionUid, WriteSet};

/// Maximum number of completed actions in the cache, and their approximate maximum memory in bytes.
const MOST_COMPLETED: usize = 4096;
const MOST_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct ReadCache {
    cached: RwLock<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    actions: UidMap<Arc<Action>>,
    /// Completed actions with their approximate size, oldest first. May name removed ones.
    completed: VecDeque<(ActionUid, usize)>,
    /// Total size of the completed actions.
    bytes: usize,
}

impl Cached {
    fn publish(&mut self, action: Arc<Action>) {
        if !action.is_unfinished() {
            let bytes = bytes(&action);
            self.completed.push_back((action.uid, bytes));
            self.bytes += bytes;
        }
        self.actions.insert(action.uid, action);
        while self.completed.len() > MOST_COMPLETED || self.bytes > MOST_BYTES {
            let Some((oldest, bytes)) = self.completed.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.actions.remove(&oldest);
        }
    }
}

impl ReadCache {
    /// Returns the actions if all of them are cached. Otherwise all must be read at one moment.
    pub(crate) fn get(&self, uids: &[ActionUid]) -> Option<Vec<Option<Arc<Action>>>> {
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        let found = uids.iter().map(|uid| cached.actions.get(uid).cloned());
        found.map(|action| action.map(Some)).collect()
    }

    /// Removes the actions that are about to change.
    pub(crate) fn invalidate(&self, write_set: &WriteSet) {
        if write_set.updated.is_empty() && write_set.removed.is_empty() {
            return;
        }
        let mut cached = self.lock();
        for action in write_set.updated.iter().chain(&write_set.removed) {
            cached.actions.remove(&action.uid);
        }
    }

    /// Adds actions as they were committed.
    pub(crate) fn publish(&self, committed: impl Iterator<Item = Arc<Action>>) {
        let mut cached = self.lock();
        committed.for_each(|action| cached.publish(action));
    }

    pub(crate) fn clear(&self) {
        // Also frees the memory.
        *self.lock() = Cached::default();
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Cached> {
        self.cached.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NewAction, Outcome};

    #[test]
    fn the_oldest_completed_actions_leave_a_full_cache() {
        let cache = ReadCache::default();
        let completed = || {
            let new = NewAction::task("done");
            let mut action = Action::new(&new, new.digest(), crate::Timestamp::from_seconds(1));
            action.status = crate::Status::Completed;
            action.outcome = Some(Outcome::Cancelled);
            Arc::new(action)
        };
        let actions: Vec<Arc<Action>> = (0..MOST_COMPLETED + 10).map(|_| completed()).collect();
        cache.publish(actions.iter().cloned());
        let is_here = |action: &Arc<Action>| cache.get(&[action.uid]).is_some();
        assert!(!actions[..10].iter().any(is_here));
        assert!(actions[10..].iter().all(is_here));
        let mut large = (*completed()).clone();
        large.description = Some("x".repeat(MOST_BYTES).into());
        cache.publish(std::iter::once(Arc::new(large)));
        assert!(
            !actions.iter().any(is_here),
            "one that is too large leaves no room"
        );
        let cached = cache.lock();
        assert_eq!((cached.actions.len(), cached.bytes), (0, 0));
    }
}
