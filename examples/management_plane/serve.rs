//! The listener: bounded in connections and in the time that each may take, as the library advises.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Connections at once. More wait to be accepted.
const CONNECTIONS: u32 = 1_000;
/// How long a request's head may take, and how long a connection may be idle before it.
const HEAD: Duration = Duration::from_secs(30);
/// How long a connection may last at most. A stream of events ends sooner.
const CONNECTION: Duration = Duration::from_secs(600);
/// How long those that are at work when the plane stops may go on.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves until the sender of `stop` is dropped.
pub(crate) async fn serve(listener: TcpListener, app: Router, stop: watch::Receiver<()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let accepting = async {
        while let Ok(place) = places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    drop(tokio::spawn(talk(stream, app.clone(), stop.clone(), place)))
                }
                // A client that is gone already, or no file handle to be had: both pass.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let mut stopped = stop.clone();
    tokio::select! {
        () = accepting => {}
        _ = stopped.changed() => {}
    }
    drop(listener);
    let _ = tokio::time::timeout(FAREWELL, places.acquire_many(CONNECTIONS)).await;
}

/// Answers what comes on one connection.
async fn talk(
    stream: TcpStream,
    app: Router,
    mut stop: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = std::pin::pin!(connection);
    let served = async {
        tokio::select! {
            // The client's trouble, which it knows of.
            _ = connection.as_mut() => {}
            _ = stop.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    };
    let _ = tokio::time::timeout(CONNECTION, served).await;
}
