//! State of a transaction: the rows it has loaded, the effects of its commands, and the rows to
//! save.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use smallvec::SmallVec;

use super::action::Action;
use super::identity::{ActionUid, OpId};
use super::key::Key;
use super::limits::Limits;
use super::log_entry::LogEntry;
use super::owner::{Owner, OwnerRef};

/// A map in insertion order, which is also the order of creation.
///
/// Nearly every transaction has one action and one owner name. A map with one entry is searched
/// without hashing.
type Map<K, V> = IndexMap<K, V, foldhash::fast::RandomState>;

/// State of one transaction, which [`plan`](super::plan) reads and changes.
///
/// A backend loads the rows that [`ReadSet`](super::ReadSet) lists and puts in those that exist. A row
/// that is not put in counts as absent. Several batches of a transaction are planned one after
/// another on the same `TxnState`. [`TxnState::into_write_set`] then returns the rows to save for all of
/// them.
#[derive(Debug, Default)]
pub struct TxnState {
    slots: Map<ActionUid, Slot>,
    /// The incarnations of a name, in the order of their claims.
    owners: Map<Arc<str>, Arc<Vec<Owner>>>,
    /// Changed owners, each with its position in the order of changes.
    touched_owners: BTreeMap<OwnerRef, usize>,
    /// Number of ended owners, and those of them that may be forgotten.
    ended: Option<(usize, Vec<OwnerRef>)>,
    /// Holder of each key. `None` if the key was set and then undone.
    keys: Map<Key, Option<ActionUid>>,
    log: Vec<LogEntry>,
    /// Steps that undo the current batch if it is refused as a whole.
    undo: Option<Vec<Undo>>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    stored: Option<Arc<Action>>,
    stored_pin: bool,
    now: Option<Arc<Action>>,
    pinned: bool,
    /// Operations that are known to have an entry in the log.
    ops: SmallVec<[OpId; 1]>,
    /// True if the log has a late report.
    late: bool,
    /// True if the stored action was removed. `now` is then a new action, or none.
    removed: bool,
    /// The stored action, as it was when it was removed.
    removed_as: Option<Arc<Action>>,
    /// Index in [`TxnState::log`]. Earlier entries of this uid belong to a removed action.
    log_from: usize,
    /// Length of `TxnState::log` when the action was entered. Each action that is entered appends an
    /// entry, so this gives the order of creation.
    entered: usize,
}

#[derive(Debug)]
enum Undo {
    Slot(ActionUid, Slot),
    Owners(Arc<str>, Arc<Vec<Owner>>),
    TouchedOwner(OwnerRef),
    Key(Key, Option<ActionUid>),
    Log(usize),
}

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
    /// Creates an empty state.
    #[must_use]
    pub fn new() -> TxnState {
        TxnState::default()
    }

    /// Adds a stored action. `pinned` is true if it is pinned, and `late` if its log has a late
    /// report.
    ///
    /// If the action was added before, this does nothing. So the second batch that names an action
    /// finds the changes of the first.
    pub fn put_action(&mut self, action: Arc<Action>, pinned: bool, late: bool) {
        let uid = action.uid;
        self.slots.entry(uid).or_insert_with(|| Slot {
            stored: Some(action.clone()),
            stored_pin: pinned,
            now: Some(action),
            pinned,
            late,
            ..Slot::default()
        });
    }

    /// Records that the log of an action has an entry by this operation. Add the action first.
    pub fn put_op(&mut self, uid: ActionUid, op: OpId) {
        // The log of a removed action is deleted, even if the store still returns it.
        if let Some(slot) = self.slots.get_mut(&uid).filter(|slot| !slot.removed) {
            slot.ops.push(op);
        }
    }

    /// Adds a stored owner. Add the owners of one name in the order of their claims. If the owner
    /// was added before, this does nothing.
    pub fn put_owner(&mut self, owner: Owner) {
        let named = self.owners.entry(owner.owner.name.clone()).or_default();
        if named.iter().all(|known| known.owner != owner.owner) {
            Arc::make_mut(named).push(owner);
        }
    }

    /// Sets the number of ended owners that the store remembers, and the list of those that may be
    /// forgotten, in the order of their claims.
    ///
    /// An owner may be forgotten if it has no unfinished action. Two kinds of owners must not be in
    /// the list: the last ended incarnation of a name that is alive, and the last ended incarnation
    /// of a name in [`ReadSet::owners`](super::ReadSet::owners).
    ///
    /// The list may be shortened. It must have one owner for each remembered owner beyond
    /// [`Limits::ENDED_OWNERS`], plus one for each [claim](super::ReadSet::claims). 1000 owners plus
    /// one for each claim are always enough.
    pub fn put_ended(&mut self, count: usize, may_be_forgotten: Vec<OwnerRef>) {
        match &mut self.ended {
            None => self.ended = Some((count, may_be_forgotten)),
            Some((_, known)) => known.retain(|owner| may_be_forgotten.contains(owner)),
        }
    }

    /// Adds the holder of a key. Add the holding action, too. If the key was added before, this
    /// does nothing.
    pub fn put_key(&mut self, key: Key, holder: ActionUid) {
        self.keys.entry(key).or_insert(Some(holder));
    }

    pub(super) fn action(&self, uid: ActionUid) -> Option<&Arc<Action>> {
        self.slots.get(&uid)?.now.as_ref()
    }

    pub(super) fn is_pinned(&self, uid: ActionUid) -> bool {
        self.slots.get(&uid).is_some_and(|slot| slot.pinned)
    }

    /// Returns true if an operation is known to have changed an action: it is the last one, or one
    /// in the log.
    pub(super) fn has_op(&self, uid: ActionUid, op: OpId) -> bool {
        let Some(slot) = self.slots.get(&uid) else {
            return false;
        };
        let last = slot.now.as_ref().and_then(|action| action.last_op);
        last == Some(op) || slot.ops.contains(&op)
    }

    /// Returns the record of an incarnation.
    pub(super) fn owner(&self, owner: &OwnerRef) -> Option<&Owner> {
        let named = self.owners.get(&owner.name)?;
        named.iter().find(|known| known.owner == *owner)
    }

    /// Returns the living incarnation of a name.
    pub(super) fn living(&self, name: &Arc<str>) -> Option<&Owner> {
        self.owners.get(name)?.iter().find(|o| o.is_alive())
    }

    /// Returns all living owners.
    #[cfg(feature = "sqlite-unbundled")]
    pub(super) fn all_living(&self) -> Vec<Owner> {
        let owners = self.owners.iter().flat_map(|(_, named)| named.iter());
        owners.filter(|owner| owner.is_alive()).cloned().collect()
    }

    /// Returns the record of an incarnation if it is alive.
    pub(super) fn alive(&self, owner: &OwnerRef) -> Option<&Owner> {
        self.owner(owner).filter(|known| known.is_alive())
    }

    /// Returns the action that holds a key.
    pub(super) fn holder(&self, key: &Key) -> Option<&Arc<Action>> {
        let action = self.action((*self.keys.get(key)?)?)?;
        Key::held_by(action).contains(key).then_some(action)
    }

    /// Begins a batch that is all or nothing.
    pub(super) fn begin(&mut self) {
        self.undo = Some(vec![Undo::Log(self.log.len())]);
    }

    /// Ends the batch. Undoes all its changes unless `keep` is true.
    pub(super) fn end(&mut self, keep: bool) {
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

    fn slot(&mut self, uid: ActionUid) -> &mut Slot {
        self.slots.entry(uid).or_default()
    }

    fn named(&mut self, name: &Arc<str>) -> &mut Arc<Vec<Owner>> {
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

    /// Sets the new state of an action.
    pub(super) fn set_action(&mut self, action: Arc<Action>) {
        let uid = action.uid;
        self.change(uid).now = Some(action);
    }

    /// Enters a new action with the first entries of its log and its keys.
    pub(super) fn enter_action(
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

    pub(super) fn remove_action(&mut self, uid: ActionUid) {
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

    pub(super) fn set_pin(&mut self, uid: ActionUid, pinned: bool) {
        self.change(uid).pinned = pinned;
    }

    pub(super) fn append(&mut self, entry: LogEntry) {
        if let Some(op) = entry.op {
            self.change(entry.uid).ops.push(op);
        }
        self.log.push(entry);
    }

    /// Appends a late report, unless the log already has one.
    pub(super) fn append_late(&mut self, entry: LogEntry) {
        let has_one = self.slots.get(&entry.uid).is_none_or(|slot| slot.late);
        if !has_one {
            self.change(entry.uid).late = true;
            self.append(entry);
        }
    }

    /// Sets the new state of an owner.
    pub(super) fn set_owner(&mut self, owner: Owner) {
        let name = owner.owner.name.clone();
        let named = self.named(&name);
        let before = named.clone();
        let named = Arc::make_mut(named);
        match named.iter_mut().find(|known| known.owner == owner.owner) {
            Some(known) => *known = owner.clone(),
            None => named.push(owner.clone()),
        }
        self.note(|| Undo::Owners(name, before));
        let place = self.touched_owners.len();
        if !self.touched_owners.contains_key(&owner.owner) {
            self.touched_owners.insert(owner.owner.clone(), place);
            self.note(|| Undo::TouchedOwner(owner.owner));
        }
    }

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
