//! The store in memory: the contract at its plainest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;

use super::bell::Bell;
use crate::clock::Clock;
use crate::error::{ErrorKind, StoreError};
use crate::model::{
    Action, ActionUid, Batch, Changes, Cursor, Done, Driver, Key, Limits, Loaded, LogQuery, Needs,
    Order, Owner, Page, Position, Query, Refused, Revision, StoreId, Timestamp, Transition, needs,
    plan,
};
use crate::store::{ActionStore, Capabilities, Durability};

/// A store that lives and ends with the process: for tests, and for hosts that want no history.
///
/// Guarantees all of the [`ActionStore`] contract at [`Durability::Volatile`]. Pages come from
/// ordered sets, so their cost does not grow with the store; memory does, until actions are
/// removed.
#[derive(Debug)]
pub struct MemoryStore {
    tables: RwLock<Tables>,
    bell: Bell,
    clock: Clock,
    life: StoreId,
}

/// Everything, consistent whenever the lock is free.
#[derive(Debug, Default)]
struct Tables {
    rows: HashMap<ActionUid, Row>,
    /// Which action has which number, in creation order.
    numbers: BTreeMap<u64, ActionUid>,
    /// The numbers of the actions in each set that can drive a query.
    sets: HashMap<Driver, BTreeSet<u64>>,
    /// Which action changed last at which revision.
    feed: BTreeMap<u64, ActionUid>,
    /// Log entries by the order in which they were written.
    log: BTreeMap<u64, Transition>,
    owners: BTreeMap<Arc<str>, Vec<Owner>>,
    keys: HashMap<Key, ActionUid>,
    last_number: u64,
    last_revision: u64,
    last_entry: u64,
    removed_to: u64,
    removed_created: Option<Timestamp>,
}

#[derive(Debug)]
struct Row {
    action: Arc<Action>,
    number: u64,
    revision: u64,
    pinned: bool,
    /// Where its log entries are in `Tables::log`, oldest first.
    entries: Vec<u64>,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::with_clock(Clock::system())
    }

    /// An empty store that stamps with the given clock.
    #[must_use]
    pub fn with_clock(clock: Clock) -> MemoryStore {
        let life = StoreId::new();
        let tables = Tables::default();
        MemoryStore {
            bell: Bell::new(tables.position(life)),
            tables: RwLock::new(tables),
            clock,
            life,
        }
    }

    // A panic while the lock was held cannot have come from this crate; what it left is whole.
    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position a cursor of this store stands for; `begin` without one.
    fn resume(
        &self,
        operation: &'static str,
        after: Option<Cursor>,
        begin: u64,
    ) -> Result<u64, StoreError> {
        match after {
            None => Ok(begin),
            Some(cursor) if cursor.life() == self.life => Ok(cursor.position()),
            Some(_) => Err(StoreError::new(
                ErrorKind::Invalid,
                operation,
                "after: is a cursor of another store",
            )),
        }
    }
}

#[async_trait]
impl ActionStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Volatile)
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Refused>>, StoreError> {
        self.bell.check_open("write")?;
        self.capabilities().check(&batch)?;
        let needs = needs(&batch).map_err(|e| StoreError::from_check("write", e))?;
        let mut tables = self.lock();
        let mut loaded = tables.load(&needs);
        let answers = plan(&batch, &needs, &mut loaded, self.clock.now());
        tables.save(loaded.into_changes());
        // While the lock is held: positions are announced in order.
        self.bell.ring(tables.position(self.life));
        Ok(answers)
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.bell.check_open("get")?;
        self.capabilities().check_count("get", uids.len())?;
        let tables = self.read();
        let found = |uid| tables.rows.get(uid).map(|row| row.action.clone());
        Ok(uids.iter().map(found).collect())
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.bell.check_open("list")?;
        query
            .check()
            .map_err(|e| StoreError::from_check("list", e))?;
        let tables = self.read();
        let at = tables.position(self.life);
        let life = self.life;
        match query.order {
            Order::Oldest => {
                let after = self.resume("list", query.after, 0)?;
                let rows = tables.driven(&query.driver(), (Excluded(after), Unbounded));
                Ok(page(query, rows, at, |row| {
                    Cursor::oldest(life, row.number)
                }))
            }
            Order::Feed => {
                let after = self.resume("list", query.after, 0)?;
                if query.after.is_some_and(|c| c.is_expired(at.removed_to)) {
                    return Err(expired());
                }
                let rows = tables.feed.range((Excluded(after), Unbounded));
                let rows = rows.filter_map(|(_, uid)| tables.rows.get(uid));
                Ok(page(query, rows, at, |row| {
                    Cursor::feed_after(Revision::new(row.revision), query.after, at)
                }))
            }
            _ => {
                let after = self.resume("list", query.after, u64::MAX)?;
                let rows = tables
                    .driven(&query.driver(), (Unbounded, Excluded(after)))
                    .rev();
                Ok(page(query, rows, at, |row| {
                    Cursor::newest(life, row.number)
                }))
            }
        }
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<Transition>, StoreError> {
        self.bell.check_open("log")?;
        query
            .check()
            .map_err(|e| StoreError::from_check("log", e))?;
        let tables = self.read();
        let after = self.resume("log", query.after, 0)?;
        let limit = usize::from(query.limit);
        let mut items: Vec<(u64, Transition)> = match query.uid {
            Some(uid) => {
                let entries = tables.rows.get(&uid).map_or(&[][..], |row| &row.entries);
                let rest = entries.iter().skip_while(|entry| **entry <= after);
                let known = |entry: &u64| Some((*entry, tables.log.get(entry)?.clone()));
                rest.filter_map(known).take(limit + 1).collect()
            }
            None => {
                let rest = tables.log.range((Excluded(after), Unbounded));
                rest.map(|(entry, t)| (*entry, t.clone()))
                    .take(limit + 1)
                    .collect()
            }
        };
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items
            .last()
            .filter(|_| more)
            .map(|(entry, _)| Cursor::log(self.life, *entry));
        let items = items
            .into_iter()
            .map(|(_, transition)| transition)
            .collect();
        Ok(Page::new(items, next, tables.position(self.life)))
    }

    async fn owners(&self) -> Result<Vec<Owner>, StoreError> {
        self.bell.check_open("owners")?;
        Ok(self.read().owners.values().flatten().cloned().collect())
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.bell.check_open("changed")?;
        self.bell.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.bell.close();
        Ok(())
    }
}

fn expired() -> StoreError {
    StoreError::new(
        ErrorKind::CursorExpired,
        "list",
        "actions this cursor has yet to show were removed",
    )
}

/// Filters rows until the page is full or has looked at enough of them.
fn page<'t>(
    query: &Query,
    rows: impl Iterator<Item = &'t Row>,
    at: Position,
    cursor: impl Fn(&Row) -> Cursor,
) -> Page<Arc<Action>> {
    let (mut items, mut last) = (Vec::new(), None);
    for (looked_at, row) in rows.enumerate() {
        if items.len() == usize::from(query.limit) || looked_at == Limits::SCAN {
            return Page::new(items, last.map(cursor), at);
        }
        last = Some(row);
        if query.matches(&row.action) {
            items.push(query.detail.of(row.action.clone()));
        }
    }
    Page::new(items, None, at)
}

type Range = (std::ops::Bound<u64>, std::ops::Bound<u64>);

impl Tables {
    fn position(&self, life: StoreId) -> Position {
        Position {
            life,
            revision: Revision::new(self.last_revision),
            removed_to: Revision::new(self.removed_to),
            removed_created: self.removed_created,
        }
    }

    /// The rows a driver finds, in creation order.
    fn driven(&self, driver: &Driver, range: Range) -> Box<dyn Rows<'_> + '_> {
        let row = |uid: &ActionUid| self.rows.get(uid);
        if *driver == Driver::All {
            return Box::new(
                self.numbers
                    .range(range)
                    .filter_map(move |(_, uid)| row(uid)),
            );
        }
        let numbers = self.sets.get(driver).map(|set| set.range(range));
        let uids = numbers
            .into_iter()
            .flatten()
            .filter_map(|number| self.numbers.get(number));
        Box::new(uids.filter_map(row))
    }

    fn load(&self, needs: &Needs) -> Loaded {
        let mut loaded = Loaded::new();
        let held = needs
            .keys
            .iter()
            .filter_map(|key| Some((key, *self.keys.get(key)?)));
        let held: Vec<(&Key, ActionUid)> = held.collect();
        let holders = held.iter().map(|(_, holder)| holder);
        let mut names: BTreeSet<&Arc<str>> = needs.owners.iter().collect();
        for uid in needs.actions.iter().chain(holders).collect::<BTreeSet<_>>() {
            if let Some(row) = self.rows.get(uid) {
                names.extend(row.action.owner.as_ref().map(|owner| &owner.name));
                let late = self.entries(row).any(Transition::is_late);
                loaded.put_action(row.action.clone(), row.pinned, late);
            }
        }
        for (uid, op) in &needs.ops {
            let row = self.rows.get(uid);
            if row.is_some_and(|row| self.entries(row).any(|e| e.op == Some(*op))) {
                loaded.put_op(*uid, *op);
            }
        }
        for (key, holder) in held {
            loaded.put_key(key.clone(), holder);
        }
        for owner in names
            .into_iter()
            .filter_map(|name| self.owners.get(name))
            .flatten()
        {
            loaded.put_owner(owner.clone());
        }
        loaded
    }

    fn entries<'t>(&'t self, row: &'t Row) -> impl Iterator<Item = &'t Transition> {
        row.entries.iter().filter_map(|entry| self.log.get(entry))
    }

    fn save(&mut self, changes: Changes) {
        for action in changes.updated {
            self.update(action);
        }
        for uid in changes.unpinned {
            self.set_pin(uid, false);
        }
        for action in &changes.removed {
            self.remove(action);
        }
        for key in &changes.keys_freed {
            self.keys.remove(key);
        }
        for action in changes.created {
            self.create(action);
        }
        for entry in changes.log {
            self.last_entry += 1;
            if let Some(row) = self.rows.get_mut(&entry.uid) {
                row.entries.push(self.last_entry);
                self.log.insert(self.last_entry, entry);
            }
        }
        for uid in changes.trim {
            self.trim(uid);
        }
        self.keys.extend(changes.keys_taken);
        for uid in changes.pinned {
            self.set_pin(uid, true);
        }
        for owner in changes.owners {
            let named = self.owners.entry(owner.owner.name.clone()).or_default();
            match named.iter_mut().find(|known| known.owner == owner.owner) {
                Some(known) => *known = owner,
                None => named.push(owner),
            }
        }
        for gone in changes.owners_forgotten {
            if let Some(named) = self.owners.get_mut(&gone.name) {
                named.retain(|known| known.owner != gone);
            }
        }
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
        self.numbers.remove(&row.number);
        self.feed.remove(&row.revision);
        self.removed_to = self.removed_to.max(row.revision);
        self.removed_created = self.removed_created.max(Some(row.action.created_at));
        for entry in row.entries {
            self.log.remove(&entry);
        }
        for set in Driver::sets_of(&row.action) {
            self.leave(set, row.number);
        }
    }

    fn create(&mut self, action: Arc<Action>) {
        self.last_number += 1;
        self.last_revision += 1;
        let (number, revision, uid) = (self.last_number, self.last_revision, action.uid);
        self.numbers.insert(number, uid);
        self.feed.insert(revision, uid);
        for set in Driver::sets_of(&action) {
            self.sets.entry(set).or_default().insert(number);
        }
        let row = Row {
            action,
            number,
            revision,
            pinned: false,
            entries: Vec::new(),
        };
        self.rows.insert(uid, row);
    }

    fn update(&mut self, action: Arc<Action>) {
        let Some(row) = self.rows.get_mut(&action.uid) else {
            return;
        };
        self.feed.remove(&row.revision);
        self.last_revision += 1;
        row.revision = self.last_revision;
        self.feed.insert(row.revision, action.uid);
        let number = row.number;
        let before = std::mem::replace(&mut row.action, action.clone());
        if before.status != action.status || before.owner != action.owner {
            for set in Driver::moving_sets_of(&before) {
                self.leave(set, number);
            }
            for set in Driver::moving_sets_of(&action) {
                self.sets.entry(set).or_default().insert(number);
            }
        }
    }

    fn leave(&mut self, set: Driver, number: u64) {
        if let Some(numbers) = self.sets.get_mut(&set) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.sets.remove(&set);
            }
        }
    }

    /// Drops the oldest entries of a log that has too many; a late report does not count.
    fn trim(&mut self, uid: ActionUid) {
        let Some(row) = self.rows.get_mut(&uid) else {
            return;
        };
        let late = |entry: &u64| self.log.get(entry).is_some_and(Transition::is_late);
        let mut counted: Vec<u64> = row.entries.iter().copied().filter(|e| !late(e)).collect();
        let excess = counted.len().saturating_sub(Limits::LOG_ENTRIES as usize);
        counted.truncate(excess);
        row.entries.retain(|entry| !counted.contains(entry));
        for entry in counted {
            self.log.remove(&entry);
        }
    }
}

trait Rows<'t>: DoubleEndedIterator<Item = &'t Row> {}
impl<'t, I: DoubleEndedIterator<Item = &'t Row>> Rows<'t> for I {}
