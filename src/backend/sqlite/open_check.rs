//! Checks a small store for damage when it is opened.

use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;

use super::check::{TABLES, check_all};
use super::check_structure::Whose;
use super::errors::store_error;
use super::findings::SqliteCheck;
use super::known_damage::KnownDamage;
use super::schema::single;
use crate::backend::sql::Phase;
use crate::error::StoreError;

/// Maximum time of a check. A file of the default size takes a tenth of a second; this is for slow
/// disks, and for damage that sends SQLite in circles.
const PATIENCE: Duration = Duration::from_secs(5);

/// SQLite's steps between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Checks a store that is being opened, if its file is small. Returns what it found.
///
/// Log entries and owners are not decoded here: each has a checksum, and no damage of such a row
/// hides it without damage of an index. Rows of labels and objects that no action has are not looked
/// for: a list that finds one is `Corrupt`.
pub(super) async fn at_opening(
    connection: &mut SqliteConnection,
    most_bytes: u64,
    whose: Whose,
) -> Result<KnownDamage, StoreError> {
    let known = KnownDamage::default();
    let pages: i64 = single(connection, "PRAGMA page_count").await?;
    let size: i64 = single(connection, "PRAGMA page_size").await?;
    let bytes = u64::try_from(pages.saturating_mul(size)).unwrap_or(u64::MAX);
    if bytes > most_bytes {
        return Ok(known);
    }
    if let Some(found) = confirmed(connection, whose).await? {
        known.set(found.parts, found.damaged);
    }
    Ok(known)
}

/// Returns what a check finds; if it finds damage, what a second one finds. A read that fails once
/// can look like damage, and what was found holds until the next check. The two need not find the
/// same: others may write between them. `None` if a check did not end: it took too long, or the
/// disk failed.
async fn confirmed(
    connection: &mut SqliteConnection,
    whose: Whose,
) -> Result<Option<SqliteCheck>, StoreError> {
    match look(connection, whose).await? {
        Some(first) if first.damaged > 0 => look(connection, whose).await,
        first => Ok(first),
    }
}

async fn look(
    connection: &mut SqliteConnection,
    whose: Whose,
) -> Result<Option<SqliteCheck>, StoreError> {
    let mut check = SqliteCheck::default();
    let [actions, ..] = &*TABLES;
    // A host's connection may have a progress handler of the host, so it gets none of ours.
    if whose == Whose::Store {
        interrupt_after(connection, PATIENCE).await?;
    }
    let ended = check_all(connection, whose, std::slice::from_ref(actions), &mut check).await;
    if whose == Whose::Store {
        go_on(connection).await?;
    }
    Ok(ended.ok().map(|()| check))
}

/// Interrupts what the connection does after this time.
async fn interrupt_after(
    connection: &mut SqliteConnection,
    time: Duration,
) -> Result<(), StoreError> {
    let begun = Instant::now();
    let locked = connection.lock_handle().await;
    let mut locked = locked.map_err(|error| store_error("open", Phase::Before, error))?;
    locked.set_progress_handler(STEPS_BETWEEN_LOOKS, move || begun.elapsed() < time);
    Ok(())
}

async fn go_on(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let locked = connection.lock_handle().await;
    let mut locked = locked.map_err(|error| store_error("open", Phase::Before, error))?;
    locked.remove_progress_handler();
    Ok(())
}
