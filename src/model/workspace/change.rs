//! The changes of commands, and how a refused batch is undone.

use std::sync::Arc;

use super::{Incarnations, Slot, TxnState};
use crate::model::action::Action;
use crate::model::identity::ActionUid;
use crate::model::key::Key;
use crate::model::log_entry::LogEntry;
use crate::model::owner::{Owner, OwnerRef};

#[derive(Debug)]
pub(super) enum Undo {
    Slot(ActionUid, Slot),
    Owners(Arc<str>, Incarnations),
    TouchedOwner(OwnerRef),
    Key(Key, Option<ActionUid>),
    Log(usize),
}

impl TxnState {
    /// Begins a batch that is all or nothing.
    pub(in crate::model) fn begin(&mut self) {
        self.undo = Some(vec![Undo::Log(self.log.len())]);
    }

    /// Ends the batch. Undoes all its changes unless `keep` is true.
    pub(in crate::model) fn end(&mut self, keep: bool) {
        let undo = self.undo.take().unwrap_or_default();
        if keep {
            return;
        }
        for step in undo.into_iter().rev() {
            match step {
                Undo::Slot(uid, slot) => *self.slot(uid) = slot,
                Undo::Owners(name, owners) => *self.named(&name) = owners,
                Undo::TouchedOwner(owner) => {
                    self.touched_owners.remove(&owner);
                }
                Undo::Key(key, holder) => *self.holder_of(&key) = holder,
                Undo::Log(len) => self.log.truncate(len),
            }
        }
    }

    /// Sets the new state of an action.
    pub(in crate::model) fn set_action(&mut self, action: Arc<Action>) {
        let uid = action.uid;
        self.change(uid).now = Some(action);
    }

    /// Enters a new action with the first entries of its log and its keys.
    pub(in crate::model) fn enter_action(
        &mut self,
        action: Arc<Action>,
        log: impl IntoIterator<Item = LogEntry>,
    ) {
        let entered = self.log.len();
        for entry in log {
            self.append(entry);
        }
        for key in Key::held_by(&action) {
            let before = self.holder_of(&key).replace(action.uid);
            self.note(|| Undo::Key(key, before));
        }
        let late = self.log[entered..].iter().any(LogEntry::is_late);
        let slot = self.change(action.uid);
        slot.now = Some(action);
        slot.late = late;
        slot.entered = entered;
    }

    pub(in crate::model) fn remove_action(&mut self, uid: ActionUid) {
        let log_from = self.log.len();
        let slot = self.change(uid);
        let gone = slot.now.take();
        if !slot.removed {
            slot.removed_as = gone;
        }
        slot.pinned = false;
        slot.late = false;
        slot.removed = true;
        slot.log_from = log_from;
        slot.ops.clear();
    }

    pub(in crate::model) fn set_pin(&mut self, uid: ActionUid, pinned: bool) {
        self.change(uid).pinned = pinned;
    }

    pub(in crate::model) fn append(&mut self, entry: LogEntry) {
        if let Some(op) = entry.op {
            self.change(entry.uid).ops.push(op);
        }
        self.log.push(entry);
    }

    /// Appends a late report, unless the log already has one.
    pub(in crate::model) fn append_late(&mut self, entry: LogEntry) {
        let has_one = self.slots.get(&entry.uid).is_none_or(|slot| slot.late);
        if !has_one {
            self.change(entry.uid).late = true;
            self.append(entry);
        }
    }

    /// Sets the new state of an owner.
    pub(in crate::model) fn set_owner(&mut self, owner: Owner) {
        let name = owner.owner.name.clone();
        let named = self.owners.entry(name.clone()).or_default();
        if let Some(steps) = &mut self.undo {
            steps.push(Undo::Owners(name, named.clone()));
        }
        match named.iter_mut().find(|known| known.owner == owner.owner) {
            Some(known) => *known = owner.clone(),
            None => named.push(owner.clone()),
        }
        let place = self.touched_owners.len();
        if !self.touched_owners.contains_key(&owner.owner) {
            self.touched_owners.insert(owner.owner.clone(), place);
            self.note(|| Undo::TouchedOwner(owner.owner));
        }
    }

    fn slot(&mut self, uid: ActionUid) -> &mut Slot {
        self.slots.entry(uid).or_default()
    }

    fn named(&mut self, name: &Arc<str>) -> &mut Incarnations {
        self.owners.entry(name.clone()).or_default()
    }

    fn holder_of(&mut self, key: &Key) -> &mut Option<ActionUid> {
        self.keys.entry(key.clone()).or_default()
    }

    fn note(&mut self, undo: impl FnOnce() -> Undo) {
        if let Some(steps) = &mut self.undo {
            steps.push(undo());
        }
    }

    /// Returns an action's slot for a change, and records how to undo it.
    fn change(&mut self, uid: ActionUid) -> &mut Slot {
        let slot = self.slots.entry(uid).or_default();
        if let Some(steps) = &mut self.undo {
            steps.push(Undo::Slot(uid, slot.clone()));
        }
        slot
    }
}
