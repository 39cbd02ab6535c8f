//! Opens a store: the servers or the pool, the schema, the tasks.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgPool, PgRow};

use super::decode::Columns;
use super::engine::PostgresEngine;
use super::errors::store_error;
use super::host_locks::HostLocks;
use super::listen;
use super::load::{Within, read_position};
use super::options::PostgresOptions;
use super::queries::POSITION;
use super::read::PostgresReader;
use super::replica::{Replica, SeenCommit};
use super::schema::{self, SchemaName};
use super::script::{Script, silent};
use super::setup::{Setup, SynchronousCommit};
use super::source::{Connection, ConnectionSlot, Source};
use super::store::PostgresStore;
use crate::backend::sql::{Lineage, Phase, SqlStore, Stored, corrupt};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{BranchId, Branches, End, Fork, StoreId};
use crate::spi::PositionWatch;
use crate::spi::deadline::deadline;
use crate::store::{Capabilities, Durability};
use crate::telemetry;

/// The oldest version of PostgreSQL that has what the schema uses.
const OLDEST: i64 = 130_000;

/// Maximum time to prepare a store, or the time-out of its calls if that is longer. It includes the
/// wait for another process that creates the schema.
const OPENING: Duration = Duration::from_secs(30);

impl PostgresStore {
    /// Opens the store in the database of a URL (`postgres://user@host/database`), or creates it
    /// there, with the default [options](PostgresOptions). Call this inside the tokio runtime that
    /// will run the store.
    ///
    /// The store uses connections of its own: one that writes, and two that read. sqlx fills what
    /// the URL leaves out from the `PG*` environment variables. TLS is used if the host enables one
    /// of sqlx's features for it and the URL asks for it (`sslmode`).
    ///
    /// # Errors
    /// - `Invalid`: the URL or the name of the schema is wrong.
    ///
    /// - `Unavailable`: the server cannot be reached, does not answer for 30 seconds, refuses the
    ///   connection or the role, or accepts no writes.
    ///
    /// - `Incompatible`: the server is older than PostgreSQL 13. The database is not in UTF-8. A
    ///   newer version of this library wrote the store. The schema differs and may not be changed.
    ///
    /// - `Corrupt`: the store's own rows are missing.
    ///
    /// - `Closed`: there is no tokio runtime.
    ///
    /// # Panics
    /// Calls panic if their runtime has no timer
    /// ([`enable_time`](tokio::runtime::Builder::enable_time)).
    pub async fn connect(url: &str) -> Result<PostgresStore, StoreError> {
        PostgresOptions::default().connect(url).await
    }

    /// Opens the store in the database of a host's pool, or creates it there beside the host's
    /// schemas, with the default [options](PostgresOptions).
    ///
    /// The store changes no setting of the connections: it sets what it needs for the duration of
    /// its own transactions. It borrows a connection for one transaction and keeps none between two
    /// calls, so a pool of one is enough. Closing the store leaves the pool open.
    ///
    /// Statements have their values in the text, and sqlx logs slow statements. Build the pool with
    /// [`disable_statement_logging`](sqlx::ConnectOptions::disable_statement_logging).
    ///
    /// # Errors
    /// As [`connect`](PostgresStore::connect).
    pub async fn on_pool(pool: PgPool) -> Result<PostgresStore, StoreError> {
        PostgresOptions::default().on_pool(pool).await
    }
}

impl PostgresOptions {
    /// Opens the store in the database of a URL, or creates it there.
    ///
    /// # Errors
    /// As [`PostgresStore::connect`].
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        telemetry::opening("postgres", by_url(url, self)).await
    }

    /// Opens the store with connections of its own. Each of the options is one server of the same
    /// database. One server accepts writes at a time: the store uses the first that does.
    ///
    /// # Errors
    /// As [`PostgresStore::connect`].
    pub async fn connect_with(
        self,
        servers: Vec<PgConnectOptions>,
    ) -> Result<PostgresStore, StoreError> {
        telemetry::opening("postgres", by_options(servers, self)).await
    }

    /// Opens the store in the database of a host's pool, or creates it there beside the host's
    /// schemas.
    ///
    /// # Errors
    /// As [`PostgresStore::on_pool`].
    pub async fn on_pool(self, pool: PgPool) -> Result<PostgresStore, StoreError> {
        telemetry::opening("postgres", on_pool(pool, self)).await
    }
}

async fn by_url(url: &str, options: PostgresOptions) -> Result<PostgresStore, StoreError> {
    by_options(vec![read_url(url)?], options).await
}

fn read_url(url: &str) -> Result<PgConnectOptions, StoreError> {
    // The error is not kept: it may show a part of the URL, and that may be the password.
    PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::new(ErrorKind::Invalid, "open", "the URL cannot be read"))
}

async fn by_options(
    servers: Vec<PgConnectOptions>,
    options: PostgresOptions,
) -> Result<PostgresStore, StoreError> {
    let servers = servers.into_iter().map(own_connection).collect();
    open(Source::Own(servers), options).await
}

/// Completes the options of a connection of the store's own.
fn own_connection(server: PgConnectOptions) -> PgConnectOptions {
    // Poolers refuse parameters that they do not know, and keep no prepared statements.
    let server = server.statement_cache_capacity(0).extra_float_digits(None);
    let server = match server.get_application_name() {
        Some(_) => server,
        None => server.application_name("action-store"),
    };
    server.disable_statement_logging()
}

async fn on_pool(pool: PgPool, options: PostgresOptions) -> Result<PostgresStore, StoreError> {
    open(Source::Pool(pool), options).await
}

async fn open(source: Source, options: PostgresOptions) -> Result<PostgresStore, StoreError> {
    check_runtime()?;
    let name = SchemaName::new(&options.schema)?;
    let replica = options.replica.as_ref().map(|url| read_url(&url.0));
    let replica = replica.transpose()?.map(own_connection);
    let mut connection = source.connect("open").await?;
    let time = options.sql.timeout.max(OPENING);
    let prepared = deadline(time, prepare(&mut connection, &name, &options)).await;
    match prepared.unwrap_or_else(|| Err(before(silent()))) {
        Ok(prepared) => {
            let sources = (source, replica);
            Ok(start(sources, connection, prepared, options))
        }
        Err(error) => {
            connection.throw_away().await;
            Err(error)
        }
    }
}

fn check_runtime() -> Result<(), StoreError> {
    let runtime = tokio::runtime::Handle::try_current();
    runtime.map(drop).map_err(|error| {
        let message = "called outside a tokio runtime";
        StoreError::new(ErrorKind::Closed, "open", message).with_source(error)
    })
}

/// Facts about a database that was opened.
struct Prepared {
    setup: Arc<Setup>,
    lineage: Arc<Lineage>,
    stored: Stored,
    durability: Durability,
}

async fn prepare(
    connection: &mut Connection,
    name: &SchemaName,
    options: &PostgresOptions,
) -> Result<Prepared, StoreError> {
    let (durability, synchronous_commit, is_linux) = inspect(connection).await?;
    schema::apply(connection, name, options.policy()).await?;
    let setup = Setup::new(
        name,
        options.sql.timeout,
        &synchronous_commit,
        is_linux,
        options.notify,
    );
    let (lineage, stored) = read(connection, &setup).await?;
    Ok(Prepared {
        setup: Arc::new(setup),
        lineage: Arc::new(lineage),
        stored,
        durability,
    })
}

fn start(
    (source, replica): (Source, Option<PgConnectOptions>),
    connection: Connection,
    prepared: Prepared,
    options: PostgresOptions,
) -> PostgresStore {
    let Prepared {
        setup,
        lineage,
        stored,
        durability,
    } = prepared;
    let mut capabilities = Capabilities::new(durability);
    capabilities.shared = true;
    let settings = options.sql.settings(capabilities);
    let locks = HostLocks::new(lineage.store_id);
    let seen = SeenCommit::default();
    seen.has_seen(stored.last_commit);
    let mut slot = ConnectionSlot::new(source.clone());
    slot.hand_back(connection);
    let engine = PostgresEngine {
        slot,
        setup: setup.clone(),
        locks: locks.clone(),
        clock: options.clock.clone(),
        timeout: options.sql.timeout,
        within: Within::default(),
        has_hosts: false,
        seen: seen.clone(),
    };
    let replica = replica.map(|server| Source::Own([server].into()));
    let reader = |_| PostgresReader {
        slot: ConnectionSlot::new(source.clone()),
        setup: setup.clone(),
        lineage: lineage.clone(),
        timeout: options.sql.timeout,
        replica: replica.clone().map(|source| Replica {
            slot: ConnectionSlot::new(source),
            not_before: None,
        }),
        seen: seen.clone(),
    };
    let readers = (0..options.sql.readers).map(reader).collect();
    let position_watch = Arc::new(PositionWatch::new(lineage.at(stored)));
    let sql = SqlStore::start(&settings, lineage, position_watch, engine, readers);
    if let (Some(notices), Some((hint, closing))) = (&setup.notices, sql.poll_hint()) {
        tokio::spawn(listen::run(source, notices.clone(), hint, closing));
    }
    PostgresStore {
        process: std::process::id(),
        setup,
        locks,
        clock: options.clock,
        sql,
    }
}

fn before(error: sqlx::Error) -> StoreError {
    store_error("open", Phase::Before, error)
}

fn incompatible(message: String) -> StoreError {
    StoreError::new(ErrorKind::Incompatible, "open", message)
}

const SETTINGS: &str = "SELECT pg_catalog.current_setting('server_version_num'), \
     pg_catalog.current_setting('server_encoding'), pg_catalog.current_setting('client_encoding'), \
     pg_catalog.current_setting('fsync'), pg_catalog.current_setting('full_page_writes'), \
     pg_catalog.current_setting('synchronous_commit'), \
     pg_catalog.current_setting('synchronous_standby_names'), pg_catalog.version()";

/// Reads the settings of the server, what they say about the durability of a commit, and whether it
/// runs on Linux.
async fn inspect(
    connection: &mut Connection,
) -> Result<(Durability, SynchronousCommit, bool), StoreError> {
    let mut script = Script::new();
    script.push(SETTINGS);
    let results = connection.run(script).await;
    let results = results.map_err(before)?;
    let row = results.iter().flatten().next();
    let row = row.ok_or_else(|| corrupt("open", "the server shows no settings"))?;
    let setting = |at: usize| row.try_get::<&str, _>(at).map_err(before);
    let version = setting(0)?.parse().unwrap_or(0_i64);
    if version < OLDEST {
        let (found, needed) = (version / 10_000, OLDEST / 10_000);
        let message =
            format!("the server is PostgreSQL {found}; the store needs {needed} or later");
        return Err(incompatible(message));
    }
    for (at, whose) in [(1, "database's"), (2, "connection's")] {
        let encoding = setting(at)?;
        if encoding != "UTF8" {
            let message = format!("the {whose} encoding is {encoding}; the store needs UTF8");
            return Err(incompatible(message));
        }
    }
    let is_on = |at| setting(at).map(|value| value == "on");
    let is_synced = is_on(3)? && is_on(4)?;
    let (durability, kept) = durability(is_synced, setting(5)?, setting(6)?);
    Ok((durability, kept, setting(7)?.contains("linux")))
}

/// Returns the durability of a commit, and the setting with which it is kept.
fn durability(
    is_synced: bool,
    synchronous_commit: &str,
    standbys: &str,
) -> (Durability, SynchronousCommit) {
    let has_standby = !standbys.trim().is_empty();
    let known = ["on", "remote_apply", "remote_write", "local"];
    let known = known.into_iter().find(|known| *known == synchronous_commit);
    let durability = match known {
        Some("local") if is_synced => Durability::Disk,
        Some(_) if is_synced && has_standby => Durability::Replicated,
        Some(_) if is_synced => Durability::Disk,
        _ => Durability::Process,
    };
    (durability, SynchronousCommit(known.unwrap_or("off")))
}

const BRANCH: &str = "SELECT store_id, branch FROM actions_store WHERE id = 1";
const FORKS: &str =
    "SELECT branch, revision, last_number, last_entry FROM actions_branch ORDER BY id";

/// Reads the identity and the position of the store.
async fn read(connection: &mut Connection, setup: &Setup) -> Result<(Lineage, Stored), StoreError> {
    let mut script = Script::new();
    setup.begin_read(&mut script);
    let skipped = script.len();
    script.push(BRANCH);
    script.push(FORKS);
    script.push(POSITION);
    script.push("COMMIT");
    connection.enter();
    let results = connection.run(script).await;
    let results = results.map_err(before)?;
    connection.leave();
    let rows = |at: usize| results.get(skipped + at).map_or(&[][..], Vec::as_slice);
    let row = rows(0).first();
    let row = row.ok_or_else(|| corrupt("open", "the store's own row is missing"))?;
    let mut columns = Columns::new("open", row);
    let store_id = StoreId::from_uuid(columns.id()?);
    let current = BranchId::from_u64(columns.number()?);
    let forks = rows(1).iter().map(read_fork).collect::<Result<_, _>>()?;
    let lineage = Lineage {
        store_id,
        branches: Branches { current, forks },
    };
    Ok((lineage, read_position("open", rows(2))?))
}

fn read_fork(row: &PgRow) -> Result<Fork, StoreError> {
    let mut columns = Columns::new("open", row);
    Ok(Fork {
        branch: BranchId::from_u64(columns.number()?),
        end: End {
            revision: columns.number()?,
            number: columns.number()?,
            entry: columns.number()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_the_server_say_what_a_commit_survives() {
        use Durability::{Disk, Process, Replicated};
        for (is_synced, commit, standbys, expected) in [
            (true, "on", "", Disk),
            (true, "on", "FIRST 1 (a)", Replicated),
            (true, "remote_apply", "*", Replicated),
            (true, "remote_write", "*", Replicated),
            (true, "local", "*", Disk),
            (true, "off", "", Process),
            (true, "off", "*", Process),
            (true, "new", "*", Process),
            (false, "on", "", Process),
            (false, "on", "*", Process),
        ] {
            let (found, kept) = durability(is_synced, commit, standbys);
            assert_eq!(found, expected, "{is_synced} {commit} {standbys}");
            let kept_as_it_is = kept.0 == commit || (commit == "new" && kept.0 == "off");
            assert!(kept_as_it_is, "{commit}: {}", kept.0);
        }
    }
}
