//! Simple hand-written store with sqlx: careful, but not tuned.
//!
//! Writes use a pool of one connection, because several would compete for SQLite's write lock and
//! be slower. It uses WAL, synchronous FULL, and prepared and cached statements. Each change is one
//! IMMEDIATE transaction: the compare-and-set, the feed, the log entry, COMMIT.
//!
//! A second pool reads, with sqlx's defaults (ten connections). In WAL mode readers do not wait for
//! the writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use uuid::Uuid;

use crate::contestant::{Change, Contestant, Held, New, Owner, Record, now};
use crate::sql;

pub struct SqlxByHand {
    path: PathBuf,
    writing: SqlitePool,
    reading: SqlitePool,
    owner: Arc<Owner>,
}

impl SqlxByHand {
    pub async fn open(directory: &Path) -> SqlxByHand {
        let path = directory.join("actions.db");
        drop(sql::make(&path));
        let options = options(&path);
        let writing = SqlitePoolOptions::new()
            .max_connections(1)
            // 512 callers queue for the connection: long waits are expected, failures are not.
            .acquire_timeout(std::time::Duration::from_secs(120))
            .connect_with(options.clone());
        let reading = SqlitePoolOptions::new().connect_with(options);
        SqlxByHand {
            path,
            writing: writing.await.unwrap(),
            reading: reading.await.unwrap(),
            owner: Owner::new(),
        }
    }
}

pub fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(sql::BUSY)
        .pragma("wal_autocheckpoint", sql::CHECKPOINT)
}

/// Must be called within an open transaction.
pub async fn create(c: &mut SqliteConnection, new: &New) {
    let row = new.record(now());
    let number: i64 = sqlx::query_scalar(sql::CREATE)
        .bind(&row.uid)
        .bind(row.source)
        .bind(&row.name)
        .bind(&row.object)
        .bind(&row.tenant)
        .bind(&row.digest)
        .bind(row.created_at)
        .bind(&row.description)
        .bind(row.last_seen_at)
        .fetch_one(&mut *c)
        .await
        .unwrap();
    let touch = sqlx::query(sql::TOUCH).bind(&row.object).bind(number);
    touch.execute(&mut *c).await.unwrap();
    let feed = sqlx::query(sql::FEED_NEW).bind(number);
    feed.execute(&mut *c).await.unwrap();
    sqlx::query(sql::LOG)
        .bind(number)
        .bind(0)
        .bind(1)
        .bind(row.created_at)
        .bind(0)
        .bind(None::<i64>)
        .bind(0)
        .bind(None::<String>)
        .bind(None::<Vec<u8>>)
        .bind(None::<Vec<u8>>)
        .execute(&mut *c)
        .await
        .unwrap();
}

/// Must be called within an open transaction. Returns false if the version differs.
pub async fn change(c: &mut SqliteConnection, change: Change, owner: &Owner) -> bool {
    let (now, op) = (now(), Uuid::now_v7());
    let (status, outcome, progress) = change.kind.state();
    let entry = change.kind.entry();
    let number: Option<i64> = sqlx::query_scalar(sql::CHANGE)
        .bind(status)
        .bind(outcome)
        .bind(progress)
        .bind(&owner.name)
        .bind(&owner.incarnation)
        .bind(now)
        .bind(outcome.map(|_| now))
        .bind(now)
        .bind(i64::from(entry.is_some()))
        .bind(&op.as_bytes()[..])
        .bind(&change.uid.as_bytes()[..])
        .bind(change.version)
        .fetch_optional(&mut *c)
        .await
        .unwrap();
    let Some(number) = number else { return false };
    let feed = sqlx::query(sql::FEED_MOVE).bind(number);
    let moved = feed.execute(&mut *c).await.unwrap();
    assert_eq!(moved.rows_affected(), 1);
    if let Some(kind) = entry {
        sqlx::query(sql::LOG)
            .bind(number)
            .bind(kind)
            .bind(change.version + 1)
            .bind(now)
            .bind(status)
            .bind(outcome)
            .bind(progress)
            .bind(&owner.name)
            .bind(&owner.incarnation)
            .bind(&op.as_bytes()[..])
            .execute(&mut *c)
            .await
            .unwrap();
    }
    true
}

fn uid(row: &SqliteRow) -> Uuid {
    let record = Record::from_sqlx(row).unwrap();
    Uuid::from_slice(&record.uid).unwrap()
}

/// Reads and decodes one action.
pub async fn read_one(pool: &SqlitePool, wanted: Uuid) -> Uuid {
    let query = sqlx::query(sqlx::AssertSqlSafe(sql::GET.as_str()));
    let row = query.bind(&wanted.as_bytes()[..]).fetch_one(pool).await;
    uid(&row.unwrap())
}

/// Reads and decodes the newest actions.
pub async fn read_list(pool: &SqlitePool, limit: u16) -> (usize, Option<Uuid>) {
    let query = sqlx::query(sqlx::AssertSqlSafe(sql::LIST.as_str()));
    let rows = query.bind(limit).fetch_all(pool).await.unwrap();
    let uids: Vec<Uuid> = rows.iter().map(uid).collect();
    (uids.len(), uids.first().copied())
}

#[async_trait]
impl Contestant for SqlxByHand {
    async fn create(&self, new: New) {
        let mut transaction = self.writing.begin_with("BEGIN IMMEDIATE").await.unwrap();
        create(&mut transaction, &new).await;
        transaction.commit().await.unwrap();
    }

    async fn change(&self, step: Change) {
        let mut transaction = self.writing.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let done = change(&mut transaction, step, &self.owner).await;
        assert!(done, "nobody else changes this action");
        transaction.commit().await.unwrap();
    }

    async fn get(&self, uid: Uuid) -> Uuid {
        read_one(&self.reading, uid).await
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        read_list(&self.reading, limit).await
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        sql::fill(&sql::BARE, &self.path, count, &self.owner)
    }

    async fn held(&self) -> Held {
        sql::held(&self.path)
    }

    async fn close(&self) {
        self.writing.close().await;
        self.reading.close().await;
    }
}
