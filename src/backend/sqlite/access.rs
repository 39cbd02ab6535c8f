//! The other users of a store's database.

/// Other users that a store's database may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SqliteAccess {
    /// No other user.
    Exclusive,
    /// Other processes that also opened it [`shared`](super::SqliteOptions::shared).
    Shared,
    /// The host, and other users of the host's database.
    HostPool,
    /// Any other users; this store only reads.
    ReadOnly,
}
