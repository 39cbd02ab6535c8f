//! Tuned hand-written store with sqlx: a writer task that commits all waiting commands as one
//! transaction, and a tuned read pool.
//!
//! Only the writer's connection writes, so there is no wait for a lock. Callers get their answers
//! after the commit. The connections of the pool stay open, cache pages, are not pinged before use
//! and never write.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::contestant::{Change, Contestant, Held, New, Owner};
use crate::sql;
use crate::sqlx_by_hand::{change, create, options, read_list, read_one};

/// Maximum number of commands per commit, as in the library.
const GROUP: usize = 2000;

/// Number of read connections. Each has its own thread, and more threads would only compete for the
/// cores.
const READERS: u32 = 8;

enum Work {
    Create(New),
    Change(Change),
}

struct Job {
    work: Work,
    reply: oneshot::Sender<bool>,
}

pub struct SqlxGrouped {
    path: PathBuf,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    reading: SqlitePool,
    owner: Arc<Owner>,
}

impl SqlxGrouped {
    pub async fn open(directory: &Path) -> SqlxGrouped {
        let path = directory.join("actions.db");
        drop(sql::make(&path));
        let owner = Owner::new();
        let (jobs, waiting) = mpsc::channel(GROUP);
        let connection = options(&path).connect().await.unwrap();
        let writer = tokio::spawn(write(connection, waiting, owner.clone()));
        let reading = options(&path)
            .read_only(true)
            .pragma("cache_size", "-16384");
        let reading = SqlitePoolOptions::new()
            .min_connections(READERS)
            .max_connections(READERS)
            // Do not ping a connection before use.
            .test_before_acquire(false)
            .connect_with(reading);
        SqlxGrouped {
            path,
            jobs: Mutex::new(Some(jobs)),
            writer: Mutex::new(Some(writer)),
            reading: reading.await.unwrap(),
            owner,
        }
    }

    async fn write(&self, work: Work) {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.lock().unwrap().clone().unwrap();
        assert!(jobs.send(Job { work, reply }).await.is_ok());
        assert!(answer.await.unwrap(), "nobody else changes this action");
    }
}

async fn write(
    mut connection: SqliteConnection,
    mut waiting: mpsc::Receiver<Job>,
    owner: Arc<Owner>,
) {
    let (mut jobs, mut replies) = (Vec::new(), Vec::new());
    while waiting.recv_many(&mut jobs, GROUP).await > 0 {
        let begun = connection.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.unwrap();
        for job in jobs.drain(..) {
            let done = match job.work {
                Work::Create(new) => {
                    create(&mut transaction, &new).await;
                    true
                }
                Work::Change(step) => change(&mut transaction, step, &owner).await,
            };
            replies.push((job.reply, done));
        }
        transaction.commit().await.unwrap();
        for (reply, done) in replies.drain(..) {
            reply.send(done).unwrap();
        }
    }
    connection.close().await.unwrap();
}

#[async_trait]
impl Contestant for SqlxGrouped {
    async fn create(&self, new: New) {
        self.write(Work::Create(new)).await;
    }

    async fn change(&self, change: Change) {
        self.write(Work::Change(change)).await;
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
        drop(self.jobs.lock().unwrap().take());
        let writer = self.writer.lock().unwrap().take();
        writer.unwrap().await.unwrap();
        self.reading.close().await;
    }
}
