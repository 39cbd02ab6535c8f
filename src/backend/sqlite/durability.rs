//! Reads the durability of acknowledged writes from the settings of the database.

use sqlx::sqlite::SqliteConnection;

use super::access::SqliteAccess;
use super::schema::single;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::store::Durability;

/// Reads the journal mode and `synchronous`.
pub(super) async fn modes(connection: &mut SqliteConnection) -> Result<(String, i64), StoreError> {
    let mode: String = single(connection, "PRAGMA journal_mode").await?;
    let synchronous: i64 = single(connection, "PRAGMA synchronous").await?;
    Ok((mode.to_lowercase(), synchronous))
}

/// Returns the durability of writes with this `access`. It depends on the database's settings,
/// which may differ from the requested ones.
pub(super) fn durability(
    access: SqliteAccess,
    mode: &str,
    synchronous: i64,
) -> Result<Durability, StoreError> {
    match access {
        // A reader does not know the settings of the writers.
        SqliteAccess::ReadOnly => Ok(Durability::Process),
        SqliteAccess::HostPool if matches!(mode, "memory" | "off") => {
            let message = "pool: with journal_mode memory or off a crash would damage the store";
            Err(StoreError::new(ErrorKind::Invalid, "open", message))
        }
        SqliteAccess::HostPool => Ok(match (mode, synchronous) {
            ("wal" | "truncate" | "persist", 2..) | ("delete", 3..) => Durability::Disk,
            // Below FULL a commit is not synced. In mode DELETE the removal of the journal is the
            // commit, and SQLite syncs that directory change only at EXTRA.
            _ => Durability::Process,
        }),
        _ if mode == "wal" && synchronous >= 2 => Ok(Durability::Disk),
        _ => {
            let message = format!("the database is in mode {mode}/{synchronous}, not wal/2");
            Err(StoreError::new(ErrorKind::Unavailable, "open", message))
        }
    }
}
