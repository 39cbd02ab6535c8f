//! The first half of a transaction: begin, and read what the plan looks at.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::decode::{Columns, decode_action, decode_owner};
use super::encode::Envelope;
use super::errors::{Phase, corrupt, store_error};
use super::rows::{ACTION, PACKED_OWNER, packed};
use super::script::Script;
use crate::error::StoreError;
use crate::model::{ActionUid, Key, Loaded, Needs, OpId};

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

pub(super) const POSITION: &str = "SELECT json_array(revision, removed_to, removed_created, last_number, last_entry, \
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

static ACTIONS: LazyLock<String> = LazyLock::new(|| {
    let columns = packed("a.", ACTION, &[]);
    format!(
        "SELECT json_array({columns}, \
         EXISTS (SELECT 1 FROM actions_pin AS p WHERE p.action = a.number), \
         EXISTS (SELECT 1 FROM actions_log AS l WHERE l.action = a.number AND l.kind = 7)) \
         FROM actions_action AS a WHERE a.number IN ({NUMBERS})"
    )
});

static OWNERS: LazyLock<String> = LazyLock::new(|| {
    let owner = &*PACKED_OWNER;
    format!(
        "SELECT {owner} FROM actions_owner WHERE name IN (\
         SELECT j.value ->> 0 FROM json_each($4) AS j \
         UNION SELECT owner FROM actions_action WHERE number IN ({NUMBERS})) ORDER BY id"
    )
});

/// Where the store stands, as read inside the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) revision: i64,
    pub(super) removed_to: i64,
    pub(super) removed_created: Option<i64>,
    pub(super) last_number: i64,
    pub(super) last_entry: i64,
    /// The transaction that was committed last: a number drawn for it.
    pub(super) last_commit: i64,
}

/// The script that begins a transaction and loads what its batches need.
pub(super) struct Load<'n> {
    pub(super) script: Script,
    /// The keys it looks up, in the order in which it names them.
    keys: Vec<&'n Key>,
    any_ops: bool,
}

/// `begin` is the statement that begins it; none within one that somebody else has begun.
pub(super) fn script<'n>(
    needs: impl Iterator<Item = &'n Needs>,
    begin: Option<&str>,
) -> Result<Load<'n>, sqlx::Error> {
    let (mut uids, mut keys, mut ops) = (Envelope::new(), Envelope::new(), Envelope::new());
    let mut names = Envelope::new();
    let mut asked = Vec::new();
    for needs in needs {
        for uid in needs.actions() {
            uids.row(|row| row.blob(uid.as_uuid()));
        }
        for key in needs.keys() {
            asked.push(key);
            keys.row(|row| {
                row.text(&key.tenant);
                row.int(key.kind.code().into());
                row.text(&key.key);
            });
        }
        for (uid, op) in needs.ops() {
            ops.row(|row| {
                row.blob(uid.as_uuid());
                row.blob(op.as_uuid());
            });
        }
        for name in needs.owners() {
            names.row(|row| row.text(name));
        }
    }
    let any_ops = ops.len() > 0;
    let mut script = Script::new();
    for envelope in [uids, keys, ops, names] {
        script.bind(envelope.finish())?;
    }
    if let Some(begin) = begin {
        script.push(begin);
    }
    script.push(POSITION);
    script.push(&ACTIONS);
    script.push(&OWNERS);
    if any_ops {
        script.push(OPS);
    }
    if !asked.is_empty() {
        script.push(KEYS);
    }
    let keys = asked;
    Ok(Load {
        script,
        keys,
        any_ops,
    })
}

/// Begins the transaction, if told how, and loads what all the batches need. Also says which number
/// each loaded action has.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    needs: impl Iterator<Item = &Needs>,
    begin: Option<&str>,
) -> Result<(Loaded, Stored, HashMap<ActionUid, i64>), StoreError> {
    let before = |error| store_error("write", Phase::Before, error);
    let Load {
        script,
        keys,
        any_ops,
    } = script(needs, begin).map_err(before)?;
    let mut results = script
        .run(connection)
        .await
        .map_err(|failed| before(failed.error))?
        .into_iter()
        .skip(usize::from(begin.is_some()));
    let mut rows = || results.next().unwrap_or_default();

    let stored = read_position(&rows())?;
    let mut loaded = Loaded::new();
    let mut numbers = HashMap::new();
    let mut uids = HashMap::new();
    for row in rows() {
        let mut columns = Columns::new("write", &row)?;
        let (number, action) = decode_action(&mut columns)?;
        let (pinned, late) = (columns.int()? != 0, columns.int()? != 0);
        numbers.insert(action.uid, number);
        uids.insert(number, action.uid);
        loaded.put_action(Arc::new(action), pinned, late);
    }
    for row in rows() {
        loaded.put_owner(decode_owner(&mut Columns::new("write", &row)?)?);
    }
    if any_ops {
        for row in rows() {
            let mut columns = Columns::new("write", &row)?;
            let uid = ActionUid::from_uuid(columns.blob()?);
            loaded.put_op(uid, OpId::from_uuid(columns.blob()?));
        }
    }
    if !keys.is_empty() {
        for row in rows() {
            let mut columns = Columns::new("write", &row)?;
            let (index, number): (usize, i64) = (columns.number()?, columns.int()?);
            if let (Some(key), Some(holder)) = (keys.get(index), uids.get(&number)) {
                loaded.put_key((*key).clone(), *holder);
            }
        }
    }
    Ok((loaded, stored, numbers))
}

pub(super) fn read_position(rows: &[SqliteRow]) -> Result<Stored, StoreError> {
    let Some(row) = rows.first() else {
        return Err(corrupt("write", "the store's own row is missing"));
    };
    let mut columns = Columns::new("write", row)?;
    Ok(Stored {
        revision: columns.int()?,
        removed_to: columns.int()?,
        removed_created: columns.int_opt()?,
        last_number: columns.int()?,
        last_entry: columns.int()?,
        last_commit: columns.int()?,
    })
}
