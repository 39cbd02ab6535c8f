//! The branches of a store: whose positions one that was copied still understands.

use super::cursor::{BranchId, Cursor, Walk};

/// Where a branch ended and the next began: up to here both have the same history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fork {
    pub(crate) branch: BranchId,
    /// The last revision, creation number and log entry before the fork.
    pub(crate) end: End,
}

/// How far a history has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) revision: u64,
    pub(crate) number: u64,
    pub(crate) entry: u64,
}

/// The branch that a store is, and those it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Branches {
    pub(crate) current: BranchId,
    pub(crate) forks: Vec<Fork>,
}

impl Branches {
    /// The branches of a store that is never copied.
    pub(crate) const fn first() -> Branches {
        Branches {
            current: BranchId::FIRST,
            forks: Vec::new(),
        }
    }

    /// Returns true if a walk can go on after a cursor: all that it has shown is in this branch's
    /// history, which has come to `end`.
    ///
    /// A newest-first walk always can. It promises nothing of what is created after it began, and
    /// all that this branch has created since the fork counts as that.
    pub(crate) fn understand(&self, cursor: &Cursor, end: End) -> bool {
        if cursor.branch() == self.current {
            return is_within(cursor, end);
        }
        let mut forks = self.forks.iter();
        let parted = forks.any(|f| f.branch == cursor.branch() && is_within(cursor, f.end));
        match cursor.walk {
            Walk::Newest => true,
            // A fork does not say how many claims there were.
            Walk::Owners => false,
            Walk::Oldest | Walk::Log | Walk::Feed => parted,
        }
    }
}

/// Returns true if a history has come to the cursor's place.
fn is_within(cursor: &Cursor, end: End) -> bool {
    match cursor.walk {
        Walk::Newest | Walk::Owners => true,
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
    fn a_branch_understands_what_was_shown_before_it_parted() {
        let at = |branch, revision| Position {
            life: StoreId::new(),
            branch: BranchId::from_u64(branch),
            revision: Revision::new(revision),
            removed_to: Revision::ZERO,
            removed_created: None,
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
            // It ended early, but it had looked further.
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
