//! The built-in stores. Each loads what the model needs and saves what it says, atomically.

mod ascending;
mod bell;
mod memory;
#[cfg(feature = "sqlite-unbundled")]
mod sqlite;

use std::collections::HashMap;

use crate::model::ActionUid;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite-unbundled")]
pub use sqlite::{SqliteAccess, SqliteDiagnostics, SqliteOptions, SqliteStore};

/// A map by uid. A host may let others choose its uids: each map has a seed of its own, so nobody
/// can choose uids whose hashes collide.
type UidMap<V> = HashMap<ActionUid, V, foldhash::fast::RandomState>;
