//! The store in one SQLite file.

/// placeholder
#[derive(Debug)]
pub struct SqliteOptions;
/// placeholder
#[derive(Debug)]
pub struct SqliteStore;
