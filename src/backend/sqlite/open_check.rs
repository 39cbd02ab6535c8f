//! Checks a small store for damage when it is opened.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::check::{TABLES, check_all};
use super::check_structure::Whose;
use super::errors::store_error;
use super::findings::SqliteCheck;
use super::identity::{IN_MEMORY, OpenFile};
use super::known_damage::KnownDamage;
use super::schema::single;
use super::source::{Connection, Source};
use super::sync::before_closing;
use crate::backend::sql::Phase;
use crate::error::StoreError;

/// Maximum time of a check. A file of the default size takes a tenth of a second; this is for slow
/// disks, and for damage that sends SQLite in circles.
const PATIENCE: Duration = Duration::from_secs(5);

/// SQLite's steps between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// The time that a check may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    /// At most [`PATIENCE`].
    Limited,
    Any,
}

/// Checks a store that is being opened, if its file is small. Returns what it found, and a connection
/// for the rest of the opening.
///
/// Log entries and owners are not decoded here: each has a checksum, and no damage of such a row
/// hides it without damage of an index. Rows of labels and objects that no action has are not looked
/// for: a list that finds one is `Corrupt`.
pub(super) async fn at_opening(
    mut connection: Connection,
    source: &Source,
    file: &OpenFile,
    most_bytes: u64,
) -> Result<(Connection, KnownDamage), StoreError> {
    let known = KnownDamage::default();
    let pages: i64 = single(&mut connection, "PRAGMA page_count").await?;
    let size: i64 = single(&mut connection, "PRAGMA page_size").await?;
    let bytes = u64::try_from(pages.saturating_mul(size)).unwrap_or(u64::MAX);
    if bytes > most_bytes {
        return Ok((connection, known));
    }
    let whose = Whose::of(source);
    let found = match connection {
        // The only connection to a database in memory must stay. Nothing damages such a database.
        Connection::Borrowed(mut borrowed) if file.path() == Path::new(IN_MEMORY) => {
            let found = confirmed(&mut borrowed, whose, Time::Any).await?;
            connection = Connection::Borrowed(borrowed);
            found
        }
        // A host's connection may have a progress handler of the host, which ours replaces. So it
        // leaves the pool, which opens another one.
        Connection::Borrowed(borrowed) => {
            let mut taken = borrowed.detach();
            let found = confirmed(&mut taken, whose, Time::Limited).await;
            before_closing(&mut taken, file).await;
            // All is committed, so an error on close has no effect.
            drop(taken.close().await);
            connection = source.connect().await?;
            found?
        }
        Connection::Own(mut own) => {
            let found = confirmed(&mut own, whose, Time::Limited).await?;
            connection = Connection::Own(own);
            found
        }
    };
    if let Some(found) = found {
        known.set(found.parts, found.damaged);
    }
    Ok((connection, known))
}

/// Returns what a check finds; if it finds damage, what a second one finds. A read that fails once
/// can look like damage, and what was found holds until the next check. The two need not find the
/// same: others may write between them. `None` if a check did not end: it took too long, or the
/// disk failed.
async fn confirmed(
    connection: &mut SqliteConnection,
    whose: Whose,
    time: Time,
) -> Result<Option<SqliteCheck>, StoreError> {
    match look(connection, whose, time).await? {
        Some(first) if first.damaged > 0 => look(connection, whose, time).await,
        first => Ok(first),
    }
}

async fn look(
    connection: &mut SqliteConnection,
    whose: Whose,
    time: Time,
) -> Result<Option<SqliteCheck>, StoreError> {
    let mut check = SqliteCheck::default();
    let [actions, ..] = &*TABLES;
    if time == Time::Limited {
        interrupt_after(connection, PATIENCE).await?;
    }
    let ended = check_all(connection, whose, std::slice::from_ref(actions), &mut check).await;
    if time == Time::Limited {
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
