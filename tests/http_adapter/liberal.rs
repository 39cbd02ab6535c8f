//! Requests in other spellings than the documented one: they mean the same.

use std::time::Duration;

use action_store::http::{BasicAuth, RouterOptions, router, router_with};
use action_store::{ActionUid, NewAction, ObjectRef};
use axum::Router;
use axum::http::{Method, StatusCode};
use tokio::time::Instant;

use crate::support::{Plane, ask, get, get_with, ok};

/// The other spellings of a uid.
fn spellings(uid: ActionUid) -> [String; 3] {
    let text = uid.to_string();
    let bare = text.replace('-', "");
    [text.to_uppercase(), bare.to_uppercase(), bare]
}

#[tokio::test]
async fn a_uid_in_another_spelling_is_the_same_action_at_its_canonical_address() {
    let plane = Plane::new().await;
    let uid = plane.queued(NewAction::task("a")).await;
    let app = Router::new().nest("/cluster", plane.router());
    let paths = [
        ("/cluster/v1/actions/", "", String::new()),
        ("/cluster/v2/actions/", "", String::new()),
        ("/cluster/v1/actions/", "/history", "../".to_owned()),
        ("/cluster/v1/actions/", "?view=full", String::new()),
        ("/cluster/v2/actions/", "?view=full", String::new()),
    ];
    for (before, after, up) in paths {
        let plain = get(&app, &format!("{before}{uid}{after}")).await;
        assert!(!plain.headers.contains_key("content-location"), "{plain:?}");
        for spelled in spellings(uid) {
            let path = format!("{before}{spelled}{after}");
            let answer = get(&app, &path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert_eq!(answer.body, plain.body, "{path}");
            assert_eq!(answer.headers.get("etag"), plain.headers.get("etag"));
            let canonical = format!("{up}{uid}{after}");
            assert_eq!(answer.header("content-location"), canonical, "{path}");
        }
    }
    let path = format!("/cluster/v1/actions/{}", spellings(uid)[0]);
    let tag = get(&app, &path).await.header("etag").to_owned();
    let known = get_with(&app, &path, &[("if-none-match", &tag)]).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    assert_eq!(known.header("content-location"), uid.to_string());
}

#[tokio::test]
async fn an_absent_uid_in_another_spelling_is_answered_like_any_absent_one() {
    let plane = Plane::new().await;
    let app = plane.router();
    for spelled in spellings(ActionUid::new()) {
        for view in ["", "?view=full"] {
            let answer = get(&app, &format!("/v1/actions/{spelled}{view}")).await;
            let (code, description) = answer.error(StatusCode::NOT_FOUND);
            assert_eq!(code, "action_not_found");
            assert_eq!(description, format!("Action {spelled} does not exist"));
            assert!(!answer.headers.contains_key("content-location"));
        }
    }
}

/// The names of the actions in a list.
async fn names(app: &Router, query: &str) -> Vec<String> {
    let answer = get(app, &format!("/v2/actions?order=oldest&{query}")).await;
    let json: serde_json::Value = serde_json::from_str(&ok(answer)).unwrap();
    let name = |action: &serde_json::Value| action["name"].as_str().unwrap().to_owned();
    json.as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn every_form_of_a_time_is_the_same_time() {
    // The clock of the plane begins at 2023-11-14T22:13:20Z.
    let plane = Plane::new().await;
    plane.succeeded(NewAction::task("before")).await;
    let midnight = 24 * 3600 - (22 * 3600 + 13 * 60 + 20);
    plane.clock.advance(Duration::from_secs(midnight));
    plane.succeeded(NewAction::task("at midnight")).await;
    let app = plane.router();
    for time in [
        "1700006400",
        "1700006400.0",
        "2023-11-15",
        "2023-11-15T00:00:00Z",
        "2023-11-15+00:00:00Z",
        "2023-11-15T01:00:00+01:00",
        "2023-11-15T01:00:00%2B01:00",
        "2023-11-15T01:00:00%20%30%31:00",
        "2023-11-15T01:00:00+0100",
        "2023-11-15+01:00:00+01",
        "2023-11-15T01:00:00.000+01:00",
        "2023-11-14T23:00:00-01:00",
        "2023-11-14T23:00:00-0100",
    ] {
        for name in ["since", "finished_until"] {
            let path = format!("/v1/actions/counts?{name}={time}");
            let counts = get(&app, &path).await.json();
            assert_eq!(counts["total"]["number"], 1, "{path}");
        }
        let since = names(&app, &format!("since={time}")).await;
        assert_eq!(since, ["at midnight"], "since={time}");
        let until = names(&app, &format!("until={time}")).await;
        assert_eq!(until, ["before"], "until={time}");
    }
}

#[tokio::test]
async fn the_next_link_keeps_a_time_whose_plus_became_a_space() {
    let plane = Plane::new().await;
    for name in ["a", "b"] {
        plane.queued(NewAction::task(name)).await;
    }
    let app = plane.router();
    let path = "/v1/actions?limit=1&since=2023-11-14T23:00:00+01:00";
    let next = get(&app, path).await.next().unwrap();
    let last = get(&app, &format!("/v1/actions{next}")).await;
    assert!(last.next().is_none(), "{last:?}");
    assert!(ok(last).contains("\"name\":\"a\""), "{next}");
}

#[tokio::test]
async fn words_are_read_in_upper_and_lower_case() {
    let plane = Plane::new().await;
    plane.queued(NewAction::task("waits")).await;
    let uid = plane.succeeded(NewAction::task("done")).await;
    let app = plane.router();
    assert_eq!(names(&app, "status=Queued").await, ["waits"]);
    assert_eq!(names(&app, "outcome=SUCCEEDED").await, ["done"]);
    let one = format!("/v1/actions/{uid}?view=");
    let full = ok(get(&app, &format!("{one}full")).await);
    assert_eq!(ok(get(&app, &format!("{one}Full")).await), full);
    assert_eq!(ok(get(&app, &format!("{one}FULL")).await), full);
    let newest = ok(get(&app, "/v1/actions?order=newest").await);
    assert_eq!(ok(get(&app, "/v1/actions?order=Newest").await), newest);
    let total = async |query: &str| {
        let answer = get(&app, &format!("/v1/actions/counts?{query}")).await;
        answer.json()["total"]["number"].as_u64().unwrap()
    };
    assert_eq!(total("status=QUEUED").await, 1);
    assert_eq!(total("status=Queued,COMPLETED").await, 2);
    assert_eq!(total("outcome=Succeeded&outcome=LOST").await, 1);
    // Names that the host chose are compared exactly.
    assert_eq!(total("name=DONE").await, 0);
    assert!(names(&app, "name=DONE").await.is_empty());
    assert!(names(&app, "tenant=Default").await.is_empty());
}

#[tokio::test]
async fn a_limit_above_the_largest_is_the_largest() {
    let plane = Plane::new().await;
    let uid = plane
        .queued(NewAction::task("a").with_object(ObjectRef::bdb(1)))
        .await;
    let app = plane.router();
    for path in [
        "/v1/actions".to_owned(),
        "/v2/actions".to_owned(),
        "/v1/actions/bdb/1".to_owned(),
        format!("/v1/actions/{uid}/history"),
    ] {
        let plain = ok(get(&app, &path).await);
        for limit in ["1001", "65536", "99999999999999999999"] {
            let answer = get(&app, &format!("{path}?limit={limit}")).await;
            assert_eq!(ok(answer), plain, "{path}?limit={limit}");
        }
    }
    let most = ok(get(&app, "/v1/actions/counts?bound=10000").await);
    for bound in ["10001", "4294967296", "99999999999999999999"] {
        let answer = get(&app, &format!("/v1/actions/counts?bound={bound}")).await;
        assert_eq!(ok(answer), most, "bound={bound}");
    }
    let feed = ok(get(&app, "/v1/actions/changes?after=0&limit=1000000").await);
    assert!(feed.contains(&uid.to_string()), "{feed}");
}

#[tokio::test(start_paused = true)]
async fn every_form_of_a_wait_is_understood_and_capped() {
    let plane = Plane::new().await;
    let uid = plane.started(NewAction::task("a")).await;
    let options = RouterOptions::new().with_longest_wait(Duration::from_secs(40));
    let app = router_with(plane.store.clone(), action_store::http::AllowAll, options);
    let one = [1, 2].map(|version| format!("/v{version}/actions/{uid}"));
    let full = one.clone().map(|path| format!("{path}?view=full"));
    for path in [&*one[0], &one[1], &full[0], &full[1], "/v1/actions/changes"] {
        let and = if path.contains('?') { '&' } else { '?' };
        for (wait, millis) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("1500ms", 1_500),
            ("0", 0),
            ("1m", 40_000),
            ("1h", 40_000),
            ("99999999999", 40_000),
            ("99999999999999999999h", 40_000),
        ] {
            let begun = Instant::now();
            ok(get(&app, &format!("{path}{and}wait={wait}")).await);
            let took = begun.elapsed().as_millis();
            assert!(took.abs_diff(millis) < 200, "{path} {wait}: {took} ms");
        }
    }
}

#[tokio::test]
async fn a_request_without_credentials_is_unauthorized_on_every_path_with_every_method() {
    let plane = Plane::new().await;
    let uid = plane.queued(NewAction::task("a")).await;
    let app = router(
        plane.store.clone(),
        BasicAuth::new("ada", "secret").unwrap(),
    );
    for path in [
        "/v1/actions".to_owned(),
        "/v1/actions?limit=x".to_owned(),
        format!("/v1/actions/{uid}"),
        format!("/v1/actions/{uid}?view=full"),
        format!("/v2/actions/{uid}?view=full"),
        "/v1/actions/counts".to_owned(),
        "/v1/actions/counts?bound=x".to_owned(),
        "/v2/actions/counts".to_owned(),
        "/v1/actions/nonsense".to_owned(),
        "/v1/actions/bdb/1".to_owned(),
        format!("/v1/actions/{uid}/history"),
        format!("/v1/actions/{uid}/other"),
        "/v1/actions/".to_owned(),
        "/v1/actions/changes".to_owned(),
        "/v2/actions".to_owned(),
        format!("/v2/actions/{uid}"),
        format!("/v2/actions/{uid}/other"),
        "/v2/actions/".to_owned(),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            let answer = ask(&app, method.clone(), &path).await;
            let (code, _) = answer.error(StatusCode::UNAUTHORIZED);
            assert_eq!(code, "unauthorized", "{method} {path}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, "Basic realm=\"actions\"");
        }
    }
}
