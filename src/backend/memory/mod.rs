//! The store in memory: the simplest implementation of the contract.

mod owners;
mod tables;

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;

use self::tables::{Row, Scratch, Tables};
use super::another_branch;
use super::position_watch::PositionWatch;
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{
    Action, ActionUid, Batch, Branches, Cursor, Done, Limits, LogEntry, LogQuery, Order, Owner,
    OwnerQuery, Page, Position, Query, Rejection, Revision, StoreId, Times, plan, read_set,
};
use crate::store::{ActionStore, Capabilities, Durability};

/// A store in the memory of the process, for tests and for hosts that keep no history.
///
/// Meets the whole [`ActionStore`] contract at [`Durability::Volatile`]. Pages are read from
/// ordered sets, so their cost does not grow with the store. Memory use grows until actions are
/// removed.
#[derive(Debug)]
pub struct MemoryStore {
    tables: RwLock<Tables>,
    position_watch: PositionWatch,
    clock: Clock,
    store_id: StoreId,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// Creates an empty store that uses the system clock.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::with_clock(Clock::system())
    }

    /// Creates an empty store that uses the given clock for timestamps.
    #[must_use]
    pub fn with_clock(clock: Clock) -> MemoryStore {
        let store_id = StoreId::new();
        let tables = Tables::default();
        MemoryStore {
            position_watch: PositionWatch::new(tables.position(store_id)),
            tables: RwLock::new(tables),
            clock,
            store_id,
        }
    }

    // Poisoning is ignored: this crate does not panic while it holds the lock, so the data is
    // whole.
    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the position of a cursor of this store, or `begin` without a cursor.
    fn resume(
        &self,
        operation: &'static str,
        tables: &Tables,
        after: Option<Cursor>,
        begin: u64,
    ) -> Result<u64, StoreError> {
        // A store in memory is never copied.
        const BRANCHES: Branches = Branches::first();
        match after {
            None => Ok(begin),
            Some(cursor) if cursor.store_id() == self.store_id => {
                if BRANCHES.understand(&cursor, tables.end()) {
                    Ok(cursor.position())
                } else {
                    Err(another_branch(operation))
                }
            }
            Some(_) => Err(StoreError::new(
                StoreErrorKind::Invalid,
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

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.position_watch.check_open("write")?;
        self.capabilities().check(&batch)?;
        let read_set = read_set(&batch).map_err(|e| StoreError::from_check("write", e))?;
        let mut tables = self.lock();
        let mut scratch = tables.scratch.take().unwrap_or_default();
        let Scratch { txn, write_set } = &mut *scratch;
        tables.load(&read_set, txn);
        let answers = plan(&batch, &read_set, txn, self.clock.now());
        txn.drain_into(write_set);
        let replaced = tables.save(write_set);
        tables.scratch = Some(scratch);
        // Still under the lock, so that positions are announced in order.
        self.position_watch.publish(tables.position(self.store_id));
        // Unlocks before the replaced actions are dropped.
        drop(tables);
        drop(replaced);
        Ok(answers)
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.position_watch.check_open("get")?;
        self.capabilities().check_count("get", uids.len())?;
        let tables = self.read();
        let found = |uid| tables.rows.get(uid).map(|row| row.action.clone());
        Ok(uids.iter().map(found).collect())
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.position_watch.check_open("list")?;
        query
            .check()
            .map_err(|e| StoreError::from_check("list", e))?;
        let tables = self.read();
        let at = tables.position(self.store_id);
        match query.order {
            Order::Oldest => {
                let after = self.resume("list", &tables, query.after, 0)?;
                let range = (Excluded(after), Unbounded);
                let rows = tables.rows_for(query, range, false);
                Ok(page(query, rows, at, |row| Cursor::oldest(at, row.number)))
            }
            Order::Finished => {
                let after = self.resume("list", &tables, query.after, u64::MAX)?;
                let time = query.after.map(|cursor| cursor.finished_at());
                let times = Times::of(query).unwrap_or_default();
                let rows = tables.completed(times, time.map(|time| (time, after)));
                Ok(page(query, rows, at, |row| {
                    let finished = row.action.finished_at.unwrap_or(row.action.created_at);
                    Cursor::finished(at, finished, row.number)
                }))
            }
            Order::Feed => {
                let after = self.resume("list", &tables, query.after, 0)?;
                if query.after.is_some_and(|c| c.is_expired(at.pruned_through)) {
                    return Err(expired());
                }
                let rows = tables.feed.range((Excluded(after), Unbounded));
                let rows = rows.filter_map(|(_, uid)| tables.rows.get(uid));
                Ok(page(query, rows, at, |row| {
                    Cursor::feed_after(Revision::new(row.revision), query.after, at)
                }))
            }
            _ => {
                let after = self.resume("list", &tables, query.after, u64::MAX)?;
                let range = (Unbounded, Excluded(after));
                let rows = tables.rows_for(query, range, true);
                Ok(page(query, rows, at, |row| Cursor::newest(at, row.number)))
            }
        }
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.position_watch.check_open("log")?;
        query
            .check()
            .map_err(|e| StoreError::from_check("log", e))?;
        let tables = self.read();
        let after = self.resume("log", &tables, query.after, 0)?;
        let limit = usize::from(query.limit);
        let mut items: Vec<&(u64, LogEntry)> = match query.uid {
            Some(uid) => {
                let log = tables.rows.get(&uid).map_or(&[][..], |row| &row.log);
                let rest = log.iter().skip_while(|(entry, _)| *entry <= after);
                rest.take(limit + 1).collect()
            }
            None => {
                let rest = tables.entries.range((Excluded(after), Unbounded));
                let known = rest.filter_map(|(entry, uid)| tables.rows.get(uid)?.entry(entry));
                known.take(limit + 1).collect()
            }
        };
        let at = tables.position(self.store_id);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items
            .last()
            .filter(|_| more)
            .map(|(entry, _)| Cursor::log(at, *entry));
        let items = items.into_iter().map(|(_, t)| t.clone()).collect();
        Ok(Page::new(items, next, at))
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.position_watch.check_open("owners")?;
        query
            .check()
            .map_err(|e| StoreError::from_check("owners", e))?;
        let tables = self.read();
        self.resume("owners", &tables, query.after, 0)?;
        Ok(tables.owners.page(query, tables.position(self.store_id)))
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.position_watch.check_open("changed")?;
        self.position_watch.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.position_watch.close();
        Ok(())
    }
}

fn expired() -> StoreError {
    StoreError::new(
        StoreErrorKind::CursorExpired,
        "list",
        "actions after this cursor were removed; restart without a cursor",
    )
}

/// Filters rows until the page is full or [`Limits::SCAN`] rows were examined.
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
