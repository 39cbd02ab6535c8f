//! `GET /v1/actions/{uid}`, with valid and invalid uids.

use action_store::{NewAction, ObjectRef};
use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::{get as on_get, post};

use crate::support::{Plane, ask, get, ok, on_each_store};

on_each_store! {
    an_invalid_uid_gets_the_404_of_an_unknown_uid,
    a_uid_in_percent_encoding_is_the_same_uid,
    the_answer_has_no_wrapper,
    no_query_parameter_is_accepted,
    unknown_paths_below_an_action_answer_in_json,
    routes_of_the_host_are_not_affected,
    a_nested_router_gives_the_same_answers,
}

async fn an_invalid_uid_gets_the_404_of_an_unknown_uid(plane: Plane) {
    let known = plane.queued(NewAction::task("a")).await.to_string();
    let app = plane.router();
    let long = "x".repeat(5_000);
    let exact = "é".repeat(64);
    for (segment, shown) in [
        ("nonsense", "nonsense"),
        ("%00", "\0"),
        ("%ff%fe", "\u{fffd}\u{fffd}"),
        ("%zz%", "%zz%"),
        ("..%2f..%2fetc%2fpasswd", "../../etc/passwd"),
        ("%22%7d%0a%3Cscript%3E", "\"}\n<script>"),
        ("a+b", "a+b"),
        ("%20", " "),
        (&*long, &long[..64]),
        (&"%C3%A9".repeat(65), &*exact),
        (&format!("%7B{known}%7D"), &*format!("{{{known}}}")),
        (&format!("urn:uuid:{known}"), &*format!("urn:uuid:{known}")),
        (&known[..35], &known[..35]),
    ] {
        let answer = get(&app, &format!("/v1/actions/{segment}")).await;
        let (code, description) = answer.error(StatusCode::NOT_FOUND);
        assert_eq!(code, "action_not_found");
        assert_eq!(description, format!("Action {shown} does not exist"));
        let expected = serde_json::json!({ "description": description, "error_code": code });
        assert_eq!(answer.body, expected.to_string());
    }
}

async fn a_uid_in_percent_encoding_is_the_same_uid(plane: Plane) {
    let uid = plane.queued(NewAction::task("a")).await;
    let app = plane.router();
    let encoded: String = uid
        .to_string()
        .bytes()
        .map(|b| format!("%{b:02x}"))
        .collect();
    let plain = ok(get(&app, &format!("/v1/actions/{uid}")).await);
    assert_eq!(
        ok(get(&app, &format!("/v1/actions/{encoded}")).await),
        plain
    );
}

async fn the_answer_has_no_wrapper(plane: Plane) {
    let new = NewAction::state_machine("SM", ObjectRef::cluster());
    for uid in [
        plane.queued(new).await,
        plane.queued(NewAction::task("t")).await,
    ] {
        let answer = get(&plane.router(), &format!("/v1/actions/{uid}")).await;
        assert_eq!(answer.json()["action_uid"], uid.to_string());
    }
}

async fn no_query_parameter_is_accepted(plane: Plane) {
    let uid = plane.queued(NewAction::task("a")).await;
    let app = plane.router();
    let answer = get(&app, &format!("/v1/actions/{uid}?cursor=f")).await;
    let (code, description) = answer.error(StatusCode::BAD_REQUEST);
    assert_eq!(code, "invalid_parameter");
    assert_eq!(description, "Query parameter 'cursor' is not known here");
    ok(get(&app, &format!("/v1/actions/{uid}?")).await);
}

async fn unknown_paths_below_an_action_answer_in_json(plane: Plane) {
    let uid = plane.queued(NewAction::task("a")).await;
    let app = plane.router();
    for path in [
        "/v1/actions/".to_owned(),
        format!("/v1/actions/{uid}/"),
        format!("/v1/actions/{uid}/histories"),
        format!("/v1/actions/{uid}/a/b//c%ff"),
        "/v1/actions//".to_owned(),
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = ask(&app, method, &path).await;
            let (code, _) = answer.error(StatusCode::NOT_FOUND);
            assert_eq!(code, "not_found", "{path}");
        }
    }
}

async fn routes_of_the_host_are_not_affected(plane: Plane) {
    let uid = plane.queued(NewAction::task("a")).await;
    let host = Router::new()
        .route("/v1/nodes", on_get(async || "nodes"))
        .route("/v1/actions/{id}/cancel", post(async || "cancelled"))
        .route("/v1/actions", post(async || "created"))
        .fallback(async || (StatusCode::IM_A_TEAPOT, "the host's"));
    let app = host.merge(plane.router());
    ok(get(&app, "/v1/actions").await);
    ok(get(&app, &format!("/v1/actions/{uid}")).await);
    assert_eq!(get(&app, "/v1/nodes").await.body, "nodes");
    let cancel = format!("/v1/actions/{uid}/cancel");
    assert_eq!(ask(&app, Method::POST, &cancel).await.body, "cancelled");
    assert_eq!(ask(&app, Method::POST, "/v1/actions").await.body, "created");
    for path in ["/", "/v1", "/v1/action", "/v2", "/v3/actions"] {
        assert_eq!(get(&app, path).await.body, "the host's", "{path}");
    }
    let answer = ask(&app, Method::DELETE, "/v1/actions").await;
    answer.error(StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.header("allow").contains("POST"), "{answer:?}");
}

async fn a_nested_router_gives_the_same_answers(plane: Plane) {
    let uid = plane.queued(NewAction::task("a")).await;
    let app = Router::new().nest("/api/cluster", plane.router());
    ok(get(&app, &format!("/api/cluster/v1/actions/{uid}")).await);
    let body = ok(get(&app, "/api/cluster/v1/actions").await);
    assert!(body.contains(&uid.to_string()));
    let answer = get(&app, "/api/cluster/v1/actions/x%2Fy").await;
    let (_, description) = answer.error(StatusCode::NOT_FOUND);
    assert_eq!(description, "Action x/y does not exist");
}
