//! The second half of a transaction: writes the changes of the plan and commits.

use std::collections::HashMap;
use std::ops::RangeFrom;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::encode::JsonRows;
use super::errors::was_refused;
use super::identity::OpenFile;
use super::load;
use super::script::Script;
use super::statement::{
    ACTIONS, ENTRIES, KEYS, LABELS, MOVES, OWNERS, PINS, POSITIONS, PROGRESS, TOUCHES, TRIM,
    UPDATES, push_lists,
};
use crate::backend::sql::{
    Encoded, Frame, Numbers, Phase, RowWriter, Stored, encode_action, encode_owner, entries,
    keys_taken, labels, numbers_of, position, touches, updated,
};
use crate::model::codec::CodecError;
use crate::model::{ActionUid, OpId, WriteSet};

/// A script that saves changes, and the values that are valid after its commit.
pub(super) struct Save {
    pub(super) script: Script,
    /// The number of each action, including new ones.
    numbers: HashMap<ActionUid, i64>,
    after: Stored,
    /// Index of the statement that reads `pruned_through`, if actions were removed.
    removed_at: Option<usize>,
}

impl Encoded for Save {
    fn expected(&self) -> Stored {
        self.after
    }

    fn numbers(&self) -> &HashMap<ActionUid, i64> {
        &self.numbers
    }
}

impl Save {
    /// Returns the position after the commit with these results.
    pub(super) fn after(&self, results: &[Vec<SqliteRow>]) -> Stored {
        let mut after = self.after;
        let row = self.removed_at.and_then(|at| results.get(at)?.first());
        // The row was just written. Failing to read it back says nothing about the commit.
        let read = row.and_then(|row| row.try_get(0).ok());
        after.pruned_through = read.unwrap_or(after.pruned_through);
        after
    }
}

/// Generates the number that identifies a transaction after a failed commit.
fn draw_commit() -> i64 {
    // Both halves: a forked process draws the same random half at another time.
    let (time, random) = OpId::new().as_uuid().as_u64_pair();
    i64::try_from((time ^ random) >> 1).unwrap_or_default()
}

/// Returns the script that saves the changes: one statement for each kind of row, with all rows in
/// one JSON value.
///
/// Its first change fails, and all others with it, unless the store is at the expected position.
pub(super) fn script(
    write_set: &WriteSet,
    stored: Stored,
    known: HashMap<ActionUid, i64>,
    frame: Frame,
) -> Result<Save, sqlx::Error> {
    let mut script = Script::new();
    let after = Stored {
        last_commit: draw_commit(),
        ..stored.after(write_set)
    };
    if frame == Frame::BeginAndCommit {
        script.push(load::BEGIN);
    }
    let before = script.bind(stored.revision)?;
    let revision = script.bind(after.revision)?;
    let number = script.bind(after.last_number)?;
    let entry = script.bind(after.last_entry)?;
    // A trigger counts the removed ones.
    let actions = script.bind(stored.actions + after.last_number - stored.last_number)?;
    let last_commit = script.bind(stored.last_commit)?;
    let commit = script.bind(after.last_commit)?;
    // NULL unless the store is where the plan was made; the column refuses NULL.
    script.push(&format!(
        "UPDATE actions_store SET revision = CASE WHEN revision = ${before} \
         AND last_commit = ${last_commit} THEN ${revision} END, \
         last_number = ${number}, last_entry = ${entry}, actions = ${actions}, last_commit = ${commit} WHERE id = 1"
    ));

    let mut revisions = stored.revision + 1..;
    let mut numbers = Numbers {
        known,
        last: stored.last_number,
    };
    update(&mut script, write_set, &numbers, &mut revisions)?;
    remove(&mut script, write_set, &numbers, after)?;
    free_keys(&mut script, write_set)?;
    create(&mut script, write_set, &mut numbers, &mut revisions)?;
    append_log(&mut script, write_set, &numbers, stored.last_entry)?;
    save_keys_and_pins(&mut script, write_set, &numbers)?;
    save_owners(&mut script, write_set)?;
    let mut removed_at = None;
    if !write_set.removed.is_empty() {
        removed_at = Some(script.len());
        script.push("SELECT pruned_through FROM actions_store WHERE id = 1");
    }
    if frame != Frame::Inside {
        script.push("COMMIT");
    }
    Ok(Save {
        script,
        numbers: numbers.known,
        after,
        removed_at,
    })
}

/// Runs the statements of a write, including COMMIT. Returns the new position, or the point at
/// which it failed.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    save: &mut Save,
    file: &OpenFile,
) -> Result<Stored, (Phase, sqlx::Error)> {
    let statements = save.script.len();
    file.check().map_err(|lost| (Phase::Before, lost.into()))?;
    match save.script.take().run(connection).await {
        Ok(results) => {
            // The commit is in the open file. Checks that the path still leads to it.
            file.check().map_err(|lost| (Phase::Commit, lost.into()))?;
            Ok(save.after(&results))
        }
        // A refused COMMIT leaves the transaction open, so it is rolled back later.
        Err(failed) if failed.done + 1 >= statements && !was_refused(&failed.error) => {
            Err((Phase::Commit, failed.error))
        }
        Err(failed) => Err((Phase::Before, failed.error)),
    }
}

/// The error of a record that cannot be encoded, which is far beyond its limits.
fn unfit(error: CodecError) -> sqlx::Error {
    sqlx::Error::Encode(error.into())
}

fn remove(
    script: &mut Script,
    write_set: &WriteSet,
    numbers: &Numbers,
    after: Stored,
) -> Result<(), sqlx::Error> {
    let unpin = "DELETE FROM actions_pin WHERE action IN (\
         SELECT j.value ->> 0 FROM json_each($#) AS j)";
    let unpinned = numbers_of(JsonRows::new(), &write_set.unpinned, numbers);
    push_lists(script, unpin, unpinned)?;
    if write_set.removed.is_empty() {
        return Ok(());
    }
    let created = script.bind(after.pruned_created)?;
    let removed = || {
        let removed = write_set.removed.iter().map(|action| &action.uid);
        numbers_of(JsonRows::new(), removed, numbers)
    };
    let highest = format!(
        "UPDATE actions_store SET pruned_created = ${created}, \
         pruned_through = max(pruned_through, coalesce((\
         SELECT max(f.revision) FROM json_each($#) AS j \
         JOIN actions_feed AS f ON f.action = j.value ->> 0), 0)) WHERE id = 1"
    );
    push_lists(script, &highest, removed())?;
    let untouch = "DELETE FROM actions_touch WHERE (object, action) IN (\
         SELECT j.value ->> 0, j.value ->> 1 FROM json_each($#) AS j)";
    push_lists(
        script,
        untouch,
        touches(JsonRows::new(), &write_set.removed, numbers),
    )?;
    let unlabel = "DELETE FROM actions_label WHERE (label, action) IN (\
         SELECT j.value ->> 0, j.value ->> 1 FROM json_each($#) AS j)";
    push_lists(
        script,
        unlabel,
        labels(JsonRows::new(), &write_set.removed, numbers),
    )?;
    let gone = "DELETE FROM actions_action WHERE number IN (\
         SELECT j.value ->> 0 FROM json_each($#) AS j)";
    push_lists(script, gone, removed())
}

fn free_keys(script: &mut Script, write_set: &WriteSet) -> Result<(), sqlx::Error> {
    let mut freed = JsonRows::new();
    for key in &write_set.keys_freed {
        freed.row(|row| row.key(key));
    }
    let free = "DELETE FROM actions_key WHERE (tenant, kind, key) IN (\
         SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2 FROM json_each($#) AS j)";
    push_lists(script, free, freed)
}

fn create(
    script: &mut Script,
    write_set: &WriteSet,
    numbers: &mut Numbers,
    revisions: &mut RangeFrom<i64>,
) -> Result<(), sqlx::Error> {
    let (mut rows, mut positions) = (JsonRows::new(), JsonRows::new());
    for (action, revision) in write_set.created.iter().zip(revisions) {
        let number = numbers.last + 1;
        numbers.insert(action.uid, number);
        rows.row(|row| encode_action(row, action, number))
            .map_err(unfit)?;
        position(&mut positions, number, revision);
    }
    ACTIONS.push(script, rows)?;
    POSITIONS.push(script, positions)?;
    let touches = touches(JsonRows::new(), &write_set.created, numbers);
    TOUCHES.push(script, touches)?;
    LABELS.push(script, labels(JsonRows::new(), &write_set.created, numbers))
}

fn update(
    script: &mut Script,
    write_set: &WriteSet,
    numbers: &Numbers,
    revisions: &mut RangeFrom<i64>,
) -> Result<(), sqlx::Error> {
    let (mut wide, mut narrow) = (JsonRows::new(), JsonRows::new());
    let mut positions = JsonRows::new();
    for (updated, revision) in updated(write_set, numbers).zip(revisions) {
        let rows = match updated.is_wide {
            true => &mut wide,
            false => &mut narrow,
        };
        rows.row(|row| updated.encode(row)).map_err(unfit)?;
        position(&mut positions, updated.number, revision);
    }
    UPDATES.push(script, wide)?;
    PROGRESS.push(script, narrow)?;
    MOVES.push(script, positions)
}

fn append_log(
    script: &mut Script,
    write_set: &WriteSet,
    numbers: &Numbers,
    last_entry: i64,
) -> Result<(), sqlx::Error> {
    let rows = entries(JsonRows::new(), write_set, numbers, Some(last_entry + 1));
    ENTRIES.push(script, rows.map_err(unfit)?)?;
    let trimmed = numbers_of(JsonRows::new(), &write_set.trim, numbers);
    push_lists(script, &TRIM, trimmed)
}

fn save_keys_and_pins(
    script: &mut Script,
    write_set: &WriteSet,
    numbers: &Numbers,
) -> Result<(), sqlx::Error> {
    KEYS.push(script, keys_taken(JsonRows::new(), write_set, numbers))?;
    PINS.push(
        script,
        numbers_of(JsonRows::new(), &write_set.pinned, numbers),
    )
}

fn save_owners(script: &mut Script, write_set: &WriteSet) -> Result<(), sqlx::Error> {
    let mut forgotten = JsonRows::new();
    for owner in &write_set.owners_forgotten {
        forgotten.row(|row| row.owner(owner));
    }
    let forget = "DELETE FROM actions_owner WHERE (name, incarnation) IN (\
         SELECT j.value ->> 0, unhex(j.value ->> 1) FROM json_each($#) AS j)";
    push_lists(script, forget, forgotten)?;
    let mut owners = JsonRows::new();
    for owner in &write_set.owners {
        owners.row(|row| encode_owner(row, owner)).map_err(unfit)?;
    }
    push_lists(script, &OWNERS, owners)
}
