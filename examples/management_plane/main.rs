//! A small but real management plane. Its databases are SQLite files.
//!
//!     cargo run --release --all-features --example management_plane -- --help
//!
//! The parts of the library in this example:
//!
//! - `SqliteStore` keeps the history, or the store at the address of `--store`. Several planes share
//!   one in PostgreSQL. A retention task limits its size.
//!
//! - `Tracker` records the operations, one at a time for each database (`plane.rs`).
//!
//! - The work reports its progress and stops on a cancel request (`jobs.rs`).
//!
//! - `http::router` serves the actions (`api.rs`), on a listener with limits
//!   (`serve.rs`, `unauthenticated.rs`).
//!
//! - `Watcher` and `Expectations` show the progress (`scenario.rs`).
//!
//! - `Observed` reports metrics, which Prometheus reads at `/metrics` (`scrape.rs`).
//!
//! The rest is the code of the plane. `same_origin.rs` refuses changes from pages of
//! other sites.

mod api;
mod args;
mod catalogue;
mod jobs;
mod plane;
mod same_origin;
mod scenario;
mod scrape;
mod screen;
mod serve;
mod sql;
mod unauthenticated;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use action_store::command::OpId;
use action_store::http::BasicAuth;
use action_store::observe::Observed;
use action_store::retention::Retention;
use action_store::{
    Action, ActionStore, Clock, Query, SqliteStore, StoreError, Tracker, TrackerOptions,
};
use clap::Parser;
use tokio::net::TcpListener;

use args::Args;
use catalogue::Catalogue;
use plane::Plane;
use scrape::Metrics;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match work(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}"));
            eprintln!("{error}{}", cause.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// Number of databases that a node can create. The uids of two nodes do not meet.
const UIDS_OF_A_NODE: u64 = 1_000_000;

/// A store, and the same as a file if the plane keeps one for itself.
type Opened = (Arc<dyn ActionStore>, Option<Arc<SqliteStore>>);

async fn open(args: &Args) -> Result<Opened, StoreError> {
    if let Some(address) = &args.store {
        return Ok((address.open().await?, None));
    }
    let file = Arc::new(SqliteStore::open(args.data.join("actions.db")).await?);
    Ok((file.clone(), Some(file)))
}

/// Runs the plane. Returns true if every action ended as expected.
async fn work(args: Args) -> Result<bool, Failure> {
    std::fs::create_dir_all(&args.data)?;
    // The store is opened first: a SQLite file prevents a second plane in this directory.
    let (store, file) = open(&args).await?;
    let store = Arc::new(Observed::new(store));
    let prometheus = scrape::install()?;
    let node = u64::from(args.node);
    let catalogue = Catalogue::open(&args.data, (node - 1) * UIDS_OF_A_NODE)?;
    let options = TrackerOptions::new()
        .with_lease(Duration::from_secs(args.lease.into()))
        .with_on_settled(async |action| tell_settled(&action));
    let tracker = Tracker::start_with(store.clone(), format!("plane@node-{node}"), options).await?;
    let hour = Duration::from_secs(3600);
    let prune_task = Retention::new().spawn(store.clone(), Clock::system(), hour)?;
    let metrics = Metrics::new(prometheus, store.clone(), file, tracker.clone());
    let plane = Plane::new(node, tracker, catalogue);

    let password = args.password.clone().unwrap_or_else(drawn_password);
    let auth = BasicAuth::new(&args.user, &password)?;
    let (stop, stopped) = tokio::sync::watch::channel(());
    let app = api::app(
        plane.clone(),
        metrics,
        auth,
        &args.user,
        args.words,
        stopped.clone(),
    );
    let listener = TcpListener::bind(args.addr).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    tell_history(&plane).await?;
    let user = format!("{}:{password}", args.user).replace('\'', r"'\''");
    let curl = format!("curl -s -u '{user}' {url}");
    println!("watch with: {curl}/v1/actions");
    println!("or in a browser: {url}/console");

    let serving = tokio::spawn(serve::serve(listener, app, stopped));

    // From here on, the plane always shuts down in order.
    let ended = tokio::select! {
        ended = scenario::run(&plane) => ended.map(Some),
        () = interrupted() => Ok(None),
    };
    if let (false, Ok(Some((_, bdb)))) = (args.once, &ended) {
        tell_curl(&curl, node, *bdb);
        println!("\nserving at {url} until Ctrl-C");
        interrupted().await;
        println!();
    }

    drop(stop);
    serving.await?;
    plane.tracker.shutdown().await?;
    prune_task.close().await;
    store.close().await?;
    // Without `--once` the purpose is to serve, so an interrupted scenario is not an
    // error.
    let right = ended?.is_some_and(|(right, _)| right);
    Ok(right || !args.once)
}

/// Prints the recovery of the actions that earlier runs left unfinished.
async fn tell_history(plane: &Plane) -> Result<(), Failure> {
    let store = plane.tracker.store();
    let known = store.list(&Query::new()).await?;
    let more = known.next.map_or("", |_| "more than ");
    match known.items.len() {
        0 => println!("the history is empty"),
        count => println!("the history has {more}{count} actions of earlier runs"),
    }
    let recovery = plane.tracker.recovery().await;
    if recovery.lost + recovery.interrupted > 0 {
        println!(
            "the last run ended unexpectedly: {} of its actions are lost, {} were never started",
            recovery.lost, recovery.interrupted
        );
    }
    if !recovery.is_complete() {
        println!("recovery is incomplete: {recovery:?}");
    }
    Ok(())
}

/// Prints that this plane has settled an action: one of an earlier run, or of a plane that shares
/// the history and is dead.
fn tell_settled(action: &Action) {
    let (Some(object), Some(evidence), Some(settled_at)) =
        (&action.object, &action.evidence, action.finished_at)
    else {
        return;
    };
    println!(
        "  {} {} {object} at {} %: its owner {} is {}, last seen {:.1} s before; decided by {}",
        action.uid,
        action.name,
        action.progress,
        evidence.owner,
        evidence.end.as_str(),
        settled_at.since(evidence.last_seen_at).as_secs_f64(),
        evidence.decided_by,
    );
}

fn tell_curl(curl: &str, node: u64, bdb: u64) {
    println!("\nTry it:");
    println!("  {curl}/v1/actions");
    println!("  {curl}/metrics");
    let json = "-H 'Content-Type: application/json'";
    println!("  {curl}/v1/bdbs -X POST {json} -d '{{\"name\":\"mine\",\"rows\":50000}}'");
    println!("  {curl}/v1/bdbs/{bdb}/actions/backup -X PUT {json}");
    println!("  {curl}/v1/bdbs/{bdb}/actions/check -X POST {json}");
    println!("  {curl}/v1/nodes/{node}/actions/check -X POST {json}");
    println!("  {curl}/v1/actions/ACTION_UID/cancel -X POST {json}");
    println!("  {curl}/v1/bdbs/{bdb} -X DELETE {json}");
}

/// Waits for Ctrl-C or the termination signal of a supervisor.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Returns a random password: the random part of two uids.
fn drawn_password() -> String {
    let random = || OpId::new().to_string().split_off(24);
    format!("{}{}", random(), random())
}
