//! The databases of this plane: SQLite files with four shards each.

use std::path::Path;

use action_store::ActionError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// The SQL statements of one shard.
pub(crate) struct Shard {
    create: &'static str,
    /// Binds the first and the last id.
    load: &'static str,
    pub(crate) index: &'static str,
    count: &'static str,
    check: &'static str,
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

/// An open database. Its errors are translated for the readers of an action.
pub(crate) struct File(SqliteConnection);

impl File {
    pub(crate) async fn create(path: &Path) -> Result<File, ActionError> {
        let mut file = File::connect(path, true).await?;
        for shard in &SHARDS {
            file.run(shard.create).await?;
        }
        Ok(file)
    }

    pub(crate) async fn open(path: &Path) -> Result<File, ActionError> {
        File::connect(path, false).await
    }

    async fn connect(path: &Path, create: bool) -> Result<File, ActionError> {
        let options = SqliteConnectOptions::new().filename(path);
        let connected = options.create_if_missing(create).connect().await;
        connected.map(File).map_err(failed)
    }

    pub(crate) async fn run(&mut self, statement: &'static str) -> Result<(), ActionError> {
        let run = sqlx::query(statement).execute(&mut self.0).await;
        run.map(|_| ()).map_err(failed)
    }

    /// Inserts the rows `from` to `to` in one transaction, a quarter into each shard.
    pub(crate) async fn load(&mut self, from: u64, to: u64) -> Result<(), ActionError> {
        let mut transaction = self.0.begin().await.map_err(failed)?;
        let shards = SHARDS.len() as u64;
        for (shard, number) in SHARDS.iter().zip(0..) {
            let first = from + (to - from) * number / shards;
            let last = from + (to - from) * (number + 1) / shards;
            if first < last {
                let load = sqlx::query(shard.load)
                    .bind(i64::try_from(first)?)
                    .bind(i64::try_from(last - 1)?);
                load.execute(&mut *transaction).await.map_err(failed)?;
            }
        }
        transaction.commit().await.map_err(failed)
    }

    pub(crate) async fn count(&mut self, shard: &Shard) -> Result<u64, ActionError> {
        let counted = sqlx::query_scalar(shard.count).fetch_one(&mut self.0);
        let counted: i64 = counted.await.map_err(failed)?;
        Ok(u64::try_from(counted)?)
    }

    /// Checks one shard and its index.
    pub(crate) async fn check(&mut self, shard: &Shard) -> Result<(), ActionError> {
        let found = sqlx::query_scalar(shard.check).fetch_all(&mut self.0).await;
        let found: Vec<String> = found.map_err(failed)?;
        match found.first().map(String::as_str) {
            Some("ok") => Ok(()),
            first => {
                let detail = format!("{} findings: {first:?}", found.len());
                Err(corrupt().with_detail(detail))
            }
        }
    }

    pub(crate) async fn copy_to(&mut self, target: &str) -> Result<(), ActionError> {
        let copied = sqlx::query("VACUUM INTO ?1")
            .bind(target)
            .execute(&mut self.0)
            .await;
        copied.map(|_| ()).map_err(failed)
    }

    pub(crate) async fn close(self) -> Result<(), ActionError> {
        self.0.close().await.map_err(failed)
    }
}

pub(crate) fn corrupt() -> ActionError {
    ActionError::new("bdb_corrupt", "the database file is damaged")
}

/// Translates an error of SQLite for the readers of an action. The original text contains
/// paths and goes into the operator detail.
fn failed(error: sqlx::Error) -> ActionError {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    // The low byte is the primary error code. The other bits are the extended code.
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
