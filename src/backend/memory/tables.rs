//! The data of the store in memory, and how batches are loaded and saved.

use std::collections::{BTreeSet, HashMap};
use std::iter::Peekable;
use std::ops::RangeBounds as _;
use std::sync::Arc;

use super::super::UidMap;
use super::super::append_index::AppendIndex;
use super::owners::Owners;
use crate::model::{
    AccessPath, Action, ActionUid, BranchId, End, Key, Limits, LogEntry, Position, ReadSet,
    Revision, StoreId, Timestamp, TxnState, WriteSet,
};

/// All data; consistent whenever the lock is free.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) rows: UidMap<Row>,
    /// The action of each number, in creation order.
    numbers: AppendIndex<ActionUid>,
    /// The numbers of the actions in each set that can select a query's rows.
    sets: HashMap<AccessPath, BTreeSet<u64>>,
    /// The action whose latest change has this revision.
    pub(super) feed: AppendIndex<ActionUid>,
    /// The action of each log entry, in the order of writing.
    pub(super) entries: AppendIndex<ActionUid>,
    pub(super) owners: Owners,
    keys: HashMap<Key, ActionUid>,
    last_number: u64,
    last_revision: u64,
    last_entry: u64,
    pruned_through: u64,
    pruned_created: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) action: Arc<Action>,
    pub(super) number: u64,
    pub(super) revision: u64,
    pinned: bool,
    /// Its log, oldest first. Each entry has its place in `Tables::entries`.
    pub(super) log: Vec<(u64, LogEntry)>,
    /// True if the log has a late report.
    late: bool,
}

type Range = (std::ops::Bound<u64>, std::ops::Bound<u64>);

impl Tables {
    pub(super) fn position(&self, store_id: StoreId) -> Position {
        let pruned_through = Revision::new(self.pruned_through);
        Position::new(store_id, BranchId::FIRST, Revision::new(self.last_revision))
            .with_pruned(pruned_through, self.pruned_created)
    }

    /// Returns the end of the history.
    pub(super) fn end(&self) -> End {
        End {
            revision: self.last_revision,
            number: self.last_number,
            entry: self.last_entry,
        }
    }

    /// Returns the rows of a driver, in creation order or newest first.
    pub(super) fn driven(&self, driver: &AccessPath, range: Range, newest: bool) -> Walk<'_, &Row> {
        let numbers = match driver {
            AccessPath::All => {
                let uids = self.numbers.range(range).map(|(_, uid)| uid);
                return directed(uids.filter_map(|uid| self.rows.get(uid)), newest);
            }
            AccessPath::Uid(uid) => {
                let row = self.rows.get(uid);
                return Box::new(row.filter(|row| range.contains(&row.number)).into_iter());
            }
            AccessPath::TouchesAny(objects) => {
                let sets = objects
                    .iter()
                    .map(|object| AccessPath::Touches(object.clone()));
                let sets = sets.filter_map(|set| self.sets.get(&set));
                let walks = sets.map(|set| directed(set.range(range).copied(), newest).peekable());
                merged(walks.collect(), newest)
            }
            _ => {
                let numbers = self.sets.get(driver).map(|set| set.range(range).copied());
                directed(numbers.into_iter().flatten(), newest)
            }
        };
        let uids = numbers.filter_map(|number| self.numbers.get(number));
        Box::new(uids.filter_map(|uid| self.rows.get(uid)))
    }

    pub(super) fn load(&self, read_set: &ReadSet) -> TxnState {
        let mut txn = TxnState::new();
        for uid in read_set.actions() {
            self.load_action(*uid, &mut txn);
        }
        for uid in read_set.parents_of() {
            if let Some(parent) = self.rows.get(uid).and_then(|row| row.action.parent) {
                self.load_action(parent, &mut txn);
            }
        }
        for (uid, op) in read_set.ops() {
            let row = self.rows.get(uid);
            if row.is_some_and(|row| row.log.iter().any(|(_, e)| e.op == Some(*op))) {
                txn.put_op(*uid, *op);
            }
        }
        for key in read_set.keys() {
            if let Some(holder) = self.keys.get(key) {
                self.load_action(*holder, &mut txn);
                txn.put_key(key.clone(), *holder);
            }
        }
        self.owners.load(read_set, &mut txn);
        txn
    }

    fn load_action(&self, uid: ActionUid, txn: &mut TxnState) {
        if let Some(row) = self.rows.get(&uid) {
            txn.put_action(row.action.clone(), row.pinned, row.late);
            if let Some(owner) = &row.action.owner {
                self.owners.load_one(owner, txn);
            }
        }
    }

    /// Saves the changes. The replaced values are left in `write_set`, to be dropped later.
    pub(super) fn save(&mut self, write_set: &mut WriteSet) {
        for action in &mut write_set.updated {
            self.update(action);
        }
        for uid in &write_set.unpinned {
            self.set_pin(*uid, false);
        }
        for action in &write_set.removed {
            self.remove(action);
        }
        for key in &write_set.keys_freed {
            self.keys.remove(key);
        }
        for action in write_set.created.drain(..) {
            self.create(action);
        }
        for entry in write_set.log.drain(..) {
            self.last_entry += 1;
            if let Some(row) = self.rows.get_mut(&entry.uid) {
                self.entries.push(self.last_entry, entry.uid);
                row.late |= entry.is_late();
                row.log.push((self.last_entry, entry));
            }
        }
        for uid in &write_set.trim {
            self.trim(*uid);
        }
        self.keys.extend(write_set.keys_taken.drain(..));
        for uid in &write_set.pinned {
            self.set_pin(*uid, true);
        }
        self.owners.save(write_set);
    }

    fn set_pin(&mut self, uid: ActionUid, pinned: bool) {
        if let Some(row) = self.rows.get_mut(&uid) {
            row.pinned = pinned;
        }
    }

    fn remove(&mut self, action: &Action) {
        let Some(row) = self.rows.remove(&action.uid) else {
            return;
        };
        self.numbers.remove(row.number);
        self.feed.remove(row.revision);
        self.pruned_through = self.pruned_through.max(row.revision);
        self.pruned_created = self.pruned_created.max(Some(row.action.created_at));
        for (entry, _) in &row.log {
            self.entries.remove(*entry);
        }
        for set in AccessPath::sets_of(&row.action) {
            self.leave(set, row.number);
        }
    }

    fn create(&mut self, action: Arc<Action>) {
        self.last_number += 1;
        self.last_revision += 1;
        let (number, revision, uid) = (self.last_number, self.last_revision, action.uid);
        self.numbers.push(number, uid);
        self.feed.push(revision, uid);
        for set in AccessPath::sets_of(&action) {
            self.sets.entry(set).or_default().insert(number);
        }
        self.owners.own(&action);
        let row = Row {
            action,
            number,
            revision,
            pinned: false,
            log: Vec::new(),
            late: false,
        };
        self.rows.insert(uid, row);
    }

    /// Replaces an action. The old value takes the new value's place in the changes.
    fn update(&mut self, action: &mut Arc<Action>) {
        let Some(row) = self.rows.get_mut(&action.uid) else {
            return;
        };
        std::mem::swap(&mut row.action, action);
        let (before, after) = (&*action, &row.action);
        self.owners.disown(before);
        self.owners.own(after);
        self.last_revision += 1;
        self.feed.remove(row.revision);
        self.feed.push(self.last_revision, after.uid);
        row.revision = self.last_revision;
        let cancelled = before.cancel.is_some() != after.cancel.is_some();
        if before.status != after.status || before.owner != after.owner || cancelled {
            let (after, number) = (after.clone(), row.number);
            let sets = AccessPath::moving_sets_of;
            for set in sets(before).filter(|set| sets(&after).all(|other| other != *set)) {
                self.leave(set, number);
            }
            for set in sets(&after).filter(|set| sets(before).all(|other| other != *set)) {
                self.sets.entry(set).or_default().insert(number);
            }
        }
    }

    fn leave(&mut self, set: AccessPath, number: u64) {
        if let Some(numbers) = self.sets.get_mut(&set) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.sets.remove(&set);
            }
        }
    }

    /// Drops the oldest entries of a log that is too long; late reports do not count.
    fn trim(&mut self, uid: ActionUid) {
        let Some(row) = self.rows.get_mut(&uid) else {
            return;
        };
        let counted = row.log.iter().filter(|(_, entry)| !entry.is_late()).count();
        let mut excess = counted.saturating_sub(Limits::LOG_ENTRIES as usize);
        row.log.retain(|(number, entry)| {
            let goes = excess > 0 && !entry.is_late();
            if goes {
                excess -= 1;
                self.entries.remove(*number);
            }
            !goes
        });
    }
}

impl Row {
    /// Returns the log entry that has this place in the whole log.
    pub(super) fn entry(&self, number: u64) -> Option<&(u64, LogEntry)> {
        let at = self
            .log
            .binary_search_by_key(&number, |(number, _)| *number);
        at.ok().and_then(|at| self.log.get(at))
    }
}

type Walk<'t, T> = Box<dyn Iterator<Item = T> + 't>;

fn directed<'t, T: 't>(walk: impl DoubleEndedIterator<Item = T> + 't, newest: bool) -> Walk<'t, T> {
    if newest {
        Box::new(walk.rev())
    } else {
        Box::new(walk)
    }
}

/// Merges several scans; each number appears once.
fn merged<'t>(mut walks: Vec<Peekable<Walk<'t, u64>>>, newest: bool) -> Walk<'t, u64> {
    Box::new(std::iter::from_fn(move || {
        let heads = walks.iter_mut().filter_map(|walk| walk.peek().copied());
        let next = if newest { heads.max() } else { heads.min() }?;
        for walk in &mut walks {
            walk.next_if_eq(&next);
        }
        Some(next)
    }))
}
