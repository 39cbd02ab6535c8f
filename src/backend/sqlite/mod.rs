//! A store in one SQLite file or in the host's SQLite database.

mod access;
mod backup;
mod beside;
mod branch;
#[cfg(test)]
mod cached;
mod check;
mod check_structure;
mod copies;
mod damaged_reads;
mod decode;
mod diagnostics;
mod durability;
mod encode;
mod engine;
mod errors;
mod exclusive;
mod extra_rows;
#[cfg(test)]
mod faults;
mod file;
mod findings;
mod get;
mod host;
mod identity;
mod inode_lock;
mod joined;
mod known_damage;
mod list;
mod load;
mod lock_mode;
mod log;
mod open;
mod open_check;
mod options;
mod owners;
mod patience;
#[cfg(test)]
mod pipelined;
#[cfg(test)]
mod plans;
mod position;
mod read_engine;
mod rows;
mod save;
mod schema;
mod script;
mod source;
mod start;
mod statement;
mod store;
mod sync;
mod version;
mod write_slot;

pub use self::access::SqliteAccess;
pub use self::diagnostics::SqliteDiagnostics;
pub use self::findings::SqliteCheck;
pub use self::identity::SqliteFile;
pub use self::options::SqliteOptions;
pub use self::store::SqliteStore;
