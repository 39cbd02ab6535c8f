//! What every contestant keeps and does.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name every action has here.
pub const NAME: &str = "SMUpdateBDB";

/// Versions of a whole life, and its log entries: created, started, finished.
pub const LAST_VERSION: i64 = 6;
pub const ENTRIES: usize = 3;

macro_rules! record {
    ($($column:ident: $type:ty,)*) => {
        /// An action as the stores written by hand keep it: all the columns of the library's.
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

/// What a caller asks to be recorded.
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

    /// The row it becomes, number aside.
    pub fn record(&self, now: i64) -> Record {
        Record {
            uid: self.uid.as_bytes().to_vec(),
            source: 1,
            name: NAME.to_owned(),
            object: Some(self.object.clone()),
            tenant: "default".to_owned(),
            // As the library does: a digest tells a repeated create from a different one.
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

/// A change of an action that is at `version`. Each draws an operation id, as the library does.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub uid: Uuid,
    pub version: i64,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Start,
    /// In hundredths of a percent. Makes no entry in the log.
    Progress(i64),
    Finish,
}

impl Kind {
    /// The columns a change gives an action: status, outcome, progress.
    pub fn state(self) -> (i64, Option<i64>, i64) {
        match self {
            Kind::Start => (1, None, 0),
            Kind::Progress(progress) => (1, None, progress),
            Kind::Finish => (2, Some(0), 10_000),
        }
    }

    /// The kind of its log entry.
    pub fn entry(self) -> Option<i64> {
        match self {
            Kind::Start => Some(1),
            Kind::Progress(_) => None,
            Kind::Finish => Some(6),
        }
    }
}

/// Whoever executes the actions: one owner, as one process has.
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

/// Where an action stands, for the verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    pub uid: Uuid,
    pub status: i64,
    pub version: i64,
}

/// Everything a contestant holds at the end.
#[derive(Debug)]
pub struct Held {
    pub heads: Vec<Head>,
    pub entries: usize,
}

/// A store that takes part. Every write is acknowledged once it is as durable as the contestant
/// says, a compare-and-set on the version, and comes with its log entry, its place in the feed
/// and in the indexes. What goes wrong is a panic: a contestant that fails has lost.
#[async_trait]
pub trait Contestant: Send + Sync + 'static {
    async fn create(&self, new: New);
    async fn change(&self, change: Change);
    /// Looks an action up and decodes all of it; says which it found.
    async fn get(&self, uid: Uuid) -> Uuid;
    /// The newest, decoded; says how many and the first's uid.
    async fn list(&self, limit: u16) -> (usize, Option<Uuid>);
    /// Writes completed actions, as fast as it can, for a workload that reads.
    async fn fill(&self, count: usize) -> Vec<Uuid>;
    /// Everything, for the verification.
    async fn held(&self) -> Held;
    async fn close(&self);
}

pub fn now() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// The changes of a whole life after its creation.
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
