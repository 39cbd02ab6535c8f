//! `limits()`: bounds the number of concurrent requests and the duration of each.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::NewAction;
use action_store::http::{RequestLimits, RequestLimitsLayer, limits};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get as on_get;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::support::{Plane, get, ok, on_each_store};

on_each_store! {
    a_request_counts_until_its_body_is_sent,
    the_limits_are_a_layer_that_its_services_share,
}

#[tokio::test(start_paused = true)]
async fn a_request_above_the_limit_is_refused() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let asked = RequestLimits::new()
        .with_requests(2)
        .with_failure_hook(move |failure| {
            sink.lock().unwrap().push(failure.reference.to_owned());
        });
    let app = limits(plane.router(), asked);
    let path = format!("/v1/actions/{uid}?wait=30s");
    let wait = || {
        let (app, path) = (app.clone(), path.clone());
        tokio::spawn(async move { get(&app, &path).await })
    };
    let waiting = [wait(), wait()];
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = get(&app, "/v1/actions").await;
    let (code, _) = refused.error(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(code, "busy");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.json()["reference"], told.lock().unwrap()[0]);
    for waiting in waiting {
        ok(waiting.await.unwrap());
    }
    ok(get(&app, "/v1/actions").await);
}

async fn a_request_counts_until_its_body_is_sent(plane: Plane) {
    let app = limits(plane.router(), RequestLimits::new().with_requests(1));
    let request = || Request::get("/v1/actions").body(Body::empty()).unwrap();
    let unread = app.clone().oneshot(request()).await.unwrap();
    assert_eq!(unread.status(), StatusCode::OK);
    get(&app, "/v1/actions")
        .await
        .error(StatusCode::SERVICE_UNAVAILABLE);
    drop(unread);
    // The body is read to its end. Its length is known before.
    let answer = app.clone().oneshot(request()).await.unwrap();
    let length = axum::body::HttpBody::size_hint(answer.body())
        .exact()
        .unwrap();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX)
        .await
        .unwrap();
    assert_eq!(body.len() as u64, length);
    ok(get(&app, "/v1/actions").await);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_ended() {
    let host = Router::new().route("/forever", on_get(std::future::pending::<&str>));
    let app = limits(host, RequestLimits::new().with_time(Duration::from_secs(5)));
    let begun = Instant::now();
    let answer = get(&app, "/forever").await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    let (code, _) = answer.error(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(code, "timed_out");
    assert_eq!(answer.header("retry-after"), "1");
}

/// With the default limits, the longest allowed wait does not time out.
#[tokio::test(start_paused = true)]
async fn the_default_limits_allow_the_longest_poll() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let app = limits(plane.router(), RequestLimits::new());
    ok(get(&app, &format!("/v1/actions/{uid}?wait=9999s")).await);
    ok(get(&app, "/v1/actions/changes?wait=9999s").await);
}

/// The layer of `limits()` in a stack of tower's, and around a service that is no router.
async fn the_limits_are_a_layer_that_its_services_share(plane: Plane) {
    let layer = RequestLimitsLayer::new(RequestLimits::new().with_requests(1));
    let stack = tower::ServiceBuilder::new().layer(layer.clone());
    let app: Router = plane.router().layer(stack);
    let other = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, std::convert::Infallible>(axum::response::Response::new(Body::from("other")))
    });
    let other = tower::ServiceBuilder::new().layer(layer).service(other);
    let request = || Request::get("/v1/actions").body(Body::empty()).unwrap();
    let unread = app.clone().oneshot(request()).await.unwrap();
    assert_eq!(unread.status(), StatusCode::OK);
    let refused = other.clone().oneshot(request()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(unread);
    let answer = other.oneshot(request()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    get(&app, "/v1/actions")
        .await
        .error(StatusCode::SERVICE_UNAVAILABLE);
    drop(answer);
    ok(get(&app, "/v1/actions").await);
}
