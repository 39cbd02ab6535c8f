//! Two hand-written stores with rusqlite.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::contestant::{Change, Contestant, Held, New, Owner};
use crate::sql::{self, Layout};

/// Maximum number of commands per commit, as in the library.
const GROUP: usize = 2000;

enum Work {
    Create(New),
    Change(Change),
}

struct Job {
    work: Work,
    reply: oneshot::Sender<bool>,
}

/// Upper bound, on the bare schema or on the shipped one.
///
/// One thread owns the connection, and writes all waiting commands as one transaction. Statements
/// are prepared, and sqlx is not involved. It has the library's group commit without its model,
/// owners and errors.
///
/// Reads are inline, on two connections, one per core. This blocks async tasks, which a host would
/// not accept.
pub struct Grouped {
    path: PathBuf,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: [Mutex<Connection>; 2],
    turn: AtomicUsize,
    owner: Arc<Owner>,
    layout: Layout,
}

impl Grouped {
    pub fn open(directory: &Path, layout: Layout) -> Grouped {
        let path = directory.join("actions.db");
        let connection = (layout.make)(&path);
        let owner = Owner::new();
        let (jobs, waiting) = mpsc::channel();
        let writer = {
            let owner = owner.clone();
            std::thread::spawn(move || write(&connection, &waiting, &owner, &layout))
        };
        Grouped {
            jobs: Mutex::new(Some(jobs)),
            writer: Mutex::new(Some(writer)),
            readers: [0, 1].map(|_| Mutex::new(sql::open(&path))),
            turn: AtomicUsize::new(0),
            path,
            owner,
            layout,
        }
    }

    async fn write(&self, work: Work) {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.lock().unwrap().clone().unwrap();
        jobs.send(Job { work, reply }).unwrap();
        assert!(answer.await.unwrap(), "nobody else changes this action");
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, Connection> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.readers[turn % 2].lock().unwrap()
    }
}

fn write(connection: &Connection, waiting: &mpsc::Receiver<Job>, owner: &Owner, layout: &Layout) {
    let mut replies = Vec::new();
    while let Ok(first) = waiting.recv() {
        sql::begin(connection);
        let mut next = Some(first);
        while let Some(job) = next {
            let done = match job.work {
                Work::Create(new) => {
                    (layout.create)(connection, &new);
                    true
                }
                Work::Change(change) => (layout.change)(connection, change, owner),
            };
            replies.push((job.reply, done));
            next = match replies.len() < GROUP {
                true => waiting.try_recv().ok(),
                false => None,
            };
        }
        (layout.commit)(connection);
        for (reply, done) in replies.drain(..) {
            reply.send(done).unwrap();
        }
    }
}

#[async_trait]
impl Contestant for Grouped {
    async fn create(&self, new: New) {
        self.write(Work::Create(new)).await;
    }

    async fn change(&self, change: Change) {
        self.write(Work::Change(change)).await;
    }

    async fn get(&self, wanted: Uuid) -> Uuid {
        (self.layout.read_one)(&self.reader(), wanted)
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        (self.layout.read_list)(&self.reader(), limit)
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        sql::fill(&self.layout, &self.path, count, &self.owner)
    }

    async fn held(&self) -> Held {
        (self.layout.held)(&self.path)
    }

    async fn close(&self) {
        drop(self.jobs.lock().unwrap().take());
        let writer = self.writer.lock().unwrap().take();
        writer.unwrap().join().unwrap();
    }
}

/// One connection behind a lock. Each call runs in `spawn_blocking`, and each write is a
/// transaction.
pub struct PerCall {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    owner: Arc<Owner>,
}

impl PerCall {
    pub fn open(directory: &Path) -> PerCall {
        let path = directory.join("actions.db");
        PerCall {
            connection: Arc::new(Mutex::new(sql::make(&path))),
            path,
            owner: Owner::new(),
        }
    }

    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Connection) -> T + Send + 'static,
    ) -> T {
        let connection = self.connection.clone();
        let called = tokio::task::spawn_blocking(move || call(&connection.lock().unwrap()));
        called.await.unwrap()
    }
}

#[async_trait]
impl Contestant for PerCall {
    async fn create(&self, new: New) {
        self.call(move |connection| {
            sql::begin(connection);
            (sql::BARE.create)(connection, &new);
            sql::commit(connection);
        })
        .await;
    }

    async fn change(&self, change: Change) {
        let owner = self.owner.clone();
        let write = move |connection: &Connection| {
            sql::begin(connection);
            let done = (sql::BARE.change)(connection, change, &owner);
            sql::commit(connection);
            done
        };
        assert!(self.call(write).await, "nobody else changes this action");
    }

    async fn get(&self, wanted: Uuid) -> Uuid {
        self.call(move |connection| (sql::BARE.read_one)(connection, wanted))
            .await
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        self.call(move |connection| (sql::BARE.read_list)(connection, limit))
            .await
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        sql::fill(&sql::BARE, &self.path, count, &self.owner)
    }

    async fn held(&self) -> Held {
        sql::held(&self.path)
    }

    async fn close(&self) {}
}
