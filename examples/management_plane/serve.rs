//! The listener. It limits the number of connections and their duration, as the library
//! advises.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Maximum number of connections. Further clients wait to be accepted.
const CONNECTIONS: u32 = 1_000;
/// Timeout for the head of a request and for an idle connection.
const HEAD: Duration = Duration::from_secs(30);
/// Maximum duration of a connection. An event stream ends earlier.
const CONNECTION: Duration = Duration::from_secs(600);
/// Time that open requests have to finish when the plane stops.
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
                // The client has disconnected or there is no free file descriptor. Both
                // are temporary.
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

/// Serves one connection.
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
            // A connection error affects only its client, which notices it too.
            _ = connection.as_mut() => {}
            _ = stop.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    };
    let _ = tokio::time::timeout(CONNECTION, served).await;
}
