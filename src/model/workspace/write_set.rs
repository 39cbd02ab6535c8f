//! The rows to save: the difference between the loaded rows and the planned ones.

use std::sync::Arc;

use super::TxnState;
use crate::model::action::Action;
use crate::model::identity::ActionUid;
use crate::model::key::Key;
use crate::model::limits::Limits;
use crate::model::log_entry::LogEntry;
use crate::model::owner::{Owner, OwnerRef};

/// Rows to save, in the order of the fields. In this order, constraints that repeat the rules of
/// the model never see the removal of an unfinished or pinned action.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct WriteSet {
    /// Actions to update. They include changed actions that are in `removed`.
    pub updated: Vec<Arc<Action>>,
    /// Actions to unpin.
    pub unpinned: Vec<ActionUid>,
    /// Actions to delete, with their logs.
    pub removed: Vec<Arc<Action>>,
    /// Keys to delete: no action holds them any more, or another action takes them.
    pub keys_freed: Vec<Key>,
    /// Actions to insert, in order of creation.
    pub created: Vec<Arc<Action>>,
    /// Log entries to append.
    pub log: Vec<LogEntry>,
    /// Actions with new log entries that have had more than [`Limits::LOG_ENTRIES`] of them. Delete
    /// the entries that [`trim_log`](crate::spi::trim_log) removes.
    pub trim: Vec<ActionUid>,
    /// Keys to insert, each with its holder.
    pub keys_taken: Vec<(Key, ActionUid)>,
    /// Actions to pin.
    pub pinned: Vec<ActionUid>,
    /// Owners to insert or update, one after another in this order. New owners are in the order of
    /// their claims. An incarnation that ended comes before its successor.
    pub owners: Vec<Owner>,
    /// Ended owners to delete.
    pub owners_forgotten: Vec<OwnerRef>,
}

impl WriteSet {
    /// Returns true if there is nothing to save.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
            && self.created.is_empty()
            && self.updated.is_empty()
            && self.log.is_empty()
            && self.unpinned.is_empty()
            && self.pinned.is_empty()
            && self.owners.is_empty()
            && self.owners_forgotten.is_empty()
    }
}

impl TxnState {
    /// Returns the rows to save for all planned batches.
    #[must_use]
    pub fn into_write_set(mut self) -> WriteSet {
        let mut write_set = WriteSet::default();
        let mut created = Vec::new();
        for (uid, slot) in self.slots.iter() {
            let uid = *uid;
            let keys = |of: &Option<Arc<Action>>| of.as_deref().map_or(Vec::new(), Key::held_by);
            let (before, now) = (keys(&slot.stored), keys(&slot.now));
            // The keys of a removed action are deleted, even if its successor holds the same keys.
            let goes = |key: &&Key| slot.removed || !now.contains(key);
            write_set
                .keys_freed
                .extend(before.iter().filter(goes).cloned());
            let comes = now.iter().filter(|k| slot.removed || !before.contains(k));
            write_set
                .keys_taken
                .extend(comes.map(|key| (key.clone(), uid)));
            match (&slot.stored, &slot.now) {
                (Some(stored), now) if slot.removed => {
                    let gone = slot.removed_as.as_ref().unwrap_or(stored);
                    if gone.version != stored.version {
                        write_set.updated.push(gone.clone());
                    }
                    write_set.removed.push(gone.clone());
                    created.extend(now.iter().map(|now| (slot.entered, now.clone())));
                }
                (Some(stored), Some(now)) if now.version != stored.version => {
                    write_set.updated.push(now.clone());
                }
                (None, Some(now)) => created.push((slot.entered, now.clone())),
                _ => {}
            }
            let was_pinned = slot.stored_pin && !slot.removed;
            if slot.stored_pin && (slot.removed || !slot.pinned) {
                write_set.unpinned.push(uid);
            }
            if slot.now.is_some() && slot.pinned && !was_pinned {
                write_set.pinned.push(uid);
            }
        }
        created.sort_by_key(|(entered, _)| *entered);
        let created = created.into_iter().map(|(_, action)| action);
        write_set.created.extend(created);
        let grown_too_long = |action: &Arc<Action>| {
            let slot = self.slots.get(&action.uid);
            let stored = slot.and_then(|slot| slot.stored.as_ref());
            let before = stored.filter(|_| slot.is_some_and(|slot| !slot.removed));
            let now = slot.and_then(|slot| slot.now.as_ref());
            now.is_some_and(|now| {
                now.log_dropped() > before.map_or(0, |before| before.log_dropped())
            })
        };
        let saved = write_set.created.iter().chain(&write_set.updated);
        let too_long = saved.filter(|action| grown_too_long(action));
        write_set.trim.extend(too_long.map(|action| action.uid));
        // An action that was removed and entered again is in both lists.
        write_set.trim.sort_unstable();
        write_set.trim.dedup();
        write_set.log = std::mem::take(&mut self.log);
        let mut indexes = 0..;
        write_set.log.retain(|entry| {
            let slot = self.slots.get(&entry.uid).filter(|slot| slot.now.is_some());
            let index = indexes.next();
            slot.is_some_and(|slot| index >= Some(slot.log_from))
        });
        if !self.touched_owners.is_empty() {
            self.change_owners(&mut write_set);
        }
        write_set
    }

    fn change_owners(&self, write_set: &mut WriteSet) {
        let mut touched: Vec<_> = self.touched_owners.iter().collect();
        touched.sort_unstable_by_key(|(_, place)| **place);
        let owners = touched.iter().filter_map(|(owner, _)| self.owner(owner));
        write_set.owners = owners.cloned().collect();
        let Some((count, may_be_forgotten)) = &self.ended else {
            return;
        };
        let end_now = write_set.owners.iter().filter(|owner| !owner.is_alive());
        let excess = (count + end_now.count()).saturating_sub(Limits::ENDED_OWNERS);
        // An import may have added an unfinished action to an owner that had none.
        let owns = |owner: &OwnerRef| {
            let actions = self.slots.iter().filter_map(|(_, slot)| slot.now.as_ref());
            let mut unfinished = actions.filter(|action| action.is_unfinished());
            unfinished.any(|action| action.owner.as_ref() == Some(owner))
        };
        let forgotten = may_be_forgotten.iter().filter(|owner| !owns(owner));
        write_set.owners_forgotten = forgotten.take(excess).cloned().collect();
    }
}
