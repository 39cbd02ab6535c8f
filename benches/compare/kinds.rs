//! The contestants by name, and which of them are compared with each other.

use std::path::Path;
use std::sync::Arc;

use crate::contestant::Contestant;
use crate::locked_map::LockedMap;
use crate::rusqlite_by_hand::{Grouped, PerCall};
use crate::{ours, redb_by_hand, redb_codec, shipped, sql, sqlx_by_hand, sqlx_grouped};

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Sqlite,
    SqlxGrouped,
    Shipped,
    Grouped,
    Sqlx,
    PerCall,
    Redb,
    RedbCodec,
    Memory,
    Map,
    Sharded,
}

/// The library first, then the baseline, then the others.
pub const DURABLE: [Kind; 8] = [
    Kind::Sqlite,
    Kind::SqlxGrouped,
    Kind::Shipped,
    Kind::Grouped,
    Kind::Sqlx,
    Kind::PerCall,
    Kind::Redb,
    Kind::RedbCodec,
];
/// Stores whose pages of objects and changes are compared.
pub const PAGED: [Kind; 2] = [Kind::Sqlite, Kind::RedbCodec];
pub const VOLATILE: [Kind; 3] = [Kind::Memory, Kind::Map, Kind::Sharded];

/// Shards of the sharded map: several per core, as in common sharded maps.
pub const SHARDS: usize = 16;

/// Returns the library's store, and the others or the only one to compare it with.
pub fn compared(kinds: &[Kind], against: Option<&str>) -> Vec<Kind> {
    let (ours, others) = kinds.split_at(kinds.len().min(1));
    let others = others.iter();
    let others = others.filter(|kind| against.is_none_or(|name| kind.name() == name));
    ours.iter().chain(others).copied().collect()
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "SqliteStore",
            Kind::SqlxGrouped => "sqlx writer task",
            Kind::Shipped => "rusqlite grouped, our schema",
            Kind::Grouped => "rusqlite grouped",
            Kind::Sqlx => "sqlx per call",
            Kind::PerCall => "rusqlite per call",
            Kind::Redb => "redb by hand",
            Kind::RedbCodec => "redb with our codec",
            Kind::Memory => "MemoryStore",
            Kind::Map => "locked map",
            Kind::Sharded => "sharded map",
        }
    }

    pub fn durability(self) -> &'static str {
        match self {
            Kind::Memory | Kind::Map | Kind::Sharded => "nothing",
            _ => "a power cut",
        }
    }

    pub async fn open(self, directory: &Path) -> Arc<dyn Contestant> {
        match self {
            Kind::Sqlite => Arc::new(ours::Ours::sqlite(directory).await),
            Kind::SqlxGrouped => Arc::new(sqlx_grouped::SqlxGrouped::open(directory).await),
            Kind::Shipped => Arc::new(Grouped::open(directory, shipped::LAYOUT)),
            Kind::Grouped => Arc::new(Grouped::open(directory, sql::BARE)),
            Kind::Sqlx => Arc::new(sqlx_by_hand::SqlxByHand::open(directory).await),
            Kind::PerCall => Arc::new(PerCall::open(directory)),
            Kind::Redb => Arc::new(redb_by_hand::Redb::open(directory)),
            Kind::RedbCodec => Arc::new(redb_codec::RedbCodec::open(directory)),
            Kind::Memory => Arc::new(ours::Ours::memory().await),
            Kind::Map => Arc::new(LockedMap::new(1)),
            Kind::Sharded => Arc::new(LockedMap::new(SHARDS)),
        }
    }
}
