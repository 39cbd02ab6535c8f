//! The read cache: unfinished actions that the writer remembers, and the actions that were completed
//! last, for look-ups by uid.
//!
//! # Why the cache never differs from the database
//!
//! At every moment a cached action is equal to the database's answer at that moment:
//!
//! - Only one process has the store open (`SqliteAccess::Exclusive`), and only its writer changes
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

use super::write_cache::bytes;
use crate::backend::UidMap;
use crate::model::{Action, ActionUid, WriteSet};

/// Maximum number of completed actions in the cache, and their approximate maximum memory in bytes.
const MOST_COMPLETED: usize = 4096;
const MOST_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct ReadCache {
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
    pub(super) fn get(&self, uids: &[ActionUid]) -> Option<Vec<Option<Arc<Action>>>> {
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        let found = uids.iter().map(|uid| cached.actions.get(uid).cloned());
        found.map(|action| action.map(Some)).collect()
    }

    /// Removes the actions that are about to change.
    pub(super) fn invalidate(&self, write_set: &WriteSet) {
        if write_set.updated.is_empty() && write_set.removed.is_empty() {
            return;
        }
        let mut cached = self.lock();
        for action in write_set.updated.iter().chain(&write_set.removed) {
            cached.actions.remove(&action.uid);
        }
    }

    /// Adds actions as they were committed.
    pub(super) fn publish(&self, committed: impl Iterator<Item = Arc<Action>>) {
        let mut cached = self.lock();
        committed.for_each(|action| cached.publish(action));
    }

    pub(super) fn clear(&self) {
        // Also frees the memory.
        *self.lock() = Cached::default();
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Cached> {
        self.cached.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::error::StoreErrorKind as ErrorKind;
    use crate::model::{Batch, Command, Finish, Json, NewAction, Outcome};
    use crate::store::{ActionStore, ActionStoreExt};
    use crate::{SqliteOptions, SqliteStore};

    async fn open(dir: &tempfile::TempDir, options: SqliteOptions) -> SqliteStore {
        options.open(dir.path().join("actions.db")).await.unwrap()
    }

    /// An action of the store that is cached.
    async fn read_cache(store: &SqliteStore) -> Arc<Action> {
        let new = NewAction::task("read_cache")
            .with_attributes(Json::new("{\"a\": [1.50, \"\\u00e9\"]}").unwrap());
        let action = store.create(new).await.unwrap();
        assert_eq!(
            store.read_cache.get(&[action.uid]),
            Some(vec![Some(action.clone())])
        );
        action
    }

    /// Reads from the database: one missing action makes the store read all of them there.
    async fn stored(store: &SqliteStore, uid: ActionUid) -> Option<Arc<Action>> {
        let mut found = store.get(&[ActionUid::new(), uid]).await.unwrap();
        found.pop().unwrap()
    }

    fn cancelled() -> Finish {
        Finish::new(Outcome::Cancelled)
    }

    #[tokio::test]
    async fn what_is_unfinished_is_here_as_it_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, SqliteOptions::new()).await;
        let (one, other) = (read_cache(&store).await, read_cache(&store).await);
        assert_eq!(stored(&store, one.uid).await, Some(one.clone()));
        let both = vec![Some(one.clone()), Some(other.clone())];
        assert_eq!(store.read_cache.get(&[one.uid, other.uid]), Some(both));

        let requested = store
            .request_cancel(one.uid, Default::default())
            .await
            .unwrap();
        assert_eq!(requested.version.get(), 2);
        assert_eq!(
            store.read_cache.get(&[one.uid]),
            Some(vec![Some(requested.clone())])
        );
        assert_eq!(stored(&store, one.uid).await, Some(requested));

        let done = store.finish(one.uid, cancelled(), None).await.unwrap();
        assert_eq!(
            store.read_cache.get(&[one.uid]),
            Some(vec![Some(done.clone())])
        );
        assert_eq!(stored(&store, one.uid).await, Some(done));
        let ended = store.finish(other.uid, cancelled(), None).await.unwrap();
        let (uid, if_version) = (ended.uid, ended.version);
        let remove = Command::Remove { uid, if_version };
        store.command(remove).await.unwrap();
        assert_eq!(store.read_cache.get(&[uid]), None);
        assert_eq!(store.action(uid).await.unwrap(), None);
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_failed_leaves_nothing_here() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, SqliteOptions::new().with_max_bytes(600 * 1024)).await;
        let before = read_cache(&store).await;
        let long = || {
            NewAction::task("long")
                .with_description("x".repeat(4000))
                .into()
        };
        let create = || Command::Create {
            new: long(),
            by: None,
        };
        let full = Batch::all((0..300).map(|_| create()).collect());
        let full = store.write(full).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Unavailable);
        assert_eq!(store.read_cache.get(&[before.uid]), None);
        assert_eq!(store.action(before.uid).await.unwrap(), Some(before));
        // The writer reloads its cache.
        read_cache(&store).await;
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn an_action_that_was_wrongly_taken_for_new_leaves_all_else_here() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, SqliteOptions::new()).await;
        let (one, other) = (read_cache(&store).await, read_cache(&store).await);
        let new = Arc::new(NewAction::task("done"));
        let uid = new.uid;
        let create = || Command::Create {
            new: new.clone(),
            by: None,
        };
        store.command(create()).await.unwrap();
        let done = store.finish(uid, cancelled(), None).await.unwrap();
        // A transaction that the database refuses: the cache does not know that the action exists.
        let request = Command::Apply {
            uid: one.uid,
            op: crate::model::OpId::new(),
            change: crate::model::Change::RequestCancel(Default::default()),
            by: None,
            if_version: None,
        };
        let both = Batch::each(vec![request, create()]);
        let answers = store.write(both).await.unwrap();
        let requested = answers[0].as_ref().unwrap().action.clone();
        assert_eq!(answers[1].as_ref().unwrap().action, Some(done));
        assert_eq!(requested.as_ref().unwrap().version.get(), 2);
        assert_eq!(
            store.read_cache.get(&[one.uid]),
            Some(vec![requested.clone()])
        );
        assert_eq!(
            store.read_cache.get(&[other.uid]),
            Some(vec![Some(other.clone())])
        );
        assert_eq!(stored(&store, one.uid).await, requested);
        // The cache now has it: the next change loads nothing and succeeds.
        let ended = store.finish(one.uid, cancelled(), None).await.unwrap();
        assert_eq!(ended.version.get(), 3);
        store.close().await.unwrap();
    }

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

    #[tokio::test]
    async fn a_closed_store_shows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, SqliteOptions::new()).await;
        let action = read_cache(&store).await;
        store.close().await.unwrap();
        let closed = store.action(action.uid).await.unwrap_err();
        assert_eq!(closed.kind(), ErrorKind::Closed);
        assert_eq!(store.read_cache.get(&[action.uid]), None);
    }

    #[tokio::test]
    async fn a_shared_store_keeps_nothing_here() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, SqliteOptions::new().shared()).await;
        let action = store.create(NewAction::task("cold")).await.unwrap();
        assert_eq!(store.read_cache.get(&[action.uid]), None);
        assert_eq!(store.action(action.uid).await.unwrap(), Some(action));
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn whoever_asks_again_and_again_lets_the_writer_have_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(open(&dir, SqliteOptions::new()).await);
        let uid = read_cache(&store).await.uid;
        let writing = store.clone();
        let writing = tokio::spawn(async move { writing.finish(uid, cancelled(), None).await });
        let begun = Instant::now();
        while store.action(uid).await.unwrap().unwrap().is_unfinished() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "nobody else has a turn"
            );
        }
        writing.await.unwrap().unwrap();
        store.close().await.unwrap();
    }
}
