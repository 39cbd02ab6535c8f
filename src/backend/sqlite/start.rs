//! Starts a store on a database that is open: checks it, makes it durable, starts the tasks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;

use super::access::SqliteAccess;
use super::branch;
use super::durability::{durability, modes};
use super::engine::{COME_BACK, SqliteEngine};
use super::errors;
use super::exclusive;
use super::file::Lock;
use super::identity::{IN_MEMORY, OpenFile};
use super::open_check;
use super::options::SqliteOptions;
use super::patience::{patiently, pause};
use super::position;
use super::read_engine::SqliteReader;
use super::schema::{self, BUSY, Policy};
use super::script::{Script, roll_back};
use super::source::{Connection, ConnectionSlot, Source};
use super::store::SqliteStore;
use super::sync::make_durable;
use super::version;
use super::write_slot::WriteSlot;
use crate::backend::sql::{Lineage, Phase, SqlStore};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::model::Position;
use crate::spi::PositionWatch;
use crate::store::{Capabilities, Durability};

/// Maximum time for retrying a new connection that turns out to be read-only.
const READ_ONLY_PATIENCE: Duration = Duration::from_millis(100);

/// The database of a store, and how the store may use it.
pub(super) struct Place {
    pub(super) access: SqliteAccess,
    pub(super) source: Source,
    pub(super) path: PathBuf,
    pub(super) lock: Option<Lock>,
}

/// Prepares the database, and returns the position of the store in it.
async fn settle(
    connection: &mut SqliteConnection,
    access: SqliteAccess,
    path: &Path,
    file: &OpenFile,
    policy: Policy,
    clock: &Clock,
) -> Result<(Durability, Lineage, Position), StoreError> {
    let (mode, synchronous) = modes(connection).await?;
    let durability = match path == Path::new(IN_MEMORY) {
        true => Durability::Volatile,
        false => durability(access, &mode, synchronous)?,
    };
    let store_id = schema::apply(connection, policy).await?;
    if access == SqliteAccess::Exclusive {
        exclusive::disconnect_owners(connection, file, clock).await?;
    }
    let may_write = policy != Policy::Read;
    let branches = branch::settle(connection, path, may_write).await?;
    let lineage = Lineage { store_id, branches };
    let mut script = Script::new();
    script.push(position::POSITION);
    let rows = script.run(connection).await;
    let rows = rows.map_err(|f| errors::store_error("open", Phase::Before, f.error))?;
    let rows = rows.first().map_or(&[][..], Vec::as_slice);
    let position = position::read_position("open", &lineage, rows)?;
    Ok((durability, lineage, position))
}

/// Prepares the database for writing. Checks that the connection can write and that the stored data
/// is on the disk. Returns the connection that can write.
///
/// If one `open(2)` for writing fails, SQLite opens the file read-only and reports it at the first
/// write. Such a connection is replaced.
async fn ready_to_write(
    source: &Source,
    file: &OpenFile,
    mut connection: Connection,
) -> Result<Connection, StoreError> {
    let begun = Instant::now();
    loop {
        let Err(error) = make_durable(&mut connection, file).await else {
            return Ok(connection);
        };
        let error = errors::store_error("open", Phase::Before, error);
        if !roll_back(&mut connection).await {
            return Err(error);
        }
        if errors::is_read_only(&error) {
            drop(connection.close().await);
            if begun.elapsed() >= READ_ONLY_PATIENCE {
                return Err(error);
            }
            pause(begun).await?;
            connection = source.connect().await?;
        } else if errors::is_busy(&error) && begun.elapsed() < BUSY {
            // Soon, as the writer does: another process may go from one transaction to the next.
            tokio::time::sleep(COME_BACK).await;
        } else {
            return Err(error);
        }
    }
}

/// Prepares the database and starts the tasks.
pub(super) async fn start(
    place: Place,
    mut connection: Connection,
    options: SqliteOptions,
) -> Result<SqliteStore, StoreError> {
    let Place {
        access,
        source,
        path,
        lock,
    } = place;
    // Before the connection is used: it must be to this file and no other.
    let file = Arc::new(OpenFile::at(&path)?);
    let several = access == SqliteAccess::Shared || matches!(source, Source::Pool(_));
    let version = version::check(&mut connection, several, options.allow_wal_reset_bug).await?;
    let (durability, lineage, position) = patiently!(
        settle(
            &mut connection,
            access,
            &path,
            &file,
            options.policy(),
            &options.clock,
        )
        .await
    )?;
    let checked = open_check::at_opening(connection, &source, &file, options.check_bytes);
    let (mut connection, damage) = checked.await?;
    let damage = Arc::new(damage);
    let writers = match access {
        SqliteAccess::Shared => source.for_impatient(),
        _ => source.clone(),
    };
    writers.tune(&mut connection).await?;
    if access != SqliteAccess::ReadOnly {
        connection = ready_to_write(&writers, &file, connection).await?;
    }
    file.remember_log();
    let lineage = Arc::new(lineage);
    let position_watch = Arc::new(PositionWatch::new(position));
    let mut writers_slot = ConnectionSlot::new(writers, file.clone());
    writers_slot.hand_back(connection);

    // Opens the readers now, so that errors appear here and not at the first read. No task has a
    // share of the lock yet: after an error the store can be opened again at once.
    let mut slots = Vec::with_capacity(options.sql.readers);
    for _ in 0..options.sql.readers {
        let mut slot = ConnectionSlot::new(source.clone(), file.clone());
        let ready = match source {
            Source::Pool(_) => Ok(()),
            Source::File { .. } => slot.ready().await,
        };
        slots.push(slot);
        if let Err(error) = ready {
            slots.push(writers_slot);
            for mut slot in slots {
                slot.close().await;
            }
            return Err(error);
        }
    }

    let lock = Arc::new(lock);
    let readers = slots.into_iter().map(|slot| SqliteReader {
        lineage: lineage.clone(),
        slot,
        file: file.clone(),
        lock: lock.clone(),
        damage: damage.clone(),
    });
    let readers = readers.collect();
    let engine = SqliteEngine {
        db: WriteSlot {
            access,
            slot: writers_slot,
            file: file.clone(),
            position_watch: position_watch.clone(),
        },
        clock: options.clock.clone(),
        lock,
        met: None,
        #[cfg(test)]
        faults: options.faults.clone(),
    };
    let mut capabilities = Capabilities::new(durability);
    capabilities.shared = access != SqliteAccess::Exclusive;
    let settings = options.sql.settings(capabilities);
    let sql = SqlStore::start(&settings, lineage, position_watch, engine, readers);
    Ok(SqliteStore {
        path,
        access,
        file,
        damage,
        version,
        source,
        clock: options.clock,
        sql,
    })
}
