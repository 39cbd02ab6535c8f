//! Measures requests per second over loopback, compared with a hand-written handler on the same
//! rows.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::http::{AllowAll, RouterOptions, router_with};
use action_store::{ActionStore, MemoryStore, SqliteStore};

use crate::dataset::{Load, fill};
use crate::middle::middle;
use crate::wire::{Client, Server};
use crate::{Options, ask, by_hand};

const CONNECTIONS: usize = 8;

/// Returns the requests per second of eight connections, sent from a separate thread.
async fn rate(address: SocketAddr, path: &str, body: usize, time: Duration) -> f64 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n");
    let clients = async move {
        let mut tasks = tokio::task::JoinSet::new();
        let begun = Instant::now();
        for _ in 0..CONNECTIONS {
            let request = request.clone();
            tasks.spawn(async move {
                let mut client = Client::connect(address).await;
                let mut count = 0u32;
                while begun.elapsed() < time {
                    let answer = client.ask(request.as_bytes()).await;
                    assert_eq!(answer, (200, body));
                    count += 1;
                }
                count
            });
        }
        let counts = tasks.join_all().await;
        f64::from(counts.iter().sum::<u32>()) / begun.elapsed().as_secs_f64()
    };
    let thread = std::thread::spawn(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(clients)
    });
    let join = tokio::task::spawn_blocking(move || thread.join().unwrap());
    join.await.unwrap()
}

pub async fn measure(options: &Options, scratch: &Path) {
    println!(
        "\nloopback: {CONNECTIONS} connections that are kept, {} actions, requests a second",
        options.size
    );
    let memory = MemoryStore::new();
    compare(options, "memory", Arc::new(memory), scratch).await;
    let sqlite = SqliteStore::open(scratch.join("loopback.db"));
    let sqlite = Arc::new(sqlite.await.unwrap());
    compare(options, "SQLite", sqlite, scratch).await;
}

/// Compares a store with the hand-written handler on the same actions.
async fn compare(options: &Options, name: &str, store: Arc<dyn ActionStore>, scratch: &Path) {
    let uids = fill(&*store, options.size, Load::Plain).await;
    let one = format!("/v1/actions/{}", uids[uids.len() / 2]);
    let requests = [
        ("one action", &*one, 100),
        ("a page of 100", "/v1/actions", 100),
        ("a page of 1000", "/v1/actions", 1000),
    ];
    for (number, (what, path, page)) in requests.into_iter().enumerate() {
        let cap = RouterOptions::new().with_cap(page);
        let app = router_with(store.clone(), AllowAll, cap);
        let server = Server::start(app.clone()).await;
        // The file before may still be open.
        let file = scratch.join(format!("by_hand_{name}_{number}.db"));
        let hand = by_hand::app(&*store, &file, page).await;
        let hand_server = Server::start(hand.clone()).await;
        let (status, _, body) = ask(&app, path).await;
        assert_eq!(status, 200);
        let (status, _, theirs) = ask(&hand, path).await;
        assert_eq!(status, 200);
        assert_eq!(value(&theirs), value(&body), "the same answer: {path}");
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..options.rounds {
            let mut rates = [0.0; 2];
            for side in [round % 2, 1 - round % 2] {
                let address = [server.address, hand_server.address][side];
                rates[side] = rate(address, path, body.len(), options.time).await;
            }
            ours.push(rates[0]);
            theirs.push(rates[1]);
            ratios.push(rates[0] / rates[1]);
        }
        let [ours, theirs, ratio] = [ours, theirs, ratios].map(|v| middle(v.into_iter()));
        println!(
            "  {name}, {what}, {} bytes: {ours:.0}, by hand {theirs:.0}, {ratio:.2} x",
            body.len()
        );
    }
    store.close().await.unwrap();
}

fn value(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).unwrap()
}
