//! Compares `PostgresStore` with stores written by hand with sqlx, on one server.
//!
//! `cargo bench --all-features --bench postgres` starts a server of its own on the loopback
//! interface, with PostgreSQL's own settings (`fsync` and `synchronous_commit` are on) and its files
//! below `target`. It takes less than five minutes, and writes `target/postgres/table.md`.
//! Without PostgreSQL below `/usr/lib/postgresql` it says so, and measures nothing.
//!
//! `-- --quick` runs one short round of each workload as a smoke test, and writes no file.
//! `--only lives-64` runs the workloads whose names begin with this text. `--rounds N`,
//! `--time MILLISECONDS`, `--size N` (rows that are read) and `--hold MILLISECONDS` (time of the old
//! snapshot) override the defaults.
//!
//! # Contestants
//!
//! - `PostgresStore`, with all defaults. `2 stores` and `4 stores` are over the same tables, each
//!   with its own connections and owner, as in several processes.
//!
//! - `transaction a call`: BEGIN, the statements of the change, COMMIT, on a pool of ten.
//!
//! - `statement a call`: one CTE, which is its own transaction, on a pool of ten.
//!
//! - `writer task`: writes all waiting calls as one CTE over `UNNEST`.
//!
//! The last three have the columns and indexes of `schema.sql`, and check the version of what they
//! change. They have no rules, no feed and no lock of all writers, so their changes cannot be
//! followed. They have no owners, retries or doubtful commits either. All that is in their favour.
//!
//! # Goals
//!
//! `PostgresStore` as a multiple, in calls a second:
//!
//! | workload | of | at least | aim |
//! | --- | --- | --: | --: |
//! | whole lives, 64 callers | transaction a call | 4.5 | 6 |
//! | whole lives, 1 caller | transaction a call | 1 | |
//! | whole lives, 64 callers | writer task | 0.6 | 0.7 |
//! | page of 100, one action by uid | transaction a call | 1 | |
//! | whole lives, an old snapshot held for 60 s | the same without | 0.7 | |
//!
//! # Method
//!
//! Rounds are interleaved, and each begins with another contestant. Before each, the server makes a
//! checkpoint. Ratios are taken within a round; figures are medians. A life is six writes, each
//! awaited. A round of writes has a new schema, and all that was acknowledged is verified afterwards.
//! An action that is read was written by the same contestant, and is completed: no store answers
//! from memory.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

mod by_hand;
#[path = "../compare/calls.rs"]
mod calls;
#[path = "../compare/contestant.rs"]
#[allow(dead_code, reason = "the comparison uses all of it")]
mod contestant;
#[path = "../shared/flags.rs"]
mod flags;
mod group;
#[path = "../shared/machine.rs"]
mod machine;
#[path = "../shared/middle.rs"]
mod middle;
#[path = "../compare/ours.rs"]
#[allow(dead_code, reason = "the comparison uses all of it")]
mod ours;
mod report;
#[path = "../../tests/support/postgres.rs"]
#[allow(dead_code, reason = "tests use all of it")]
mod server;
mod shared;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use uuid::Uuid;

use by_hand::{ByHand, Way};
use contestant::Contestant;
use flags::Flags;
use report::Line;
use shared::Shared;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Ours(usize),
    ByHand(Way),
}

const TRANSACTION: Kind = Kind::ByHand(Way::Transaction);
const STATEMENT: Kind = Kind::ByHand(Way::Statement);
const TASK: Kind = Kind::ByHand(Way::Task);

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Ours(1) => "PostgresStore",
            Kind::Ours(2) => "PostgresStore, 2 stores",
            Kind::Ours(_) => "PostgresStore, 4 stores",
            Kind::ByHand(Way::Transaction) => "transaction a call",
            Kind::ByHand(Way::Statement) => "statement a call",
            Kind::ByHand(Way::Task) => "writer task",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Lives,
    Get,
    Page,
}

/// The workloads with their callers, and what takes part. The library comes first.
const WORKLOADS: [(&str, Work, usize, &[Kind]); 6] = [
    (
        "lives-64",
        Work::Lives,
        64,
        &[
            Kind::Ours(1),
            TRANSACTION,
            STATEMENT,
            TASK,
            Kind::Ours(2),
            Kind::Ours(4),
        ],
    ),
    (
        "lives-1",
        Work::Lives,
        1,
        &[Kind::Ours(1), TRANSACTION, STATEMENT, TASK],
    ),
    ("get-1", Work::Get, 1, &[Kind::Ours(1), TRANSACTION]),
    ("get-64", Work::Get, 64, &[Kind::Ours(1), TRANSACTION]),
    ("page-1", Work::Page, 1, &[Kind::Ours(1), TRANSACTION]),
    ("page-8", Work::Page, 8, &[Kind::Ours(1), TRANSACTION]),
];

#[derive(Debug)]
struct Options {
    quick: bool,
    only: String,
    rounds: usize,
    time: Duration,
    size: usize,
    hold: Duration,
}

impl Options {
    fn read() -> Options {
        let flags = Flags::read(&["only", "rounds", "time", "size", "hold"]);
        Options {
            quick: flags.quick(),
            only: flags.text("only").unwrap_or_default().to_owned(),
            rounds: flags.number("rounds", 1, 5).max(1),
            time: flags.millis("time", 150, 1000),
            size: flags.number("size", 1000, 20_000).max(1),
            hold: flags.millis("hold", 300, 60_000),
        }
    }
}

/// The database of the benchmark.
#[derive(Debug)]
struct Database {
    url: String,
}

impl Database {
    async fn run(&self, sql: impl Into<String>) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(sql.into())))
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// Opens a contestant in a new schema, whose name it returns.
    async fn open(&self, kind: Kind) -> (Arc<dyn Contestant>, String) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let schema = format!("bench_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let contestant: Arc<dyn Contestant> = match kind {
            Kind::Ours(stores) => Arc::new(Shared::open(&self.url, &schema, stores).await),
            Kind::ByHand(way) => Arc::new(ByHand::open(way, &self.url, &schema).await),
        };
        self.run("CHECKPOINT").await;
        (contestant, schema)
    }

    async fn close(&self, contestant: &dyn Contestant, schema: &str) {
        contestant.close().await;
        self.run(format!("DROP SCHEMA {schema} CASCADE")).await;
    }

    /// Returns calls a second of whole lives on a new schema.
    async fn lives(&self, kind: Kind, callers: usize, time: Duration) -> report::Sample {
        let (contestant, schema) = self.open(kind).await;
        let measured = calls::lives(contestant.clone(), callers, time).await;
        self.close(&*contestant, &schema).await;
        report::Sample::from(&measured)
    }

    async fn compare(
        &self,
        work: Work,
        callers: usize,
        kinds: &[Kind],
        options: &Options,
    ) -> Vec<Line> {
        let mut lines: Vec<Line> = kinds.iter().map(|kind| Line::new(kind.name())).collect();
        let mut filled = Vec::new();
        if !matches!(work, Work::Lives) {
            for kind in kinds {
                let (contestant, schema) = self.open(*kind).await;
                let uids: Arc<[Uuid]> = contestant.fill(options.size).await.into();
                self.run("VACUUM ANALYZE").await;
                filled.push((contestant, schema, uids));
            }
        }
        for round in 0..options.rounds {
            for turn in 0..kinds.len() {
                let index = (round + turn) % kinds.len();
                let sample = match work {
                    Work::Lives => self.lives(kinds[index], callers, options.time).await,
                    Work::Get => {
                        let (contestant, _, uids) = &filled[index];
                        let measured = calls::get(contestant, uids, callers, options.time / 2);
                        report::Sample::from(&measured.await)
                    }
                    Work::Page => {
                        let (contestant, _, uids) = &filled[index];
                        let measured = calls::newest(contestant, uids, callers, options.time / 2);
                        report::Sample::from(&measured.await)
                    }
                };
                lines[index].rounds.push(sample);
            }
        }
        for (contestant, schema, uids) in filled {
            calls::verify(&*contestant, uids.to_vec()).await;
            self.close(&*contestant, &schema).await;
        }
        lines
    }

    /// Lives without and with an old snapshot, which an idle transaction holds.
    async fn snapshot(&self, hold: Duration) -> Vec<Line> {
        let mut with = Line::new("with an old snapshot");
        let mut without = Line::new("without");
        without
            .rounds
            .push(self.lives(Kind::Ours(1), 64, hold).await);
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let (contestant, schema) = self.open(Kind::Ours(1)).await;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class";
        connection.execute(sqlx::raw_sql(begin)).await.unwrap();
        let measured = calls::lives(contestant.clone(), 64, hold).await;
        connection.execute("COMMIT").await.unwrap();
        connection.close().await.unwrap();
        self.close(&*contestant, &schema).await;
        with.rounds.push(report::Sample::from(&measured));
        vec![with, without]
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let options = Options::read();
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("postgres");
    std::fs::create_dir_all(&output).unwrap();
    let scratch = tempfile::tempdir_in(&output).unwrap();
    #[cfg(unix)]
    {
        // The server is another user's if this is root's.
        use std::os::unix::fs::PermissionsExt as _;
        let all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(scratch.path(), all).unwrap();
    }
    let Some(server) = server::Server::stock("bench postgres", scratch.path()) else {
        return;
    };
    let database = Database { url: server.url() };
    let mut version = PgConnection::connect(&database.url).await.unwrap();
    let server_version: String = sqlx::query_scalar("SHOW server_version")
        .fetch_one(&mut version)
        .await
        .unwrap();
    for setting in ["SHOW fsync", "SHOW synchronous_commit"] {
        let value: String = sqlx::query_scalar(setting)
            .fetch_one(&mut version)
            .await
            .unwrap();
        assert_eq!(value, "on", "{setting}");
    }
    version.close().await.unwrap();

    let machine = machine::describe(scratch.path());
    let mut table = format!(
        "{}; PostgreSQL {server_version}\n\n{} rounds of {:?}, interleaved, new schemas; {} rows \
         where it is read, for half the time; medians.\n",
        machine::line(&machine),
        options.rounds,
        options.time,
        options.size
    );
    let chosen = |name: &str| name.starts_with(options.only.as_str());
    for (name, work, callers, kinds) in WORKLOADS.into_iter().filter(|(name, ..)| chosen(name)) {
        let lines = database.compare(work, callers, kinds, &options).await;
        let _ = write!(table, "\n### {name}\n\n{}", report::table(&lines));
    }
    if chosen("snapshot") {
        let lines = database.snapshot(options.hold).await;
        let title = format!("snapshot: whole lives, 64 callers, {:?}", options.hold);
        let _ = write!(table, "\n### {title}\n\n{}", report::table(&lines));
    }
    println!("{table}");
    if !options.quick {
        std::fs::write(output.join("table.md"), table).unwrap();
    }
}
