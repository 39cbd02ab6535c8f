//! Loads owners for a store that keeps all of them in memory.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::TxnState;
use crate::model::limits::Limits;
use crate::model::owner::{Owner, OwnerRef};
use crate::model::plan::ReadSet;

impl TxnState {
    /// Adds all owners of a store, and the list of the ended ones that may be forgotten. For a store
    /// that keeps its owners in memory; it remembers about a thousand. Other stores load the owners
    /// that [`ReadSet::owners`] describes, and use [`put_owner`](TxnState::put_owner) and
    /// [`put_ended`](TxnState::put_ended).
    ///
    /// `owners` are in the order of their claims. `read_sets` are those of all batches of the
    /// transaction. `owns_unfinished` returns true if an owner has an unfinished action. It is only
    /// asked about ended owners, and only if some must be forgotten.
    ///
    /// # Errors
    /// Returns the first error of `owns_unfinished`.
    pub fn put_all_owners<'a, E>(
        &mut self,
        owners: impl Iterator<Item = &'a Owner> + Clone,
        read_sets: impl Iterator<Item = &'a ReadSet>,
        owns_unfinished: impl FnMut(&OwnerRef) -> Result<bool, E>,
    ) -> Result<(), E> {
        owners
            .clone()
            .for_each(|owner| self.put_owner(owner.clone()));
        self.put_ended_of(owners, read_sets, owns_unfinished)
    }

    /// Adds the list of the ended owners that may be forgotten; see
    /// [`put_all_owners`](TxnState::put_all_owners).
    pub(crate) fn put_ended_of<'a, E>(
        &mut self,
        owners: impl Iterator<Item = &'a Owner> + Clone,
        read_sets: impl Iterator<Item = &'a ReadSet>,
        mut owns_unfinished: impl FnMut(&OwnerRef) -> Result<bool, E>,
    ) -> Result<(), E> {
        let (mut claims, mut used): (usize, HashSet<&Arc<str>>) = (0, HashSet::new());
        for read_set in read_sets {
            claims += read_set.claims();
            used.extend(read_set.owners().iter().map(|owner| &owner.name));
        }
        if claims == 0 {
            return Ok(());
        }
        let ended = || {
            owners
                .clone()
                .filter(|owner| !owner.is_alive())
                .map(|o| &o.owner)
        };
        let count = ended().count();
        // Each claim may end one more owner. No more are listed than the transaction can forget.
        let excess = (count + claims).saturating_sub(Limits::ENDED_OWNERS);
        let most = excess.min(Limits::FORGOTTEN_OWNERS + claims);
        if excess == 0 {
            self.put_ended(count, Vec::new());
            return Ok(());
        }
        let alive = owners.clone().filter(|owner| owner.is_alive());
        used.extend(alive.map(|owner| &owner.owner.name));
        let last: HashMap<&Arc<str>, &OwnerRef> = ended().map(|o| (&o.name, o)).collect();
        let mut may_be_forgotten = Vec::new();
        for owner in ended() {
            let needed = used.contains(&owner.name) && last.get(&owner.name) == Some(&owner);
            if !needed && !owns_unfinished(owner)? {
                may_be_forgotten.push(owner.clone());
            }
            if may_be_forgotten.len() == most {
                break;
            }
        }
        self.put_ended(count, may_be_forgotten);
        Ok(())
    }
}
