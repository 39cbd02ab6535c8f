//! The rows to save: the difference between the loaded rows and the planned ones.

use std::sync::Arc;

use super::{Slot, TxnState};
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
        self.drain_into(&mut write_set);
        write_set
    }

    /// Moves the rows to save for all planned batches into an empty write set. The state is empty
    /// afterwards. Both keep their memory, so a store can use them again.
    pub(crate) fn drain_into(&mut self, write_set: &mut WriteSet) {
        for (uid, slot) in &self.slots {
            slot.save(*uid, write_set);
        }
        if write_set.created.len() > 1 {
            let entered = |action: &Arc<Action>| self.slots.get(&action.uid).map(|s| s.entered);
            write_set.created.sort_by_key(entered);
        }
        std::mem::swap(&mut write_set.log, &mut self.log);
        if self.slots.values().any(|slot| slot.removed) {
            let mut indexes = 0..;
            write_set.log.retain(|entry| {
                let slot = self.slots.get(&entry.uid).filter(|slot| slot.now.is_some());
                let index = indexes.next();
                slot.is_some_and(|slot| index >= Some(slot.log_from))
            });
        }
        if !self.touched_owners.is_empty() {
            self.change_owners(write_set);
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.owners.clear();
        self.touched_owners.clear();
        self.ended = None;
        self.keys.clear();
        self.log.clear();
        self.undo = None;
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

impl Slot {
    /// Adds the changes of the action to the rows to save.
    fn save(&self, uid: ActionUid, to: &mut WriteSet) {
        match (&self.stored, &self.now) {
            (Some(stored), now) if self.removed => {
                let gone = self.removed_as.as_ref().unwrap_or(stored);
                if gone.version != stored.version {
                    to.updated.push(gone.clone());
                }
                to.removed.push(gone.clone());
                to.created.extend(now.clone());
            }
            (Some(stored), Some(now)) if now.version != stored.version => {
                to.updated.push(now.clone());
            }
            (None, Some(now)) => to.created.push(now.clone()),
            _ => {}
        }
        self.save_keys(uid, to);
        if self.has_outgrown_its_log() {
            to.trim.push(uid);
        }
        let was_pinned = self.stored_pin && !self.removed;
        if self.stored_pin && (self.removed || !self.pinned) {
            to.unpinned.push(uid);
        }
        if self.now.is_some() && self.pinned && !was_pinned {
            to.pinned.push(uid);
        }
    }

    fn save_keys(&self, uid: ActionUid, to: &mut WriteSet) {
        let keys = |of: &Option<Arc<Action>>| of.as_deref().map_or(Vec::new(), Key::held_by);
        let (before, now) = (keys(&self.stored), keys(&self.now));
        // The keys of a removed action are deleted, even if its successor holds the same keys.
        for key in &before {
            if self.removed || !now.contains(key) {
                to.keys_freed.push(key.clone());
            }
        }
        for key in now {
            if self.removed || !before.contains(&key) {
                to.keys_taken.push((key, uid));
            }
        }
    }

    fn has_outgrown_its_log(&self) -> bool {
        let before = self.stored.as_ref().filter(|_| !self.removed);
        let before = before.map_or(0, |before| before.log_dropped());
        self.now
            .as_ref()
            .is_some_and(|now| now.log_dropped() > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Command, NewAction, Timestamp, plan, read_set};

    #[test]
    fn a_drained_state_is_empty() {
        let owner = OwnerRef::new("plane");
        let new = NewAction::task("t").with_exclusive("key");
        let create = Command::Create {
            new: new.into(),
            by: Some(owner.clone()),
        };
        let claim = Command::Claim {
            owner,
            take_over: true,
        };
        let batch = Batch::all(vec![claim, create]);
        let read_set = read_set(&batch).unwrap();
        let mut txn = TxnState::new();
        txn.put_ended(0, Vec::new());
        let answers = plan(&batch, &read_set, &mut txn, Timestamp::from_seconds(1));
        assert!(answers.iter().all(Result::is_ok));
        let mut write_set = WriteSet::default();
        txn.drain_into(&mut write_set);
        let saved = (write_set.created.len(), write_set.log.len());
        let rest = (write_set.keys_taken.len(), write_set.owners.len());
        assert_eq!((saved, rest), ((1, 1), (1, 1)));
        assert_eq!(format!("{txn:?}"), format!("{:?}", TxnState::new()));
    }
}
