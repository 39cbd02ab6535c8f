//! Branches of a store: decides which cursors are still valid in a copied store.

use super::cursor::{Cursor, Walk};
use super::position::BranchId;

/// End of a branch where the next one begins. Up to it, both have the same history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fork {
    pub(crate) branch: BranchId,
    /// Last revision, creation number and log entry before the fork.
    pub(crate) end: End,
}

/// End of a history: its last revision, creation number and log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) revision: u64,
    pub(crate) number: u64,
    pub(crate) entry: u64,
}

/// The current branch of a store, and the branches it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Branches {
    pub(crate) current: BranchId,
    pub(crate) forks: Vec<Fork>,
}

impl Branches {
    /// Returns the branches of a store whose earlier branches are not known.
    pub(crate) const fn only(current: BranchId) -> Branches {
        Branches {
            current,
            forks: Vec::new(),
        }
    }

    /// Returns true if a list can continue after a cursor. This requires that all items it has
    /// shown are in this branch's history, which ends at `end`.
    ///
    /// A newest-first list can always continue. It does not show actions that are created after it
    /// began. That includes all actions created in this branch since the fork.
    pub(crate) fn understand(&self, cursor: &Cursor, end: End) -> bool {
        if cursor.branch() == self.current {
            return is_within(cursor, end);
        }
        let mut forks = self.forks.iter();
        let parted = forks.any(|f| f.branch == cursor.branch() && is_within(cursor, f.end));
        match cursor.walk {
            Walk::Newest | Walk::Finished => true,
            // A fork does not record the number of claims.
            Walk::Owners => false,
            Walk::Oldest | Walk::Log | Walk::Feed => parted,
        }
    }
}

/// Returns true if a history has reached the cursor's position.
fn is_within(cursor: &Cursor, end: End) -> bool {
    match cursor.walk {
        Walk::Newest | Walk::Finished | Walk::Owners => true,
        Walk::Oldest => cursor.position() <= end.number,
        Walk::Log => cursor.position() <= end.entry,
        Walk::Feed => cursor.seen() <= end.revision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Position, Revision, StoreId};

    #[test]
    fn a_branch_accepts_cursors_from_before_its_fork() {
        let at = |branch, revision| Position {
            store_id: StoreId::new(),
            branch: BranchId::from_u64(branch),
            revision: Revision::new(revision),
            pruned_through: Revision::ZERO,
            pruned_created: None,
            actions: 0,
        };
        let end = |by: u64| End {
            revision: 10 * by,
            number: 20 * by,
            entry: 30 * by,
        };
        let fork = |branch, end| Fork {
            branch: BranchId::from_u64(branch),
            end,
        };
        let branches = Branches {
            current: BranchId::from_u64(7),
            forks: vec![fork(0, end(1)), fork(5, end(2))],
        };
        let feed =
            |branch, place, seen| Cursor::feed_after(Revision::new(place), None, at(branch, seen));
        for (cursor, expected) in [
            (feed(0, 10, 10), true),
            // The page ended earlier, but it was read at a later revision.
            (feed(0, 10, 11), false),
            (feed(5, 20, 20), true),
            (feed(5, 21, 21), false),
            (feed(7, 90, 90), true),
            (feed(7, 91, 91), false),
            (feed(6, 1, 1), false),
            (Cursor::oldest(at(0, 0), 20), true),
            (Cursor::oldest(at(0, 0), 21), false),
            (Cursor::log(at(5, 0), 60), true),
            (Cursor::log(at(5, 0), 61), false),
            (Cursor::newest(at(6, 0), 1000), true),
            (Cursor::owners(at(7, 0), 1), true),
            (Cursor::owners(at(0, 0), 1), false),
        ] {
            assert_eq!(branches.understand(&cursor, end(9)), expected, "{cursor:?}");
        }
    }
}
