//! Defines what each contestant stores and which operations it implements.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Name of every action in this benchmark.
pub const NAME: &str = "SMUpdateBDB";

/// Versions of a whole life, and its log entries: created, started, finished.
pub const LAST_VERSION: i64 = 6;
pub const ENTRIES: usize = 3;

macro_rules! record {
    ($($column:ident: $type:ty,)*) => {
        /// Action as the hand-written stores keep it, with all columns of the library.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub struct Record {
            $(pub $column: $type,)*
        }

        impl Record {
            pub const COLUMNS: &[&str] = &[$(stringify!($column),)*];

            pub fn from_sqlx(row: &sqlx::sqlite::SqliteRow) -> Result<Record, sqlx::Error> {
                use sqlx::Row;
                let mut index = 0;
                let mut next = || (index, index += 1).0;
                Ok(Record { $($column: row.try_get::<$type, _>(next())?,)* })
            }

            #[cfg(feature = "postgres")]
            #[allow(dead_code, reason = "benches/postgres uses it")]
            pub fn from_postgres(row: &sqlx::postgres::PgRow) -> Result<Record, sqlx::Error> {
                use sqlx::Row;
                let mut index = 0;
                let mut next = || (index, index += 1).0;
                Ok(Record { $($column: row.try_get::<$type, _>(next())?,)* })
            }

            pub fn from_rusqlite(row: &rusqlite::Row<'_>) -> Result<Record, rusqlite::Error> {
                let mut index = 0;
                let mut next = || (index, index += 1).0;
                Ok(Record { $($column: row.get::<_, $type>(next())?,)* })
            }
        }
    };
}

record! {
    number: i64,
    uid: Vec<u8>,
    source: i64,
    name: String,
    object: Option<String>,
    related: Option<String>,
    tenant: String,
    actor: Option<String>,
    parent: Option<Vec<u8>>,
    retry_of: Option<Vec<u8>>,
    correlation: Option<String>,
    exclusive: Option<String>,
    idempotency_key: Option<String>,
    digest: Vec<u8>,
    created_at: i64,
    status: i64,
    outcome: Option<i64>,
    progress: i64,
    step: Option<String>,
    description: Option<String>,
    attributes: Option<String>,
    labels: Option<String>,
    result: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    error_detail: Option<String>,
    warnings: Option<String>,
    owner: Option<String>,
    incarnation: Option<Vec<u8>>,
    cancel_at: Option<i64>,
    cancel_by: Option<String>,
    cancel_reason: Option<String>,
    evidence_owner: Option<String>,
    evidence_incarnation: Option<Vec<u8>>,
    evidence_end: Option<i64>,
    evidence_seen_at: Option<i64>,
    evidence_by: Option<String>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    last_seen_at: i64,
    version: i64,
    log_entries: i64,
    last_op: Option<Vec<u8>>,
}

/// Action that a caller asks to record.
#[derive(Debug, Clone)]
pub struct New {
    pub uid: Uuid,
    pub object: String,
    pub description: &'static str,
}

impl New {
    pub fn of(object: u64) -> New {
        New {
            uid: Uuid::now_v7(),
            object: format!("bdb:{object}"),
            description: "resize to 3 shards of 4 GB, replicated",
        }
    }

    /// Returns the row to store, without its number.
    pub fn record(&self, now: i64) -> Record {
        Record {
            uid: self.uid.as_bytes().to_vec(),
            source: 1,
            name: NAME.to_owned(),
            object: Some(self.object.clone()),
            tenant: "default".to_owned(),
            // As in the library, a digest distinguishes a repeated create from a different one.
            digest: Uuid::new_v5(&Uuid::nil(), self.object.as_bytes())
                .as_bytes()
                .to_vec(),
            created_at: now,
            description: Some(self.description.to_owned()),
            last_seen_at: now,
            version: 1,
            log_entries: 1,
            ..Record::default()
        }
    }
}

/// Change of an action at `version`. Each change gets a new operation id, as in the library.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub uid: Uuid,
    pub version: i64,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Start,
    /// In hundredths of a percent. Adds no log entry.
    Progress(i64),
    Finish,
}

impl Kind {
    /// Returns the columns that a change sets: status, outcome, progress.
    pub fn state(self) -> (i64, Option<i64>, i64) {
        match self {
            Kind::Start => (1, None, 0),
            Kind::Progress(progress) => (1, None, progress),
            Kind::Finish => (2, Some(0), 10_000),
        }
    }

    /// Returns the kind of the log entry.
    pub fn entry(self) -> Option<i64> {
        match self {
            Kind::Start => Some(1),
            Kind::Progress(_) => None,
            Kind::Finish => Some(6),
        }
    }
}

/// Owner of the actions. There is one, as in one process.
#[derive(Debug, Clone)]
pub struct Owner {
    pub name: String,
    pub incarnation: Vec<u8>,
}

impl Owner {
    pub fn new() -> Arc<Owner> {
        Arc::new(Owner {
            name: "bench".to_owned(),
            incarnation: Uuid::now_v7().as_bytes().to_vec(),
        })
    }
}

/// State of an action, for verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    pub uid: Uuid,
    pub status: i64,
    pub version: i64,
}

/// Final content of a contestant.
#[derive(Debug)]
pub struct Held {
    pub heads: Vec<Head>,
    pub entries: usize,
}

/// A page that is read.
#[derive(Debug, Clone, Copy)]
pub enum Asked {
    Newest,
    /// The newest actions of a database.
    Object(u64),
    /// The changes after this share of all changes.
    Feed(u64),
}

/// A store that takes part in the benchmark.
///
/// Every write is a compare-and-set on the version. It writes the log entry, the position in the
/// feed and the indexes too. It is acknowledged once it is as durable as the contestant claims.
/// Errors panic: a contestant that fails has lost.
#[async_trait]
pub trait Contestant: Send + Sync + 'static {
    async fn create(&self, new: New);
    async fn change(&self, change: Change);
    /// Reads and decodes one action; returns its uid.
    async fn get(&self, uid: Uuid) -> Uuid;
    /// Reads and decodes the newest actions; returns their number and the uid of the first.
    async fn list(&self, limit: u16) -> (usize, Option<Uuid>);
    /// Reads and decodes a page; returns the number of its actions. `None` if the contestant does
    /// not take part in this.
    async fn page(&self, _asked: Asked, _limit: u16) -> Option<usize> {
        None
    }
    /// Writes completed actions as fast as possible, to prepare a read workload.
    async fn fill(&self, count: usize) -> Vec<Uuid>;
    /// Returns all content, for verification.
    async fn held(&self) -> Held;
    async fn close(&self);
}

pub fn now() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// Returns the changes of a whole life after its creation.
pub fn life(uid: Uuid) -> impl Iterator<Item = Change> {
    let kinds = [
        Kind::Start,
        Kind::Progress(2500),
        Kind::Progress(5000),
        Kind::Progress(7500),
        Kind::Finish,
    ];
    (1..)
        .zip(kinds)
        .map(move |(version, kind)| Change { uid, version, kind })
}
