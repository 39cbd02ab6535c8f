//! The built-in stores. Each loads what the model needs and saves what it says, atomically.

mod ascending;
mod bell;
mod memory;
#[cfg(feature = "sqlite-unbundled")]
mod sqlite;
mod uid_map;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite-unbundled")]
pub use sqlite::{SqliteAccess, SqliteDiagnostics, SqliteFile, SqliteOptions, SqliteStore};
