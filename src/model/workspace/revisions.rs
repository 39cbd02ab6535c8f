//! The revisions of a commit, and the position of the store after it.

use super::WriteSet;
use crate::model::identity::ActionUid;
use crate::model::position::{Position, Revision};

impl Position {
    /// Returns the revisions above this position, in ascending order. A commit gives them to the
    /// actions in [`WriteSet::updated`], and then to those in [`WriteSet::created`]. Other changes
    /// take no revision.
    ///
    /// ```
    /// # use action_store::ActionUid;
    /// use action_store::query::{Position, Revision};
    /// use action_store::spi::WriteSet;
    ///
    /// fn feed(at: Position, write_set: &WriteSet) -> Vec<(Revision, ActionUid)> {
    ///     let changed = write_set.updated.iter().chain(&write_set.created);
    ///     at.next_revisions().zip(changed.map(|action| action.uid)).collect()
    /// }
    /// ```
    pub fn next_revisions(self) -> impl Iterator<Item = Revision> + Clone {
        (self.revision.get()..).skip(1).map(Revision::new)
    }

    /// Returns the position of a store after a commit: the last revision that it takes, what it
    /// removes, and the number of actions.
    ///
    /// `revision` returns the stored revision of a removed action. It is not asked about an action
    /// that the same commit updates, because the update takes a higher one. If it returns `None`,
    /// the position says that everything up to this commit may have been removed. That expires more
    /// cursors than necessary, and is never wrong.
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// use action_store::ActionUid;
    /// use action_store::query::{Position, Revision};
    /// use action_store::spi::WriteSet;
    ///
    /// /// `loaded` has the revision of each action that was loaded for the commit.
    /// fn after(
    ///     at: Position,
    ///     write_set: &WriteSet,
    ///     loaded: &HashMap<ActionUid, Revision>,
    /// ) -> Position {
    ///     at.apply(write_set, |uid| loaded.get(&uid).copied())
    /// }
    /// ```
    #[must_use]
    pub fn apply(
        self,
        write_set: &WriteSet,
        mut revision: impl FnMut(ActionUid) -> Option<Revision>,
    ) -> Position {
        let (updated, created) = (&write_set.updated, &write_set.created);
        let taken = (updated.len() + created.len()) as u64;
        let last = Revision::new(self.revision.get() + taken);
        let mut after = Position {
            revision: last,
            actions: (self.actions + created.len() as u64)
                .saturating_sub(write_set.removed.len() as u64),
            ..self
        };
        for gone in &write_set.removed {
            let update = updated.iter().position(|action| action.uid == gone.uid);
            let own = match update {
                Some(place) => Some(Revision::new(self.revision.get() + 1 + place as u64)),
                None => revision(gone.uid),
            };
            after.pruned_through = after.pruned_through.max(own.unwrap_or(last));
            after.pruned_created = after.pruned_created.max(Some(gone.created_at));
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Action, BranchId, NewAction, StoreId, Timestamp};

    fn action(seconds: i64) -> Arc<Action> {
        let new = NewAction::task("a");
        Arc::new(Action::new(
            &new,
            new.digest(),
            Timestamp::from_seconds(seconds),
        ))
    }

    #[test]
    fn a_position_counts_what_a_commit_changes() {
        let at = Position::new(StoreId::new(), BranchId::FIRST, Revision::new(10)).with_actions(4);
        let (ended, old, young) = (action(1), action(3), action(2));
        let mut write_set = WriteSet::default();
        assert_eq!(at.apply(&write_set, |_| None), at);
        write_set.updated = vec![action(9), ended.clone()];
        write_set.created = vec![action(8)];
        write_set.removed = vec![old.clone(), young];
        let stored = |uid| Some(Revision::new(if uid == old.uid { 7 } else { 5 }));
        let after = at.apply(&write_set, stored);
        assert_eq!((after.revision.get(), after.actions), (13, 3));
        assert_eq!(after.pruned_through.get(), 7);
        assert_eq!(after.pruned_created, Some(Timestamp::from_seconds(3)));
        let revisions: Vec<u64> = at.next_revisions().take(2).map(Revision::get).collect();
        assert_eq!(revisions, [11, 12]);
        // An end takes a revision, also if the action is removed at once.
        write_set.removed = vec![ended];
        assert_eq!(after.apply(&write_set, stored).pruned_through.get(), 15);
        // Unknown: nothing up to this commit is certain.
        write_set.removed = vec![old.clone()];
        assert_eq!(at.apply(&write_set, |_| None).pruned_through.get(), 13);
        // It never goes back.
        let later = after.with_pruned(Revision::new(99), Some(Timestamp::from_seconds(99)));
        let later = later.apply(&write_set, stored);
        assert_eq!(later.pruned_through.get(), 99);
        assert_eq!(later.pruned_created, Some(Timestamp::from_seconds(99)));
    }
}
