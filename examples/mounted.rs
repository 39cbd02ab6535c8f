//! A host that mounts the read endpoints in its own application: its state, tracing,
//! compression, CORS, a merged OpenAPI document, and a graceful stop.
//!
//!     cargo run --all-features --example mounted
//!
//! It sends a few requests to itself, checks the answers, and stops while a stream and a
//! long poll are open.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use action_store::http::{
    BasicAuth, RequestLimits, RequestLimitsLayer, RouterOptions, Scope, openapi, openapi_router,
    router_with,
};
use action_store::{ActionStore, MemoryStore, NewAction, ObjectRef, Tracker};
use argon2::{Argon2, PasswordHasher};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::trace::TraceLayer;
use utoipa::openapi::OpenApi;

type Failure = Box<dyn Error + Send + Sync>;

/// The state of the host. The endpoints of the library need none.
#[derive(Clone)]
struct Host {
    tracker: Tracker,
    asked: Arc<AtomicUsize>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let store = Arc::new(MemoryStore::new());
    let tracker = Tracker::start(store.clone(), "host@localhost").await?;
    let host = Host {
        tracker: tracker.clone(),
        asked: Arc::default(),
    };
    let (stop, stopped) = watch::channel(false);
    let signal = move || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.wait_for(|stopped| *stopped).await) }
    };

    let app = app(store.clone(), host.clone(), signal.clone())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = axum::serve(listener, app).with_graceful_shutdown(signal());
    let serving = tokio::spawn(serving.into_future());
    println!("listening on http://{address}");

    let new = NewAction::task("backup_bdb").with_object(ObjectRef::bdb(1));
    let action = tracker.begin(new).await?;
    check(address, action.uid().to_string()).await?;
    assert_eq!(host.asked.load(Ordering::Relaxed), 1);

    // A stream and a long poll are open when the host stops, and do not delay it.
    let path = format!("/cluster/v1/actions/{}?wait=60s", action.uid());
    let poll = begin(address, &path, &[ADA]).await?;
    let accept = "Accept: text/event-stream";
    let stream = begin(address, "/cluster/v1/actions/changes", &[ADA, accept]).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    stop.send(true)?;
    serving.await??;
    println!("stopped within {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10));
    let (poll, stream) = (rest(poll).await?, rest(stream).await?);
    assert!(
        poll.contains("200 OK") && poll.contains("executing"),
        "{poll}"
    );
    assert!(stream.ends_with("0\r\n\r\n"), "{stream}");

    action.succeed().await?;
    tracker.shutdown().await?;
    store.close().await?;
    Ok(())
}

/// The application: the host's own routes, the read endpoints under `/cluster`, and layers
/// around both.
fn app<F>(
    store: Arc<MemoryStore>,
    host: Host,
    signal: impl Fn() -> F + Send + Sync + 'static,
) -> Result<Router, Failure>
where
    F: Future<Output = ()> + Send + 'static,
{
    // Operators see operator detail. `eve` sees the actions of one tenant.
    let auth = BasicAuth::default()
        .with_password_hash("ada", &hash("correct horse")?)?
        .with_scope("ada", Scope::everything().with_operator_detail())?
        .with_password_hash("eve", &hash("battery staple")?)?
        .with_scope("eve", Scope::tenant("acme"))?;
    let options = RouterOptions::new()
        .with_shutdown(signal)
        .with_failure_hook(|failure| tracing::error!(%failure, "actions"));
    let description = own_description().nest("/cluster", openapi(&options));
    let actions = router_with(store, auth, options);

    // A browser may read what is exposed here, and the usual headers.
    let cors = CorsLayer::new()
        .allow_origin(HeaderValue::from_static("https://console.example.com"))
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([
            header::AUTHORIZATION,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([
            header::CONTENT_LOCATION,
            header::ETAG,
            header::LINK,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
        ]);
    let layers = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(cors)
        // Leaves event streams alone, because a compressor would hold events back.
        .layer(CompressionLayer::new())
        .layer(RequestLimitsLayer::new(RequestLimits::new()));
    Ok(Router::new()
        .route("/health", get(health))
        .nest("/cluster", actions)
        .merge(openapi_router(&description))
        .layer(layers)
        .with_state(host))
}

async fn health(State(host): State<Host>) -> String {
    host.asked.fetch_add(1, Ordering::Relaxed);
    format!("{:?}", host.tracker.health())
}

/// The host's own OpenAPI document.
fn own_description() -> OpenApi {
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "The host", "version": "1" },
        "paths": { "/health": { "get": { "responses": { "200": { "description": "Health" } } } } },
    });
    serde_json::from_value(document).unwrap_or_default()
}

/// A host reads its hashes from its configuration. The salt must be random.
fn hash(password: &str) -> Result<String, Failure> {
    let salt = action_store::ActionUid::new();
    let hash =
        Argon2::default().hash_password_with_salt(password.as_bytes(), salt.as_uuid().as_bytes());
    Ok(hash.map_err(|error| error.to_string())?.to_string())
}

const ADA: &str = "Authorization: Basic YWRhOmNvcnJlY3QgaG9yc2U=";
const EVE: &str = "Authorization: Basic ZXZlOmJhdHRlcnkgc3RhcGxl";

/// Asks the host, and checks what it answers.
async fn check(address: SocketAddr, uid: String) -> Result<(), Failure> {
    let ask = async |path: &str, headers: &[&str]| {
        let headers = [headers, &["Connection: close"]].concat();
        rest(begin(address, path, &headers).await?).await
    };
    let health = ask("/health", &[]).await?;
    assert!(health.contains("200 OK"), "{health}");

    let path = format!("/cluster/v1/actions/{uid}");
    let refused = ask(&path, &[]).await?;
    assert!(
        refused.contains("401") && refused.contains("\"unauthorized\""),
        "{refused}"
    );
    let origin = "Origin: https://console.example.com";
    let shown = ask(&path, &[ADA, origin]).await?;
    assert!(shown.contains("200 OK") && shown.contains(&uid), "{shown}");
    assert!(
        shown.contains("access-control-expose-headers: content-location,etag"),
        "{shown}"
    );
    let hidden = ask(&path, &[EVE]).await?;
    assert!(hidden.contains("404"), "{hidden}");

    // Long answers are compressed, streams of events are not.
    let gzip = "Accept-Encoding: gzip";
    let document = begin(address, "/openapi.json", &[gzip, "Connection: close"]).await?;
    assert!(
        bytes(document)
            .await?
            .windows(4)
            .any(|four| four == b"gzip")
    );
    let headers = [ADA, gzip, "Accept: text/event-stream"];
    let path = "/cluster/v1/actions/changes?after=0";
    let mut events = begin(address, path, &headers).await?;
    let mut text = String::new();
    while !text.contains("event: changes") {
        let mut some = [0; 1024];
        let read = events.read(&mut some).await?;
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    assert!(!text.contains("gzip"), "{text}");

    let document = ask("/openapi.json", &[]).await?;
    let (_, document) = document.split_once("\r\n\r\n").unwrap_or_default();
    let document: Value = serde_json::from_str(document)?;
    for path in [
        "/health",
        "/cluster/v1/actions",
        "/cluster/v2/actions/{uid}",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    Ok(())
}

/// Sends a request.
async fn begin(address: SocketAddr, path: &str, headers: &[&str]) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("GET {path} HTTP/1.1\r\nHost: host\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

async fn bytes(mut stream: TcpStream) -> Result<Vec<u8>, Failure> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The rest of an answer, until the host closes the connection.
async fn rest(stream: TcpStream) -> Result<String, Failure> {
    Ok(String::from_utf8(bytes(stream).await?)?)
}
