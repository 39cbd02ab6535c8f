//! The rows that a transaction loads: its lookups, and the data that they find.

use std::collections::HashMap;
use std::sync::Arc;

use super::errors::corrupt;
use super::row_writer::RowWriter;
use crate::error::StoreError;
use crate::model::{Action, ActionUid, Key, ReadSet, TxnState};

/// The lookups of a transaction, for all its batches.
#[derive(Debug, Default)]
pub(crate) struct Lookups<'n> {
    /// The keys, in the order of their rows.
    pub(crate) keys: Vec<&'n Key>,
    pub(crate) any_ops: bool,
    pub(crate) any_removals: bool,
    pub(crate) claims: i64,
    pub(crate) creates: i64,
}

impl<'n> Lookups<'n> {
    /// Writes the rows of the lookups: actions, keys, operations, owners, and actions whose
    /// parents are looked up.
    pub(crate) fn write<W: RowWriter>(
        read_sets: impl IntoIterator<Item = &'n ReadSet>,
        [actions, keys, ops, owners, removals]: &mut [W; 5],
    ) -> Lookups<'n> {
        let mut lookups = Lookups::default();
        let (mut claims, mut creates) = (0, 0);
        for read_set in read_sets {
            for uid in read_set.actions() {
                actions.row(|row| row.id(uid.as_uuid()));
            }
            for uid in read_set.parents_of() {
                removals.row(|row| row.id(uid.as_uuid()));
            }
            for key in read_set.keys() {
                keys.row(|row| row.key(key));
            }
            for (uid, op) in read_set.ops() {
                ops.row(|row| {
                    row.id(uid.as_uuid());
                    row.id(op.as_uuid());
                });
            }
            for owner in read_set.owners() {
                owners.row(|row| row.owner(owner));
            }
            lookups.keys.extend(read_set.keys());
            lookups.any_ops |= !read_set.ops().is_empty();
            lookups.any_removals |= !read_set.parents_of().is_empty();
            claims += read_set.claims();
            creates += read_set.creates();
        }
        let count = |commands: usize| i64::try_from(commands).unwrap_or(i64::MAX);
        (lookups.claims, lookups.creates) = (count(claims), count(creates));
        lookups
    }
}

/// The data that the lookups found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) txn: TxnState,
    /// The number of each loaded action.
    pub(crate) numbers: HashMap<ActionUid, i64>,
    /// The loaded action of each number.
    actions: HashMap<i64, Arc<Action>>,
}

impl Found {
    pub(crate) fn new() -> Found {
        Found {
            txn: TxnState::new(),
            numbers: HashMap::new(),
            actions: HashMap::new(),
        }
    }

    pub(crate) fn put_action(&mut self, number: i64, action: Action, pinned: bool, late: bool) {
        self.numbers.insert(action.uid, number);
        let action = Arc::new(action);
        self.actions.insert(number, action.clone());
        self.txn.put_action(action, pinned, late);
    }

    /// Adds a key and the action that holds it. Keys follow the actions.
    ///
    /// # Errors
    /// `Corrupt` if the action does not hold the key. An action holds its keys from its creation
    /// on, so this is no change between two statements.
    pub(crate) fn put_key(
        &mut self,
        operation: &'static str,
        key: Option<&&Key>,
        number: i64,
    ) -> Result<(), StoreError> {
        let (Some(&key), Some(holder)) = (key, self.actions.get(&number)) else {
            return Ok(());
        };
        if !Key::held_by(holder).contains(key) {
            let what = format!(
                "the {} key {:?} names the action {}, which does not hold it",
                key.kind.as_str(),
                key.key,
                holder.uid
            );
            return Err(corrupt(operation, what));
        }
        self.txn.put_key(key.clone(), holder.uid);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StoreErrorKind as ErrorKind;
    use crate::model::{NewAction, Timestamp};

    #[test]
    fn a_key_that_its_action_does_not_hold_is_corrupt() {
        let new = NewAction::task("a").with_exclusive("disk");
        let action = Action::new(&new, new.digest(), Timestamp::from_seconds(1));
        let keys = Key::held_by(&action);
        let mut found = Found::new();
        found.put_action(7, action, false, false);
        let held = found.put_key("write", Some(&&keys[0]), 7);
        assert!(held.is_ok());
        let mut other = keys[0].clone();
        other.key = "tape".into();
        // Other transactions may have written the action of number 8 since the actions were read.
        assert!(found.put_key("write", Some(&&other), 8).is_ok());
        let refused = found.put_key("write", Some(&&other), 7).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
    }
}
