//! The description of the endpoints is committed, current, and says what is served.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use action_store::MemoryStore;
use action_store::http::{
    AllowAll, OpenApiOptions, RouterOptions, StatusVocabulary, openapi, openapi_router,
    openapi_with, router,
};
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;
use utoipa::openapi::OpenApi;

fn read(options: &RouterOptions) -> Value {
    serde_json::to_value(openapi(options)).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// Every reference of a document, as the component that it names: `schemas/Error`.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref") {
                let name = reference.as_str().unwrap();
                found.insert(name.strip_prefix("#/components/").unwrap().to_owned());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(all) => all.iter().for_each(|one| references(one, found)),
        _ => {}
    }
}

#[test]
fn the_committed_description_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let current = openapi(&RouterOptions::new()).to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == current,
        "openapi.json is not what the code says: run this test with UPDATE_OPENAPI=1 and commit it"
    );
}

#[test]
fn a_disabled_endpoint_is_not_described() {
    let (one, two) = (
        RouterOptions::new().without_v2(),
        RouterOptions::new().without_v1(),
    );
    let v1 = [
        "/v1/actions",
        "/v1/actions/bdb/{bdb_uid}",
        "/v1/actions/changes",
        "/v1/actions/counts",
        "/v1/actions/{uid}",
        "/v1/actions/{uid}/history",
    ];
    let v2 = ["/v2/actions", "/v2/actions/counts", "/v2/actions/{uid}"];
    assert_eq!(keys(&read(&one)["paths"]), BTreeSet::from(v1));
    assert_eq!(keys(&read(&two)["paths"]), BTreeSet::from(v2));
    let both = read(&RouterOptions::new());
    assert_eq!(keys(&both["paths"]), v1.into_iter().chain(v2).collect());
    let neither = RouterOptions::new().without_v1().without_v2();
    assert!(keys(&read(&neither)["paths"]).is_empty());
}

/// Every referenced component exists, and every component is referenced.
#[test]
fn names_lead_to_something_and_everything_is_named() {
    for options in [
        RouterOptions::new(),
        RouterOptions::new().without_v1(),
        RouterOptions::new().without_v2(),
    ] {
        let document = read(&options);
        let mut named = BTreeSet::new();
        references(&document, &mut named);
        let components = &document["components"];
        let there = |kind: &str| -> BTreeSet<String> {
            let names = keys(&components[kind]);
            names.iter().map(|name| format!("{kind}/{name}")).collect()
        };
        let [schemas, responses] = ["schemas", "responses"].map(there);
        let all: BTreeSet<String> = schemas.into_iter().chain(responses).collect();
        let missing: Vec<_> = named.difference(&all).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let unused: Vec<_> = all.difference(&named).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }
}

#[test]
fn the_words_are_those_that_the_host_has_chosen() {
    let words = |options: &RouterOptions, name: &str| -> Vec<String> {
        let document = read(options);
        let words = document["components"]["schemas"][format!("Actions{name}")]["enum"].clone();
        serde_json::from_value(words).unwrap()
    };
    let own = RouterOptions::new();
    let vendor = RouterOptions::new().with_vocabulary(StatusVocabulary::Vendor);
    let lifecycle = ["cancelled", "completed", "executing", "failed", "queued"];
    assert_eq!(words(&own, "V1TaskStatus"), lifecycle);
    assert_eq!(words(&own, "V1StateMachineStatus"), lifecycle);
    let machine = ["active", "completed", "failed", "pending"];
    assert_eq!(words(&vendor, "V1StateMachineStatus"), machine);
    assert!(words(&vendor, "V1TaskStatus").contains(&"cancelling".to_owned()));
    let v2 = ["completed", "failed", "queued", "running"];
    assert_eq!(words(&own, "V2Status"), v2);
    assert_eq!(words(&vendor, "V2Status"), v2);
}

#[test]
fn an_absent_field_is_left_out_and_never_null() {
    let document = read(&RouterOptions::new()).to_string();
    assert!(!document.contains("null"), "something may be null");
    let schemas = &read(&RouterOptions::new())["components"]["schemas"];
    let required = |name: &str| -> BTreeSet<String> {
        serde_json::from_value(schemas[format!("Actions{name}")]["required"].clone()).unwrap()
    };
    let sets = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let task = ["action_uid", "name", "progress", "status", "task_id"];
    assert_eq!(required("V1Task"), sets(&task));
    let machine = [
        "action_uid",
        "heartbeat",
        "name",
        "object_name",
        "progress",
        "status",
    ];
    assert_eq!(required("V1StateMachine"), sets(&machine));
    let v2 = [
        "action_type",
        "action_uid",
        "creation_time",
        "name",
        "progress",
        "status",
    ];
    assert_eq!(required("V2Entry"), sets(&v2));
    assert_eq!(required("Error"), sets(&["description", "error_code"]));
    assert_eq!(
        required("HistoryEntry"),
        sets(&["at", "kind", "progress", "version"])
    );
}

#[tokio::test]
async fn it_is_served_as_it_is() {
    let options = RouterOptions::new().without_v2();
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let response = openapi_router(&openapi(&options))
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert_eq!(body, openapi(&options).to_pretty_json().unwrap());
}

#[tokio::test]
async fn each_path_takes_the_parameters_that_it_describes_and_no_others() {
    let app = router(MemoryStore::new(), AllowAll);
    let examples = [
        ("limit", "1"),
        ("cursor", "f"),
        ("status", "queued"),
        ("outcome", "lost"),
        ("name", "a"),
        ("object", "bdb:1"),
        ("tenant", "a"),
        ("since", "0"),
        ("until", "0"),
        ("label", "a"),
        ("parent", "00000000000000000000000000000000"),
        ("owner", "a"),
        ("finished_since", "0"),
        ("finished_until", "0"),
        ("order", "oldest"),
        ("bound", "1"),
        ("view", "full"),
        ("view", "records"),
        ("after", "0"),
        ("wait", "1ms"),
    ];
    let document = read(&RouterOptions::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        let parameters = item["get"]["parameters"].as_array().unwrap();
        let parameters: Vec<&Value> = parameters
            .iter()
            .filter(|one| one["in"] == "query")
            .collect();
        for one in &parameters {
            let has_example = examples.iter().any(|(known, _)| one["name"] == *known);
            assert!(has_example, "{path}: no example of {}", one["name"]);
        }
        for (name, example) in examples {
            let words = |one: &Value| one["schema"]["enum"].as_array().cloned();
            let described = parameters.iter().any(|one| {
                one["name"] == name
                    && words(one).is_none_or(|words| words.contains(&example.into()))
            });
            let filled = path.replace("{bdb_uid}", "1").replace("{uid}", "x");
            let request = Request::get(format!("{filled}?{name}={example}"));
            let request = request.body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let body = String::from_utf8_lossy(&body).into_owned();
            // A cursor is one of some list, so this one is wrong elsewhere, but known.
            let refused = body.contains("invalid_parameter")
                && !body.contains("is not a cursor of this list");
            assert_eq!(described, !refused, "{path}?{name}={example}: {body}");
        }
    }
}

/// A host's own document, with names that ours must not meet.
fn of_the_host() -> OpenApi {
    serde_json::from_value(serde_json::json!({
        "openapi": "3.1.0",
        "info": { "title": "The plane", "version": "7" },
        "security": [{ "session": [] }],
        "paths": { "/v1/bdbs": { "get": { "responses": {
            "200": { "$ref": "#/components/responses/NotFound" },
            "400": { "description": "x", "content": { "application/json": { "schema": {
                "$ref": "#/components/schemas/Error",
            } } } },
        } } } },
        "components": {
            "schemas": { "Error": { "type": "integer" }, "Uid": { "type": "integer" } },
            "responses": { "NotFound": { "description": "of the host" } },
            "securitySchemes": { "session": { "type": "apiKey", "in": "cookie", "name": "s" } },
        },
    }))
    .unwrap()
}

#[test]
fn it_merges_with_and_nests_in_the_document_of_the_host() {
    let own = serde_json::to_value(of_the_host()).unwrap();
    let ours = read(&RouterOptions::new());
    let mut merged = of_the_host();
    merged.merge(openapi(&RouterOptions::new()));
    let nested = of_the_host().nest("/cluster", openapi(&RouterOptions::new()));
    for (document, prefix) in [(merged, ""), (nested, "/cluster")] {
        let document = serde_json::to_value(document).unwrap();
        for kept in ["info", "security"] {
            assert_eq!(document[kept], own[kept], "{kept}");
        }
        assert_eq!(document["paths"]["/v1/bdbs"], own["paths"]["/v1/bdbs"]);
        for (path, item) in ours["paths"].as_object().unwrap() {
            assert_eq!(document["paths"][format!("{prefix}{path}")], *item);
        }
        // Every name still means what it meant in the document that it came from.
        for (kind, components) in document["components"].as_object().unwrap() {
            for (name, component) in components.as_object().unwrap() {
                let of = |document: &Value| document["components"][kind].get(name).cloned();
                let expected = of(&own).or_else(|| of(&ours));
                assert_eq!(expected.as_ref(), Some(component), "{kind}/{name}");
                assert!(
                    of(&own).is_none() || of(&ours).is_none(),
                    "{kind}/{name} is in both"
                );
            }
        }
        let mut named = BTreeSet::new();
        references(&document, &mut named);
        for name in named {
            let (kind, name) = name.split_once('/').unwrap();
            assert!(
                document["components"][kind].get(name).is_some(),
                "{kind}/{name}"
            );
        }
    }
}

#[test]
fn it_says_where_the_host_serves_and_what_the_options_allow() {
    let place = OpenApiOptions::new()
        .with_prefix("/cluster/")
        .with_server("https://plane.example.com");
    let options = RouterOptions::new()
        .with_cap(50)
        .with_watchers(10)
        .with_longest_wait(Duration::from_secs(7))
        .with_stream_time(Duration::from_millis(1500));
    let document = serde_json::to_value(openapi_with(&options, &place)).unwrap();
    assert_eq!(document["servers"][0]["url"], "https://plane.example.com");
    let item = |path: &str| document["paths"][format!("/cluster{path}")]["get"].clone();
    let parameter = |path: &str, name: &str| {
        let operation = item(path);
        let all = operation["parameters"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["name"] == name).unwrap()
    };
    let limit = parameter("/v1/actions", "limit");
    assert_eq!(limit["schema"]["default"], 50);
    assert!(limit["description"].as_str().unwrap().contains("up to 50."));
    assert_eq!(
        parameter("/v1/actions/changes", "limit")["schema"]["default"],
        50
    );
    for path in [
        "/v1/actions/{uid}",
        "/v2/actions/{uid}",
        "/v1/actions/changes",
    ] {
        let wait = parameter(path, "wait");
        assert!(
            wait["description"]
                .as_str()
                .unwrap()
                .contains("than 7 seconds"),
            "{wait}"
        );
    }
    let stream = item("/v1/actions/changes")["responses"]["200"].to_string();
    assert!(stream.contains("after 1.5 seconds"), "{stream}");
    let busy = document["components"]["responses"]["ActionsUnavailable"].to_string();
    assert!(
        busy.contains("10 requests wait or stream at once, 5 of one client"),
        "{busy}"
    );
}
