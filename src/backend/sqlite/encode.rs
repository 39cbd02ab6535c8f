//! Encodes actions, log entries and owners into rows.

use serde::Serialize;
use uuid::Uuid;

use crate::model::{Action, ActionUid, Json, LogEntry, OpId, Owner, OwnerRef, Timestamp};

/// Size in bytes after which the rows continue in another text. SQLite refuses a text of 1 GB, and
/// a row is much smaller than this.
#[cfg(not(test))]
const TEXT_BYTES: usize = 64 * 1024 * 1024;
#[cfg(test)]
const TEXT_BYTES: usize = 64 * 1024;

/// Builds the JSON array of arrays that carries the rows of a batch.
#[derive(Debug)]
pub(super) struct JsonRows {
    json: Vec<u8>,
    /// Completed texts, without their closing brackets.
    full: Vec<Vec<u8>>,
    rows: usize,
    in_row: bool,
    /// True while all fields of the current group are null.
    empty: bool,
    any_sparse: bool,
}

impl JsonRows {
    pub(super) fn new() -> JsonRows {
        JsonRows {
            json: vec![b'['],
            full: Vec::new(),
            rows: 0,
            in_row: false,
            empty: true,
            any_sparse: false,
        }
    }

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// True if a row has any [sparse](super::rows::Part::Sparse) column.
    pub(super) fn any_sparse(&self) -> bool {
        self.any_sparse
    }

    /// Returns the only row, without the outer array.
    pub(super) fn into_row(mut self) -> String {
        self.json.remove(0);
        into_text(self.json)
    }

    /// Returns all rows as one text.
    pub(super) fn finish(self) -> String {
        let mut texts = self.into_lists().into_iter();
        let mut all = texts.next().unwrap_or_default();
        for text in texts {
            all.pop();
            all.push(',');
            all.push_str(text.get(1..).unwrap_or_default());
        }
        all
    }

    /// Returns the rows in order, in as many texts as SQLite's limit requires.
    pub(super) fn into_lists(mut self) -> Vec<String> {
        self.full.push(self.json);
        let close = |mut text: Vec<u8>| {
            text.push(b']');
            into_text(text)
        };
        self.full.into_iter().map(close).collect()
    }

    /// Begins a row, fills it and ends it.
    pub(super) fn row(&mut self, fill: impl FnOnce(&mut JsonRows)) {
        if self.json.len() > TEXT_BYTES {
            self.full
                .push(std::mem::replace(&mut self.json, vec![b'[']));
        } else if self.rows > 0 {
            self.json.push(b',');
        }
        self.rows += 1;
        self.json.push(b'[');
        self.in_row = false;
        fill(self);
        self.json.push(b']');
    }

    /// Writes the field of a row that packs the sparse columns.
    fn sparse(&mut self, fill: impl FnOnce(&mut JsonRows)) {
        if self.in_row {
            self.json.push(b',');
        }
        let begin = self.json.len();
        self.json.push(b'[');
        (self.in_row, self.empty) = (false, true);
        fill(self);
        self.in_row = true;
        if self.empty {
            self.json.truncate(begin);
            self.json.extend_from_slice(b"null");
        } else {
            self.json.push(b']');
            self.any_sparse = true;
        }
    }

    /// Writes a row that contains only an identity.
    pub(super) fn item(&mut self, uuid: &Uuid) {
        self.in_row = self.rows > 0;
        self.rows += 1;
        self.blob(uuid);
    }

    fn next_field(&mut self) {
        if self.in_row {
            self.json.push(b',');
        }
        self.in_row = true;
    }

    fn field<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.next_field();
        self.empty = false;
        // Texts and numbers are written to memory, so neither can fail.
        let written = serde_json::to_writer(&mut self.json, value);
        debug_assert!(written.is_ok());
    }

    fn null(&mut self) {
        self.next_field();
        self.json.extend_from_slice(b"null");
    }

    pub(super) fn text(&mut self, text: &str) {
        self.field(text);
    }

    fn text_opt(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    pub(super) fn int(&mut self, number: i64) {
        self.field(&number);
    }

    fn int_opt(&mut self, number: Option<i64>) {
        match number {
            Some(number) => self.int(number),
            None => self.null(),
        }
    }

    pub(super) fn blob(&mut self, uuid: &Uuid) {
        let mut buffer = Uuid::encode_buffer();
        let hex = uuid.simple().encode_lower(&mut buffer);
        self.next_field();
        self.empty = false;
        // The text contains nothing to escape.
        self.json.push(b'"');
        self.json.extend_from_slice(hex.as_bytes());
        self.json.push(b'"');
    }

    fn blob_opt(&mut self, uuid: Option<&Uuid>) {
        match uuid {
            Some(uuid) => self.blob(uuid),
            None => self.null(),
        }
    }

    /// Encodes a list as JSON text; an empty list is NULL.
    fn list<T: Serialize>(&mut self, items: &[T]) {
        match items.is_empty() {
            true => self.null(),
            false => self.text(&serde_json::to_string(items).unwrap_or_default()),
        }
    }

    pub(super) fn owner(&mut self, owner: Option<&OwnerRef>) {
        self.text_opt(owner.map(|owner| &*owner.name));
        self.blob_opt(owner.map(|owner| owner.incarnation.as_uuid()));
    }
}

fn into_text(json: Vec<u8>) -> String {
    // serde_json writes only UTF-8; without unsafe code the check is needed.
    String::from_utf8(json).unwrap_or_default()
}

fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Encodes a row of [`ACTION`](super::rows::ACTION).
pub(super) fn encode_action(out: &mut JsonRows, action: &Action, number: i64) {
    out.int(number);
    out.sparse(|out| {
        out.text_opt(action.actor.as_deref());
        out.text_opt(action.idempotency_key.as_deref());
        out.blob_opt(action.parent.as_ref().map(ActionUid::as_uuid));
        out.blob_opt(action.retry_of.as_ref().map(ActionUid::as_uuid));
        out.text_opt(action.correlation.as_deref());
        out.list(&action.related);
        out.list(&action.exclusive);
        encode_seldom(out, action);
    });
    out.blob(action.uid.as_uuid());
    out.int(action.source.code().into());
    out.text(&action.name);
    out.text_opt(action.object.as_ref().map(|object| object.as_str()));
    out.text(&action.tenant);
    out.blob(action.digest.as_uuid());
    out.int(action.created_at.as_micros());
    encode_changeable(out, action);
}

/// Encodes a row of [`UPDATE`](super::rows::UPDATE).
pub(super) fn encode_update(out: &mut JsonRows, action: &Action, number: i64) {
    out.int(number);
    out.sparse(|out| encode_seldom(out, action));
    encode_changeable(out, action);
}

/// Encodes a row of [`PROGRESS`](super::rows::PROGRESS).
pub(super) fn encode_progress(out: &mut JsonRows, action: &Action, number: i64) {
    out.int(number);
    out.int(action.progress.hundredths().into());
    out.int(action.last_seen_at.as_micros());
    out.int(to_column(action.version.get()));
    out.blob_opt(action.last_op.as_ref().map(OpId::as_uuid));
}

fn encode_seldom(out: &mut JsonRows, action: &Action) {
    out.text_opt(action.attributes.as_ref().map(Json::as_str));
    out.text_opt(action.result.as_ref().map(Json::as_str));
    let error = action.error.as_ref();
    out.text_opt(error.map(|error| &*error.code));
    out.text_opt(error.map(|error| &*error.message));
    out.text_opt(error.and_then(|error| error.detail.as_deref()));
    out.list(&action.warnings);
    let cancel = action.cancel.as_ref();
    out.int_opt(cancel.map(|cancel| cancel.at.as_micros()));
    out.text_opt(cancel.and_then(|cancel| cancel.by.as_deref()));
    out.text_opt(cancel.and_then(|cancel| cancel.reason.as_deref()));
    let evidence = action.evidence.as_ref();
    out.owner(evidence.map(|evidence| &evidence.owner));
    out.int_opt(evidence.map(|evidence| evidence.end.code().into()));
    out.int_opt(evidence.map(|evidence| evidence.last_seen_at.as_micros()));
    out.text_opt(evidence.map(|evidence| &*evidence.decided_by));
}

fn encode_changeable(out: &mut JsonRows, action: &Action) {
    out.int(action.status.code().into());
    out.int_opt(action.outcome.map(|outcome| outcome.code().into()));
    out.int(action.progress.hundredths().into());
    out.text_opt(action.step.as_deref());
    out.text_opt(action.description.as_deref());
    out.owner(action.owner.as_ref());
    out.int_opt(action.started_at.map(Timestamp::as_micros));
    out.int_opt(action.finished_at.map(Timestamp::as_micros));
    out.int(action.last_seen_at.as_micros());
    out.int(to_column(action.version.get()));
    out.int(action.log_entries.into());
    out.blob_opt(action.last_op.as_ref().map(OpId::as_uuid));
}

/// Encodes a row of [`ENTRY`](super::rows::ENTRY).
pub(super) fn encode_entry(out: &mut JsonRows, t: &LogEntry, entry: i64, action: i64) {
    out.sparse(|out| {
        out.text_opt(t.step.as_deref());
        out.text_opt(t.by.as_deref());
        out.text_opt(t.note.as_deref());
    });
    out.int(entry);
    out.int(action);
    out.int(t.kind.code().into());
    out.int(to_column(t.version.get()));
    out.int(t.at.as_micros());
    out.int(t.status.code().into());
    out.int_opt(t.outcome.map(|outcome| outcome.code().into()));
    out.int(t.progress.hundredths().into());
    out.owner(t.owner.as_ref());
    out.blob_opt(t.op.as_ref().map(OpId::as_uuid));
}

/// Encodes a row of [`OWNER`](super::rows::OWNER).
pub(super) fn encode_owner(out: &mut JsonRows, owner: &Owner) {
    out.owner(Some(&owner.owner));
    out.int(owner.state.code().into());
    out.int(to_column(owner.renewals));
    out.int(owner.claimed_at.as_micros());
    out.int(owner.renewed_at.as_micros());
    out.int_opt(owner.ended_at.map(Timestamp::as_micros));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_more_than_a_text_takes_go_on_in_another() {
        let long = "x".repeat(TEXT_BYTES / 2);
        let envelope = |rows: usize| {
            let mut envelope = JsonRows::new();
            for number in 0..rows {
                envelope.row(|row| {
                    row.int(i64::try_from(number).unwrap());
                    row.text(&long);
                });
            }
            envelope
        };
        for (rows, texts) in [(0, 1), (1, 1), (2, 1), (3, 2), (7, 4)] {
            let lists = envelope(rows).into_lists();
            assert_eq!(lists.len(), texts, "{rows}");
            let mut numbers = Vec::new();
            for list in lists {
                let list: Vec<(usize, String)> = serde_json::from_str(&list).unwrap();
                numbers.extend(list.into_iter().map(|(number, _)| number));
            }
            assert_eq!(numbers, (0..rows).collect::<Vec<_>>());
        }
        let all: Vec<(usize, String)> = serde_json::from_str(&envelope(7).finish()).unwrap();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn every_character_survives_the_envelope() {
        let all: String = (1..0x250u32)
            .filter_map(char::from_u32)
            .chain(['😀', '\u{ffff}'])
            .collect();
        let mut envelope = JsonRows::new();
        envelope.row(|row| {
            row.text(&all);
            row.text_opt(None);
            row.int(i64::MIN);
        });
        let (text, nothing, number): (String, (), i64) =
            serde_json::from_str::<Vec<_>>(&envelope.finish())
                .unwrap()
                .pop()
                .unwrap();
        assert_eq!((text, nothing, number), (all, (), i64::MIN));
    }
}
