//! What a transaction has loaded, what the commands made of it, and what is to be saved.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::action::{Action, ActionUid, OpId};
use super::limits::Limits;
use super::owner::{Owner, OwnerRef};
use super::transition::Transition;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Held while the action is unfinished.
    Exclusive,
    /// Held while the action is kept.
    Idempotency,
}

impl KeyKind {
    /// The small integer a table keeps. Settled for ever.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            KeyKind::Exclusive => 0,
            KeyKind::Idempotency => 1,
        }
    }
}

/// A key that at most one action of a tenant holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Within which tenant.
    pub tenant: Arc<str>,
    /// What it is for.
    pub kind: KeyKind,
    /// The key itself.
    pub key: Arc<str>,
}

impl Key {
    pub(super) fn exclusive(tenant: &Arc<str>, key: &Arc<str>) -> Key {
        Key {
            tenant: tenant.clone(),
            kind: KeyKind::Exclusive,
            key: key.clone(),
        }
    }

    pub(super) fn idempotency(tenant: &Arc<str>, key: &Arc<str>) -> Key {
        Key {
            tenant: tenant.clone(),
            kind: KeyKind::Idempotency,
            key: key.clone(),
        }
    }

    /// The keys an action holds as it is.
    fn held_by(action: &Action) -> Vec<Key> {
        let exclusive = action.exclusive.iter().filter(|_| action.is_unfinished());
        let mut keys: Vec<Key> = exclusive
            .map(|key| Key::exclusive(&action.tenant, key))
            .collect();
        let idempotency = action.idempotency_key.as_ref();
        keys.extend(idempotency.map(|key| Key::idempotency(&action.tenant, key)));
        keys
    }
}

/// What a transaction has loaded for some batches, and where [`plan`](super::plan) works.
///
/// A backend fills it with what [`Needs`](super::Needs) name and the store has; what is not put
/// in is not there. Several batches of one transaction are planned one after the other on the
/// same `Loaded`; [`Loaded::into_changes`] then says what to save for all of them.
#[derive(Debug, Default)]
pub struct Loaded {
    slots: HashMap<ActionUid, Slot>,
    /// The uids whose slots changed, in the order of their first change.
    touched: Vec<ActionUid>,
    ops: HashSet<(ActionUid, OpId)>,
    owners: HashMap<Arc<str>, Vec<Owner>>,
    touched_owners: BTreeSet<OwnerRef>,
    keys: HashMap<Key, ActionUid>,
    /// Entries, each with the life of its action that it belongs to.
    log: Vec<(u32, Transition)>,
    /// Actions whose log has a late report.
    late: HashSet<ActionUid>,
    /// What to put back if the batch at work is refused as a whole.
    undo: Option<Vec<Undo>>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    stored: Option<Arc<Action>>,
    stored_pin: bool,
    now: Option<Arc<Action>>,
    pinned: bool,
    /// How often it was removed in this transaction: what is created after that under the same
    /// uid is another action, whatever version it comes to.
    life: u32,
}

#[derive(Debug)]
enum Undo {
    Slot(ActionUid, Slot),
    Owners(Arc<str>, Vec<Owner>),
    Key(Key, Option<ActionUid>),
    Op((ActionUid, OpId)),
    Log(usize),
}

/// What is to be saved, so that it can be saved in this order: removals first.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Changes {
    /// Actions to remove with their logs, as they were stored.
    pub removed: Vec<Arc<Action>>,
    /// Keys that nobody holds any more, or that another action takes.
    pub keys_freed: Vec<Key>,
    /// Actions to insert, in creation order.
    pub created: Vec<Arc<Action>>,
    /// Actions to overwrite.
    pub updated: Vec<Arc<Action>>,
    /// Log entries to append.
    pub log: Vec<Transition>,
    /// Actions whose log now has more than [`Limits::LOG_ENTRIES`]: drop the oldest of it.
    pub trim: Vec<ActionUid>,
    /// Keys to enter.
    pub keys_taken: Vec<(Key, ActionUid)>,
    /// Pins to set or to lift.
    pub pins: Vec<(ActionUid, bool)>,
    /// Owners to insert or overwrite.
    pub owners: Vec<Owner>,
    /// Ended owners to forget.
    pub owners_forgotten: Vec<OwnerRef>,
}

impl Changes {
    /// Whether there is nothing to save.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
            && self.created.is_empty()
            && self.updated.is_empty()
            && self.log.is_empty()
            && self.pins.is_empty()
            && self.owners.is_empty()
            && self.owners_forgotten.is_empty()
    }
}

impl Loaded {
    /// Nothing loaded yet.
    #[must_use]
    pub fn new() -> Loaded {
        Loaded::default()
    }

    /// Puts an action in, and whether it is pinned and its log has a late report.
    pub fn put_action(&mut self, action: Arc<Action>, pinned: bool, late: bool) {
        if late {
            self.late.insert(action.uid);
        }
        let slot = Slot {
            stored: Some(action.clone()),
            stored_pin: pinned,
            now: Some(action.clone()),
            pinned,
            life: 0,
        };
        self.slots.insert(action.uid, slot);
    }

    /// Puts in that the log of an action has an entry by this operation.
    pub fn put_op(&mut self, uid: ActionUid, op: OpId) {
        self.ops.insert((uid, op));
    }

    /// Puts an owner in. Those of one name come in the order in which they claimed it.
    pub fn put_owner(&mut self, owner: Owner) {
        self.owners
            .entry(owner.owner.name.clone())
            .or_default()
            .push(owner);
    }

    /// Puts in who holds a key; the holder itself is to be put in as well.
    pub fn put_key(&mut self, key: Key, holder: ActionUid) {
        self.keys.insert(key, holder);
    }

    pub(super) fn action(&self, uid: ActionUid) -> Option<&Arc<Action>> {
        self.slots.get(&uid)?.now.as_ref()
    }

    pub(super) fn is_pinned(&self, uid: ActionUid) -> bool {
        self.slots.get(&uid).is_some_and(|slot| slot.pinned)
    }

    pub(super) fn has_op(&self, uid: ActionUid, op: OpId) -> bool {
        self.ops.contains(&(uid, op))
    }

    /// What is known of an incarnation.
    pub(super) fn owner(&self, owner: &OwnerRef) -> Option<&Owner> {
        let named = self.owners.get(&owner.name)?;
        named.iter().find(|known| known.owner == *owner)
    }

    /// The living incarnation of a name.
    pub(super) fn living(&self, name: &str) -> Option<&Owner> {
        self.owners.get(name)?.iter().find(|o| o.is_alive())
    }

    /// The living owner that is this incarnation.
    pub(super) fn alive(&self, owner: &OwnerRef) -> Option<&Owner> {
        self.owner(owner).filter(|known| known.is_alive())
    }

    /// The action that holds a key now.
    pub(super) fn holder(&self, key: &Key) -> Option<&Arc<Action>> {
        let action = self.action(*self.keys.get(key)?)?;
        Key::held_by(action).contains(key).then_some(action)
    }

    /// Begins a batch that is all or nothing.
    pub(super) fn begin(&mut self) {
        self.undo = Some(vec![Undo::Log(self.log.len())]);
    }

    /// Ends it: as it is, or as if it had never been.
    pub(super) fn end(&mut self, keep: bool) {
        let undo = self.undo.take().unwrap_or_default();
        if keep {
            return;
        }
        for step in undo.into_iter().rev() {
            match step {
                Undo::Slot(uid, slot) => {
                    self.slots.insert(uid, slot);
                }
                Undo::Owners(name, owners) => {
                    self.owners.insert(name, owners);
                }
                Undo::Key(key, Some(holder)) => {
                    self.keys.insert(key, holder);
                }
                Undo::Key(key, None) => {
                    self.keys.remove(&key);
                }
                Undo::Op(op) => {
                    self.ops.remove(&op);
                }
                // A batch that is refused as a whole still leaves its late reports.
                Undo::Log(len) => {
                    let mut late = self.log.split_off(len);
                    late.retain(|(_, entry)| entry.is_late() && self.is_stored(entry.uid));
                    self.log.append(&mut late);
                }
            }
        }
    }

    fn note(&mut self, undo: impl FnOnce() -> Undo) {
        if let Some(steps) = &mut self.undo {
            steps.push(undo());
        }
    }

    fn slot(&mut self, uid: ActionUid) -> &mut Slot {
        let before = self.slots.get(&uid).cloned().unwrap_or_default();
        self.note(|| Undo::Slot(uid, before));
        self.touched.push(uid);
        self.slots.entry(uid).or_default()
    }

    /// Sets an action to what a command made of it.
    pub(super) fn set_action(&mut self, action: Arc<Action>) {
        let (uid, op) = (action.uid, action.last_op);
        self.slot(uid).now = Some(action);
        if let Some(op) = op
            && self.ops.insert((uid, op))
        {
            self.note(|| Undo::Op((uid, op)));
        }
    }

    /// Enters a new action and the keys it holds.
    pub(super) fn enter_action(&mut self, action: Arc<Action>) {
        for key in Key::held_by(&action) {
            let before = self.keys.insert(key.clone(), action.uid);
            self.note(|| Undo::Key(key, before));
        }
        self.set_action(action);
    }

    pub(super) fn remove_action(&mut self, uid: ActionUid) {
        let slot = self.slot(uid);
        slot.now = None;
        slot.pinned = false;
        slot.life += 1;
    }

    pub(super) fn set_pin(&mut self, uid: ActionUid, pinned: bool) {
        self.slot(uid).pinned = pinned;
    }

    fn is_stored(&self, uid: ActionUid) -> bool {
        let slot = self.slots.get(&uid);
        slot.is_some_and(|slot| slot.stored.is_some())
    }

    fn life(&self, uid: ActionUid) -> u32 {
        self.slots.get(&uid).map_or(0, |slot| slot.life)
    }

    pub(super) fn append(&mut self, entry: Transition) {
        self.log.push((self.life(entry.uid), entry));
    }

    /// Appends a late report, unless the action's log has one.
    pub(super) fn append_late(&mut self, entry: Transition) {
        if self.is_stored(entry.uid) && self.late.insert(entry.uid) {
            self.append(entry);
        }
    }

    /// Sets an owner, and forgets the oldest ended ones of its name beyond the limit.
    pub(super) fn set_owner(&mut self, owner: Owner) {
        let name = owner.owner.name.clone();
        let named = self.owners.entry(name.clone()).or_default();
        let before = named.clone();
        match named.iter_mut().find(|known| known.owner == owner.owner) {
            Some(known) => *known = owner.clone(),
            None => named.push(owner.clone()),
        }
        while named.len() > Limits::ENDED_OWNERS + 1 {
            let Some(oldest) = named.iter().position(|known| !known.is_alive()) else {
                break;
            };
            self.touched_owners.insert(named.remove(oldest).owner);
        }
        self.touched_owners.insert(owner.owner);
        self.note(|| Undo::Owners(name, before));
    }

    /// What is to be saved for all that was planned.
    #[must_use]
    pub fn into_changes(mut self) -> Changes {
        let mut changes = Changes::default();
        let mut seen = HashSet::new();
        let (mut freed, mut taken) = (Vec::new(), Vec::new());
        for uid in std::mem::take(&mut self.touched) {
            let Some(slot) = self.slots.get(&uid).filter(|_| seen.insert(uid)) else {
                continue;
            };
            let keys = |of: &Option<Arc<Action>>| of.as_deref().map_or(Vec::new(), Key::held_by);
            let (before, now) = (keys(&slot.stored), keys(&slot.now));
            freed.extend(before.iter().filter(|key| !now.contains(key)).cloned());
            taken.extend(
                now.into_iter()
                    .filter(|key| !before.contains(key))
                    .map(|k| (k, uid)),
            );
            // Removed and created anew in one transaction.
            let replaced = slot.life > 0;
            match (&slot.stored, &slot.now) {
                (Some(stored), now) if now.is_none() || replaced => {
                    changes.removed.push(stored.clone());
                    changes.created.extend(now.clone());
                }
                (Some(stored), Some(now)) if now.version != stored.version => {
                    changes.updated.push(now.clone());
                }
                (None, Some(now)) => changes.created.push(now.clone()),
                _ => {}
            }
            if slot.now.is_some() && (slot.pinned != slot.stored_pin || replaced) {
                changes.pins.push((uid, slot.pinned));
            }
        }
        let over = |action: &&Arc<Action>| action.log_entries > Limits::LOG_ENTRIES;
        // One batch may create an action and make its log too long.
        let written = changes.created.iter().chain(&changes.updated);
        changes.trim = written.filter(over).map(|a| a.uid).collect();
        changes.keys_freed = freed;
        changes.keys_taken = taken;
        let slots = &self.slots;
        let mut log = std::mem::take(&mut self.log);
        let kept = |life: u32, slot: &Slot| slot.now.is_some() && slot.life == life;
        log.retain(|(life, entry)| slots.get(&entry.uid).is_some_and(|slot| kept(*life, slot)));
        changes.log = log.into_iter().map(|(_, entry)| entry).collect();
        for owner in &self.touched_owners {
            match self.owner(owner) {
                Some(known) => changes.owners.push(known.clone()),
                None => changes.owners_forgotten.push(owner.clone()),
            }
        }
        changes
    }
}
