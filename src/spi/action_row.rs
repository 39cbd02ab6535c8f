//! An action and its log as bytes.

use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};
use crate::model::codec::{self, Record};
use crate::model::{Action, LogEntry, Revision};

/// An action with its log, as one row of a store.
///
/// A log has at most a few hundred entries, so a row stays small enough to be written again at each
/// change. A store that keeps each entry in a row of its own does not need this type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ActionRow {
    /// Number in creation order.
    pub number: u64,
    /// Revision of the last change.
    pub revision: Revision,
    /// True if the action is pinned.
    pub pinned: bool,
    /// The action.
    pub action: Arc<Action>,
    /// The log, oldest entry first. Entries are numbered over all actions.
    pub log: Vec<(u64, LogEntry)>,
}

impl ActionRow {
    /// Returns the row as bytes. Action and entries are in the form of [`codec`](super::codec).
    ///
    /// # Errors
    /// `Invalid` for an action that breaks a limit of the model.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![FORMAT, u8::from(self.pinned)];
        put(&mut bytes, self.number, &*self.action)?;
        bytes.extend(self.revision.get().to_be_bytes());
        bytes.extend((self.log.len() as u64).to_be_bytes());
        for (number, entry) in &self.log {
            put(&mut bytes, *number, entry)?;
        }
        Ok(bytes)
    }

    /// Reads the bytes of a row.
    ///
    /// # Errors
    /// - `Corrupt`: the bytes are damaged, or an entry belongs to another action.
    ///
    /// - `Incompatible`: a later version of this crate wrote them.
    pub fn from_bytes(bytes: &[u8]) -> Result<ActionRow, StoreError> {
        let damaged = || corrupt("the row of an action is damaged");
        let (&[format, pinned], mut rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
        if format != FORMAT {
            let message = "the row of an action has an unknown format";
            let kind = StoreErrorKind::Incompatible;
            return Err(StoreError::new(kind, "read", message));
        }
        let (number, action) = take::<Action>(&mut rest)?;
        let revision = take_number(&mut rest).ok_or_else(damaged)?;
        let entries = take_number(&mut rest).ok_or_else(damaged)?;
        let mut row = ActionRow {
            number,
            revision: Revision::new(revision),
            pinned: pinned == 1,
            action: Arc::new(action),
            log: Vec::new(),
        };
        for _ in 0..entries {
            row.log.push(take(&mut rest)?);
        }
        let mut entries = row.log.iter();
        let belong = entries.all(|(_, entry)| entry.uid == row.action.uid);
        if belong && pinned <= 1 && rest.is_empty() {
            Ok(row)
        } else {
            Err(damaged())
        }
    }
}

/// Format of the bytes of a row.
const FORMAT: u8 = 1;

/// Appends a number and a record with its length.
fn put<R: Record>(bytes: &mut Vec<u8>, number: u64, record: &R) -> Result<(), StoreError> {
    let record = codec::encode(record).map_err(|error| StoreError::from_codec("write", error))?;
    bytes.extend(number.to_be_bytes());
    bytes.extend((record.len() as u64).to_be_bytes());
    bytes.extend(record);
    Ok(())
}

/// Reads what [`put`] has written.
fn take<R: Record>(bytes: &mut &[u8]) -> Result<(u64, R), StoreError> {
    let cut = || corrupt("the row of an action is cut off");
    let number = take_number(bytes).ok_or_else(cut)?;
    let length = take_number(bytes).ok_or_else(cut)?;
    let parts = usize::try_from(length).ok();
    let parts = parts.and_then(|length| bytes.split_at_checked(length));
    let (record, rest) = parts.ok_or_else(cut)?;
    *bytes = rest;
    let record = codec::decode(record).map_err(|error| StoreError::from_codec("read", error))?;
    Ok((number, record))
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_be_bytes(*number))
}

pub(super) fn corrupt(message: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "read", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ActionUid, LogEntryKind, NewAction, Timestamp};

    fn row() -> ActionRow {
        let new = NewAction::task("a");
        let at = Timestamp::from_seconds(1);
        let action = Action::new(&new, new.digest(), at);
        let entry = LogEntry::new(LogEntryKind::Created, &action, at);
        ActionRow {
            number: 7,
            revision: Revision::new(9),
            pinned: true,
            action: Arc::new(action),
            log: vec![(3, entry.clone()), (8, entry)],
        }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = row();
        assert_eq!(
            ActionRow::from_bytes(&row.to_bytes().unwrap()).unwrap(),
            row
        );
    }

    #[test]
    fn a_damaged_row_is_refused() {
        let kind = |bytes: &[u8]| ActionRow::from_bytes(bytes).err().map(|error| error.kind());
        let corrupt = Some(StoreErrorKind::Corrupt);
        let bytes = row().to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert_eq!(kind(&bytes[..end]), corrupt, "{end}");
        }
        assert_eq!(kind(&[&*bytes, &[0]].concat()), corrupt);
        let mut pinned_twice = bytes.clone();
        pinned_twice[1] = 2;
        assert_eq!(kind(&pinned_twice), corrupt);
        let mut later = bytes;
        later[0] = FORMAT + 1;
        assert_eq!(kind(&later), Some(StoreErrorKind::Incompatible));
        let mut foreign = row();
        foreign.log[1].1.uid = ActionUid::new();
        assert_eq!(kind(&foreign.to_bytes().unwrap()), corrupt);
    }
}
