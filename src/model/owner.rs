//! Who runs actions: a stable name plus an incarnation drawn at each start.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use super::extra::Extra;
use super::limits::{Invalid, label};
use super::time::Timestamp;
use super::words::{UnknownWord, words};

/// One life of an owner name, drawn at start and never again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(Uuid);

impl Incarnation {
    /// Wraps a UUID that a store kept.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Incarnation {
        Incarnation(uuid)
    }

    /// The UUID.
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

/// An owner: a name that outlives restarts and the incarnation it has this time.
///
/// The name must be unique per live process that shares a store: `planner@host-3`, not `planner`
/// on every host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerRef {
    /// The stable name, a label.
    pub name: Arc<str>,
    /// This life of it.
    pub incarnation: Incarnation,
}

impl OwnerRef {
    /// A new incarnation of a name.
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
    /// `name/incarnation`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.incarnation)
    }
}

words! {
    /// State of an incarnation: it may act, or it has ended.
    OwnerState, "owner state", {
        /// It holds its name and its commands are accepted. At most one incarnation of a name.
        Alive = 0 "alive",
        /// A later incarnation of the name, or a sweeper, ended it.
        Fenced = 1 "fenced",
        /// It ended itself.
        Released = 2 "released",
        /// The store was opened anew for one process alone, so all its earlier users are gone.
        Disconnected = 3 "disconnected",
    }
}

/// What a store knows of an incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// Who.
    pub owner: OwnerRef,
    /// Whether it may act.
    pub state: OwnerState,
    /// How often it has renewed. A sweeper that watches this stand still for a whole lease may
    /// fence it; no clock is compared with another.
    pub renewals: u64,
    /// When it claimed its name. For people.
    pub claimed_at: Timestamp,
    /// When it renewed last. For people: liveness is judged by `renewals` alone.
    pub renewed_at: Timestamp,
    /// When it ended. For people.
    pub ended_at: Option<Timestamp>,
    /// Fields of a later version; every change carries them over.
    pub(crate) extra: Extra,
}

impl Owner {
    /// An incarnation that has just claimed its name.
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

    /// Whether it may act.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.state == OwnerState::Alive
    }
}
