//! Clients that disconnect at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use action_store::conformance::check_store;
use action_store::{ActionStore, ActionStoreExt, Finish, NewAction, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::attack::{Dice, asked_for, ends};
use crate::server::{Server, WATCHERS};

/// Connects, sends a request and disconnects.
async fn visit(server: &Server, dice: &Dice) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let accept = dice.one_of(&["*/*", "text/event-stream"]);
    let mut path = server.path(dice);
    if dice.roll(3) == 0 {
        let uid = dice.one_of(&server.uids);
        path = format!("/v1/actions/{uid}?wait=2s");
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
    let bytes = request.as_bytes();
    let sent = match dice.roll(4) {
        0 => dice.roll(bytes.len() as u64) as usize,
        _ => bytes.len(),
    };
    let _ = stream.write_all(&bytes[..sent]).await;
    let moment = Duration::from_micros(dice.roll(3_000));
    match dice.roll(3) {
        // Leaves the answer unread, so that the server gets a reset while it sends.
        0 => sleep(moment).await,
        1 => {}
        _ => {
            let mut some = vec![0; 1 + dice.roll(5_000) as usize];
            let _ = timeout(moment, stream.read(&mut some)).await;
        }
    }
}

/// Opens the maximum number of streams, all at once.
async fn all_places(server: &Server) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    while streams.len() < usize::from(WATCHERS) {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request =
            "GET /v1/actions/changes HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        match &status {
            b"HTTP/1.1 200" => streams.push(stream),
            // The server has not yet noticed every disconnect, so this tries again.
            _ => {
                streams.clear();
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_disconnects_leaks_nothing() {
    let server = Arc::new(Server::start(2_000, Duration::from_secs(300)).await);
    let dice = Arc::new(Dice::new());
    let most = asked_for("HANG_UPS", 400);
    let (sent, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let work = tokio::spawn({
        let (server, stop) = (server.clone(), stop.clone());
        async move { server.work(stop).await }
    });
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (server, dice, sent) = (server.clone(), dice.clone(), sent.clone());
        clients.spawn(async move {
            while sent.fetch_add(1, Ordering::Relaxed) < most {
                visit(&server, &dice).await;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let done = work.await.unwrap();
    println!("{most} disconnects during {done} actions");
    assert!(done > 0);

    // Every slot was freed, even those of clients that disconnected without a close.
    drop(ends(all_places(&server)).await);
    drop(ends(all_places(&server)).await);
    // A page works, and so does a wait that ends when its action completes.
    let (status, body) = server.get("/v1/actions?limit=1000&order=oldest").await;
    assert_eq!((status, body.matches("action_uid").count()), (200, 1000));
    let uid = server
        .store
        .create(NewAction::task("last"))
        .await
        .unwrap()
        .uid;
    let waiting = tokio::spawn({
        let server = server.clone();
        async move { server.get(&format!("/v1/actions/{uid}?wait=2s")).await }
    });
    sleep(Duration::from_millis(50)).await;
    let finish = Finish::new(Outcome::Cancelled);
    server.store.finish(uid, finish, None).await.unwrap();
    let (status, body) = waiting.await.unwrap();
    assert!(
        status == 200 && body.contains("\"cancelled\""),
        "{status} {body}"
    );
    // The store is consistent.
    let checked = check_store(&server.store).await.unwrap();
    println!("{checked:?}");
    server.store.close().await.unwrap();
    assert!(server.place.path.exists());
}
