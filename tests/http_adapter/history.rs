//! `GET /v1/actions/{uid}/history`.

use std::time::Duration;

use action_store::{
    ActionError, ActionStoreExt, ActionUid, CancelRequest, Finish, Limits, NewAction, ObjectRef,
    Outcome, Progress, Report,
};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Plane, ask, get, ok, on_each_store};

on_each_store! {
    the_history_is_in_order,
    only_a_succeeded_action_is_shown_as_completed,
    the_history_is_paged,
    an_invalid_request_gets_an_error,
    a_history_counts_the_steps_that_were_dropped,
}

const SECRET: &str = "/var/lib/plane.db";

/// An action with every kind of event, one second apart.
async fn eventful(plane: &Plane) -> ActionUid {
    let tick = || plane.clock.advance(Duration::from_secs(1));
    let new = NewAction::state_machine("SM", ObjectRef::bdb(1)).with_tenant("eu");
    let uid = plane.queued(new).await;
    tick();
    plane.store.start(uid, &plane.owner).await.unwrap();
    tick();
    let report = Report::new()
        .with_step("load")
        .with_progress(Progress::ratio(1, 7));
    plane.report(uid, report).await;
    plane.clock.advance(Duration::from_micros(1));
    let request = CancelRequest::new().with_by("ada").with_reason("too slow");
    plane.store.request_cancel(uid, request).await.unwrap();
    tick();
    let error = ActionError::new("disk_full", "No room").with_detail(SECRET);
    plane.finish(uid, Finish::failed(error)).await;
    uid
}

async fn the_history_is_in_order(plane: Plane) {
    let uid = eventful(&plane).await;
    let body = ok(get(&plane.router(), &format!("/v1/actions/{uid}/history")).await);
    assert!(!body.contains(SECRET));
    assert!(
        !body.contains("plane"),
        "the owner must not be shown: {body}"
    );
    // Compared as text, so that numbers keep their digits.
    let entries = body.split_once("\"history\":").unwrap().1;
    assert_eq!(
        entries,
        r#"[{"at":1700000000.000000,"kind":"created","version":1,"progress":0,"status":"queued"},{"at":1700000001.000000,"kind":"started","version":2,"progress":0,"status":"executing"},{"at":1700000002.000000,"kind":"step","version":3,"progress":14.28,"status":"executing","step":"load"},{"at":1700000002.000001,"kind":"cancel-requested","version":4,"progress":14.28,"status":"executing","step":"load","by":"ada","note":"too slow"},{"at":1700000003.000001,"kind":"finished","version":5,"progress":14.28,"status":"failed","outcome":"failed","step":"load","note":"disk_full: No room"}]}"#
    );
    let value: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({
        "action_uid": uid.to_string(),
        "source": "state-machine",
        "name": "SM",
        "tenant": "eu",
        "object": "bdb:1",
        "status": "failed",
        "outcome": "failed",
        "progress": 14.28,
        "version": 5,
        "step": "load",
        "created_at": 1_700_000_000.0,
        "started_at": 1_700_000_001.0,
        "cancel_requested_at": 1_700_000_002.000_001,
        "last_seen_at": 1_700_000_003.000_001,
        "finished_at": 1_700_000_003.000_001,
        "error": { "code": "disk_full", "message": "No room" },
    });
    assert_eq!(value["action"], expected);
}

async fn only_a_succeeded_action_is_shown_as_completed(plane: Plane) {
    for outcome in Outcome::ALL {
        if *outcome == Outcome::Lost {
            continue;
        }
        let uid = plane.started(NewAction::task("a")).await;
        let finish = match outcome {
            Outcome::Failed => Finish::failed(ActionError::new("a", "b")),
            outcome => Finish::new(*outcome),
        };
        plane.finish(uid, finish).await;
        let answer = get(&plane.router(), &format!("/v1/actions/{uid}/history")).await;
        let last = answer.json()["history"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        let word = match outcome {
            Outcome::Succeeded => "completed",
            Outcome::Cancelled => "cancelled",
            _ => "failed",
        };
        assert_eq!(last["status"], word);
        assert_eq!(last["outcome"], outcome.as_str());
        assert_eq!(answer.json()["action"]["status"], word);
    }
}

async fn the_history_is_paged(plane: Plane) {
    let uid = plane.started(NewAction::task("a")).await;
    for n in 0..20 {
        let report = Report::new().with_step(format!("step {n}"));
        plane.report(uid, report).await;
    }
    let app = plane.router();
    let base = format!("/v1/actions/{uid}/history");
    let whole = get(&app, &base).await;
    assert_eq!(whole.next(), None);
    let whole = whole.json()["history"].clone();
    assert_eq!(whole.as_array().unwrap().len(), 22);
    for limit in [1, 3, 11, 21, 22, 23, 1000] {
        let mut path = format!("{base}?limit={limit}");
        let mut entries = Vec::new();
        for _ in 0..30 {
            let answer = get(&app, &path).await;
            let page = answer.json()["history"].as_array().unwrap().clone();
            assert!(page.len() <= limit);
            entries.extend(page);
            match answer.next() {
                Some(next) => {
                    assert!(
                        next.starts_with(&format!("?limit={limit}&cursor=1l.")),
                        "{next}"
                    );
                    path = format!("{base}{next}");
                }
                None => break,
            }
        }
        assert_eq!(Value::from(entries), whole, "{limit}");
    }
}

async fn an_invalid_request_gets_an_error(plane: Plane) {
    let uid = plane.started(NewAction::task("a")).await;
    let app = plane.router();
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=f", "cursor"),
        ("cursor=1n.00000000000000000000000000000000.1", "cursor"),
        ("cursor=1l.00000000000000000000000000000000.1", "cursor"),
        ("order=newest", "order"),
        ("wait=1s", "wait"),
    ] {
        let answer = get(&app, &format!("/v1/actions/{uid}/history?{query}")).await;
        let (code, description) = answer.error(StatusCode::BAD_REQUEST);
        assert_eq!(code, "invalid_parameter");
        assert!(
            description.contains(&format!("'{name}'")),
            "{query}: {description}"
        );
    }
    let absent = format!("/v1/actions/{}/history", ActionUid::new());
    for path in [&*absent, "/v1/actions/x/history", "/v1/actions//history"] {
        let answer = get(&app, path).await;
        let (code, _) = answer.error(StatusCode::NOT_FOUND);
        assert_eq!(code, "action_not_found", "{path}");
    }
    let path = format!("/v1/actions/{uid}/history");
    assert_eq!(ask(&app, Method::HEAD, &path).await.status, StatusCode::OK);
    for path in [&*path, "/v1/actions/changes"] {
        let answer = ask(&app, Method::POST, path).await;
        answer.error(StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), "GET,HEAD");
    }
}

async fn a_history_counts_the_steps_that_were_dropped(plane: Plane) {
    let uid = plane.queued(NewAction::task("resize")).await;
    plane.store.start(uid, &plane.owner).await.unwrap();
    let path = format!("/v1/actions/{uid}/history?limit=1000");
    let kept = Limits::LOG_ENTRIES as usize;
    for number in 0..kept - 2 {
        let step = Report::new().with_step(format!("step {number}"));
        plane.report(uid, step).await;
    }
    let body = ok(get(&plane.router(), &path).await);
    assert!(body.ends_with(r#""step":"step 253"}]}"#), "{body}");
    for number in ["one", "more"] {
        plane.report(uid, Report::new().with_step(number)).await;
    }
    let body = ok(get(&plane.router(), &path).await);
    assert!(body.ends_with(r#""step":"more"}],"dropped":2}"#), "{body}");
    let value: Value = serde_json::from_str(&body).unwrap();
    let history = value["history"].as_array().unwrap();
    let kinds: Vec<&Value> = history.iter().take(2).map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds, ["created", "started"]);
    assert_eq!(history.len(), kept);
}
