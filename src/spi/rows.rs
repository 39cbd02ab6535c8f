//! The commit of a store that keeps an action with its log in one row.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::action_row::{ActionRow, corrupt};
use super::group_writer::{CommitError, Committed, Group};
use crate::error::StoreError;
use crate::model::{
    ActionUid, Key, Owner, OwnerRef, Position, Timestamp, TxnState, WriteSet, trim_log,
};

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
#[allow(clippy::missing_errors_doc, reason = "the store decides")]
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
mod tests;
