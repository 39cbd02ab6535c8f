//! The second half of a transaction: writes the changes of the plan and commits.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use uuid::Uuid;

use super::blocks::widen_blocks;
use super::host_locks::HostLocks;
use super::literal::Rows;
use super::load::Within;
use super::rows::{
    ACTIONS, ENTRIES, KEYS, LABELS, MOVES, OWNERS, PINS, POSITIONS, PROGRESS, TOUCHES, UPDATES,
};
use super::script::Script;
use super::setup::Setup;
use crate::backend::sql::{
    Numbers, RowWriter, Stored, Type, encode_action, encode_owner, entries, keys_taken, labels,
    numbers_of, position, touches, updated,
};
use crate::model::codec::CodecError;
use crate::model::{Action, ActionUid, Limits, OwnerRef, WriteSet};

/// A script that saves changes, and the values that are valid after its commit.
#[derive(Debug)]
pub(super) struct Save {
    pub(super) script: Script,
    /// The number of each action, including new ones.
    pub(super) numbers: HashMap<ActionUid, i64>,
    pub(super) after: Stored,
    /// Identity of its row in `actions_commit`.
    pub(super) id: Uuid,
}

/// Rows of `actions_commit` that stay. A writer whose commit is in doubt looks for its row.
/// `actions_stamp()` has the same rule, because it uses numbers, too.
const COMMITS_KEPT: i64 = 16 * 1024;
/// Old rows are deleted after this many commits.
const COMMITS_AT_ONCE: i64 = 1024;

/// Deletes from logs the entries that [`trim_log`](crate::spi::trim_log) removes. `n` is the newest
/// entry of a log. Adoptions go after steps and notes; the newest entry and the others stay.
static TRIM: LazyLock<String> = LazyLock::new(|| {
    let kept = Limits::LOG_ENTRIES;
    format!(
        "DELETE FROM actions_log WHERE entry IN (\
         SELECT entry FROM (SELECT l.entry, row_number() OVER (PARTITION BY l.action ORDER BY \
         CASE WHEN l.version = n.version THEN 0 WHEN l.kind IN (2, 3) THEN 2 \
         WHEN l.kind = 5 THEN 1 ELSE 0 END, l.version DESC) AS place \
         FROM unnest($#) AS j(action) \
         CROSS JOIN LATERAL (SELECT max(k.version) AS version FROM actions_log AS k \
         WHERE k.action = j.action AND k.kind <> 7) AS n \
         JOIN actions_log AS l ON l.action = j.action AND l.kind <> 7) AS placed \
         WHERE place > {kept})"
    )
});

/// Returns the script that saves the changes: one statement for each kind of row. Its first
/// statement fails, and all others with it, unless it runs in the transaction of the load.
pub(super) fn script(
    write_set: &WriteSet,
    stored: Stored,
    known: HashMap<ActionUid, i64>,
    within: &Within,
    (setup, locks): (&Setup, &HostLocks),
) -> Result<Save, CodecError> {
    let mut script = Script::new();
    push_guard(&mut script, within);
    let mut revisions = stored.revision + 1..;
    let mut numbers = Numbers {
        known,
        last: stored.last_number,
    };
    let mut latest = within.revisions.clone();
    update(&mut script, write_set, &numbers)?;
    let mut positions = MOVES.rows();
    for (action, revision) in write_set.updated.iter().zip(&mut revisions) {
        position(&mut positions, numbers.of(action.uid), revision);
        latest.insert(action.uid, revision);
    }
    script.push_rows(&MOVES.sql, &positions);
    remove(&mut script, write_set, &numbers);
    free_keys(&mut script, write_set);
    number_created(write_set, &mut numbers, &within.places);
    create(&mut script, write_set, &numbers)?;
    let mut positions = POSITIONS.rows();
    for (action, revision) in write_set.created.iter().zip(revisions) {
        position(&mut positions, numbers.of(action.uid), revision);
    }
    script.push_rows(&POSITIONS.sql, &positions);
    append_log(&mut script, write_set, &numbers, Some(stored.last_entry))?;
    save_keys_and_pins(&mut script, write_set, &numbers);
    if write_set.owners.iter().any(|owner| !owner.is_alive()) {
        // Waits for hosts that are committing as an owner.
        let lock = script.bind_int(locks.owners);
        script.push(&format!("SELECT pg_advisory_xact_lock(${lock})"));
    }
    save_owners(&mut script, write_set)?;
    widen_blocks(&mut script, write_set, |uid| numbers.of(uid));

    let removed = write_set.removed.iter();
    let pruned_through = removed.filter_map(|action| latest.get(&action.uid).copied());
    let after = Stored {
        pruned_through: pruned_through.max().unwrap_or(0).max(stored.pruned_through),
        last_number: numbers.last,
        last_commit: stored.last_commit + 1,
        ..stored.after(write_set)
    };
    let id = Uuid::now_v7();
    push_commit(&mut script, after, within.marks_from, &id);
    setup.notify(&mut script);
    script.push("COMMIT");
    Ok(Save {
        script,
        numbers: numbers.known,
        after,
        id,
    })
}

/// Returns the script that saves changes in a host's transaction, and the place of the statement
/// that returns its mark.
///
/// The mark comes before all changes: a script of several messages may be given up between two of
/// them, and the host's commit must then fail.
pub(super) fn script_in(
    write_set: &WriteSet,
    known: HashMap<ActionUid, i64>,
    within: &Within,
    owners: &[OwnerRef],
    (setup, locks): (&Setup, &HostLocks),
) -> Result<(Script, usize), CodecError> {
    let mut script = Script::new();
    setup.enter(&mut script);
    push_guard(&mut script, within);
    let mut numbers = Numbers { known, last: 0 };
    number_created(write_set, &mut numbers, &within.places);
    let changed = write_set.created.iter().chain(&write_set.updated);
    let changed = numbers_of(
        Rows::new(&[Type::Int]),
        changed.map(|action| &action.uid),
        &numbers,
    );
    let mut alive = Rows::new(&[Type::Int]);
    for (id, owner) in &within.alive {
        if owners.contains(owner) {
            alive.row(|row| row.int(*id));
        }
    }
    let count = |actions: &[Arc<Action>]| i64::try_from(actions.len()).unwrap_or(i64::MAX);
    let created = count(&write_set.created) - count(&write_set.removed);
    let removed = write_set.removed.iter();
    let pruned = removed.filter_map(|action| within.revisions.get(&action.uid).copied());
    let pruned = script.bind_int(pruned.max().unwrap_or(0));
    let removed = write_set.removed.iter();
    let youngest = removed.map(|action| action.created_at.as_micros()).max();
    let youngest = match youngest {
        Some(created) => format!("${}", script.bind_int(created)),
        None => "NULL".to_owned(),
    };
    let (changed, alive) = (script.bind_rows(&changed), script.bind_rows(&alive));
    let (created, lock) = (script.bind_int(created), script.bind_int(locks.owners));
    script.push(&format!(
        "INSERT INTO actions_mark (answered, actions, created, pruned_through, pruned_created, \
         owners, owners_lock) \
         VALUES (false, ${changed}, ${created}, ${pruned}, {youngest}, ${alive}, ${lock}) RETURNING id"
    ));
    let mark = script.len() - 1;
    update(&mut script, write_set, &numbers)?;
    remove(&mut script, write_set, &numbers);
    free_keys(&mut script, write_set);
    create(&mut script, write_set, &numbers)?;
    append_log(&mut script, write_set, &numbers, None)?;
    save_keys_and_pins(&mut script, write_set, &numbers);
    setup.notify_all(&mut script);
    Setup::leave(&mut script);
    Ok((script, mark))
}

/// Appends a statement that fails unless it runs in the transaction of the load.
pub(super) fn push_guard(script: &mut Script, within: &Within) {
    let txid = script.bind_int(within.txid);
    script.push(&format!(
        "SELECT 1 / (CASE WHEN txid_current() = ${txid} THEN 1 ELSE 0 END)"
    ));
}

/// Appends the row that makes a transaction the newest one.
fn push_commit(script: &mut Script, after: Stored, marks_from: i64, id: &Uuid) {
    let id = script.bind_id(id);
    let numbers = [
        marks_from,
        after.last_commit,
        after.revision,
        after.actions,
        after.last_number,
        after.last_entry,
        after.pruned_through,
    ];
    let numbers = numbers.map(|number| format!("${}", script.bind_int(number)));
    let created = match after.pruned_created {
        Some(created) => format!("${}", script.bind_int(created)),
        None => "NULL".to_owned(),
    };
    script.push(&format!(
        "INSERT INTO actions_commit (id, marks_from, number, revision, actions, last_number, last_entry, \
         pruned_through, pruned_created) VALUES (${id}, {}, {created})",
        numbers.join(", ")
    ));
    if after.last_commit % COMMITS_AT_ONCE == 0 {
        let oldest = script.bind_int(after.last_commit - COMMITS_KEPT);
        script.push(&format!(
            "DELETE FROM actions_commit WHERE number <= ${oldest}"
        ));
    }
}

fn update(script: &mut Script, write_set: &WriteSet, numbers: &Numbers) -> Result<(), CodecError> {
    let (mut wide, mut narrow) = (UPDATES.rows(), PROGRESS.rows());
    for updated in updated(write_set, numbers) {
        let rows = match updated.is_wide {
            true => &mut wide,
            false => &mut narrow,
        };
        rows.row(|row| updated.encode(row))?;
    }
    script.push_rows(&UPDATES.sql, &wide);
    script.push_rows(&PROGRESS.sql, &narrow);
    Ok(())
}

fn remove(script: &mut Script, write_set: &WriteSet, numbers: &Numbers) {
    let unpinned = numbers_of(Rows::new(&[Type::Int]), &write_set.unpinned, numbers);
    script.push_rows("DELETE FROM actions_pin WHERE action = ANY ($#)", &unpinned);
    let untouch = "DELETE FROM actions_touch AS t USING unnest($#) AS j(object, action) \
         WHERE t.object = j.object AND t.action = j.action";
    script.push_rows(
        untouch,
        &touches(TOUCHES.rows(), &write_set.removed, numbers),
    );
    let unlabel = "DELETE FROM actions_label AS t USING unnest($#) AS j(label, action) \
         WHERE t.label = j.label AND t.action = j.action";
    script.push_rows(unlabel, &labels(LABELS.rows(), &write_set.removed, numbers));
    let removed = write_set.removed.iter().map(|action| &action.uid);
    let removed = numbers_of(Rows::new(&[Type::Int]), removed, numbers);
    script.push_rows(
        "DELETE FROM actions_action WHERE number = ANY ($#)",
        &removed,
    );
}

fn free_keys(script: &mut Script, write_set: &WriteSet) {
    let mut freed = Rows::new(&[Type::Text, Type::Int, Type::Text]);
    for key in &write_set.keys_freed {
        freed.row(|row| row.key(key));
    }
    let free = "DELETE FROM actions_key AS k USING unnest($#) AS j(tenant, kind, key) \
         WHERE k.tenant = j.tenant AND k.kind = j.kind AND k.key = j.key";
    script.push_rows(free, &freed);
}

/// Gives each new action its place in creation order.
fn number_created(write_set: &WriteSet, numbers: &mut Numbers, places: &[i64]) {
    let mut places = places.iter().copied();
    for action in &write_set.created {
        // There is one for each command that may add an action.
        numbers.insert(action.uid, places.next().unwrap_or_default());
    }
}

fn create(script: &mut Script, write_set: &WriteSet, numbers: &Numbers) -> Result<(), CodecError> {
    let mut rows = ACTIONS.rows();
    for action in &write_set.created {
        rows.row(|row| encode_action(row, action, numbers.of(action.uid)))?;
    }
    script.push_rows(&ACTIONS.sql, &rows);
    let touches = touches(TOUCHES.rows(), &write_set.created, numbers);
    script.push_rows(&TOUCHES.sql, &touches);
    let labels = labels(LABELS.rows(), &write_set.created, numbers);
    script.push_rows(&LABELS.sql, &labels);
    Ok(())
}

fn append_log(
    script: &mut Script,
    write_set: &WriteSet,
    numbers: &Numbers,
    last_entry: Option<i64>,
) -> Result<(), CodecError> {
    let first = last_entry.map(|last| last + 1);
    let rows = entries(ENTRIES.rows(), write_set, numbers, first)?;
    script.push_rows(&ENTRIES.sql, &rows);
    let trimmed = numbers_of(Rows::new(&[Type::Int]), &write_set.trim, numbers);
    script.push_rows(&TRIM, &trimmed);
    Ok(())
}

fn save_keys_and_pins(script: &mut Script, write_set: &WriteSet, numbers: &Numbers) {
    script.push_rows(&KEYS.sql, &keys_taken(KEYS.rows(), write_set, numbers));
    let pinned = numbers_of(PINS.rows(), &write_set.pinned, numbers);
    script.push_rows(&PINS.sql, &pinned);
}

fn save_owners(script: &mut Script, write_set: &WriteSet) -> Result<(), CodecError> {
    let mut forgotten = Rows::new(&[Type::Text, Type::Id]);
    for owner in &write_set.owners_forgotten {
        forgotten.row(|row| row.owner(owner));
    }
    let forget = "DELETE FROM actions_owner AS o USING unnest($#) AS j(name, incarnation) \
         WHERE o.name = j.name AND o.incarnation = j.incarnation";
    script.push_rows(forget, &forgotten);
    // One statement for each: an incarnation must end before the next one of its name begins.
    for owner in &write_set.owners {
        let mut rows = OWNERS.rows();
        rows.row(|row| encode_owner(row, owner))?;
        script.push_rows(&OWNERS.sql, &rows);
    }
    Ok(())
}
