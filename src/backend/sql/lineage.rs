//! The store that a database contains, and its branch.

use super::engine::Stored;
use crate::model::{Branches, Position, Revision, StoreId, Timestamp};

#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) store_id: StoreId,
    pub(crate) branches: Branches,
}

impl Lineage {
    /// True if nothing has been written yet.
    pub(crate) fn position(&self) -> Position {
        Position {
            store_id: self.store_id,
            branch: self.branches.current,
            revision: Revision::ZERO,
            pruned_through: Revision::ZERO,
            pruned_created: None,
            actions: 0,
        }
    }

    pub(crate) fn at(&self, stored: Stored) -> Position {
        let revision = |number: i64| Revision::new(u64::try_from(number).unwrap_or_default());
        Position {
            revision: revision(stored.revision),
            pruned_through: revision(stored.pruned_through),
            pruned_created: stored.pruned_created.map(Timestamp::from_micros),
            actions: u64::try_from(stored.actions).unwrap_or_default(),
            ..self.position()
        }
    }
}
