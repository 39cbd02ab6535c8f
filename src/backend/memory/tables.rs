//! The data of the store in memory, and how batches are loaded and saved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::super::append_index::AppendIndex;
use super::super::{FastMap, UidMap};
use super::owners::Owners;
use crate::error::StoreError;
use crate::model::{
    AccessPath, Action, ActionUid, BlockTimes, Key, LogEntry, Position, ReadSet, Revision,
    Timestamp, TxnState, WriteSet, trim_log,
};

/// All data; consistent whenever the lock is free.
#[derive(Debug)]
pub(super) struct Tables {
    /// The position of the store.
    pub(super) at: Position,
    pub(super) rows: UidMap<Row>,
    /// The action of each number, in creation order.
    pub(super) numbers: AppendIndex<ActionUid>,
    /// The numbers of the actions in each index that can select a query's rows.
    pub(super) indexes: FastMap<AccessPath, BTreeSet<u64>>,
    /// The names of the actions, each with the numbers of its actions.
    pub(super) names: BTreeMap<Arc<str>, BTreeSet<u64>>,
    /// The completed actions by the time of completion and their number.
    pub(super) finished: BTreeSet<(Timestamp, u64)>,
    /// The times of each block of actions.
    pub(super) block_times: BTreeMap<u64, BlockTimes>,
    /// The action whose latest change has this revision.
    pub(super) feed: AppendIndex<ActionUid>,
    /// The action of each log entry, in the order of writing.
    pub(super) entries: AppendIndex<ActionUid>,
    pub(super) owners: Owners,
    keys: FastMap<Key, ActionUid>,
    last_number: u64,
    last_entry: u64,
    pub(super) scratch: Option<Box<Scratch>>,
}

/// The memory of a write, empty between two writes. Most writes are as small as the last one, and
/// allocate none of it anew.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) txn: TxnState,
    pub(super) write_set: WriteSet,
}

/// Actions that a write has replaced or removed.
pub(super) type Replaced = SmallVec<[Arc<Action>; 1]>;

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

impl Tables {
    /// Creates the tables of an empty store.
    pub(super) fn new(at: Position) -> Tables {
        Tables {
            at,
            rows: UidMap::default(),
            numbers: AppendIndex::default(),
            indexes: FastMap::default(),
            names: BTreeMap::new(),
            finished: BTreeSet::new(),
            block_times: BTreeMap::new(),
            feed: AppendIndex::default(),
            entries: AppendIndex::default(),
            owners: Owners::default(),
            keys: FastMap::default(),
            last_number: 0,
            last_entry: 0,
            scratch: None,
        }
    }

    pub(super) fn load(&self, read_set: &ReadSet, txn: &mut TxnState) {
        for uid in read_set.actions() {
            self.load_action(*uid, txn);
        }
        for uid in read_set.parents_of() {
            if let Some(parent) = self.rows.get(uid).and_then(|row| row.action.parent) {
                self.load_action(parent, txn);
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
                self.load_action(*holder, txn);
                txn.put_key(key.clone(), *holder);
            }
        }
        self.owners.load(read_set, txn);
    }

    fn load_action(&self, uid: ActionUid, txn: &mut TxnState) {
        if let Some(row) = self.rows.get(&uid) {
            txn.put_action(row.action.clone(), row.pinned, row.late);
            if let Some(owner) = &row.action.owner {
                self.owners.load_one(owner, txn);
            }
        }
    }

    /// Saves the changes, and empties `write_set`. Returns the replaced values, to be dropped later.
    pub(super) fn save(&mut self, write_set: &mut WriteSet) -> Replaced {
        let mut replaced = Replaced::new();
        let mut revisions = self.at.next_revisions().map(Revision::get);
        let stored = |uid| self.rows.get(&uid).map(|row| Revision::new(row.revision));
        self.at = self.at.apply(write_set, stored);
        for (action, revision) in write_set.updated.drain(..).zip(&mut revisions) {
            replaced.extend(self.update(action, revision));
        }
        for uid in write_set.unpinned.drain(..) {
            self.set_pin(uid, false);
        }
        for action in write_set.removed.drain(..) {
            replaced.extend(self.remove(action.uid));
        }
        for key in write_set.keys_freed.drain(..) {
            self.keys.remove(&key);
        }
        for (action, revision) in write_set.created.drain(..).zip(&mut revisions) {
            self.create(action, revision);
        }
        for entry in write_set.log.drain(..) {
            self.last_entry += 1;
            if let Some(row) = self.rows.get_mut(&entry.uid) {
                self.entries.push(self.last_entry, entry.uid);
                row.late |= entry.is_late();
                row.log.push((self.last_entry, entry));
            }
        }
        for uid in write_set.trim.drain(..) {
            self.trim(uid);
        }
        self.keys.extend(write_set.keys_taken.drain(..));
        for uid in write_set.pinned.drain(..) {
            self.set_pin(uid, true);
        }
        self.owners.save(write_set);
        replaced
    }

    fn set_pin(&mut self, uid: ActionUid, pinned: bool) {
        if let Some(row) = self.rows.get_mut(&uid) {
            row.pinned = pinned;
        }
    }

    fn remove(&mut self, uid: ActionUid) -> Option<Arc<Action>> {
        let row = self.rows.remove(&uid)?;
        self.numbers.remove(row.number);
        self.feed.remove(row.revision);
        for (entry, _) in &row.log {
            self.entries.remove(*entry);
        }
        if let Some(at) = row.action.finished_at {
            self.finished.remove(&(at, row.number));
        }
        for path in AccessPath::of(&row.action) {
            self.leave(&path, row.number);
        }
        Some(row.action)
    }

    fn create(&mut self, action: Arc<Action>, revision: u64) {
        self.last_number += 1;
        let (number, uid) = (self.last_number, action.uid);
        self.numbers.push(number, uid);
        self.feed.push(revision, uid);
        for path in AccessPath::of(&action) {
            self.enter(path, number);
        }
        self.extend_block(number, BlockTimes::of(&action));
        self.finished
            .extend(action.finished_at.map(|at| (at, number)));
        self.owners.change(None, Some(&action));
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

    /// Replaces an action. Returns the old value.
    fn update(&mut self, action: Arc<Action>, revision: u64) -> Option<Arc<Action>> {
        let row = self.rows.get_mut(&action.uid)?;
        let number = row.number;
        self.feed
            .remove(std::mem::replace(&mut row.revision, revision));
        self.feed.push(revision, action.uid);
        let replaced = std::mem::replace(&mut row.action, action.clone());
        self.owners.change(Some(&replaced), Some(&action));
        let (left, entered) = AccessPath::changes(&replaced, &action);
        for path in &left {
            self.leave(path, number);
        }
        for path in entered {
            self.enter(path, number);
        }
        if let Some(at) = action.finished_at {
            self.finished.insert((at, number));
            self.extend_block(number, BlockTimes::of(&action));
        }
        Some(replaced)
    }

    fn extend_block(&mut self, number: u64, times: BlockTimes) {
        let block = self.block_times.entry(number / BlockTimes::ACTIONS);
        block
            .and_modify(|known| known.extend(times))
            .or_insert(times);
    }

    fn enter(&mut self, path: AccessPath, number: u64) {
        let numbers = match path {
            AccessPath::Name(name) => self.names.entry(name).or_default(),
            path => self.indexes.entry(path).or_default(),
        };
        numbers.insert(number);
    }

    fn leave(&mut self, path: &AccessPath, number: u64) {
        if let AccessPath::Name(name) = path {
            if let Some(numbers) = self.names.get_mut(name) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.names.remove(name);
                }
            }
            return;
        }
        if let Some(numbers) = self.indexes.get_mut(path) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.indexes.remove(path);
            }
        }
    }

    fn trim(&mut self, uid: ActionUid) {
        let Some(row) = self.rows.get_mut(&uid) else {
            return;
        };
        for (number, _) in trim_log(&mut row.log, |(_, entry)| entry.kind) {
            self.entries.remove(number);
        }
    }
}

impl Row {
    /// Returns the row with its number, for a page.
    pub(super) fn numbered(&self) -> Result<(u64, &Arc<Action>), StoreError> {
        Ok((self.number, &self.action))
    }

    /// Returns the log entry that has this place in the whole log.
    pub(super) fn entry(&self, number: u64) -> Option<&(u64, LogEntry)> {
        let at = self
            .log
            .binary_search_by_key(&number, |(number, _)| *number);
        at.ok().and_then(|at| self.log.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BranchId, NewAction, Outcome, Status, StoreId};

    /// Entries of no action would be filtered from every page, but the memory would grow.
    #[test]
    fn an_action_leaves_the_indexes_that_it_is_no_longer_in() {
        let at = Position::new(StoreId::new(), BranchId::FIRST, Revision::ZERO);
        let mut tables = Tables::new(at);
        let new = NewAction::task("a").with_parent(ActionUid::new());
        let action = Action::new(&new, new.digest(), Timestamp::from_seconds(1));
        let mut ended = action.clone();
        (ended.status, ended.outcome) = (Status::Completed, Some(Outcome::Failed));
        ended.finished_at = Some(Timestamp::from_seconds(2));
        tables.create(Arc::new(action), 1);
        tables.update(Arc::new(ended), 2);
        assert!(!tables.indexes.contains_key(&AccessPath::Unfinished));
        assert!(
            tables
                .indexes
                .contains_key(&AccessPath::Ended(Outcome::Failed))
        );
        tables.remove(new.uid);
        assert!(tables.indexes.is_empty(), "{:?}", tables.indexes);
        assert!(tables.finished.is_empty());
    }
}
