//! The listener. It limits the number of connections and their duration, as the library
//! advises. Clients that have not authenticated can hold few connections, and none of
//! them for long.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt as _;

use crate::unauthenticated::{Peer, Unauthenticated};

/// Maximum number of connections. Further clients wait to be accepted.
const CONNECTIONS: u32 = 1_000;
/// Timeout for the head of a request and for an idle connection.
const HEAD: Duration = Duration::from_secs(10);
/// Maximum bytes of the head of a request.
const HEAD_BYTES: usize = 32 * 1024;
/// Maximum duration of a connection. An event stream ends earlier.
const CONNECTION: Duration = Duration::from_secs(600);
/// Time that open requests have to finish when the plane stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves until the sender of `stop` is dropped.
pub(crate) async fn serve(listener: TcpListener, app: Router, stop: watch::Receiver<()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let unauthenticated = Arc::new(Unauthenticated::default());
    let accepting = async {
        loop {
            if places.available_permits() == 0 {
                unauthenticated.close_oldest(1);
            }
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let peer = unauthenticated.enter();
                    drop(tokio::spawn(talk(
                        stream,
                        app.clone(),
                        stop.clone(),
                        peer,
                        place,
                    )));
                }
                // The client has disconnected or there is no free file descriptor. Both
                // are temporary.
                Err(error) => {
                    if is_out_of_descriptors(&error) {
                        unauthenticated.halve();
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
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

/// Returns true for `ENFILE` and `EMFILE` of Unix.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// Serves one connection.
async fn talk(
    stream: TcpStream,
    app: Router,
    mut stop: watch::Receiver<()>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
) {
    let closed = peer.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        // The authorizer finds the connection there.
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        app.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = async {
        tokio::select! {
            // A connection error affects only its client, which notices it too.
            _ = connection.as_mut() => {}
            () = closed.closed() => {}
            _ = stop.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    };
    let _ = tokio::time::timeout(CONNECTION, served).await;
}
