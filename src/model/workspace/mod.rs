//! State of a transaction: the rows it has loaded, the effects of its commands, and the rows to
//! save.

mod all_owners;
mod change;
mod revisions;
mod write_set;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use smallvec::SmallVec;

use super::action::Action;
use super::identity::{ActionUid, OpId};
use super::key::Key;
use super::log_entry::LogEntry;
use super::owner::{Owner, OwnerRef};
use change::Undo;
pub use write_set::WriteSet;

/// A map in insertion order, which is also the order of creation.
///
/// Nearly every transaction has one action and one owner name. A map with one entry is searched
/// without hashing.
type Map<K, V> = IndexMap<K, V, foldhash::fast::RandomState>;

type Incarnations = SmallVec<[Owner; 1]>;

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
    owners: Map<Arc<str>, Incarnations>,
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
            named.push(owner);
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
    /// [`Limits::ENDED_OWNERS`](crate::Limits::ENDED_OWNERS), plus one for each [claim](super::ReadSet::claims). 1000 owners plus
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

    /// Returns true if an owner was added.
    pub(crate) fn has_owner(&self, owner: &OwnerRef) -> bool {
        self.owner(owner).is_some()
    }

    /// Returns true if an incarnation is alive.
    pub(crate) fn is_alive(&self, owner: &OwnerRef) -> bool {
        self.alive(owner).is_some()
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
}
