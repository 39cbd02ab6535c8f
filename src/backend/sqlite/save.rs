//! The second half of a transaction: write what the plan says, and commit.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;

use super::errors::corrupt;
use super::load::Stored;
use super::rows::{
    ACTION_COLUMNS, BLOBS, Columns, Envelope, FIRST_CHANGEABLE, LOG_COLUMNS, OWNER_COLUMNS,
    encode_action, encode_entry, encode_owner, encode_update,
};
use super::script::Script;
use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Changes, Key, Limits, OwnerState, Position, Revision, StoreId, touched,
};

/// A script that saves, and how to tell where the store stands after it.
pub(super) struct Save {
    pub(super) script: Script,
    pub(super) position: After,
}

/// Where the store stands after the commit.
pub(super) struct After {
    revision: i64,
    removed_to: i64,
    /// The statement that reads `removed_to`, if something was removed.
    removed_at: Option<usize>,
}

impl After {
    pub(super) fn read(
        &self,
        results: &[Vec<SqliteRow>],
        life: StoreId,
    ) -> Result<Position, StoreError> {
        let mut removed_to = self.removed_to;
        if let Some(at) = self.removed_at {
            let row = results.get(at).and_then(|rows| rows.first());
            let row = row.ok_or_else(|| corrupt("write", "the store's own row is missing"))?;
            removed_to = Columns::new("write", row).int()?;
        }
        let revision = |number: i64| Revision::new(u64::try_from(number).unwrap_or_default());
        Ok(Position {
            life,
            revision: revision(self.revision),
            removed_to: revision(removed_to),
        })
    }
}

/// Which numbers the actions have, and which the new ones get.
struct Numbers {
    known: HashMap<ActionUid, i64>,
    last: i64,
}

impl Numbers {
    fn of(&self, uid: ActionUid) -> i64 {
        // Every action the plan names was loaded or is new; 0 is nobody's number.
        self.known.get(&uid).copied().unwrap_or_default()
    }
}

/// What saves the changes: each kind of row in one statement, whose rows travel in one envelope.
pub(super) fn script(
    changes: &Changes,
    stored: Stored,
    known: HashMap<ActionUid, i64>,
) -> Result<Save, sqlx::Error> {
    let mut script = Script::new();
    let mut after = After {
        revision: stored.revision,
        removed_to: stored.removed_to,
        removed_at: None,
    };
    let last = stored.last_number;
    let mut numbers = Numbers { known, last };
    let mut entry = stored.last_entry;

    update(&mut script, changes, &numbers, &mut after)?;
    remove(&mut script, changes, &numbers, &after)?;
    free_keys(&mut script, changes)?;
    create(&mut script, changes, &mut numbers, &mut after)?;
    append_log(&mut script, changes, &numbers, &mut entry)?;
    save_keys_and_pins(&mut script, changes, &numbers)?;
    save_owners(&mut script, changes)?;
    if after.revision != stored.revision || entry != stored.last_entry {
        let revision = script.bind(after.revision)?;
        let number = script.bind(numbers.last)?;
        let entry = script.bind(entry)?;
        script.push(&format!(
            "UPDATE actions_store SET revision = ${revision}, last_number = ${number}, \
             last_entry = ${entry} WHERE id = 1"
        ));
    }
    if !changes.removed.is_empty() {
        after.removed_at = Some(script.len());
        script.push("SELECT removed_to FROM actions_store WHERE id = 1");
    }
    script.push("COMMIT");
    let position = after;
    Ok(Save { script, position })
}

/// The fields of an envelope's rows, from the one at `first` on, as the columns they are for.
fn fields(columns: &[&str], first: usize) -> String {
    let field = |(index, column): (usize, &&str)| {
        let index = index + first;
        match BLOBS.contains(column) {
            true => format!("unhex(j.value ->> {index})"),
            false => format!("j.value ->> {index}"),
        }
    };
    let fields: Vec<String> = columns.iter().enumerate().map(field).collect();
    fields.join(", ")
}

/// One row of numbers: actions by number alone.
fn numbers_of(uids: impl Iterator<Item = ActionUid>, numbers: &Numbers) -> Envelope {
    let mut envelope = Envelope::new();
    for uid in uids {
        envelope.row(|row| row.int(numbers.of(uid)));
    }
    envelope
}

fn touches(actions: &[std::sync::Arc<Action>], numbers: &Numbers) -> Envelope {
    let mut envelope = Envelope::new();
    for action in actions {
        for object in touched(action) {
            envelope.row(|row| {
                row.text(object.as_str());
                row.int(numbers.of(action.uid));
            });
        }
    }
    envelope
}

fn key_row(envelope: &mut Envelope, key: &Key, number: Option<i64>) {
    envelope.row(|row| {
        row.text(&key.tenant);
        row.int(key.kind.code().into());
        row.text(&key.key);
        if let Some(number) = number {
            row.int(number);
        }
    });
}

/// Pushes a statement whose one value, written `$#`, is the envelope; none for an empty one.
fn push(script: &mut Script, statement: &str, envelope: Envelope) -> Result<(), sqlx::Error> {
    if !envelope.is_empty() {
        let value = script.bind(envelope.finish())?;
        script.push(&statement.replace("$#", &format!("${value}")));
    }
    Ok(())
}

fn remove(
    script: &mut Script,
    changes: &Changes,
    numbers: &Numbers,
    after: &After,
) -> Result<(), sqlx::Error> {
    let unpin = "DELETE FROM actions_pin WHERE action IN (\
         SELECT j.value ->> 0 FROM json_each($#) AS j)";
    let unpinned = changes.unpinned.iter().copied();
    push(script, unpin, numbers_of(unpinned, numbers))?;
    let removed = || numbers_of(changes.removed.iter().map(|action| action.uid), numbers);
    if changes.removed.is_empty() {
        return Ok(());
    }
    // The updates before may have gone beyond the revision that is stored.
    let revision = script.bind(after.revision)?;
    let highest = format!(
        "UPDATE actions_store SET revision = ${revision}, removed_to = max(removed_to, coalesce((\
         SELECT max(f.revision) FROM json_each($#) AS j \
         JOIN actions_feed AS f ON f.action = j.value ->> 0), 0)) WHERE id = 1"
    );
    push(script, &highest, removed())?;
    let untouch = "DELETE FROM actions_touch WHERE (object, action) IN (\
         SELECT j.value ->> 0, j.value ->> 1 FROM json_each($#) AS j)";
    push(script, untouch, touches(&changes.removed, numbers))?;
    let gone = "DELETE FROM actions_action WHERE number IN (\
         SELECT j.value ->> 0 FROM json_each($#) AS j)";
    push(script, gone, removed())
}

fn free_keys(script: &mut Script, changes: &Changes) -> Result<(), sqlx::Error> {
    let mut freed = Envelope::new();
    for key in &changes.keys_freed {
        key_row(&mut freed, key, None);
    }
    let free = "DELETE FROM actions_key WHERE (tenant, kind, key) IN (\
         SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2 FROM json_each($#) AS j)";
    push(script, free, freed)
}

fn create(
    script: &mut Script,
    changes: &Changes,
    numbers: &mut Numbers,
    after: &mut After,
) -> Result<(), sqlx::Error> {
    let mut rows = Envelope::new();
    for action in &changes.created {
        numbers.last += 1;
        after.revision += 1;
        let (number, revision) = (numbers.last, after.revision);
        numbers.known.insert(action.uid, number);
        rows.row(|row| encode_action(row, action, number, revision));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let value = script.bind(rows.finish())?;
    let (columns, fields) = (ACTION_COLUMNS.join(", "), fields(ACTION_COLUMNS, 0));
    script.push(&format!(
        "INSERT INTO actions_action ({columns}) SELECT {fields} FROM json_each(${value}) AS j"
    ));
    let revision = ACTION_COLUMNS.len();
    script.push(&format!(
        "INSERT INTO actions_feed (revision, action) \
         SELECT j.value ->> {revision}, j.value ->> 0 FROM json_each(${value}) AS j"
    ));
    let touch = "INSERT INTO actions_touch (object, action) \
         SELECT j.value ->> 0, j.value ->> 1 FROM json_each($#) AS j";
    push(script, touch, touches(&changes.created, numbers))
}

fn update(
    script: &mut Script,
    changes: &Changes,
    numbers: &Numbers,
    after: &mut After,
) -> Result<(), sqlx::Error> {
    let mut rows = Envelope::new();
    for action in &changes.updated {
        after.revision += 1;
        let revision = after.revision;
        rows.row(|row| encode_update(row, action, numbers.of(action.uid), revision));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let value = script.bind(rows.finish())?;
    let columns = &ACTION_COLUMNS[FIRST_CHANGEABLE..];
    let (names, fields) = (columns.join(", "), fields(columns, 1));
    script.push(&format!(
        "UPDATE actions_action SET ({names}) = ({fields}) FROM json_each(${value}) AS j \
         WHERE number = j.value ->> 0"
    ));
    let revision = columns.len() + 1;
    script.push(&format!(
        "UPDATE actions_feed SET revision = j.value ->> {revision} \
         FROM json_each(${value}) AS j WHERE action = j.value ->> 0"
    ));
    Ok(())
}

fn append_log(
    script: &mut Script,
    changes: &Changes,
    numbers: &Numbers,
    entry: &mut i64,
) -> Result<(), sqlx::Error> {
    let mut rows = Envelope::new();
    for transition in &changes.log {
        *entry += 1;
        let number = numbers.of(transition.uid);
        rows.row(|row| encode_entry(row, transition, *entry, number));
    }
    let (columns, fields) = (LOG_COLUMNS.join(", "), fields(LOG_COLUMNS, 0));
    let append =
        format!("INSERT INTO actions_log ({columns}) SELECT {fields} FROM json_each($#) AS j");
    push(script, &append, rows)?;
    let kept = Limits::LOG_ENTRIES;
    let trim = format!(
        "DELETE FROM actions_log WHERE entry IN (\
         SELECT o.entry FROM json_each($#) AS j CROSS JOIN actions_log AS o \
         ON o.action = j.value ->> 0 AND o.kind <> 7 AND o.version <= (\
         SELECT n.version FROM actions_log AS n WHERE n.action = j.value ->> 0 AND n.kind <> 7 \
         ORDER BY n.version DESC LIMIT 1 OFFSET {kept}))"
    );
    push(
        script,
        &trim,
        numbers_of(changes.trim.iter().copied(), numbers),
    )
}

fn save_keys_and_pins(
    script: &mut Script,
    changes: &Changes,
    numbers: &Numbers,
) -> Result<(), sqlx::Error> {
    let mut taken = Envelope::new();
    for (key, uid) in &changes.keys_taken {
        key_row(&mut taken, key, Some(numbers.of(*uid)));
    }
    let take = "INSERT INTO actions_key (tenant, kind, key, action) \
         SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3 \
         FROM json_each($#) AS j";
    push(script, take, taken)?;
    let pin = "INSERT INTO actions_pin (action) SELECT j.value ->> 0 FROM json_each($#) AS j";
    let pinned = changes.pinned.iter().copied();
    push(script, pin, numbers_of(pinned, numbers))
}

fn save_owners(script: &mut Script, changes: &Changes) -> Result<(), sqlx::Error> {
    let mut forgotten = Envelope::new();
    for owner in &changes.owners_forgotten {
        forgotten.row(|row| {
            row.text(&owner.name);
            row.blob(owner.incarnation.as_uuid());
        });
    }
    let forget = "DELETE FROM actions_owner WHERE (name, incarnation) IN (\
         SELECT j.value ->> 0, unhex(j.value ->> 1) FROM json_each($#) AS j)";
    push(script, forget, forgotten)?;
    // Those that ended first: a name has one living incarnation at any moment.
    let mut rows = Envelope::new();
    for alive in [false, true] {
        let those = changes.owners.iter();
        for owner in those.filter(|owner| (owner.state == OwnerState::Alive) == alive) {
            rows.row(|row| encode_owner(row, owner));
        }
    }
    let (columns, fields) = (OWNER_COLUMNS.join(", "), fields(OWNER_COLUMNS, 0));
    let save = format!(
        "INSERT INTO actions_owner ({columns}) SELECT {fields} FROM json_each($#) AS j WHERE true \
         ON CONFLICT (name, incarnation) DO UPDATE SET state = excluded.state, \
         renewals = excluded.renewals, renewed_at = excluded.renewed_at, \
         ended_at = excluded.ended_at"
    );
    push(script, &save, rows)
}
