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
pub use sqlite::{SqliteAccess, SqliteDiagnostics, SqliteFile, SqliteOptions, SqliteStore};

use crate::error::{ErrorKind, StoreError};

/// A cursor that stands for nothing in this branch of the store.
fn another_branch(operation: &'static str) -> StoreError {
    let message = "after: is a position of another branch of this store, or beyond it: \
                   the store was restored or copied; read it anew";
    StoreError::new(ErrorKind::CursorExpired, operation, message)
}

/// A map by uid. A host may let others choose its uids: each map has a seed of its own, so nobody
/// can choose uids whose hashes collide.
type UidMap<V> = HashMap<ActionUid, V, foldhash::fast::RandomState>;
