//! The order of completion, counts, and all of one action.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use action_store::http::{AllowAll, RouterOptions, Scope, router, router_with};
use action_store::{
    ActionError, ActionStore, ActionStoreExt, ActionUid, CancelRequest, Filter, Finish, Json,
    NewAction, ObjectRef, Outcome, Query, RelatedObject, Timestamp,
};
use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Between, GetAnswer, ListAnswer, Plane, Through, get, ok, on_each_store};

on_each_store! {
    the_order_of_completion_is_followed_over_pages,
    the_parts_of_an_action_are_listed_by_any_spelling_of_its_uid,
    a_list_of_records_is_shown_as_in_the_feed_but_for_operator_detail,
    only_operators_list_by_owner,
    counts_are_exact_up_to_the_bound,
    the_full_view_shows_what_the_caller_may_see,
    the_full_view_shows_results_and_keeps_operator_detail,
    the_full_view_reads_the_action_once,
    the_remaining_time_is_computed_from_actions_in_the_scope,
}

/// A router for callers who may see operator detail.
fn operators(plane: &Plane) -> Router {
    let options = RouterOptions::new().with_clock(plane.clock.clone());
    let authorizer =
        |_: &axum::http::request::Parts, _| Ok(Scope::everything().with_operator_detail());
    router_with(plane.store.clone(), authorizer, options)
}

fn viewers(plane: &Plane) -> Router {
    let options = RouterOptions::new().with_clock(plane.clock.clone());
    router_with(plane.store.clone(), AllowAll, options)
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

async fn the_order_of_completion_is_followed_over_pages(plane: Plane) {
    let app = plane.router();
    let mut started = Vec::new();
    for n in 0..7 {
        started.push(plane.started(NewAction::task(format!("t{n}"))).await);
    }
    // Completed in another order than created; one stays unfinished.
    for n in [3, 0, 5, 1, 6, 2] {
        plane.clock.advance(Duration::from_secs(1));
        plane.finish(started[n], Finish::succeeded()).await;
    }
    let mut path = "/v1/actions?order=finished&limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let answer = get(&app, &path).await;
        let page = answer.json();
        let page = page["actions"].as_array().unwrap();
        names.extend(
            page.iter()
                .map(|entry| entry["name"].as_str().unwrap().to_owned()),
        );
        match answer.next() {
            Some(next) => path = format!("/v1/actions{next}"),
            None => break,
        }
    }
    assert_eq!(names, ["t2", "t6", "t1", "t5", "t0", "t3"]);
}

async fn the_parts_of_an_action_are_listed_by_any_spelling_of_its_uid(plane: Plane) {
    let parent = plane.started(NewAction::task("upgrade")).await;
    let part = plane
        .queued(NewAction::task("part").with_parent(parent))
        .await;
    let spelled = parent.to_string().to_uppercase().replace('-', "");
    let body = ok(get(&plane.router(), &format!("/v2/actions?parent={spelled}")).await);
    let body = json_of(&body);
    assert_eq!(body.as_array().unwrap().len(), 1);
    assert_eq!(body[0]["action_uid"], part.to_string());
}

async fn a_list_of_records_is_shown_as_in_the_feed_but_for_operator_detail(plane: Plane) {
    let error = ActionError::new("a", "b").with_detail("inside");
    plane.failed(NewAction::task("old"), error).await;
    let new = NewAction::task("new").with_tenant("acme");
    plane.started(new.with_label("region", "eu-1")).await;
    let feed = json_of(&ok(
        get(&viewers(&plane), "/v1/actions/changes?after=0").await
    ));
    let mut changes = feed["changes"].as_array().unwrap().clone();
    changes.reverse();
    for app in [viewers(&plane), operators(&plane)] {
        for path in ["/v1/actions", "/v2/actions"] {
            let body = ok(get(&app, &format!("{path}?view=Records&order=newest")).await);
            assert_eq!(json_of(&body), Value::Array(changes.clone()));
        }
        // The view alone does not change the order: unfinished actions come first.
        let answer = get(&app, "/v1/actions?view=records&limit=1").await;
        let next = answer.next().unwrap();
        let first = json_of(&ok(answer))[0]["name"].clone();
        let second = json_of(&ok(get(&app, &format!("/v1/actions{next}")).await));
        assert_eq!((&first, &second[0]["name"]), (&json!("new"), &json!("old")));
    }
}

async fn only_operators_list_by_owner(plane: Plane) {
    plane.started(NewAction::task("a")).await;
    plane.queued(NewAction::task("b")).await;
    let path = "/v1/actions?owner=plane";
    let body = json_of(&ok(get(&operators(&plane), path).await));
    assert_eq!(body["actions"].as_array().unwrap().len(), 1);
    for path in [
        path,
        "/v1/actions/counts?owner=plane",
        "/v2/actions?owner=nobody",
    ] {
        let (code, _) = get(&viewers(&plane), path)
            .await
            .error(StatusCode::FORBIDDEN);
        assert_eq!(code, "forbidden");
    }
}

async fn counts_are_exact_up_to_the_bound(plane: Plane) {
    let app = plane.router();
    for n in 0..4 {
        let error = ActionError::new("a", "b");
        let new = NewAction::task("a").with_label("parity", (n % 2).to_string());
        plane.failed(new, error).await;
    }
    plane.queued(NewAction::task("b")).await;
    let count = |number: u64, exact: bool| json!({ "number": number, "exact": exact });
    for version in ["v1", "v2"] {
        let body = ok(get(&app, &format!("/{version}/actions/counts")).await);
        // The keys are in the documented order.
        assert!(
            body.starts_with(r#"{"queued":{"number":1,"exact":true},"executing":"#),
            "{body}"
        );
        assert_eq!(json_of(&body)["failed"], count(4, true));
        assert_eq!(json_of(&body)["total"], count(5, true));
    }
    let body = json_of(&ok(get(&app, "/v1/actions/counts?bound=3").await));
    assert_eq!(body["failed"], count(3, false));
    assert_eq!(body["queued"], count(1, true));
    assert_eq!(body["total"], count(4, false));
    let body = json_of(&ok(get(
        &app,
        "/v1/actions/counts?label=parity=1&bound=99999",
    )
    .await));
    assert_eq!(body["failed"], count(2, true));
    for bad in [
        "bound=0",
        "bound=x",
        "bound=",
        "limit=1",
        "cursor=f",
        "order=newest",
        "bound=1&bound=2",
    ] {
        let answer = get(&app, &format!("/v1/actions/counts?{bad}")).await;
        let (code, _) = answer.error(StatusCode::BAD_REQUEST);
        assert_eq!(code, "invalid_parameter", "{bad}");
    }
}

async fn the_full_view_shows_what_the_caller_may_see(plane: Plane) {
    // Times before the library existed give no estimate.
    plane.clock.set(Timestamp::from_seconds(1_800_000_000));
    // Earlier runs take ten seconds.
    for _ in 0..6 {
        let uid = plane.started(NewAction::task("copy")).await;
        plane.clock.advance(Duration::from_secs(10));
        plane.finish(uid, Finish::succeeded()).await;
    }
    let new = NewAction::task("copy")
        .with_label("region", "eu-1")
        .with_related(RelatedObject::new("to", ObjectRef::node(7)).with_name("seven"))
        .with_attributes(Json::new(r#"{ "big": 12345678901234567890, "a":[1.50] }"#).unwrap());
    let uid = plane.started(new).await;
    plane.queued(NewAction::task("part").with_parent(uid)).await;
    let cancel = CancelRequest::new().with_by("ada").with_reason("too slow");
    plane.store.request_cancel(uid, cancel).await.unwrap();
    plane.clock.advance(Duration::from_secs(4));
    let path = format!("/v1/actions/{uid}?view=full");
    let answer = get(&viewers(&plane), &path).await;
    assert!(!answer.headers.contains_key("etag"));
    let body = ok(answer);
    // JSON of the host is written as it was recorded.
    assert!(
        body.contains(r#""attributes":{ "big": 12345678901234567890, "a":[1.50] }"#),
        "{body}"
    );
    let seen = json_of(&body);
    assert_eq!(seen["action"]["action_uid"], uid.to_string());
    assert_eq!(seen["action"]["labels"], json!({ "region": "eu-1" }));
    assert_eq!(seen["parts"]["queued"]["number"], 1);
    assert_eq!(
        seen["related"],
        json!([{ "role": "to", "object": "node:7", "name": "seven" }])
    );
    assert_eq!(
        seen["remaining"],
        json!({ "expected": "typical", "seconds": 6 })
    );
    assert_eq!(seen["cancel"]["by"], "ada");
    assert_eq!(seen["cancel"]["reason"], "too slow");
    assert!(seen["action"].get("owner").is_none());
    let seen = json_of(&ok(get(&operators(&plane), &path).await));
    assert_eq!(seen["action"]["owner"], "plane");
    // Without the parameter the answer is the documented one.
    let plain = ok(get(&viewers(&plane), &format!("/v1/actions/{uid}")).await);
    assert!(
        !plain.contains("region") && !plain.contains("parts"),
        "{plain}"
    );
    for bad in ["view=", "view=all", "view=full&view=full"] {
        let answer = get(&viewers(&plane), &format!("/v1/actions/{uid}?{bad}")).await;
        answer.error(StatusCode::BAD_REQUEST);
    }
}

async fn the_full_view_shows_results_and_keeps_operator_detail(plane: Plane) {
    let lost = plane.ended(NewAction::task("a"), Outcome::Lost).await;
    let owner = action_store::OwnerRef::new("next");
    let claim = action_store::Command::claim(owner.clone());
    plane.store.command(claim).await.unwrap();
    let uid = plane.queued(NewAction::task("b")).await;
    plane.store.start(uid, &owner).await.unwrap();
    let error = ActionError::new("full", "no space").with_detail("/dev/sda1");
    let end = Finish::failed(error).with_result(Json::new("[1, 2]").unwrap());
    plane.store.finish(uid, end, Some(&owner)).await.unwrap();
    let (viewers, operators) = (viewers(&plane), operators(&plane));
    for version in ["v1", "v2"] {
        let path = format!("/{version}/actions/{uid}?view=full&wait=0s");
        let body = ok(get(&viewers, &path).await);
        assert!(body.contains(r#""result":[1, 2]"#), "{body}");
        assert!(!body.contains("/dev/sda1"), "{body}");
        assert!(ok(get(&operators, &path).await).contains("/dev/sda1"));
        let path = format!("/{version}/actions/{lost}?view=full");
        let seen = json_of(&ok(get(&viewers, &path).await));
        assert!(seen.get("evidence").is_none() && seen.get("remaining").is_none());
        let seen = json_of(&ok(get(&operators, &path).await));
        assert_eq!(seen["evidence"]["owner"], "plane");
        assert_eq!(seen["evidence"]["end"], "fenced");
    }
    let absent = action_store::ActionUid::new();
    let answer = get(&viewers, &format!("/v1/actions/{absent}?view=full")).await;
    answer.error(StatusCode::NOT_FOUND);
}

/// Counts the reads of single actions.
#[derive(Debug, Default)]
struct CountedReads(Arc<AtomicUsize>);

#[async_trait]
impl Between for CountedReads {
    async fn get(&self, store: &dyn ActionStore, uids: &[ActionUid]) -> GetAnswer {
        self.0.fetch_add(1, Ordering::Relaxed);
        store.get(uids).await
    }
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        let is_of_one = query.filters.iter().any(|f| matches!(f, Filter::Uid(_)));
        self.0.fetch_add(is_of_one.into(), Ordering::Relaxed);
        store.list(query).await
    }
}

async fn the_full_view_reads_the_action_once(plane: Plane) {
    let uid = plane.started(NewAction::task("a")).await;
    let finish = Finish::succeeded().with_result(Json::new("[1]").unwrap());
    plane.finish(uid, finish).await;
    let tenant = Scope::tenant("default");
    let operators = Scope::everything().with_operator_detail();
    for scope in [Scope::everything(), operators, tenant] {
        let counted = CountedReads::default();
        let reads = counted.0.clone();
        let seen = scope.clone();
        let authorizer = move |_: &axum::http::request::Parts, _| Ok(scope.clone());
        let app = router(Through(plane.store.clone(), counted), authorizer);
        let body = ok(get(&app, &format!("/v1/actions/{uid}?view=full")).await);
        assert_eq!(json_of(&body)["result"], json!([1]), "{seen:?}");
        assert_eq!(reads.load(Ordering::Relaxed), 1, "{seen:?}");
    }
}

async fn the_remaining_time_is_computed_from_actions_in_the_scope(plane: Plane) {
    plane.clock.set(Timestamp::from_seconds(1_800_000_000));
    let copy = |tenant: &str| NewAction::task("copy").with_tenant(tenant);
    for _ in 0..6 {
        let uid = plane.started(copy("globex")).await;
        plane.clock.advance(Duration::from_secs(10));
        plane.finish(uid, Finish::succeeded()).await;
    }
    let uid = plane.started(copy("acme")).await;
    let seen = async |scope: Scope| {
        let options = RouterOptions::new().with_clock(plane.clock.clone());
        let authorizer = move |_: &axum::http::request::Parts, _| Ok(scope.clone());
        let app = router_with(plane.store.clone(), authorizer, options);
        json_of(&ok(get(&app, &format!("/v1/actions/{uid}?view=full")).await))
    };
    assert!(seen(Scope::tenant("acme")).await.get("remaining").is_none());
    assert!(seen(Scope::everything()).await.get("remaining").is_some());
}
