//! Measures the cost of the HTTP adapter.
//!
//! `cargo bench --all-features --bench http` runs all parts. `-- --only blind` runs one of them,
//! and `-- --quick` is a short smoke test. The sides are measured in turn, and each round starts
//! with another side. Ratios are taken within a round, because the speed of a machine varies.
//! Figures are medians. Each part prints its target and whether it was met; a slow result is not a
//! failure.
//!
//! | part | what |
//! | --- | --- |
//! | `blind` | the time of an answer about somebody else's action beside one about none, over a connection and within this process |
//! | `pages` | a page of 1000 from memory beside `serde_json::to_vec` of the same content |
//! | `loopback` | requests a second beside a handler written by hand (sqlx rows into structs, `Json`) |
//! | `scope` | lists under a scope of 500 objects in a store of a million actions |
//!
//! `--alone PATH --requests N` sends one request again and again to a store in memory, or with
//! `--sqlite 1` to a SQLite store, and measures nothing. A profiler counts its instructions.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

mod alone;
mod blind;
mod by_hand;
mod dataset;
#[path = "../shared/flags.rs"]
#[allow(dead_code, reason = "other benchmarks use all of it")]
mod flags;
mod loopback;
#[path = "../shared/machine.rs"]
mod machine;
#[path = "../shared/middle.rs"]
mod middle;
mod pages;
mod scope;
mod wire;

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::Request;
use flags::Flags;
use tower::ServiceExt as _;

/// Size of the measurements.
#[derive(Debug)]
pub struct Options {
    only: String,
    /// Number of interleaved rounds.
    pub rounds: usize,
    /// Time per side and round.
    pub time: Duration,
    /// Number of actions in a store.
    pub size: usize,
    /// Number of actions in the store of `scope`.
    pub large: usize,
    /// Path to request alone, how often, and whether from a SQLite store.
    alone: Option<(String, usize, bool)>,
}

const PARTS: [&str; 4] = ["blind", "pages", "loopback", "scope"];

impl Options {
    fn read() -> Options {
        let flags = Flags::read(&[
            "only", "rounds", "time", "size", "large", "alone", "requests", "sqlite",
        ]);
        let options = Options {
            only: flags.text("only").unwrap_or_default().to_owned(),
            rounds: flags.number("rounds", 3, 9).max(1),
            time: flags.millis("time", 100, 1000),
            size: flags.number("size", 2_000, 50_000).max(1),
            large: flags.number("large", 20_000, 1_000_000).max(1),
            alone: flags.text("alone").map(|path| {
                let requests = flags.number("requests", 10, 100);
                (path.to_owned(), requests, flags.text("sqlite").is_some())
            }),
        };
        let known = options.only.is_empty() || PARTS.contains(&options.only.as_str());
        assert!(known, "there is no part {:?}", options.only);
        options
    }

    fn runs(&self, part: &str) -> bool {
        self.only.is_empty() || self.only == part
    }
}

/// Sends a request to a router within this process.
pub async fn ask(app: &Router, path: &str) -> (u16, Option<String>, Bytes) {
    send(app, Request::get(path).body(Body::empty()).unwrap()).await
}

/// Sends a request to a router within this process; returns the status, the link and the body.
pub async fn send(app: &Router, request: Request<Body>) -> (u16, Option<String>, Bytes) {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let link = parts.headers.get("link");
    let link = link.map(|link| link.to_str().unwrap().to_owned());
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.status.as_u16(), link, body)
}

/// Prints whether a target was met.
pub fn met(aim: &str, met: bool) {
    println!("    {}: {aim}", if met { "met" } else { "NOT MET" });
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let options = Options::read();
    // Use the disk of the build: /tmp is often in memory.
    let scratch = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    if let Some((path, requests, sqlite)) = &options.alone {
        return alone::run(path, *requests, *sqlite, options.size, scratch.path()).await;
    }
    println!("{}", machine::line(&machine::describe(scratch.path())));
    println!(
        "{} rounds of {:?}, interleaved; medians",
        options.rounds, options.time
    );
    if options.runs("blind") {
        blind::measure(&options, scratch.path()).await;
    }
    if options.runs("pages") {
        pages::measure(&options).await;
    }
    if options.runs("loopback") {
        loopback::measure(&options, scratch.path()).await;
    }
    if options.runs("scope") {
        scope::measure(&options, scratch.path()).await;
    }
}
