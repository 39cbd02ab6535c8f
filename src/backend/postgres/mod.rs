//! A store in a PostgreSQL database.

mod blocks;
mod decode;
mod engine;
mod errors;
mod expected;
mod host;
mod host_locks;
mod list;
mod listen;
mod literal;
mod load;
mod open;
mod options;
mod queries;
mod read;
mod replica;
mod rows;
mod save;
mod schema;
mod script;
mod setup;
mod source;
mod store;

pub use self::options::PostgresOptions;
pub use self::store::PostgresStore;
