//! The first half of a transaction: begins it, takes the lock that all writers take, and reads the
//! data that the plan needs.
//!
//! The lock is taken in a statement of its own, before the loads. PostgreSQL shows each statement
//! of a READ COMMITTED transaction what was committed before that statement began. A statement that
//! waits for the lock itself would still read what was there before it waited.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::decode::Columns;
use super::errors::store_error;
use super::host_locks::HostLocks;
use super::literal::Rows;
use super::queries::{
    ACTIONS, ACTIONS_BY_UID, BEGIN, ENDED, HOST_LOCKS, HOST_SLOTS, HOSTS_ENTER, HOSTS_STORE, KEYS,
    MAY_BE_FORGOTTEN, OPS, OWNERS, OWNERS_BY_UID, PARENTS, REVISIONS, UNSTAMPED, WITHIN,
};
use super::script::Script;
use super::setup::{FEW, MORE_TIME, SILENCE, Setup};
use super::source::Connection;
use crate::backend::sql::{Found, Lookups, Phase, RowWriter, Stored, Type, corrupt};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{ActionUid, Detail, OpId, OwnerRef, ReadSet, StoreId, Timestamp, TxnState};

/// The data that a transaction has loaded.
pub(super) struct Read {
    pub(super) txn: TxnState,
    pub(super) stored: Stored,
    pub(super) numbers: HashMap<ActionUid, i64>,
    /// Time of the server, read under the lock.
    pub(super) now: Timestamp,
    pub(super) within: Within,
    /// True if a host's transaction writes.
    pub(super) has_hosts: bool,
    /// The names that hosts hold, and the batches that have them.
    held: HashSet<i64>,
    pub(super) blocked: Vec<usize>,
    /// In a host's transaction: the store of the connection, and whether the transaction is READ
    /// COMMITTED.
    pub(super) host: Option<(StoreId, bool)>,
}

/// Facts about a transaction that its second half needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Within {
    /// Identity of the transaction, by which the server knows it.
    pub(super) txid: i64,
    /// No earlier transaction has a mark that is not stamped.
    pub(super) marks_from: i64,
    /// The latest revision of each action that may be removed.
    pub(super) revisions: HashMap<ActionUid, i64>,
    /// Places in creation order for the new actions, ascending.
    pub(super) places: Vec<i64>,
    /// The loaded incarnations that are alive.
    pub(super) alive: Vec<(i64, OwnerRef)>,
}

/// Under which locks a load runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Under {
    /// In a transaction of the store, under the lock of all writers.
    Gate(Hosts),
    /// In a host's transaction, under locks of the names that it uses.
    Names,
}

/// Which transactions of hosts a load considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hosts {
    /// None is expected, so the names are not sent.
    Absent,
    /// The names that they hold are found.
    Active,
    /// The same in a transaction that has begun with `Absent`, and has found a host.
    Found,
}

/// The script of a load, and what its results are.
pub(super) struct Load<'n> {
    pub(super) script: Script,
    /// Statements before the first one whose rows are read, and from there to the next one.
    before: usize,
    skipped: usize,
    under: Under,
    lookups: Lookups<'n>,
}

pub(super) fn script<'n>(
    read_sets: &[&'n ReadSet],
    setup: &Setup,
    locks: &HostLocks,
    under: Under,
) -> Load<'n> {
    let mut rows = [
        Rows::new(&[Type::Id]),
        Rows::new(&[Type::Text, Type::Int, Type::Text]),
        Rows::new(&[Type::Id, Type::Id]),
        Rows::new(&[Type::Text, Type::Id]),
        Rows::new(&[Type::Id]),
    ];
    let lookups = Lookups::write(read_sets.iter().copied(), &mut rows);
    if rows[0].is_empty() {
        // From an empty list the planner concludes everything, also the condition of a partial
        // index, which it may then read from end to end.
        rows[0].row(|row| row.id(&Uuid::nil()));
    }
    let mut script = Script::new();
    for rows in &rows {
        script.bind_rows(rows);
    }
    script.bind_int(lookups.claims);
    script.bind_rows(&names(read_sets, locks, under));
    script.bind_int(locks.hosts);
    script.bind_int(lookups.creates);
    script.bind_int(locks.slots);
    match under {
        Under::Gate(Hosts::Found) => {}
        Under::Gate(_) => setup.begin(&mut script),
        Under::Names => setup.enter(&mut script),
    }
    let before = script.len();
    let counts = read_sets.iter().map(|read_set| read_set.actions().len());
    let are_many = counts.sum::<usize>() > FEW;
    match under {
        Under::Gate(hosts) => {
            script.push(BEGIN);
            if are_many && hosts != Hosts::Found {
                script.push(MORE_TIME);
            }
        }
        Under::Names => {
            script.push(HOSTS_STORE);
            script.push(HOSTS_ENTER);
            script.push(HOST_SLOTS);
            script.push(HOST_LOCKS);
        }
    }
    let skipped = script.len() - before - 1;
    if under == Under::Names {
        script.push(WITHIN);
    }
    let (actions, owners) = match lookups.keys.is_empty() {
        true => (&ACTIONS_BY_UID, &OWNERS_BY_UID),
        false => (&ACTIONS, &OWNERS),
    };
    script.push(actions);
    script.push(owners);
    if lookups.any_removals {
        script.push(&PARENTS);
        script.push(REVISIONS);
        if under == Under::Names {
            script.push(UNSTAMPED);
        }
    }
    if lookups.any_ops {
        script.push(OPS);
    }
    if !lookups.keys.is_empty() {
        script.push(KEYS);
    }
    if lookups.claims > 0 {
        script.push(ENDED);
        script.push(&MAY_BE_FORGOTTEN);
    }
    if under == Under::Names {
        Setup::leave(&mut script);
    }
    Load {
        script,
        before,
        skipped,
        under,
        lookups,
    }
}

/// Returns the locks of the names of all batches.
fn names(read_sets: &[&ReadSet], locks: &HostLocks, under: Under) -> Rows {
    let mut rows = Rows::new(&[Type::Int]);
    if under == Under::Gate(Hosts::Absent) {
        return rows;
    }
    let names = read_sets.iter().flat_map(|read_set| locks.names(read_set));
    let mut known = HashSet::new();
    // In the order of the batches, so that the first ones get their locks.
    let mut names: Vec<i64> = names.filter(|name| known.insert(*name)).collect();
    if under == Under::Names {
        // Hosts wait for them, all in the same order.
        names.sort_unstable();
    }
    for name in names {
        rows.row(|row| row.int(name));
    }
    rows
}

/// Begins the transaction and loads the data of all batches. `has_hosts` says whether a host's
/// transaction was found the last time: if so, the names are sent at once.
pub(super) async fn load(
    connection: &mut Connection,
    read_sets: &[&ReadSet],
    setup: &Setup,
    locks: &HostLocks,
    has_hosts: bool,
) -> Result<Read, StoreError> {
    let hosts = if has_hosts {
        Hosts::Active
    } else {
        Hosts::Absent
    };
    let mut read = load_once(connection, read_sets, setup, locks, hosts).await?;
    if read.has_hosts && !has_hosts {
        read = load_once(connection, read_sets, setup, locks, Hosts::Found).await?;
    }
    if !read.held.is_empty() {
        let is_held = |name| read.held.contains(&name);
        let is_blocked = |(_, read_set): &(usize, &&ReadSet)| locks.names(read_set).any(is_held);
        let blocked = read_sets.iter().enumerate().filter(is_blocked);
        read.blocked = blocked.map(|(place, _)| place).collect();
    }
    Ok(read)
}

async fn load_once(
    connection: &mut Connection,
    read_sets: &[&ReadSet],
    setup: &Setup,
    locks: &HostLocks,
    hosts: Hosts,
) -> Result<Read, StoreError> {
    let mut load = script(read_sets, setup, locks, Under::Gate(hosts));
    let ran = connection.run_within(load.script.take(), SILENCE).await;
    let results = ran.map_err(|error| store_error("write", Phase::Before, error))?;
    load.read(results)
}

impl Load<'_> {
    /// Reads the results of the script.
    pub(super) fn read(self, results: Vec<Vec<PgRow>>) -> Result<Read, StoreError> {
        let Load {
            script: _,
            before,
            skipped,
            under,
            lookups,
        } = self;
        let operation = match under {
            Under::Gate(_) => "write",
            Under::Names => "write_in",
        };
        let mut results = results.into_iter();
        let first = results.nth(before).unwrap_or_default();
        let mut results = results.skip(skipped);
        let mut rows = || results.next().unwrap_or_default();
        let mut within = Within::default();
        let (mut has_hosts, mut held, mut host) = (false, HashSet::new(), None);
        let begun;
        let mut columns = match under {
            Under::Gate(_) => {
                let Some(begun) = first.first() else {
                    return Err(corrupt(operation, "the store's own row is missing"));
                };
                let mut columns = Columns::new(operation, begun);
                has_hosts = columns.is_true()?;
                held.extend(columns.ints()?);
                within.marks_from = columns.int()?;
                columns
            }
            Under::Names => {
                if let Some(own) = first.first() {
                    let mut columns = Columns::new(operation, own);
                    host = Some((StoreId::from_uuid(columns.id()?), columns.is_true()?));
                }
                begun = rows();
                Columns::new(operation, single(operation, &begun)?)
            }
        };
        let stored = read_stored(&mut columns)?;
        let now_at = Timestamp::from_micros(columns.int()?);
        within.txid = columns.int()?;
        within.places = columns.ints()?;
        let mut found = Found::new();
        let (actions, owners) = (rows(), rows());
        let parents = lookups.any_removals.then(&mut rows).unwrap_or_default();
        for row in actions.iter().chain(&parents) {
            let mut columns = Columns::new(operation, row);
            let number = columns.int()?;
            let action = columns.action(Detail::Full)?;
            let (pinned, late) = (columns.is_true()?, columns.is_true()?);
            found.put_action(number, action, pinned, late);
        }
        for row in owners {
            let (id, owner) = Columns::new(operation, &row).owner_record()?;
            if owner.is_alive() {
                let id = i64::try_from(id).unwrap_or_default();
                within.alive.push((id, owner.owner.clone()));
            }
            found.txn.put_owner(owner);
        }
        if lookups.any_removals {
            for row in rows() {
                let mut columns = Columns::new(operation, &row);
                let uid = ActionUid::from_uuid(columns.id()?);
                within.revisions.insert(uid, columns.int()?);
            }
            if under == Under::Names && !rows().is_empty() {
                let message = "an action that is to be removed was changed in another transaction a \
                               moment ago; try again after a read or a write of the store";
                return Err(StoreError::new(ErrorKind::Unavailable, "write_in", message));
            }
        }
        if lookups.any_ops {
            for row in rows() {
                let mut columns = Columns::new(operation, &row);
                let uid = ActionUid::from_uuid(columns.id()?);
                found.txn.put_op(uid, OpId::from_uuid(columns.id()?));
            }
        }
        if !lookups.keys.is_empty() {
            for row in rows() {
                let mut columns = Columns::new(operation, &row);
                let (index, number): (usize, i64) = (columns.number()?, columns.int()?);
                found.put_key(operation, lookups.keys.get(index), number)?;
            }
        }
        if lookups.claims > 0 {
            let count = rows();
            let count = Columns::new(operation, single(operation, &count)?).number()?;
            let mut may_be_forgotten = Vec::new();
            for row in rows() {
                may_be_forgotten.push(Columns::new(operation, &row).owner()?);
            }
            found.txn.put_ended(count, may_be_forgotten);
        }
        Ok(Read {
            txn: found.txn,
            stored,
            numbers: found.numbers,
            now: now_at,
            within,
            has_hosts,
            held,
            host,
            blocked: Vec::new(),
        })
    }
}

fn single<'r>(operation: &'static str, rows: &'r [PgRow]) -> Result<&'r PgRow, StoreError> {
    rows.first()
        .ok_or_else(|| corrupt(operation, "a row is missing"))
}

/// Reads the row of a [`POSITION`].
pub(super) fn read_position(operation: &'static str, rows: &[PgRow]) -> Result<Stored, StoreError> {
    let Some(row) = rows.first() else {
        return Err(corrupt(operation, "the store's position is missing"));
    };
    read_stored(&mut Columns::new(operation, row))
}

pub(super) fn read_stored(columns: &mut Columns<'_>) -> Result<Stored, StoreError> {
    Ok(Stored {
        revision: columns.int()?,
        pruned_through: columns.int()?,
        pruned_created: columns.int_opt()?,
        actions: columns.int()?,
        last_number: columns.int()?,
        last_entry: columns.int()?,
        last_commit: columns.int()?,
    })
}
