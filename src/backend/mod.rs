//! The built-in stores. Each one loads the data the model needs and saves the model's changes
//! atomically.

mod append_index;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
// Not every store uses all of it.
#[cfg(feature = "_sql")]
#[cfg_attr(
    not(all(feature = "sqlite-unbundled", feature = "postgres")),
    allow(dead_code, unused_imports)
)]
mod sql;
#[cfg(feature = "sqlite-unbundled")]
mod sqlite;

use std::collections::HashMap;

use crate::model::ActionUid;

pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite-unbundled")]
pub use sqlite::{
    SqliteAccess, SqliteCheck, SqliteDiagnostics, SqliteFile, SqliteOptions, SqliteStore,
};

#[cfg(feature = "_sql")]
use crate::spi::another_branch;

/// A map with a fast hash. Each map has its own seed: clients may choose keys, and must not be able
/// to choose keys whose hashes collide.
type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

type UidMap<V> = FastMap<ActionUid, V>;
