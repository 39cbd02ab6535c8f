//! The first half of a transaction: begins it and reads the data that the plan needs.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::decode::{Columns, decode_action, decode_owner, read_key};
use super::encode::JsonRows;
use super::errors::store_error;
use super::owners;
use super::rows::{STORED_ACTION, STORED_OWNER};
use super::script::Script;
use crate::backend::sql::{Found, Lookups, Phase, Stored, corrupt};
use crate::error::StoreError;
use crate::model::{ActionUid, Detail, Limits, OpId, Owner, ReadSet, TxnState};

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

pub(super) const POSITION: &str = "SELECT json_array(revision, pruned_through, pruned_created, actions, last_number, last_entry, \
     last_commit) FROM actions_store WHERE id = 1";

/// The numbers of the actions named by uid ($1) and of those that hold a key ($2).
const NUMBERS: &str = "SELECT number FROM json_each($1) AS j \
     JOIN actions_action ON uid = unhex(j.value ->> 0) \
     UNION SELECT k.action FROM json_each($2) AS j \
     JOIN actions_key AS k ON k.tenant = j.value ->> 0 AND k.kind = j.value ->> 1 \
     AND k.key = j.value ->> 2";

const OPS: &str = "SELECT json_array(hex(a.uid), hex(l.op)) FROM json_each($3) AS j \
     CROSS JOIN actions_action AS a ON a.uid = unhex(j.value ->> 0) \
     CROSS JOIN actions_log AS l ON l.action = a.number AND +l.op = unhex(j.value ->> 1)";

const KEYS: &str = "SELECT json_array(j.key, k.action) FROM json_each($2) AS j \
     CROSS JOIN actions_key AS k ON k.tenant = j.value ->> 0 AND k.kind = j.value ->> 1 \
     AND k.key = j.value ->> 2";

static ACTIONS: LazyLock<String> = LazyLock::new(|| actions(NUMBERS));

/// The statement that reads the actions of these numbers, each with its number and what is said of
/// it in other tables.
fn actions(numbers: &str) -> String {
    let action = &*STORED_ACTION;
    format!(
        "SELECT a.number, {action}, \
         EXISTS (SELECT 1 FROM actions_pin AS p WHERE p.action = a.number), \
         EXISTS (SELECT 1 FROM actions_log AS l WHERE l.action = a.number AND l.kind = 7) \
         FROM actions_action AS a WHERE a.number IN ({numbers})"
    )
}

/// The parents of the actions named by uid ($5).
static PARENTS: LazyLock<String> = LazyLock::new(|| {
    let numbers = "SELECT p.number FROM json_each($5) AS j \
         CROSS JOIN actions_action AS c ON c.uid = unhex(j.value ->> 0) \
         CROSS JOIN actions_action AS p ON p.uid = c.parent";
    actions(numbers)
});

/// The owners that are named ($4), the living ones of these names, and those of the actions.
static OWNERS: LazyLock<String> = LazyLock::new(|| {
    let owner = &*STORED_OWNER;
    format!(
        "SELECT {owner} FROM actions_owner AS o WHERE o.id IN (\
         SELECT o.id FROM json_each($4) AS j CROSS JOIN actions_owner AS o \
         ON o.name = j.value ->> 0 AND o.incarnation = unhex(j.value ->> 1) \
         UNION SELECT o.id FROM json_each($4) AS j CROSS JOIN actions_owner AS o \
         ON o.name = j.value ->> 0 AND o.state = 0 \
         UNION SELECT o.id FROM actions_action AS a CROSS JOIN actions_owner AS o \
         ON o.name = a.owner AND o.incarnation = a.incarnation \
         WHERE a.number IN ({NUMBERS})) ORDER BY id"
    )
});

/// Number of owners that have ended.
const ENDED: &str =
    "SELECT count(*) FROM actions_owner INDEXED BY actions_owner_ended WHERE state > 0";

static COUNT_ENDED: LazyLock<String> = LazyLock::new(|| format!("SELECT json_array(({ENDED}))"));

/// The owners that may be forgotten, in the order that [`TxnState::put_ended`] expects. Up to $6
/// owners may end in this transaction, so it reads no more than it can then forget.
static MAY_BE_FORGOTTEN: LazyLock<String> = LazyLock::new(|| {
    let (kept, most) = (Limits::ENDED_OWNERS, Limits::FORGOTTEN_OWNERS);
    let owns = owners::owns("ended");
    format!(
        "SELECT json_array(ended.name, hex(ended.incarnation)) FROM actions_owner AS ended \
         WHERE ended.state > 0 AND ({ENDED}) + $6 > {kept} AND NOT {owns} \
         AND NOT (ended.id = (SELECT max(l.id) FROM actions_owner AS l \
         WHERE l.name = ended.name AND l.state > 0) AND (EXISTS (SELECT 1 FROM actions_owner AS l \
         WHERE l.name = ended.name AND l.state = 0) \
         OR ended.name IN (SELECT j.value ->> 0 FROM json_each($4) AS j))) \
         ORDER BY ended.id LIMIT min(({ENDED}) + $6 - {kept}, {most} + $6)"
    )
});

/// The script that begins a transaction and loads the data of its batches.
pub(super) struct Load<'n> {
    pub(super) script: Script,
    lookups: Lookups<'n>,
}

/// `begin` is the statement that begins the transaction; `None` inside the host's transaction.
pub(super) fn script<'n>(
    read_sets: impl Iterator<Item = &'n ReadSet>,
    begin: Option<&str>,
) -> Result<Load<'n>, sqlx::Error> {
    let mut rows = std::array::from_fn(|_| JsonRows::new());
    let lookups = Lookups::write(read_sets, &mut rows);
    let mut script = Script::new();
    for rows in rows {
        script.bind(rows.finish())?;
    }
    if lookups.claims > 0 {
        script.bind(lookups.claims)?;
    }
    if let Some(begin) = begin {
        script.push(begin);
    }
    script.push(POSITION);
    script.push(&ACTIONS);
    script.push(&OWNERS);
    if lookups.any_removals {
        script.push(&PARENTS);
    }
    if lookups.any_ops {
        script.push(OPS);
    }
    if !lookups.keys.is_empty() {
        script.push(KEYS);
    }
    if lookups.claims > 0 {
        script.push(&COUNT_ENDED);
        script.push(&MAY_BE_FORGOTTEN);
    }
    Ok(Load { script, lookups })
}

/// Begins the transaction, if `begin` is given, and loads the data of all batches. Also returns the
/// number of each loaded action.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    read_sets: impl Iterator<Item = &ReadSet>,
    begin: Option<&str>,
) -> Result<(TxnState, Stored, HashMap<ActionUid, i64>), StoreError> {
    let before = |error| store_error("write", Phase::Before, error);
    let Load { script, lookups } = script(read_sets, begin).map_err(before)?;
    let mut results = script
        .run(connection)
        .await
        .map_err(|failed| before(failed.error))?
        .into_iter()
        .skip(usize::from(begin.is_some()));
    let mut rows = || results.next().unwrap_or_default();

    let stored = read_position(&rows())?;
    let mut found = Found::new();
    let (actions, owners) = (rows(), rows());
    let parents = lookups.any_removals.then(&mut rows).unwrap_or_default();
    for row in actions.iter().chain(&parents) {
        let number = read_key("write", row)?;
        let action = decode_action("write", row, 1, Detail::Full)?;
        let said = |column| {
            let said = row.try_get::<bool, usize>(column);
            said.map_err(before)
        };
        let (pinned, late) = (said(2)?, said(3)?);
        found.put_action(number, action, pinned, late);
    }
    for row in owners {
        found
            .txn
            .put_owner(decode_owner(&mut Columns::new("write", &row)?)?.1);
    }
    if lookups.any_ops {
        for row in rows() {
            let mut columns = Columns::new("write", &row)?;
            let uid = ActionUid::from_uuid(columns.id()?);
            found.txn.put_op(uid, OpId::from_uuid(columns.id()?));
        }
    }
    if !lookups.keys.is_empty() {
        for row in rows() {
            let mut columns = Columns::new("write", &row)?;
            let (index, number): (usize, i64) = (columns.number()?, columns.int()?);
            found.put_key("write", lookups.keys.get(index), number)?;
        }
    }
    if lookups.claims > 0 {
        let count = match rows().first() {
            Some(row) => Columns::new("write", row)?.number()?,
            None => 0,
        };
        let mut may_be_forgotten = Vec::new();
        for row in rows() {
            may_be_forgotten.push(Columns::new("write", &row)?.owner()?);
        }
        found.txn.put_ended(count, may_be_forgotten);
    }
    Ok((found.txn, stored, found.numbers))
}

/// Reads the position of the store and its owners.
pub(super) async fn owners(
    connection: &mut SqliteConnection,
) -> Result<(Stored, Vec<Owner>), StoreError> {
    let mut script = Script::new();
    script.push("BEGIN");
    script.push(POSITION);
    let owner = &*STORED_OWNER;
    script.push(&format!(
        "SELECT {owner} FROM actions_owner AS o ORDER BY id"
    ));
    script.push("COMMIT");
    let results = script.run(connection).await;
    let results = results.map_err(|f| store_error("write", Phase::Before, f.error))?;
    let mut results = results.into_iter().skip(1);
    let mut rows = || results.next().unwrap_or_default();
    let stored = read_position(&rows())?;
    let rows = rows();
    let owners = rows
        .iter()
        .map(|row| Ok(decode_owner(&mut Columns::new("write", row)?)?.1));
    Ok((stored, owners.collect::<Result<_, StoreError>>()?))
}

pub(super) fn read_position(rows: &[SqliteRow]) -> Result<Stored, StoreError> {
    let Some(row) = rows.first() else {
        return Err(corrupt("write", "the store's own row is missing"));
    };
    let mut columns = Columns::new("write", row)?;
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
