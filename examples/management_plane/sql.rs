//! The databases of this plane: four shards each, SQLite files.

use std::path::Path;

use action_store::ActionError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// The statements of one shard.
pub(crate) struct Shard {
    pub(crate) create: &'static str,
    /// Binds the first and the last id.
    pub(crate) load: &'static str,
    pub(crate) index: &'static str,
    pub(crate) count: &'static str,
    pub(crate) check: &'static str,
}

macro_rules! shard {
    ($table:literal) => {
        Shard {
            create: concat!(
                "CREATE TABLE ", $table,
                " (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL) STRICT"
            ),
            load: concat!(
                "WITH RECURSIVE ids(id) AS (SELECT ?1 UNION ALL SELECT id + 1 FROM ids WHERE id < ?2) ",
                "INSERT INTO ", $table,
                " SELECT id, 'key:' || hex(randomblob(6)), randomblob(64) FROM ids"
            ),
            index: concat!("CREATE INDEX ", $table, "_key ON ", $table, " (key)"),
            count: concat!("SELECT count(*) FROM ", $table),
            check: concat!("PRAGMA integrity_check('", $table, "')"),
        }
    };
}

pub(crate) const SHARDS: [Shard; 4] = [
    shard!("shard_0"),
    shard!("shard_1"),
    shard!("shard_2"),
    shard!("shard_3"),
];

pub(crate) async fn create(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path);
    options.create_if_missing(true).connect().await
}

pub(crate) async fn open(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path);
    options.create_if_missing(false).connect().await
}

/// Checks one shard and its index.
pub(crate) async fn check(
    connection: &mut SqliteConnection,
    shard: &Shard,
) -> Result<(), ActionError> {
    let found: Vec<(String,)> = sqlx::query_as(shard.check)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    match found.first() {
        Some((word,)) if word == "ok" => Ok(()),
        first => {
            let first = first.map_or("no answer", |(line,)| line);
            let detail = format!("{} findings, the first: {first}", found.len());
            Err(corrupt().with_detail(detail))
        }
    }
}

pub(crate) async fn close(connection: SqliteConnection) -> Result<(), ActionError> {
    connection.close().await.map_err(failed)
}

pub(crate) fn corrupt() -> ActionError {
    ActionError::new("bdb_corrupt", "the database file is damaged")
}

/// What an error of SQLite means to whoever reads the action. Its own words, with paths in them,
/// are for operators.
pub(crate) fn failed(error: sqlx::Error) -> ActionError {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    // The low byte is the class, the rest its finer points.
    let public = match code.map(|code| code & 0xff) {
        Some(11 | 26) => corrupt(),
        Some(13) => ActionError::new("disk_full", "the disk is full"),
        Some(8) => ActionError::new("disk_read_only", "the disk cannot be written to"),
        Some(10) => ActionError::new("disk_failed", "the disk failed"),
        Some(14) => ActionError::new("bdb_file_missing", "the database file cannot be opened"),
        _ => return error.into(),
    };
    public.with_source(error)
}
