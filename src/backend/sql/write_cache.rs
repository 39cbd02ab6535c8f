//! The write cache: the position of the store, the owners, and the unfinished actions that the
//! writer has written.
//!
//! Most commands are about these, so most transactions load nothing. This saves one round trip to
//! the database and reading wide rows. Only the single writer of a store that was opened
//! exclusively may use it. The transaction itself checks that the store is still at the cached
//! revision. After any failure the cache is dropped and reloaded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::engine::Stored;
use super::memory_size::bytes;
use super::read_cache::ReadCache;
use super::write_request::WriteRequest;
use crate::model::{
    Action, ActionUid, Command, LogEntryKind, OpId, Owner, OwnerRef, TxnState, WriteSet, trim_log,
};

/// Maximum number of cached actions, and their approximate maximum memory in bytes. Other actions
/// are loaded when they are needed.
const MOST_HEADS: usize = 65_536;
const MOST_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct WriteCache {
    /// Position of the store that the cache is valid for.
    pub(crate) stored: Stored,
    owners: HashMap<Arc<str>, Vec<Owner>>,
    write_cache: HashMap<ActionUid, Head>,
    bytes: usize,
    /// The read cache, with the same actions and the ones that were completed last.
    read_cache: Arc<ReadCache>,
}

/// Actions that leave this cache leave the read cache too.
impl Drop for WriteCache {
    fn drop(&mut self) {
        self.read_cache.clear();
    }
}

/// An unfinished action, with all data that a plan uses.
#[derive(Debug, Clone)]
struct Head {
    action: Arc<Action>,
    number: i64,
    /// The entries of its log without late reports: their kinds and operations.
    log: Vec<(LogEntryKind, Option<OpId>)>,
    late: bool,
    pinned: bool,
}

/// The cached data that a group of batches needs.
pub(crate) struct Remembered {
    pub(crate) txn: TxnState,
    pub(crate) numbers: HashMap<ActionUid, i64>,
    /// Actions that are assumed to be new. The plan must insert them: if they exist, the database
    /// refuses the transaction.
    pub(crate) assumed: HashSet<ActionUid>,
}

/// The cache entries as they will be after a transaction that was sent.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The cached actions that the transaction changes, and those that it completes.
    changed: Vec<Arc<Action>>,
    before: Before,
}

/// The cache entries as they were before the transaction.
#[derive(Debug)]
struct Before {
    stored: Stored,
    bytes: usize,
    write_cache: Vec<(ActionUid, Option<Head>)>,
    owners: Vec<(Arc<str>, Vec<Owner>)>,
}

impl WriteCache {
    /// Returns a cache of the store at this position, with all its owners.
    pub(crate) fn new(
        stored: Stored,
        owners: Vec<Owner>,
        read_cache: Arc<ReadCache>,
    ) -> WriteCache {
        let mut write_cache = WriteCache {
            stored,
            owners: HashMap::new(),
            write_cache: HashMap::new(),
            bytes: 0,
            read_cache,
        };
        for owner in owners {
            write_cache.set_owner(owner);
        }
        write_cache
    }

    /// Returns the data that the batches need, if all of it is cached.
    pub(crate) fn recall(&self, requests: &[WriteRequest]) -> Option<Remembered> {
        let commands = || requests.iter().flat_map(|request| &request.batch.commands);
        let created: HashSet<ActionUid> = commands()
            .filter_map(|command| match command {
                Command::Create { new, .. } => Some(new.uid),
                _ => None,
            })
            .collect();
        let mut recalled = Remembered {
            txn: TxnState::new(),
            numbers: HashMap::new(),
            assumed: HashSet::new(),
        };
        for read_set in requests.iter().map(|request| &request.read_set) {
            // The cache has neither the holders of keys nor the owners that may be forgotten.
            if !read_set.keys().is_empty() || read_set.claims() > 0 {
                return None;
            }
            for owner in read_set.owners() {
                self.recall_owner(owner, &mut recalled.txn);
                if let Some(living) = self.named(&owner.name).find(|known| known.is_alive()) {
                    recalled.txn.put_owner(living.clone());
                }
            }
            for uid in read_set.actions() {
                match self.write_cache.get(uid) {
                    Some(head) => {
                        if let Some(owner) = &head.action.owner {
                            self.recall_owner(owner, &mut recalled.txn);
                        }
                        recalled.numbers.insert(*uid, head.number);
                        let action = head.action.clone();
                        recalled.txn.put_action(action, head.pinned, head.late);
                    }
                    None if created.contains(uid) => {
                        recalled.assumed.insert(*uid);
                    }
                    None => return None,
                }
            }
            for uid in read_set.parents_of() {
                let head = self.write_cache.get(uid);
                if let Some(parent) = head.and_then(|head| head.action.parent) {
                    // The parent may exist in the store without being cached.
                    let head = self.write_cache.get(&parent)?;
                    let action = head.action.clone();
                    if let Some(owner) = &head.action.owner {
                        self.recall_owner(owner, &mut recalled.txn);
                    }
                    recalled.numbers.insert(parent, head.number);
                    recalled.txn.put_action(action, head.pinned, head.late);
                }
            }
            for (uid, op) in read_set.ops() {
                if self
                    .write_cache
                    .get(uid)
                    .is_some_and(|head| head.log.iter().any(|(_, known)| *known == Some(*op)))
                {
                    recalled.txn.put_op(*uid, *op);
                }
            }
        }
        Some(recalled)
    }

    /// Returns the incarnations of a name, newest first.
    fn named(&self, name: &str) -> impl Iterator<Item = &Owner> {
        self.owners.get(name).into_iter().flatten().rev()
    }

    fn recall_owner(&self, owner: &OwnerRef, txn: &mut TxnState) {
        if let Some(known) = self.named(&owner.name).find(|known| known.owner == *owner) {
            txn.put_owner(known.clone());
        }
    }

    /// Withholds the actions that will change from readers. Call this before anything that may
    /// commit.
    pub(crate) fn invalidate(&self, write_set: &WriteSet) {
        self.read_cache.invalidate(write_set);
    }

    /// Applies a write to the cache before it is committed.
    pub(crate) fn apply(
        &mut self,
        write_set: WriteSet,
        numbers: &HashMap<ActionUid, i64>,
        stored: Stored,
    ) -> Applied {
        let before = self.before(&write_set);
        // It only grows, and the write may have been planned before the last removal was known.
        let pruned_through = stored.pruned_through.max(self.stored.pruned_through);
        self.stored = Stored {
            pruned_through,
            ..stored
        };
        let changed = write_set.updated.iter().chain(&write_set.created);
        let changed: Vec<ActionUid> = changed.map(|action| action.uid).collect();
        let is_removed = |uid| write_set.removed.iter().any(|gone| gone.uid == uid);
        let completed = write_set.updated.iter().filter(|a| !a.is_unfinished());
        let completed: Vec<Arc<Action>> = completed
            .filter(|action| !is_removed(action.uid))
            .cloned()
            .collect();
        for action in write_set.updated {
            let Some(head) = self.write_cache.get_mut(&action.uid) else {
                continue;
            };
            self.bytes = self.bytes + bytes(&action) - bytes(&head.action);
            head.action = action;
            if !head.action.is_unfinished() || self.bytes > MOST_BYTES {
                let uid = head.action.uid;
                self.forget(uid);
            }
        }
        for uid in write_set.unpinned {
            self.set_pin(uid, false);
        }
        for action in write_set.removed {
            self.forget(action.uid);
        }
        for action in write_set.created {
            if let Some(number) = numbers.get(&action.uid) {
                self.remember(action, *number);
            }
        }
        for entry in write_set.log {
            if let Some(head) = self.write_cache.get_mut(&entry.uid) {
                head.late |= entry.is_late();
                if !entry.is_late() {
                    head.log.push((entry.kind, entry.op));
                    trim_log(&mut head.log, |(kind, _)| *kind);
                }
            }
        }
        for uid in write_set.pinned {
            self.set_pin(uid, true);
        }
        for owner in write_set.owners {
            self.set_owner(owner);
        }
        for gone in write_set.owners_forgotten {
            if let Some(named) = self.owners.get_mut(&gone.name) {
                named.retain(|known| known.owner != gone);
                if named.is_empty() {
                    self.owners.remove(&gone.name);
                }
            }
        }
        let write_cache = changed.iter().filter_map(|uid| self.write_cache.get(uid));
        let unfinished = write_cache.map(|head| head.action.clone());
        let changed = unfinished.chain(completed).collect();
        Applied { changed, before }
    }

    /// Publishes the committed actions to readers. Call this before any caller is answered.
    pub(crate) fn committed(&mut self, applied: Applied, pruned_through: i64) {
        self.stored.pruned_through = self.stored.pruned_through.max(pruned_through);
        self.read_cache.publish(applied.changed.into_iter());
    }

    /// Restores the cache after a rollback.
    pub(crate) fn undo(&mut self, applied: Applied) {
        let before = applied.before;
        self.stored = before.stored;
        self.bytes = before.bytes;
        self.owners.extend(before.owners);
        for (uid, head) in before.write_cache {
            match head {
                Some(head) => {
                    self.read_cache
                        .publish(std::iter::once(head.action.clone()));
                    self.write_cache.insert(uid, head);
                }
                None => drop(self.write_cache.remove(&uid)),
            }
        }
    }

    fn before(&self, write_set: &WriteSet) -> Before {
        let actions = [&write_set.updated, &write_set.created, &write_set.removed];
        let actions = actions.into_iter().flatten().map(|action| action.uid);
        let pins = write_set.unpinned.iter().chain(&write_set.pinned).copied();
        // Every other log entry also changes the action.
        let late = write_set.log.iter().filter(|entry| entry.is_late());
        let touched = actions.chain(pins).chain(late.map(|entry| entry.uid));
        let owners = write_set.owners.iter().map(|owner| &owner.owner);
        let named = owners.chain(&write_set.owners_forgotten).map(|o| &o.name);
        let incarnations = |name| self.owners.get(name).cloned().unwrap_or_default();
        Before {
            stored: self.stored,
            bytes: self.bytes,
            write_cache: touched
                .map(|uid| (uid, self.write_cache.get(&uid).cloned()))
                .collect(),
            owners: named
                .map(|name| (name.clone(), incarnations(name)))
                .collect(),
        }
    }

    fn remember(&mut self, action: Arc<Action>, number: i64) {
        let bytes = bytes(&action);
        let fits = self.write_cache.len() < MOST_HEADS && self.bytes + bytes <= MOST_BYTES;
        if action.is_unfinished() && fits {
            self.bytes += bytes;
            let head = Head {
                action,
                number,
                log: Vec::new(),
                late: false,
                pinned: false,
            };
            self.write_cache.insert(head.action.uid, head);
        }
    }

    fn forget(&mut self, uid: ActionUid) {
        if let Some(head) = self.write_cache.remove(&uid) {
            self.bytes -= bytes(&head.action);
        }
    }

    fn set_pin(&mut self, uid: ActionUid, pinned: bool) {
        if let Some(head) = self.write_cache.get_mut(&uid) {
            head.pinned = pinned;
        }
    }

    fn set_owner(&mut self, owner: Owner) {
        let named = self.owners.entry(owner.owner.name.clone()).or_default();
        match named.iter_mut().find(|known| known.owner == owner.owner) {
            Some(known) => *known = owner,
            None => named.push(owner),
        }
    }
}
