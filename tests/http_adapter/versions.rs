//! Version 2, the vendor vocabulary, the actions of a database, and the optional
//! versions.

use action_store::http::{AllowAll, RouterOptions, Scope, StatusVocabulary, router, router_with};
use action_store::{
    ActionStoreExt, ActionUid, CancelRequest, Json, NewAction, ObjectRef, Outcome, Progress,
    RelatedObject, Report, Source,
};
use axum::Router;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Plane, ask, get, ok, on_each_store};

on_each_store! {
    only_the_vendor_vocabulary_shows_the_creation_time_of_a_task,
    version_2_shows_the_other_fields_in_additional_info,
    version_2_lists_like_version_1,
    the_actions_of_a_database_are_listed_newest_first,
    a_database_without_actions_is_not_found,
    each_version_can_be_disabled,
    an_operator_sees_the_detail_of_a_single_action,
}

fn machine(object: ObjectRef) -> NewAction {
    NewAction::state_machine("SMUpdateBDB", object)
}

async fn shown(app: &Router, path: &str) -> Value {
    serde_json::from_str(&ok(get(app, path).await)).unwrap()
}

/// Returns the status of an action in the lifecycle vocabulary, in the vendor vocabulary
/// and in version 2.
async fn words_of(plane: &Plane, uid: ActionUid) -> [String; 3] {
    let word = async |words, version| {
        let json = shown(
            &plane.router_in(words),
            &format!("/{version}/actions/{uid}"),
        )
        .await;
        let status = json["status"].as_str().unwrap().to_owned();
        let error = match version {
            "v1" => &json["error"],
            _ => &json["additional_info"]["error"],
        };
        // An action has an error exactly if its status is `failed`.
        assert_eq!(error.is_string(), status == "failed", "{json}");
        status
    };
    let v2 = word(StatusVocabulary::Vendor, "v2").await;
    assert_eq!(word(StatusVocabulary::Lifecycle, "v2").await, v2);
    [
        word(StatusVocabulary::Lifecycle, "v1").await,
        word(StatusVocabulary::Vendor, "v1").await,
        v2,
    ]
}

#[tokio::test]
async fn every_state_has_a_word_in_every_vocabulary() {
    // For each source: queued, executing, cancel requested, succeeded, failed, cancelled,
    // interrupted or lost.
    let task = [
        ["queued", "queued", "queued"],
        ["executing", "running", "running"],
        ["executing", "cancelling", "running"],
        ["completed", "completed", "completed"],
        ["failed", "failed", "failed"],
        ["cancelled", "cancelled", "failed"],
        ["failed", "failed", "failed"],
    ];
    let mut state_machine = task;
    for (row, word) in [(0, "pending"), (1, "active"), (2, "active"), (5, "failed")] {
        state_machine[row][1] = word;
    }
    for (new, expected) in [
        (NewAction::task("t"), task),
        (NewAction::new(Source::Other, "o"), task),
        (machine(ObjectRef::bdb(1)), state_machine),
    ] {
        let new = || new.clone().with_uid(ActionUid::new());
        let plane = Plane::new().await;
        let queued = plane.queued(new()).await;
        assert_eq!(words_of(&plane, queued).await, expected[0]);
        let executing = plane.started(new()).await;
        assert_eq!(words_of(&plane, executing).await, expected[1]);
        for uid in [queued, executing] {
            let request = CancelRequest::new().with_reason("private");
            plane.store.request_cancel(uid, request).await.unwrap();
        }
        assert_eq!(words_of(&plane, queued).await, expected[0]);
        assert_eq!(words_of(&plane, executing).await, expected[2]);
        for (outcome, row) in [
            (Outcome::Succeeded, 3),
            (Outcome::Failed, 4),
            (Outcome::Cancelled, 5),
            (Outcome::Interrupted, 6),
            (Outcome::Lost, 6),
        ] {
            // A lost action ends its owner, so each outcome needs a new plane.
            let plane = Plane::new().await;
            let uid = plane.ended(new(), outcome).await;
            assert_eq!(words_of(&plane, uid).await, expected[row], "{outcome}");
        }
    }
}

async fn only_the_vendor_vocabulary_shows_the_creation_time_of_a_task(plane: Plane) {
    let task = plane.queued(NewAction::task("t")).await;
    let machine = plane.queued(machine(ObjectRef::bdb(1))).await;
    plane.clock.advance(std::time::Duration::from_secs(60));
    for (words, uid, expected) in [
        (StatusVocabulary::Vendor, task, json!("1700000000")),
        (StatusVocabulary::Lifecycle, task, Value::Null),
        (StatusVocabulary::Vendor, machine, Value::Null),
        (StatusVocabulary::Lifecycle, machine, Value::Null),
    ] {
        let app = plane.router_in(words);
        let json = shown(&app, &format!("/v1/actions/{uid}")).await;
        assert_eq!(json["creation_time"], expected, "{words:?} {json}");
        let json = shown(&app, &format!("/v2/actions/{uid}")).await;
        assert_eq!(json["creation_time"], 1_700_000_000);
    }
}

async fn version_2_shows_the_other_fields_in_additional_info(plane: Plane) {
    let app = plane.router();
    let bare = plane.queued(NewAction::new(Source::Other, "o")).await;
    let expected = format!(
        concat!(
            r#"{{"action_type":"other","action_uid":"{}","creation_time":1700000000,"#,
            r#""name":"o","progress":0.0,"status":"queued"}}"#
        ),
        bare
    );
    assert_eq!(
        ok(get(&app, &format!("/v2/actions/{bare}")).await),
        expected
    );

    let ops = r#"{"b": 1.50,"a":[]}"#;
    let attributes = Json::new(format!(r#"{{"x":"1","pending_ops":{ops}}}"#)).unwrap();
    let new = machine(ObjectRef::cluster())
        .with_description("to eight shards")
        .with_attributes(attributes);
    let uid = plane.started(new).await;
    let report = Report::new().with_progress(Progress::percent(14.29).unwrap());
    plane.report(uid, report).await;
    let text = ok(get(&app, &format!("/v2/actions/{uid}")).await);
    let expected = format!(
        concat!(
            r#"{{"action_type":"state-machine","action_uid":"{}","additional_info":"#,
            r#"{{"description":"to eight shards","object_type":"cluster","pending_ops":{}}},"#,
            r#""creation_time":1700000000,"name":"SMUpdateBDB","progress":14.29,"#,
            r#""status":"running"}}"#
        ),
        uid, ops
    );
    assert_eq!(text, expected);
    // A finished action has no pending operations.
    let error = action_store::ActionError::new("broken", "it broke");
    plane.finish(uid, action_store::Finish::failed(error)).await;
    let json = shown(&app, &format!("/v2/actions/{uid}")).await;
    let expected = json!({"description": "to eight shards", "error": "it broke",
        "object_type": "cluster"});
    assert_eq!(json["additional_info"], expected);
}

async fn version_2_lists_like_version_1(plane: Plane) {
    for number in 0..7 {
        match number % 2 {
            0 => plane.succeeded(NewAction::task("t")).await,
            _ => plane.queued(machine(ObjectRef::bdb(1))).await,
        };
    }
    assert_eq!(
        ok(get(
            &router(action_store::MemoryStore::new(), AllowAll),
            "/v2/actions"
        )
        .await),
        "[]"
    );
    let options = RouterOptions::new().with_cap(3);
    let app = router_with(plane.store.clone(), AllowAll, options);
    let (mut reference, mut sizes, mut uids) = (String::new(), Vec::new(), Vec::new());
    loop {
        let answer = get(&app, &format!("/v2/actions{reference}")).await;
        let json = answer.json();
        let page = json.as_array().unwrap();
        sizes.push(page.len());
        uids.extend(page.iter().map(|entry| entry["action_uid"].clone()));
        match answer.next() {
            Some(next) => reference = next,
            None => break,
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
    uids.sort_by_key(Value::to_string);
    uids.dedup();
    assert_eq!(uids.len(), 7);
}

async fn the_actions_of_a_database_are_listed_newest_first(plane: Plane) {
    let with = |object| RelatedObject::new("destination", object);
    let mut expected = Vec::new();
    for number in 0..9u64 {
        let new = match number % 3 {
            0 => machine(ObjectRef::bdb(1)),
            1 => NewAction::task("t")
                .with_object(ObjectRef::node(1))
                .with_related(with(ObjectRef::bdb(1))),
            _ => machine(ObjectRef::bdb(11)).with_related(with(ObjectRef::node(1))),
        };
        let uid = match number {
            0..5 => plane.succeeded(new).await,
            _ => plane.queued(new).await,
        };
        if number % 3 != 2 {
            expected.insert(0, uid.to_string());
        }
    }
    let options = RouterOptions::new().with_cap(4);
    let app = router_with(plane.store.clone(), AllowAll, options);
    let first = get(&app, "/v1/actions/bdb/1").await;
    let next = first.next().unwrap();
    let second = get(&app, &format!("/v1/actions/bdb/1{next}")).await;
    assert_eq!(second.next(), None);
    let mut uids = Vec::new();
    for answer in [first, second] {
        let json = answer.json();
        let entries = json.as_array().unwrap();
        uids.extend(
            entries
                .iter()
                .map(|e| e["action_uid"].as_str().unwrap().to_owned()),
        );
        // Each entry has the shape of its source.
        let tasks = entries.iter().filter(|e| e["task_id"].is_string());
        assert!(
            tasks
                .clone()
                .all(|task| task["node_uid"] == "1" && task["progress"].is_string())
        );
        assert_eq!(tasks.count(), if entries.len() == 4 { 2 } else { 1 });
    }
    assert_eq!(uids, expected);
}

async fn a_database_without_actions_is_not_found(plane: Plane) {
    plane.queued(machine(ObjectRef::bdb(1))).await;
    let app = plane.router();
    let long = "9".repeat(300);
    for (uid, shown) in [
        ("2", "2"),
        ("%20", " "),
        ("01", "01"),
        ("a%00b", "a\0b"),
        (&long, &long[..64]),
    ] {
        let answer = get(&app, &format!("/v1/actions/bdb/{uid}")).await;
        let (code, description) = answer.error(StatusCode::NOT_FOUND);
        assert_eq!(code, "action_not_found");
        assert_eq!(
            description,
            format!("There is no action on database {shown}")
        );
    }
    for (path, code) in [
        ("/v1/actions/bdb/", "not_found"),
        ("/v1/actions/bdb/1/2", "not_found"),
        ("/v1/actions/bdb", "action_not_found"),
    ] {
        assert_eq!(
            get(&app, path).await.error(StatusCode::NOT_FOUND).0,
            code,
            "{path}"
        );
    }
    for query in ["cursor=x", "cursor=", "limit2=1"] {
        let answer = get(&app, &format!("/v1/actions/bdb/1?{query}")).await;
        assert_eq!(answer.error(StatusCode::BAD_REQUEST).0, "invalid_parameter");
    }
    // A cursor of another store.
    let other = Plane::new().await;
    for _ in 0..2 {
        other.queued(machine(ObjectRef::bdb(1))).await;
    }
    let options = RouterOptions::new().with_cap(1);
    let elsewhere = router_with(other.store.clone(), AllowAll, options);
    let next = get(&elsewhere, "/v1/actions/bdb/1").await.next().unwrap();
    let answer = get(&app, &format!("/v1/actions/bdb/1{next}")).await;
    answer.error(StatusCode::BAD_REQUEST);
}

async fn each_version_can_be_disabled(plane: Plane) {
    let uid = plane.queued(machine(ObjectRef::bdb(1))).await;
    let v1 = [
        "/v1/actions".to_owned(),
        format!("/v1/actions/{uid}"),
        "/v1/actions/bdb/1".to_owned(),
    ];
    let v2 = ["/v2/actions".to_owned(), format!("/v2/actions/{uid}")];
    for (options, has_v1, has_v2) in [
        (RouterOptions::new(), true, true),
        (RouterOptions::new().without_v1(), false, true),
        (RouterOptions::new().without_v2(), true, false),
        (RouterOptions::new().without_v1().without_v2(), false, false),
    ] {
        let host = Router::new().fallback(async || (StatusCode::IM_A_TEAPOT, "the host's"));
        let app = host.merge(router_with(plane.store.clone(), AllowAll, options));
        for (paths, there) in [(&v1[..], has_v1), (&v2[..], has_v2)] {
            for path in paths {
                let expected = if there {
                    StatusCode::OK
                } else {
                    StatusCode::IM_A_TEAPOT
                };
                assert_eq!(get(&app, path).await.status, expected, "{path}");
                let expected = if there {
                    StatusCode::METHOD_NOT_ALLOWED
                } else {
                    StatusCode::IM_A_TEAPOT
                };
                assert_eq!(
                    ask(&app, Method::PUT, path).await.status,
                    expected,
                    "{path}"
                );
            }
        }
    }
}

async fn an_operator_sees_the_detail_of_a_single_action(plane: Plane) {
    for (new, name) in [
        (NewAction::task("t"), "task"),
        (machine(ObjectRef::bdb(1)), "machine"),
    ] {
        let failed = plane.ended(new.clone(), Outcome::Failed).await;
        let new = new.with_uid(ActionUid::new());
        let cancelled = plane.ended(new, Outcome::Cancelled).await;
        let operator = |_: &_, _| Ok(Scope::everything().with_operator_detail());
        let app = router(plane.store.clone(), operator);
        let json = shown(&app, &format!("/v1/actions/{failed}")).await;
        assert_eq!(json["error_detail"], "/dev/sda1", "{name}");
        let json = shown(&app, &format!("/v2/actions/{failed}")).await;
        assert_eq!(
            json["additional_info"]["error_detail"], "/dev/sda1",
            "{name}"
        );
        for path in [
            "/v1/actions".to_owned(),
            "/v2/actions".to_owned(),
            format!("/v1/actions/{cancelled}"),
        ] {
            assert!(
                !ok(get(&app, &path).await).contains("error_detail"),
                "{path}"
            );
        }
        assert!(!ok(get(&plane.router(), &format!("/v1/actions/{failed}")).await).contains("/dev"));
    }
}
