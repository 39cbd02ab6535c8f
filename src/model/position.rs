//! Positions of a store: revisions, its identity and its branch.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::time::Timestamp;

/// Position of a change in the whole store.
///
/// Each commit gives each action that it changes one unique revision. Revisions become readable in
/// ascending order: once a revision is readable, no lower revision appears later.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Revision(u64);

impl Revision {
    /// The revision before the first change.
    pub const ZERO: Revision = Revision(0);

    /// Wraps a number.
    #[must_use]
    pub const fn new(number: u64) -> Revision {
        Revision(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Identity of a store, set when it is created. Cursors and revisions are valid only in the store
/// that they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(Uuid);

impl StoreId {
    /// Generates the identity of a new store.
    #[must_use]
    #[allow(clippy::new_without_default)] // a default that differs each time surprises
    pub fn new() -> StoreId {
        StoreId(Uuid::now_v7())
    }

    /// Wraps a UUID that a store has saved.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> StoreId {
        StoreId(uuid)
    }

    /// Returns the UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl Serialize for StoreId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StoreId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<StoreId, D::Error> {
        let text = String::deserialize(deserializer)?;
        let uuid = Uuid::try_parse(&text).map_err(serde::de::Error::custom)?;
        Ok(StoreId(uuid))
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

/// One branch of a store's history.
///
/// When a restored backup is used beside the original store, each is on its own branch. The two
/// share the history up to the copy and differ after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BranchId(u64);

impl BranchId {
    /// The branch of a new store. A store that is never copied stays on it.
    pub const FIRST: BranchId = BranchId(0);

    /// Generates the identity of a new branch.
    #[must_use]
    #[allow(clippy::new_without_default)] // a default that differs each time surprises
    pub fn new() -> BranchId {
        // The random half of the UUID, as a positive number that fits a signed 64-bit column.
        let (_, random) = Uuid::now_v7().as_u64_pair();
        BranchId((random & (i64::MAX as u64)).max(1))
    }

    /// Wraps a number that a store has saved.
    #[must_use]
    pub const fn from_u64(number: u64) -> BranchId {
        BranchId(number)
    }

    /// Returns the number, at most `i64::MAX`.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Position of a store: its identity, its branch, and its latest revision.
///
/// A store can keep its position in the form of serde.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Position {
    /// Identity of the store.
    pub store_id: StoreId,
    /// Branch of the store.
    pub branch: BranchId,
    /// Highest readable revision.
    pub revision: Revision,
    /// Highest revision of all removed actions. A feed that resumes below it may have missed
    /// actions that were removed since.
    pub pruned_through: Revision,
    /// Creation time of the youngest action that was ever removed. Every action created later is
    /// still there. `None` if no action was removed.
    pub pruned_created: Option<Timestamp>,
    /// Number of actions in the store.
    pub actions: u64,
}

impl Position {
    /// Creates the position of a store that has no action and from which none was removed.
    #[must_use]
    pub fn new(store_id: StoreId, branch: BranchId, revision: Revision) -> Position {
        Position {
            store_id,
            branch,
            revision,
            pruned_through: Revision::ZERO,
            pruned_created: None,
            actions: 0,
        }
    }

    /// Sets the number of actions in the store.
    #[must_use]
    pub fn with_actions(self, actions: u64) -> Position {
        Position { actions, ..self }
    }

    /// Sets the highest revision of the removed actions, and when the youngest of them was created.
    #[must_use]
    pub fn with_pruned(self, through: Revision, created: Option<Timestamp>) -> Position {
        Position {
            pruned_through: through,
            pruned_created: created,
            ..self
        }
    }
}
