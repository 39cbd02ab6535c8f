//! The commit of a store that keeps an action with its log in one row.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::group_writer::{CommitError, Committed, Group};
use crate::error::{StoreError, StoreErrorKind};
use crate::model::codec::{self, Record};
use crate::model::{
    Action, ActionUid, Key, LogEntry, Owner, OwnerRef, Position, Revision, Timestamp, TxnState,
    WriteSet, trim_log,
};

/// What a store keeps for an action, in one row.
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

fn corrupt(message: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "read", message)
}

/// The position of a store and the numbers that it has given. A store saves it with each commit,
/// for example in the form of serde.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreState {
    /// Position of the store.
    pub at: Position,
    /// Number of the last action.
    pub last_number: u64,
    /// Number of the last log entry.
    pub last_entry: u64,
    /// Number of the last claim.
    pub last_claim: u64,
}

impl StoreState {
    /// Creates the state of an empty store.
    #[must_use]
    pub fn new(at: Position) -> StoreState {
        StoreState {
            at,
            last_number: 0,
            last_entry: 0,
            last_claim: 0,
        }
    }
}

/// Reads rows in the transaction of a commit, for [`Group::commit_rows`].
pub trait ReadRows {
    /// Reads the state of the store.
    fn state(&self) -> Result<StoreState, StoreError>;

    /// Reads the row of an action.
    fn action(&self, uid: ActionUid) -> Result<Option<ActionRow>, StoreError>;

    /// Reads the row of the action that holds a key; see [`Key::held_by`].
    fn holder(&self, key: &Key) -> Result<Option<ActionRow>, StoreError>;

    /// Reads all owners by the number of their claim.
    fn owners(&self) -> Result<BTreeMap<u64, Owner>, StoreError>;

    /// Returns true if an owner has an unfinished action.
    fn owns_unfinished(&self, owner: &OwnerRef) -> Result<bool, StoreError>;
}

/// The changes of a commit.
#[derive(Debug)]
#[non_exhaustive]
pub struct RowChanges {
    /// State of the store after the commit.
    pub state: StoreState,
    /// Each changed action before and after the commit. `None` before it is created and after it is
    /// removed.
    ///
    /// First remove the index entries and keys of all old rows, then add those of the new rows: an
    /// action may take a key that another one held.
    pub actions: Vec<(Option<ActionRow>, Option<ActionRow>)>,
    /// The changed owners by the number of their claim; `None` if it is forgotten.
    pub owners: BTreeMap<u64, Option<Owner>>,
}

impl Group {
    /// Commits the batches in a store that keeps an action with its log in one [`ActionRow`], and
    /// its owners in one small table. Loads from `rows`, plans at the time `now`, and passes the
    /// changes to `save`, which must commit and sync them. If nothing changes, `save` is not called.
    ///
    /// The caller must keep out other writers until it returns.
    ///
    /// # Errors
    /// The errors of `rows` and `save`; `Corrupt` if a row does not match its key.
    pub fn commit_rows(
        &self,
        now: Timestamp,
        rows: &impl ReadRows,
        save: impl FnOnce(RowChanges) -> Result<(), StoreError>,
    ) -> Result<Committed, CommitError> {
        let state = rows.state()?;
        let (mut loaded, mut txn) = Loaded::load(self, rows)?;
        let answers = self.plan(&mut txn, now);
        let write_set = txn.into_write_set();
        if write_set.is_empty() {
            return Ok(Committed::new(answers, state.at));
        }
        let changes = loaded.apply(&write_set, state)?;
        let at = changes.state.at;
        save(changes)?;
        Ok(Committed::new(answers, at))
    }
}

/// The rows that a group needs.
struct Loaded {
    actions: HashMap<ActionUid, ActionRow>,
    owners: BTreeMap<u64, Owner>,
}

impl Loaded {
    fn load(group: &Group, rows: &impl ReadRows) -> Result<(Loaded, TxnState), StoreError> {
        let (mut txn, actions, owners) = (TxnState::new(), HashMap::new(), rows.owners()?);
        let mut loaded = Loaded { actions, owners };
        for read_set in group.read_sets() {
            for uid in read_set.actions() {
                loaded.load_action(*uid, rows, &mut txn)?;
            }
            for uid in read_set.parents_of() {
                let action = loaded.actions.get(uid);
                if let Some(parent) = action.and_then(|row| row.action.parent) {
                    loaded.load_action(parent, rows, &mut txn)?;
                }
            }
            for key in read_set.keys() {
                if let Some(holder) = rows.holder(key)? {
                    txn.put_key(key.clone(), holder.action.uid);
                    loaded.put(holder, &mut txn);
                }
            }
            // After the actions to which they belong.
            for (uid, op) in read_set.ops() {
                let log = loaded.actions.get(uid).map_or(&[][..], |row| &row.log);
                if log.iter().any(|(_, entry)| entry.op == Some(*op)) {
                    txn.put_op(*uid, *op);
                }
            }
        }
        let owns_unfinished = |owner: &OwnerRef| rows.owns_unfinished(owner);
        txn.put_all_owners(loaded.owners.values(), group.read_sets(), owns_unfinished)?;
        Ok((loaded, txn))
    }

    fn load_action(
        &mut self,
        uid: ActionUid,
        rows: &impl ReadRows,
        txn: &mut TxnState,
    ) -> Result<(), StoreError> {
        if self.actions.contains_key(&uid) {
            return Ok(());
        }
        match rows.action(uid)? {
            Some(row) if row.action.uid != uid => Err(corrupt("a row is of another action")),
            Some(row) => {
                self.put(row, txn);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn put(&mut self, row: ActionRow, txn: &mut TxnState) {
        let late = row.log.iter().any(|(_, entry)| entry.is_late());
        txn.put_action(row.action.clone(), row.pinned, late);
        self.actions.insert(row.action.uid, row);
    }

    /// Applies a write set in its order.
    fn apply(&mut self, set: &WriteSet, mut state: StoreState) -> Result<RowChanges, StoreError> {
        let mut revisions = state.at.next_revisions();
        let stored = |uid| self.actions.get(&uid).map(|row| row.revision);
        state.at = state.at.apply(set, stored);
        let mut changed = Changed {
            before: &mut self.actions,
            rows: HashMap::new(),
        };
        for (action, revision) in set.updated.iter().zip(&mut revisions) {
            let row = changed.row(action.uid)?;
            (row.action, row.revision) = (action.clone(), revision);
        }
        for uid in &set.unpinned {
            changed.row(*uid)?.pinned = false;
        }
        for action in &set.removed {
            changed.row(action.uid)?;
            changed.put(action.uid, None);
        }
        for (action, revision) in set.created.iter().zip(&mut revisions) {
            state.last_number += 1;
            let row = ActionRow {
                number: state.last_number,
                revision,
                pinned: false,
                action: action.clone(),
                log: Vec::new(),
            };
            changed.put(action.uid, Some(row));
        }
        for entry in &set.log {
            state.last_entry += 1;
            let row = changed.row(entry.uid)?;
            row.log.push((state.last_entry, entry.clone()));
        }
        for uid in &set.trim {
            trim_log(&mut changed.row(*uid)?.log, |(_, entry)| entry.kind);
        }
        for uid in &set.pinned {
            changed.row(*uid)?.pinned = true;
        }
        let actions = changed.rows.into_values().collect();
        let owners = self.apply_owners(set, &mut state);
        Ok(RowChanges {
            state,
            actions,
            owners,
        })
    }

    fn apply_owners(&self, set: &WriteSet, state: &mut StoreState) -> BTreeMap<u64, Option<Owner>> {
        let known = self.owners.iter();
        let mut claims: HashMap<OwnerRef, u64> = known
            .map(|(claim, owner)| (owner.owner.clone(), *claim))
            .collect();
        let mut changed = BTreeMap::new();
        for owner in &set.owners {
            let claim = *claims.entry(owner.owner.clone()).or_insert_with(|| {
                state.last_claim += 1;
                state.last_claim
            });
            changed.insert(claim, Some(owner.clone()));
        }
        let forgotten = set.owners_forgotten.iter();
        changed.extend(forgotten.filter_map(|owner| Some((*claims.get(owner)?, None))));
        changed
    }
}

/// The changed actions, before and after.
struct Changed<'a> {
    before: &'a mut HashMap<ActionUid, ActionRow>,
    rows: HashMap<ActionUid, (Option<ActionRow>, Option<ActionRow>)>,
}

impl Changed<'_> {
    fn row(&mut self, uid: ActionUid) -> Result<&mut ActionRow, StoreError> {
        let row = self.rows.entry(uid).or_insert_with(|| {
            let before = self.before.remove(&uid);
            (before.clone(), before)
        });
        let missing = || corrupt("an action to change is missing");
        row.1.as_mut().ok_or_else(missing)
    }

    fn put(&mut self, uid: ActionUid, after: Option<ActionRow>) {
        self.rows.entry(uid).or_default().1 = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LogEntryKind, NewAction};

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
