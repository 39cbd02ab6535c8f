//! The store in a PostgreSQL database keeps the contract. It runs on connections of its own, through
//! a pooler in transaction mode, on a host's pool of one connection, and with reads from a replica.
//!
//! This program has its own `main`: without a server it runs no test, and says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/postgres.rs"]
mod postgres;

use action_store::conformance::{Case, Subject, Verdict, cases};
use action_store::{Clock, PostgresOptions, PostgresStore, StoreError, Timestamp};
use libtest_mimic::{Arguments, Failed, Trial};
use sqlx::postgres::PgPoolOptions;

/// How a store reaches its database.
#[derive(Debug, Clone, Copy)]
enum Way {
    Url,
    Pool { connections: u32 },
}

const WAYS: [(&str, Way); 2] = [
    ("url", Way::Url),
    ("pool_of_one", Way::Pool { connections: 1 }),
];

async fn open_at(
    way: Way,
    url: String,
    options: PostgresOptions,
) -> Result<PostgresStore, StoreError> {
    match way {
        Way::Url => options.connect(&url).await,
        Way::Pool { connections } => {
            let pool = PgPoolOptions::new().max_connections(connections);
            options.on_pool(pool.connect(&url).await.unwrap()).await
        }
    }
}

async fn subject(way: Way, url: String, replica: Option<String>) -> Subject {
    let clock = Clock::manual(Timestamp::from_seconds(1_760_400_087));
    let options = PostgresOptions::new()
        .with_clock(clock.clone())
        .with_schema(postgres::new_schema());
    let options = match replica {
        Some(replica) => options.with_replica(replica),
        None => options,
    };
    let store = open_at(way, url.clone(), options.clone()).await.unwrap();
    Subject::new(store)
        .with_clock(clock)
        .with_reopen(move || open_at(way, url.clone(), options.clone()))
}

fn run(way: Way, case: &Case, url: &str, replica: Option<&str>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let fixture = || subject(way, url.to_owned(), replica.map(str::to_owned));
    match runtime.block_on(case.run(&fixture)) {
        Ok(Verdict::Held) => Ok(()),
        Ok(Verdict::NotApplicable(why)) => Err(why.into()),
        Err(failure) => Err(failure.to_string().into()),
    }
}

fn main() {
    let arguments = Arguments::from_args();
    let Some(server) = postgres::Server::shared("conformance_postgres") else {
        return;
    };
    let mut trials = Vec::new();
    for (name, way) in WAYS {
        for case in cases() {
            let name = format!("{name}::{}::{}", case.group(), case.name());
            let url = server.url();
            trials.push(Trial::test(name, move || run(way, case, &url, None)));
        }
    }
    let standby = server.start_standby(&[]);
    for case in cases() {
        let name = format!("replica::{}::{}", case.group(), case.name());
        let (url, replica) = (server.url(), standby.url());
        trials.push(Trial::test(name, move || {
            run(Way::Url, case, &url, Some(&replica))
        }));
    }
    let pooler = postgres::Pooler::start(server, "conformance_postgres through a pooler");
    if let Some(pooler) = &pooler {
        for case in cases() {
            let name = format!("pooler::{}::{}", case.group(), case.name());
            let url = pooler.url();
            trials.push(Trial::test(name, move || run(Way::Url, case, &url, None)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
