//! The built-in stores. Each one loads the data the model needs and saves the model's changes
//! atomically.

mod append_index;
mod memory;
mod position_watch;
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

/// A map by uid. Each map has its own seed: clients may choose uids, and must not be able to choose
/// uids whose hashes collide.
type UidMap<V> = HashMap<ActionUid, V, foldhash::fast::RandomState>;
