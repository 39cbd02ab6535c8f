//! The owners in the store in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::super::FastMap;
use crate::error::StoreError;
use crate::model::{Action, Owner, OwnerQuery, OwnerRef, ReadSet, TxnState, WriteSet};

#[derive(Debug, Default)]
pub(super) struct Owners {
    /// All remembered owners, by the number of their claim.
    claims: BTreeMap<u64, Owner>,
    numbers: FastMap<OwnerRef, u64>,
    living: FastMap<Arc<str>, u64>,
    /// Number of unfinished actions of each owner.
    unfinished: FastMap<OwnerRef, usize>,
    last_claim: u64,
}

impl Owners {
    /// Returns the owners that match a query, each with the number of its claim.
    pub(super) fn rows(
        &self,
        query: &OwnerQuery,
    ) -> impl Iterator<Item = Result<(u64, Owner), StoreError>> {
        let after = query.after.map_or(0, |cursor| cursor.position());
        let rest = self.claims.range((Excluded(after), Unbounded));
        let found = rest.filter(|(_, owner)| {
            let owns_unfinished = self.unfinished.contains_key(&owner.owner);
            query.matches(owner, owns_unfinished)
        });
        found.map(|(number, owner)| Ok((*number, owner.clone())))
    }

    pub(super) fn load(&self, read_set: &ReadSet, txn: &mut TxnState) {
        for owner in read_set.owners() {
            self.load_one(owner, txn);
            // Nearly always, the owner itself is the living incarnation of its name.
            if !txn.is_alive(owner)
                && let Some(number) = self.living.get(&owner.name)
                && let Some(living) = self.claims.get(number)
            {
                txn.put_owner(living.clone());
            }
        }
        let owns = |owner: &OwnerRef| Ok(self.unfinished.contains_key(owner));
        let read_sets = std::iter::once(read_set);
        let Ok(()) = txn.put_ended_of::<Infallible>(self.claims.values(), read_sets, owns);
    }

    pub(super) fn load_one(&self, owner: &OwnerRef, txn: &mut TxnState) {
        if txn.has_owner(owner) {
            return;
        }
        let number = self.numbers.get(owner);
        if let Some(owner) = number.and_then(|number| self.claims.get(number)) {
            txn.put_owner(owner.clone());
        }
    }

    pub(super) fn save(&mut self, write_set: &mut WriteSet) {
        for owner in write_set.owners.drain(..) {
            let number = *self.numbers.entry(owner.owner.clone()).or_insert_with(|| {
                self.last_claim += 1;
                self.last_claim
            });
            let name = &owner.owner.name;
            if owner.is_alive() {
                self.living.insert(name.clone(), number);
            } else if self.living.get(name) == Some(&number) {
                self.living.remove(name);
            }
            self.claims.insert(number, owner);
        }
        for gone in write_set.owners_forgotten.drain(..) {
            if let Some(number) = self.numbers.remove(&gone) {
                self.claims.remove(&number);
            }
        }
    }

    /// Moves an action from the count of its owner to that of its next owner.
    pub(super) fn change(&mut self, before: Option<&Action>, after: Option<&Action>) {
        let (before, after) = (before.and_then(counted), after.and_then(counted));
        if before == after {
            return;
        }
        if let Some(after) = after {
            *self.unfinished.entry(after.clone()).or_default() += 1;
        }
        if let Some(before) = before
            && let Some(count) = self.unfinished.get_mut(before)
        {
            *count -= 1;
            if *count == 0 {
                self.unfinished.remove(before);
            }
        }
    }
}

/// Returns the owner that an action counts for.
fn counted(action: &Action) -> Option<&OwnerRef> {
    action.owner.as_ref().filter(|_| action.is_unfinished())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OwnerState, Timestamp};

    #[test]
    fn only_a_living_owner_is_found_by_its_name() {
        let mut owners = Owners::default();
        let mut save = |owner: &Owner| {
            let mut write_set = WriteSet::default();
            write_set.owners.push(owner.clone());
            owners.save(&mut write_set);
            owners.living.get("a").copied()
        };
        // Each reference is of a new incarnation.
        let claimed = || Owner::claimed(OwnerRef::new("a"), Timestamp::from_seconds(1));
        let (mut first, second) = (claimed(), claimed());
        assert_eq!(save(&first), Some(1));
        first.state = OwnerState::Released;
        assert_eq!(save(&first), None);
        assert_eq!(save(&second), Some(2));
        // An earlier incarnation changes once more.
        assert_eq!(save(&first), Some(2));
    }
}
