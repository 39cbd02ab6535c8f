//! The router in a host: its state, its graceful shutdown, and what one client may hold.

use std::time::{Duration, Instant};

use action_store::NewAction;
use action_store::http::{AllowAll, RouterOptions, Scope, router, router_with};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::routing::get as on_get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::support::{Answer, Plane, get, get_with, ok};

/// The state of a host.
#[derive(Clone)]
struct Host(&'static str);

#[tokio::test]
async fn it_merges_with_and_nests_in_a_router_that_has_a_state() {
    let plane = Plane::new().await;
    let uid = plane.queued(NewAction::task("a")).await;
    let host: Router<Host> = Router::new()
        .route("/name", on_get(async |State(host): State<Host>| host.0))
        .merge(router(plane.store.clone(), AllowAll))
        .nest("/cluster", router(plane.store.clone(), AllowAll));
    let app = host.with_state(Host("east"));
    assert_eq!(get(&app, "/name").await.body, "east");
    for path in ["/v1/actions", "/cluster/v1/actions"] {
        assert!(
            ok(get(&app, path).await).contains(&uid.to_string()),
            "{path}"
        );
    }
}

/// A connection that has sent a request, and the head of its answer if it has one by then.
async fn begin(address: std::net::SocketAddr, path: &str, accept: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The rest of an answer, until the server closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let read = timeout(Duration::from_secs(30), stream.read_to_string(&mut text));
    read.await.unwrap().unwrap();
    text
}

/// Starts a host with axum's graceful shutdown.
async fn host(
    app: Router,
    mut stopped: watch::Receiver<bool>,
) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let signal = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    let serving = axum::serve(listener, app).with_graceful_shutdown(signal);
    (address, tokio::spawn(async move { serving.await.unwrap() }))
}

/// The signal of a host, as the router takes it.
fn options(stopped: &watch::Receiver<bool>) -> RouterOptions {
    let stopped = stopped.clone();
    RouterOptions::new().with_shutdown(move || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.wait_for(|stopped| *stopped).await) }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_shutdown_does_not_wait_for_streams_and_waits() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let (stop, stopped) = watch::channel(false);
    let app = router_with(plane.store.clone(), AllowAll, options(&stopped));
    let (address, serving) = host(app, stopped).await;
    let events = begin(address, "/v1/actions/changes?after=0", "text/event-stream").await;
    let waits = [
        begin(address, &format!("/v1/actions/{uid}?wait=60s"), "*/*").await,
        begin(address, &format!("/v2/actions/{uid}?wait=60s"), "*/*").await,
        begin(address, "/v1/actions/changes?wait=60s", "*/*").await,
    ];
    // All four have arrived when the stream has sent its first page and the server had its time.
    events.readable().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!serving.is_finished());

    let begun = Instant::now();
    stop.send(true).unwrap();
    // Without the signal it takes a minute for the waits, and five for the stream.
    timeout(Duration::from_secs(10), serving)
        .await
        .unwrap()
        .unwrap();
    println!(
        "from the signal to the end of the server: {:?}",
        begun.elapsed()
    );
    let events = rest(events).await;
    assert!(events.starts_with("HTTP/1.1 200"), "{events}");
    assert!(
        events.ends_with("\r\n0\r\n\r\n"),
        "the body was cut off: {events}"
    );
    for wait in waits {
        let answer = rest(wait).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with('}'), "{answer}");
        assert!(!answer.contains("\"completed\""), "{answer}");
    }
}

#[tokio::test]
async fn a_wait_that_begins_after_the_signal_is_answered_at_once() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let (stop, stopped) = watch::channel(false);
    let app = router_with(plane.store.clone(), AllowAll, options(&stopped));
    stop.send(true).unwrap();
    for path in [&*format!("/v1/actions/{uid}"), "/v1/actions/changes"] {
        let path = format!("{path}?wait=60s");
        let answer = timeout(Duration::from_secs(10), get(&app, &path)).await;
        ok(answer.unwrap());
    }
    let stream = get_with(
        &app,
        "/v1/actions/changes",
        &[("accept", "text/event-stream")],
    );
    let stream = timeout(Duration::from_secs(10), stream).await.unwrap();
    assert_eq!(stream.status, StatusCode::OK);
}

/// Names the client by a header.
fn by_header(
    parts: &Parts,
    _: action_store::http::Permission,
) -> Result<Scope, action_store::http::Denied> {
    let client = parts
        .headers
        .get("x-client")
        .and_then(|name| name.to_str().ok());
    Ok(match client {
        Some(client) => Scope::everything().with_client(client),
        None => Scope::everything(),
    })
}

/// An open stream of a client. It is released on drop.
async fn watcher(
    app: &Router,
    headers: &[(&str, &str)],
) -> Result<axum::response::Response, Answer> {
    let mut request = Request::get("/v1/actions/changes").header("accept", "text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    Err(get_with(
        app,
        "/v1/actions/changes",
        &[&[("accept", "text/event-stream")], headers].concat(),
    )
    .await)
}

/// Waits until a released place is free again: a stream notices its end in a task.
async fn again(app: &Router, headers: &[(&str, &str)]) -> axum::response::Response {
    for _ in 0..1_000 {
        if let Ok(stream) = watcher(app, headers).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("no place became free");
}

#[tokio::test]
async fn one_client_cannot_take_all_places() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let options = || RouterOptions::new().with_watchers(5);
    for (options, of_one) in [
        (options().with_watchers_per_client(2), 2),
        // Half, rounded up, unless set.
        (options(), 3),
    ] {
        let app = router_with(plane.store.clone(), by_header, options);
        let (ada, bob) = ([("x-client", "ada")], [("x-client", "bob")]);
        let mut held = Vec::new();
        for _ in 0..of_one {
            held.push(watcher(&app, &ada).await.unwrap());
        }
        let refused = watcher(&app, &ada).await.unwrap_err();
        let (code, description) = refused.error(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(code, "too_many_watchers");
        assert!(description.contains("of this client"), "{description}");
        assert_eq!(refused.header("retry-after"), "1");
        // The bound is for waits too, and not for plain reads.
        let wait = format!("/v1/actions/{uid}?wait=1ms");
        get_with(&app, &wait, &ada)
            .await
            .error(StatusCode::SERVICE_UNAVAILABLE);
        get_with(&app, "/v1/actions/changes?wait=1ms", &ada)
            .await
            .error(StatusCode::SERVICE_UNAVAILABLE);
        ok(get_with(&app, "/v1/actions", &ada).await);
        // Others have the rest, and a client without a name counts in the total only.
        let others = [
            watcher(&app, &bob).await.unwrap(),
            watcher(&app, &[]).await.unwrap(),
        ];
        drop(held.pop());
        held.push(again(&app, &ada).await);
        drop((held, others));
        // Nothing is left behind: all places are free again.
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(again(&app, &[]).await);
        }
        assert!(watcher(&app, &[]).await.is_err());
    }
}
