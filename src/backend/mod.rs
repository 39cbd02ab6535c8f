//! The built-in stores. Each one loads the data the model needs and saves the model's changes
//! atomically.

mod append_index;
mod memory;
mod position_watch;
#[cfg(feature = "_sql")]
mod sql;
#[cfg(feature = "sqlite-unbundled")]
mod sqlite;

use std::collections::HashMap;

use crate::model::ActionUid;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite-unbundled")]
pub use sqlite::{
    SqliteAccess, SqliteCheck, SqliteDiagnostics, SqliteFile, SqliteOptions, SqliteStore,
};

use crate::error::{StoreError, StoreErrorKind};

/// The error for a cursor that names no position in this branch of the store.
fn another_branch(operation: &'static str) -> StoreError {
    let message = "after: the cursor is not valid in this branch: \
                   the store was restored or copied; restart without a cursor";
    StoreError::new(StoreErrorKind::CursorExpired, operation, message)
}

/// A map with a fast hash. Each map has its own seed: clients may choose keys, and must not be able
/// to choose keys whose hashes collide.
type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

type UidMap<V> = FastMap<ActionUid, V>;
