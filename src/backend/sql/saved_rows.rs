//! The rows that changes make.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::engine::Stored;
use super::row_writer::{RowWriter, encode_entry, encode_progress, encode_update};
use crate::model::codec::CodecError;
use crate::model::{Action, ActionUid, WriteSet, touched};

/// The numbers of the actions, including those that new ones get.
pub(crate) struct Numbers {
    pub(crate) known: HashMap<ActionUid, i64>,
    /// The highest number of the store.
    pub(crate) last: i64,
}

impl Numbers {
    pub(crate) fn of(&self, uid: ActionUid) -> i64 {
        // Every action in the plan was loaded or is new; no action has number 0.
        self.known.get(&uid).copied().unwrap_or_default()
    }

    /// Adds a new action.
    pub(crate) fn insert(&mut self, uid: ActionUid, number: i64) {
        self.known.insert(uid, number);
        self.last = self.last.max(number);
    }
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl Stored {
    /// Returns the position after changes, with the old `pruned_through` and `last_commit`.
    pub(crate) fn after(self, write_set: &WriteSet) -> Stored {
        let created = count(write_set.created.len());
        let removed = write_set.removed.iter();
        let pruned = removed.map(|action| action.created_at.as_micros()).max();
        Stored {
            revision: self.revision + count(write_set.updated.len()) + created,
            pruned_created: pruned.max(self.pruned_created),
            actions: self.actions + created - count(write_set.removed.len()),
            last_number: self.last_number + created,
            last_entry: self.last_entry + count(write_set.log.len()),
            ..self
        }
    }
}

/// An action that is updated.
pub(crate) struct Updated<'w> {
    pub(crate) action: &'w Action,
    pub(crate) number: i64,
    /// False if nothing but its progress has changed.
    pub(crate) is_wide: bool,
}

impl Updated<'_> {
    /// Encodes a row of [`CHANGED_ACTION`](super::CHANGED_ACTION), or of
    /// [`PROGRESSED_ACTION`](super::PROGRESSED_ACTION) if it is not wide.
    pub(crate) fn encode<W: RowWriter>(&self, out: &mut W) -> Result<(), CodecError> {
        match self.is_wide {
            true => encode_update(out, self.action, self.number),
            false => encode_progress(out, self.action, self.number),
        }
    }
}

/// Returns the updated actions in the order of their revisions.
pub(crate) fn updated<'w>(
    write_set: &'w WriteSet,
    numbers: &Numbers,
) -> impl Iterator<Item = Updated<'w>> {
    let logged: HashSet<ActionUid> = write_set.log.iter().map(|entry| entry.uid).collect();
    write_set.updated.iter().map(move |action| {
        // Every other change adds a log entry. The log of a removed action is gone.
        let removed = || write_set.removed.iter().any(|gone| gone.uid == action.uid);
        Updated {
            action,
            number: numbers.of(action.uid),
            is_wide: logged.contains(&action.uid) || removed(),
        }
    })
}

/// Writes a row of [`POSITION`](super::POSITION).
pub(crate) fn position<W: RowWriter>(rows: &mut W, number: i64, revision: i64) {
    rows.row(|row| {
        row.int(number);
        row.int(revision);
    });
}

/// Writes rows of numbers, for tables that identify actions by number only.
pub(crate) fn numbers_of<'u, W: RowWriter>(
    mut rows: W,
    uids: impl IntoIterator<Item = &'u ActionUid>,
    numbers: &Numbers,
) -> W {
    for uid in uids {
        rows.row(|row| row.int(numbers.of(*uid)));
    }
    rows
}

/// Writes rows of [`TOUCH`](super::TOUCH).
pub(crate) fn touches<W: RowWriter>(mut rows: W, actions: &[Arc<Action>], numbers: &Numbers) -> W {
    for action in actions {
        for object in touched(action) {
            rows.row(|row| {
                row.text(object.as_str());
                row.int(numbers.of(action.uid));
            });
        }
    }
    rows
}

/// Writes rows of [`LABEL`](super::LABEL).
pub(crate) fn labels<W: RowWriter>(mut rows: W, actions: &[Arc<Action>], numbers: &Numbers) -> W {
    for action in actions {
        for text in action.labels.index_texts() {
            rows.row(|row| {
                row.text(&text);
                row.int(numbers.of(action.uid));
            });
        }
    }
    rows
}

/// Writes rows of [`KEY`](super::KEY).
pub(crate) fn keys_taken<W: RowWriter>(mut rows: W, write_set: &WriteSet, numbers: &Numbers) -> W {
    for (key, uid) in &write_set.keys_taken {
        rows.row(|row| {
            row.key(key);
            row.int(numbers.of(*uid));
        });
    }
    rows
}

/// Writes rows of [`NEW_ENTRY`](super::NEW_ENTRY). Their numbers begin with `first`, or are NULL.
pub(crate) fn entries<W: RowWriter>(
    mut rows: W,
    write_set: &WriteSet,
    numbers: &Numbers,
    first: Option<i64>,
) -> Result<W, CodecError> {
    for (logged, place) in write_set.log.iter().zip(0..) {
        let (entry, number) = (first.map(|first| first + place), numbers.of(logged.uid));
        rows.row(|row| encode_entry(row, logged, entry, number))?;
    }
    Ok(rows)
}
