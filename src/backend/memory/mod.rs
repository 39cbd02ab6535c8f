//! The store in memory: the simplest implementation of the contract.

mod index_walk;
mod owners;
mod tables;

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;

use self::tables::{Row, Scratch, Tables};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Batch, BranchId, Done, LogEntry, LogQuery, Order, Owner, OwnerQuery, Page,
    Position, Query, Rejection, Revision, StoreId, plan, read_set,
};
use crate::spi::PositionWatch;
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
        // A store in memory is never copied, so it stays on its first branch.
        let at = Position::new(StoreId::new(), BranchId::FIRST, Revision::ZERO);
        MemoryStore {
            tables: RwLock::new(Tables::new(at)),
            position_watch: PositionWatch::new(at),
            clock,
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
        // Still under the lock, so that no reader sees a position before it is announced.
        self.position_watch.publish(tables.at);
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
        let tables = self.read();
        let after = query.after.map(|cursor| cursor.position());
        match query.order {
            Order::Oldest => {
                let range = (Excluded(after.unwrap_or(0)), Unbounded);
                Page::fill(
                    tables.rows_for(query, range, false).map(Row::numbered),
                    query,
                    tables.at,
                )
            }
            Order::Finished => {
                Page::fill(tables.completed(query).map(Row::numbered), query, tables.at)
            }
            Order::Feed => {
                let rows = tables.feed.range((Excluded(after.unwrap_or(0)), Unbounded));
                let rows = rows.filter_map(|(revision, uid)| {
                    let row = tables.rows.get(uid)?;
                    Some(Ok((revision, &row.action)))
                });
                Page::fill(rows, query, tables.at)
            }
            _ => {
                let range = (Unbounded, Excluded(after.unwrap_or(u64::MAX)));
                Page::fill(
                    tables.rows_for(query, range, true).map(Row::numbered),
                    query,
                    tables.at,
                )
            }
        }
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.position_watch.check_open("log")?;
        let tables = self.read();
        let after = query.after.map_or(0, |cursor| cursor.position());
        let row = |entry: &(u64, LogEntry)| Ok(entry.clone());
        match query.uid {
            Some(uid) => {
                let log = tables.rows.get(&uid).map_or(&[][..], |row| &row.log);
                let rest = log.iter().skip_while(|(number, _)| *number <= after);
                Page::fill_log(rest.map(row), query, tables.at)
            }
            None => {
                let rest = tables.entries.range((Excluded(after), Unbounded));
                let known = rest.filter_map(|(number, uid)| tables.rows.get(uid)?.entry(number));
                Page::fill_log(known.map(row), query, tables.at)
            }
        }
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.position_watch.check_open("owners")?;
        let tables = self.read();
        Page::fill_owners(tables.owners.rows(query), query, tables.at)
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
