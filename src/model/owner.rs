//! Owners of actions: a stable name and an incarnation for each start.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use super::extra::Extra;
use super::limits::{Invalid, label};
use super::time::Timestamp;
use super::words::{UnknownWord, words};

/// Identity of one run of an owner name, generated at each start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(Uuid);

impl Incarnation {
    /// Wraps a UUID that a store has saved.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Incarnation {
        Incarnation(uuid)
    }

    /// Returns the UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

/// An owner: a stable name and the incarnation of the current run.
///
/// Each live process that shares a store needs a unique name: `planner@host-3`, not `planner` on
/// every host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerRef {
    /// Stable name. A label: 1 to 255 bytes without control characters.
    pub name: Arc<str>,
    /// Incarnation of this run.
    pub incarnation: Incarnation,
}

impl OwnerRef {
    /// Creates a new incarnation of a name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> OwnerRef {
        OwnerRef {
            name: name.into(),
            incarnation: Incarnation(Uuid::now_v7()),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        label("owner", &self.name)
    }
}

impl fmt::Display for OwnerRef {
    /// Writes `name/incarnation`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.incarnation)
    }
}

words! {
    /// State of an incarnation: alive or ended.
    OwnerState, "owner state", {
        /// The incarnation holds its name, and its commands are accepted. A name has at most one
        /// such incarnation.
        Alive = 0 "alive",
        /// A later incarnation of the name or a sweeper ended it.
        Fenced = 1 "fenced",
        /// The incarnation released its name.
        Released = 2 "released",
        /// The store was opened again for one process alone, so all earlier users are gone.
        Disconnected = 3 "disconnected",
    }
}

/// Record of an incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// Name and incarnation.
    pub owner: OwnerRef,
    /// State of the incarnation.
    pub state: OwnerState,
    /// Number of renewals. If it does not change for a whole lease, a sweeper may fence the
    /// incarnation. Clocks of different machines are not compared.
    pub renewals: u64,
    /// Time of the claim. For information only.
    pub claimed_at: Timestamp,
    /// Time of the last renewal. For information only: liveness depends on `renewals`.
    pub renewed_at: Timestamp,
    /// Time of the end. For information only.
    pub ended_at: Option<Timestamp>,
    /// Fields of a later version of this library. Every change keeps them.
    pub(crate) extra: Extra,
}

impl Owner {
    /// Creates the record of an incarnation that has just claimed its name.
    #[must_use]
    pub fn claimed(owner: OwnerRef, at: Timestamp) -> Owner {
        Owner {
            owner,
            state: OwnerState::Alive,
            renewals: 0,
            claimed_at: at,
            renewed_at: at,
            ended_at: None,
            extra: Extra::default(),
        }
    }

    /// Returns true if the incarnation is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.state == OwnerState::Alive
    }
}
