//! Polling one action: `ETag`, `Retry-After` and waiting for completion.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use action_store::http::{AllowAll, RouterOptions, router_with};
use action_store::{
    ActionStore, ActionUid, Finish, NewAction, Progress, Report, StoreError, StoreErrorKind,
};
use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use tokio::time::Instant;

use crate::support::{Between, GetAnswer, Plane, Through, ask, get, get_with, ok, on_each_store};

on_each_store! {
    an_unchanged_action_is_answered_not_modified,
    lists_and_errors_have_no_etag,
}

async fn an_unchanged_action_is_answered_not_modified(plane: Plane) {
    let uid = plane.started(NewAction::task("a")).await;
    let app = plane.router();
    let path = format!("/v1/actions/{uid}");
    let first = get(&app, &path).await;
    assert_eq!(first.header("retry-after"), "2");
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");

    for asked in [tag.clone(), format!("W/{tag}, \"x\""), "*".to_owned()] {
        let again = get_with(&app, &path, &[("if-none-match", &asked)]).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{asked}");
        assert_eq!(again.body, "");
        assert_eq!(again.header("etag"), tag);
        assert_eq!(again.header("retry-after"), "2");
        assert_eq!(again.header("cache-control"), "no-store");
        assert_eq!(again.header("x-content-type-options"), "nosniff");
        assert!(again.headers.get("content-type").is_none());
    }
    assert_eq!(ask(&app, Method::HEAD, &path).await.header("etag"), tag);

    // Each change gives another tag. A completed action has no `Retry-After`.
    plane
        .report(uid, Report::new().with_progress(Progress::ratio(1, 2)))
        .await;
    let second = get_with(&app, &path, &[("if-none-match", &tag)]).await;
    let second_tag = second.header("etag").to_owned();
    assert_ne!(second_tag, tag);
    assert!(ok(second).contains("50"));
    plane.finish(uid, Finish::succeeded()).await;
    let third = get_with(&app, &path, &[("if-none-match", &second_tag)]).await;
    assert_ne!(third.header("etag"), second_tag);
    assert!(third.headers.get("retry-after").is_none());
    let tag = third.header("etag").to_owned();
    ok(third);
    let fourth = get_with(&app, &path, &[("if-none-match", &tag)]).await;
    assert_eq!(fourth.status, StatusCode::NOT_MODIFIED);
    assert!(fourth.headers.get("retry-after").is_none());
}

async fn lists_and_errors_have_no_etag(plane: Plane) {
    let app = plane.router();
    for path in [
        "/v1/actions".to_owned(),
        format!("/v1/actions/{}", ActionUid::new()),
    ] {
        let answer = get_with(&app, &path, &[("if-none-match", "*")]).await;
        assert_ne!(answer.status, StatusCode::NOT_MODIFIED);
        assert!(answer.headers.get("etag").is_none());
    }
}

/// The clock of this test is paused: it advances only when every task waits, exactly to
/// the next timer. So a minute passes at once.
#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_action_completes() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let app = plane.router();
    let begun = Instant::now();
    let waiting = tokio::spawn({
        let app = app.clone();
        async move { get(&app, &format!("/v1/actions/{uid}?wait=30s")).await }
    });
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!waiting.is_finished());
    plane
        .report(uid, Report::new().with_progress(Progress::ratio(1, 2)))
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished(), "progress must not end the wait");
    plane.finish(uid, Finish::succeeded()).await;
    let answer = waiting.await.unwrap();
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(9) && took < Duration::from_secs(10),
        "{took:?}"
    );
    assert!(ok(answer).contains("\"completed\""));
    // A wait for a completed action returns at once.
    let begun = Instant::now();
    ok(get(&app, &format!("/v1/actions/{uid}?wait=30s")).await);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_after_its_time() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let options = RouterOptions::new().with_longest_wait(Duration::from_secs(40));
    let app = router_with(plane.store.clone(), AllowAll, options);
    for (wait, seconds) in [
        ("30s", 30.0),
        ("500ms", 0.5),
        ("0s", 0.0),
        ("40s", 40.0),
        ("41s", 40.0),
        ("4294967296s", 40.0),
    ] {
        let begun = Instant::now();
        let answer = get(&app, &format!("/v1/actions/{uid}?wait={wait}")).await;
        let took = begun.elapsed().as_secs_f64();
        assert!((took - seconds).abs() < 0.05, "{wait}: {took}");
        assert_eq!(answer.header("retry-after"), "2");
        let tag = answer.header("etag").to_owned();
        assert!(ok(answer).contains("\"executing\""));
        // An unchanged action is answered 304 then.
        let path = format!("/v1/actions/{uid}?wait={wait}");
        let again = get_with(&app, &path, &[("if-none-match", &tag)]).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    }
    for bad in ["", "-1s", "+30", "1.5s", "1d", "30S", "1h30m", "s"] {
        let answer = get(&app, &format!("/v1/actions/{uid}?wait={bad}")).await;
        let (_, description) = answer.error(StatusCode::BAD_REQUEST);
        let fault =
            "Query parameter 'wait' must be seconds or a duration like 500ms, 30s, 5m or 1h";
        assert_eq!(description, fault, "{bad}");
    }
    let twice = get(&app, &format!("/v1/actions/{uid}?wait=1s&wait=1s")).await;
    twice.error(StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_action_is_not_waited_for() {
    let plane = Plane::new().await;
    let app = plane.router();
    let begun = Instant::now();
    for uid in [ActionUid::new().to_string(), "x".to_owned()] {
        let answer = get(&app, &format!("/v1/actions/{uid}?wait=30s")).await;
        answer.error(StatusCode::NOT_FOUND);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_waiters_is_bounded() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let options = RouterOptions::new().with_watchers(3);
    let app = router_with(plane.store.clone(), AllowAll, options);
    let path = format!("/v1/actions/{uid}?wait=30s");
    let wait = || {
        let (app, path) = (app.clone(), path.clone());
        tokio::spawn(async move { get(&app, &path).await })
    };
    let mut waiting = vec![wait(), wait(), wait()];
    tokio::time::sleep(Duration::from_secs(1)).await;
    for path in [&*path, "/v1/actions/changes?wait=1s"] {
        let refused = get(&app, path).await;
        let (code, _) = refused.error(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(code, "too_many_watchers");
        assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
        assert!(refused.json()["reference"].is_string());
    }
    // A request without a wait is answered at once.
    ok(get(&app, &format!("/v1/actions/{uid}")).await);
    // A client that disconnects frees its slot.
    waiting.pop().unwrap().abort();
    tokio::time::sleep(Duration::from_secs(1)).await;
    waiting.push(wait());
    tokio::time::sleep(Duration::from_secs(1)).await;
    plane.finish(uid, Finish::succeeded()).await;
    for waiting in waiting {
        assert!(ok(waiting.await.unwrap()).contains("\"completed\""));
    }
    ok(get(&app, &path).await);
}

/// A store that fails from a certain call on.
#[derive(Debug)]
struct BreaksAfter(Arc<AtomicUsize>);

#[async_trait]
impl Between for BreaksAfter {
    async fn get(&self, store: &dyn ActionStore, uids: &[ActionUid]) -> GetAnswer {
        let left = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        match left {
            Ok(_) => store.get(uids).await,
            Err(_) => Err(StoreError::new(StoreErrorKind::Corrupt, "get", "SELECT")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_store_fails() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let calls = Arc::new(AtomicUsize::new(1));
    let app = action_store::http::router(
        Through(plane.store.clone(), BreaksAfter(calls.clone())),
        AllowAll,
    );
    let path = format!("/v1/actions/{uid}?wait=30s");
    let answer = get(&app, &path).await;
    let (code, _) = answer.error(StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(code, "internal_error");
    assert!(!answer.body.contains("SELECT"));
    // Closing the store ends a wait.
    calls.store(usize::MAX, Ordering::Relaxed);
    let waiting = tokio::spawn(async move { get(&app, &path).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    plane.store.close().await.unwrap();
    let answer = waiting.await.unwrap();
    assert_eq!(
        answer.error(StatusCode::SERVICE_UNAVAILABLE).0,
        "unavailable"
    );
}
