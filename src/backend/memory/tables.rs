//! The data of the store in memory, and how batches are loaded and saved.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::{Bound, RangeBounds as _};
use std::sync::Arc;

use smallvec::SmallVec;

use super::super::append_index::AppendIndex;
use super::super::{FastMap, UidMap};
use super::owners::Owners;
use crate::error::StoreError;
use crate::model::{
    AccessPath, Action, ActionUid, BlockTimes, Key, LogEntry, Position, Query, ReadSet, Revision,
    SELECTIVE, TimeRanges, Timestamp, TxnState, WriteSet, trim_log,
};

/// All data; consistent whenever the lock is free.
#[derive(Debug)]
pub(super) struct Tables {
    /// The position of the store.
    pub(super) at: Position,
    pub(super) rows: UidMap<Row>,
    /// The action of each number, in creation order.
    numbers: AppendIndex<ActionUid>,
    /// The numbers of the actions in each index that can select a query's rows.
    indexes: FastMap<AccessPath, BTreeSet<u64>>,
    /// The names of the actions, each with the numbers of its actions.
    names: BTreeMap<Arc<str>, BTreeSet<u64>>,
    /// The completed actions by the time of completion and their number.
    finished: BTreeSet<(Timestamp, u64)>,
    /// The times of each block of actions.
    block_times: BTreeMap<u64, BlockTimes>,
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

type Range = (std::ops::Bound<u64>, std::ops::Bound<u64>);

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

    /// Returns the rows that a query can match, in creation order or newest first.
    pub(super) fn rows_for(&self, query: &Query, range: Range, newest: bool) -> Walk<'_, &Row> {
        let paths = query.access_paths();
        let fewest = paths.into_iter().min_by_key(|path| self.count(path, range));
        self.driven(fewest.unwrap_or(AccessPath::All), range, newest)
    }

    /// Returns the completed actions from the cursor of a query on, the one completed last first.
    pub(super) fn completed(&self, query: &Query) -> impl Iterator<Item = &Row> + use<'_> {
        let times = TimeRanges::of(query).unwrap_or_default();
        let after = query.after.map(|c| (c.finished_at(), c.position()));
        let before = times.finished_before.map(|before| (before, 0));
        let end = after.into_iter().chain(before).min();
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let from = times.finished_from.map(|from| (from, 0));
        // A range that is empty must not begin behind its end.
        let is_empty = match (from, end) {
            (Some(from), Bound::Excluded(end)) => from >= end,
            _ => false,
        };
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        let range = (!is_empty).then(|| self.finished.range((from, end)));
        let numbers = range.into_iter().flat_map(|range| range.rev());
        let uids = numbers.filter_map(|(_, number)| self.numbers.get(*number));
        uids.filter_map(|uid| self.rows.get(uid))
    }

    /// Returns the number of rows that an index finds, at most [`SELECTIVE`]; more for an index that
    /// cannot be used. Counts all rows of a set, not only those within the range: a set knows its
    /// size.
    fn count(&self, path: &AccessPath, range: Range) -> usize {
        let count = match path {
            AccessPath::NamePrefix(prefix) => {
                let names = || self.names_of(prefix).map(BTreeSet::len);
                let few = names().take(SELECTIVE).sum::<usize>() < SELECTIVE;
                match few || names().nth(AccessPath::NAMES).is_none() {
                    true => names().take(SELECTIVE).sum(),
                    false => return SELECTIVE + 1,
                }
            }
            AccessPath::States(_) | AccessPath::TouchesAny(_) => {
                self.merges(path).into_iter().map(BTreeSet::len).sum()
            }
            AccessPath::Times(times) => {
                self.blocks(*times, range).count() * BlockTimes::ACTIONS as usize
            }
            AccessPath::Uid(_) => 1,
            AccessPath::All => SELECTIVE,
            set => self.set(set).map_or(0, BTreeSet::len),
        };
        count.min(SELECTIVE)
    }

    /// Returns the blocks within a range of numbers that may have actions of these times, in
    /// ascending order.
    fn blocks(&self, times: TimeRanges, (from, to): Range) -> impl DoubleEndedIterator<Item = u64> {
        let block = |bound: Bound<u64>, unbounded: u64| match bound {
            Bound::Included(number) | Bound::Excluded(number) => number / BlockTimes::ACTIONS,
            Bound::Unbounded => unbounded,
        };
        let blocks = self.block_times.range(block(from, 0)..=block(to, u64::MAX));
        blocks.filter_map(move |(block, known)| known.may_have(&times).then_some(*block))
    }

    /// Returns the numbers of the actions in a set.
    fn set(&self, set: &AccessPath) -> Option<&BTreeSet<u64>> {
        match set {
            AccessPath::Name(name) => self.names.get(name),
            set => self.indexes.get(set),
        }
    }

    /// Returns the sets that an index merges.
    fn merges(&self, path: &AccessPath) -> Vec<&BTreeSet<u64>> {
        match path {
            AccessPath::States(states) => {
                let unfinished = states.unfinished().next().map(|_| AccessPath::Unfinished);
                let ended = states.outcomes().map(AccessPath::Ended);
                let sets = unfinished.into_iter().chain(ended);
                sets.filter_map(|set| self.set(&set)).collect()
            }
            AccessPath::TouchesAny(objects) => {
                let sets = objects.iter().cloned().map(AccessPath::Touches);
                sets.filter_map(|set| self.set(&set)).collect()
            }
            AccessPath::NamePrefix(prefix) => self.names_of(prefix).collect(),
            set => self.set(set).into_iter().collect(),
        }
    }

    /// Returns the numbers of the actions of each name that begins with a text.
    fn names_of(&self, prefix: &str) -> impl Iterator<Item = &BTreeSet<u64>> {
        let names = self
            .names
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let names = names.take_while(move |(name, _)| name.starts_with(prefix));
        names.map(|(_, numbers)| numbers)
    }

    /// Returns the rows of an index, in creation order or newest first.
    fn driven(&self, driver: AccessPath, range: Range, newest: bool) -> Walk<'_, &Row> {
        let numbers = match driver {
            AccessPath::All => {
                let uids = self.numbers.range(range).map(|(_, uid)| uid);
                return directed(uids.filter_map(|uid| self.rows.get(uid)), newest);
            }
            AccessPath::Uid(uid) => {
                let row = self.rows.get(&uid);
                return Box::new(row.filter(|row| range.contains(&row.number)).into_iter());
            }
            AccessPath::Times(times) => {
                let block = move |block: u64| {
                    let first = block * BlockTimes::ACTIONS;
                    let numbers = self.numbers.range((
                        Bound::Included(first),
                        Bound::Excluded(first + BlockTimes::ACTIONS),
                    ));
                    let numbers = numbers.map(|(number, _)| number);
                    directed(numbers.filter(move |n| range.contains(n)), newest)
                };
                let blocks = directed(self.blocks(times, range), newest);
                Box::new(blocks.flat_map(block))
            }
            AccessPath::States(_) | AccessPath::TouchesAny(_) | AccessPath::NamePrefix(_) => {
                let sets = self.merges(&driver).into_iter();
                let walks = sets.map(|set| directed(set.range(range).copied(), newest).peekable());
                merged(walks.collect(), newest)
            }
            set => {
                let numbers = self.set(&set).map(|set| set.range(range).copied());
                directed(numbers.into_iter().flatten(), newest)
            }
        };
        let uids = numbers.filter_map(|number| self.numbers.get(number));
        Box::new(uids.filter_map(|uid| self.rows.get(uid)))
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
