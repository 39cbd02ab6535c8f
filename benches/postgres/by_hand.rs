//! Stores written by hand with sqlx, on one schema.
//!
//! All use prepared statements and a pool of ten connections that are not pinged before use. None
//! has rules, a feed, a lock of all writers, retries or doubtful commits.

use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor, Row as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::contestant::{Change, Contestant, Head, Held, New, Owner, Record, now};
use crate::group::{self, Group};

const SCHEMA: &str = include_str!("schema.sql");

/// Maximum number of writes in one group, as in the library.
const GROUP: usize = 2000;

/// How a store writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One transaction for each call: BEGIN, its statements, COMMIT.
    Transaction,
    /// One statement for each call: a CTE, which is its own transaction.
    Statement,
    /// A task that writes all waiting calls as one CTE, on a connection of its own.
    Task,
}

pub struct ByHand {
    way: Way,
    pool: PgPool,
    owner: Arc<Owner>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

enum Write {
    Create(New),
    Change(Change),
}

struct Job {
    write: Write,
    reply: oneshot::Sender<bool>,
}

impl Write {
    fn add_to(&self, group: &mut Group) {
        match self {
            Write::Create(new) => group.create(new),
            Write::Change(change) => group.change(*change),
        }
    }

    fn uid(&self) -> Uuid {
        match self {
            Write::Create(new) => new.uid,
            Write::Change(change) => change.uid,
        }
    }
}

impl ByHand {
    /// Creates the tables in a new schema of the database.
    pub async fn open(way: Way, url: &str, schema: &str) -> ByHand {
        let options: PgConnectOptions = url.parse().unwrap();
        let options = options.options([("search_path", schema)]);
        let pool = PgPoolOptions::new()
            .max_connections(10)
            .test_before_acquire(false)
            .connect_with(options.clone());
        let pool = pool.await.unwrap();
        let create = format!("CREATE SCHEMA {schema}; {SCHEMA}");
        let create = sqlx::raw_sql(AssertSqlSafe(create)).execute(&pool).await;
        create.unwrap();
        let owner = Owner::new();
        let (mut jobs, mut task) = (None, None);
        if way == Way::Task {
            let (sender, waiting) = mpsc::channel(GROUP);
            let connection = options.connect().await.unwrap();
            jobs = Some(sender);
            task = Some(tokio::spawn(write(connection, waiting, owner.clone())));
        }
        ByHand {
            way,
            pool,
            owner,
            jobs: Mutex::new(jobs),
            task: Mutex::new(task),
        }
    }

    async fn write(&self, write: Write) {
        let done = match self.way {
            Way::Transaction => {
                let mut transaction = self.pool.begin().await.unwrap();
                let done = match &write {
                    Write::Create(new) => create(&mut transaction, new).await,
                    Write::Change(step) => change(&mut transaction, *step, &self.owner).await,
                };
                transaction.commit().await.unwrap();
                done
            }
            Way::Statement => {
                let mut group = Group::default();
                write.add_to(&mut group);
                let mut connection = self.pool.acquire().await.unwrap();
                group.write(&mut connection, &self.owner).await.len() == 1
            }
            Way::Task => {
                let (reply, answer) = oneshot::channel();
                let jobs = self.jobs.lock().unwrap().clone().unwrap();
                assert!(jobs.send(Job { write, reply }).await.is_ok());
                answer.await.unwrap()
            }
        };
        assert!(done, "nobody else changes this action");
    }
}

async fn write(mut connection: PgConnection, mut waiting: mpsc::Receiver<Job>, owner: Arc<Owner>) {
    let mut jobs = Vec::new();
    while waiting.recv_many(&mut jobs, GROUP).await > 0 {
        let mut group = Group::default();
        for job in &jobs {
            job.write.add_to(&mut group);
        }
        let written = group.write(&mut connection, &owner).await;
        for job in jobs.drain(..) {
            let done = written.contains(&job.write.uid().as_bytes()[..]);
            job.reply.send(done).unwrap();
        }
    }
    connection.close().await.unwrap();
}

/// Must be called within an open transaction.
async fn create(c: &mut PgConnection, new: &New) -> bool {
    let row = new.record(now());
    let create = "INSERT INTO actions_action (uid, source, name, object, tenant, digest, \
         created_at, status, progress, description, last_seen_at, version, log_entries) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9, 1, 1) RETURNING number";
    let number: i64 = sqlx::query_scalar(create)
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
    // One statement for both, as few round trips as a careful author takes.
    let rest = "WITH touched AS (INSERT INTO actions_touch (object, action) VALUES ($1, $2)) \
         INSERT INTO actions_log (action, kind, version, at, status, progress) \
         VALUES ($2, 0, 1, $3, 0, 0)";
    let rest = sqlx::query(rest).bind(&row.object).bind(number);
    let rest = rest.bind(row.created_at).execute(c).await;
    rest.unwrap().rows_affected() == 1
}

/// Must be called within an open transaction. Returns false if the version differs.
async fn change(c: &mut PgConnection, change: Change, owner: &Owner) -> bool {
    let (now, op) = (now(), Uuid::now_v7());
    let (status, outcome, progress) = change.kind.state();
    let entry = change.kind.entry();
    let update = "UPDATE actions_action SET status = $1, outcome = $2, progress = $3, \
         owner = $4, incarnation = $5, started_at = coalesce(started_at, $6), finished_at = $7, \
         last_seen_at = $6, version = version + 1, log_entries = log_entries + $8, last_op = $9 \
         WHERE uid = $10 AND version = $11 RETURNING number";
    let number: Option<i64> = sqlx::query_scalar(update)
        .bind(status)
        .bind(outcome)
        .bind(progress)
        .bind(&owner.name)
        .bind(&owner.incarnation)
        .bind(now)
        .bind(outcome.map(|_| now))
        .bind(i64::from(entry.is_some()))
        .bind(&op.as_bytes()[..])
        .bind(&change.uid.as_bytes()[..])
        .bind(change.version)
        .fetch_optional(&mut *c)
        .await
        .unwrap();
    let Some(number) = number else { return false };
    if let Some(kind) = entry {
        let log = "INSERT INTO actions_log (action, kind, version, at, status, outcome, progress, \
             owner, incarnation, op) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        sqlx::query(log)
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
            .execute(c)
            .await
            .unwrap();
    }
    true
}

/// Reads all columns of one action.
static GET: LazyLock<String> = LazyLock::new(|| {
    let columns = Record::COLUMNS.join(", ");
    format!("SELECT {columns} FROM actions_action WHERE uid = $1")
});

static LIST: LazyLock<String> = LazyLock::new(|| {
    let columns = Record::COLUMNS.join(", ");
    format!("SELECT {columns} FROM actions_action ORDER BY number DESC LIMIT $1")
});

fn uid(row: &PgRow) -> Uuid {
    let record = Record::from_postgres(row).unwrap();
    Uuid::from_slice(&record.uid).unwrap()
}

#[async_trait]
impl Contestant for ByHand {
    async fn create(&self, new: New) {
        self.write(Write::Create(new)).await;
    }

    async fn change(&self, change: Change) {
        self.write(Write::Change(change)).await;
    }

    async fn get(&self, wanted: Uuid) -> Uuid {
        let get = sqlx::query(AssertSqlSafe(GET.as_str())).bind(&wanted.as_bytes()[..]);
        uid(&get.fetch_one(&self.pool).await.unwrap())
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        let list = sqlx::query(AssertSqlSafe(LIST.as_str())).bind(i64::from(limit));
        let rows = list.fetch_all(&self.pool).await.unwrap();
        let uids: Vec<Uuid> = rows.iter().map(uid).collect();
        (uids.len(), uids.first().copied())
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        let mut connection = self.pool.acquire().await.unwrap();
        group::fill(&mut connection, count, &self.owner).await
    }

    async fn held(&self) -> Held {
        let heads = "SELECT uid, status, version FROM actions_action";
        let heads = sqlx::query(heads).fetch_all(&self.pool).await.unwrap();
        let head = |row: &PgRow| Head {
            uid: Uuid::from_slice(row.get(0)).unwrap(),
            status: row.get(1),
            version: row.get(2),
        };
        let heads: Vec<Head> = heads.iter().map(head).collect();
        let count = async |table: &str| -> usize {
            let count = format!("SELECT count(*) FROM {table}");
            let count = self.pool.fetch_one(AssertSqlSafe(count)).await;
            usize::try_from(count.unwrap().get::<i64, _>(0)).unwrap()
        };
        assert_eq!(count("actions_touch").await, heads.len());
        let entries = count("actions_log").await;
        Held { heads, entries }
    }

    async fn close(&self) {
        drop(self.jobs.lock().unwrap().take());
        let task = self.task.lock().unwrap().take();
        if let Some(task) = task {
            task.await.unwrap();
        }
        self.pool.close().await;
    }
}
