//! The pinned baseline: what a careful engineer writes with sqlx in an afternoon.
//!
//! A pool of one connection for writing (more of them fight over SQLite's one write lock and are
//! slower), WAL, synchronous FULL, statements prepared once and cached, one IMMEDIATE transaction a
//! transition: the compare-and-set, the feed, the log entry, COMMIT. A second pool reads, with
//! sqlx's defaults (ten connections), since readers do not wait for the writer in WAL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use uuid::Uuid;

use crate::contestant::{Change, Contestant, Held, New, Owner, Record, now};
use crate::sql;

pub struct SqlxByHand {
    path: PathBuf,
    writing: SqlitePool,
    reading: SqlitePool,
    owner: Arc<Owner>,
    get: String,
    list: String,
}

impl SqlxByHand {
    pub async fn open(directory: &Path) -> SqlxByHand {
        let path = directory.join("actions.db");
        drop(sql::make(&path));
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(sql::BUSY)
            .pragma("wal_autocheckpoint", sql::CHECKPOINT);
        let writing = SqlitePoolOptions::new()
            .max_connections(1)
            // 512 callers queue for it: waiting long is the point, failing is not.
            .acquire_timeout(std::time::Duration::from_secs(120))
            .connect_with(options.clone());
        let reading = SqlitePoolOptions::new().connect_with(options);
        SqlxByHand {
            path,
            writing: writing.await.unwrap(),
            reading: reading.await.unwrap(),
            owner: Owner::new(),
            get: sql::get(),
            list: sql::list(),
        }
    }
}

#[async_trait]
impl Contestant for SqlxByHand {
    async fn create(&self, new: New) {
        let row = new.record(now());
        let mut transaction = self.writing.begin_with("BEGIN IMMEDIATE").await.unwrap();
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
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        let touch = sqlx::query(sql::TOUCH).bind(&row.object).bind(number);
        touch.execute(&mut *transaction).await.unwrap();
        let feed = sqlx::query(sql::FEED_NEW).bind(number);
        feed.execute(&mut *transaction).await.unwrap();
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
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    async fn change(&self, change: Change) {
        let (now, op) = (now(), Uuid::now_v7());
        let (status, outcome, progress) = change.kind.state();
        let entry = change.kind.entry();
        let mut transaction = self.writing.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let number: Option<i64> = sqlx::query_scalar(sql::CHANGE)
            .bind(status)
            .bind(outcome)
            .bind(progress)
            .bind(&self.owner.name)
            .bind(&self.owner.incarnation)
            .bind(now)
            .bind(outcome.map(|_| now))
            .bind(now)
            .bind(i64::from(entry.is_some()))
            .bind(&op.as_bytes()[..])
            .bind(&change.uid.as_bytes()[..])
            .bind(change.version)
            .fetch_optional(&mut *transaction)
            .await
            .unwrap();
        let number = number.expect("nobody else changes this action");
        let feed = sqlx::query(sql::FEED_MOVE).bind(number);
        let moved = feed.execute(&mut *transaction).await.unwrap();
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
                .bind(&self.owner.name)
                .bind(&self.owner.incarnation)
                .bind(&op.as_bytes()[..])
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        transaction.commit().await.unwrap();
    }

    async fn get(&self, uid: Uuid) -> Uuid {
        let query = sqlx::query(sqlx::AssertSqlSafe(self.get.as_str()));
        let row = query
            .bind(&uid.as_bytes()[..])
            .fetch_one(&self.reading)
            .await;
        let record = Record::from_sqlx(&row.unwrap()).unwrap();
        Uuid::from_slice(&record.uid).unwrap()
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        let query = sqlx::query(sqlx::AssertSqlSafe(self.list.as_str()));
        let rows = query.bind(limit).fetch_all(&self.reading).await.unwrap();
        let records = rows.iter().map(|row| Record::from_sqlx(row).unwrap());
        let records: Vec<Record> = records.collect();
        let first = records.first();
        (
            records.len(),
            first.map(|record| Uuid::from_slice(&record.uid).unwrap()),
        )
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        sql::fill(&self.path, count, &self.owner)
    }

    async fn held(&self) -> Held {
        sql::held(&self.path)
    }

    async fn close(&self) {
        self.writing.close().await;
        self.reading.close().await;
    }
}
