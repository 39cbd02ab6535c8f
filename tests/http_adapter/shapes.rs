//! The JSON of a task and of a state machine in every state.

use action_store::{
    ActionError, ActionStoreExt, ActionUid, CancelRequest, Command, Finish, Json, NewAction,
    ObjectRef, Outcome, Progress, Report, Source,
};
use serde_json::json;

use crate::support::{Plane, get, ok, on_each_store};

on_each_store! {
    a_task_in_every_state,
    a_state_machine_in_every_state,
    the_operator_detail_and_the_result_are_never_shown,
    an_object_is_written_according_to_its_kind,
    a_tasks_attributes_are_strings_among_its_fields_in_order,
    a_state_machine_shows_no_attributes,
    every_progress_is_a_number_of_the_documented_form,
    hostile_texts_are_escaped_and_preserved,
}

fn task() -> NewAction {
    NewAction::task("backup_bdb")
}

fn machine() -> NewAction {
    NewAction::state_machine("SMUpdateBDB", ObjectRef::bdb(1))
}

async fn shown(plane: &Plane, uid: ActionUid) -> String {
    ok(get(&plane.router(), &format!("/v1/actions/{uid}")).await)
}

async fn a_task_in_every_state(plane: Plane) {
    let base = |uid: ActionUid, status: &str, progress: &str| {
        json!({
            "action_uid": uid.to_string(), "task_id": uid.to_string(), "name": "backup_bdb",
            "status": status, "progress": progress,
        })
    };
    let queued = plane.queued(task()).await;
    let expected = base(queued, "queued", "0");
    assert_eq!(shown(&plane, queued).await, expected.to_string());

    let executing = plane.started(task()).await;
    let report = Report::new().with_progress(Progress::percent(14.29).unwrap());
    plane.report(executing, report.with_step("copy")).await;
    let expected = base(executing, "executing", "14.29");
    assert_eq!(shown(&plane, executing).await, expected.to_string());

    let request = CancelRequest::new().with_by("ada").with_reason("private");
    plane
        .store
        .request_cancel(executing, request)
        .await
        .unwrap();
    assert_eq!(shown(&plane, executing).await, expected.to_string());

    for (outcome, word, progress, error) in [
        (Outcome::Succeeded, "completed", "100", None),
        (Outcome::Cancelled, "cancelled", "12.5", None),
        (Outcome::Failed, "failed", "12.5", Some("disk_full")),
        (Outcome::Interrupted, "failed", "12.5", Some("interrupted")),
        (Outcome::Lost, "failed", "12.5", Some("lost")),
    ] {
        let uid = plane.ended(task(), outcome).await;
        let mut expected = base(uid, word, progress);
        if let Some(code) = error {
            let action = plane.store.action(uid).await.unwrap().unwrap();
            let message = action.error.as_ref().unwrap().message.to_string();
            assert!(!message.is_empty());
            expected["error"] = json!(message);
            expected["error_code"] = json!(code);
            expected["error_message"] = json!(message);
        }
        assert_eq!(shown(&plane, uid).await, expected.to_string(), "{outcome}");
    }
}

async fn a_state_machine_in_every_state(plane: Plane) {
    let head = |uid: ActionUid| format!(r#"{{"action_uid":"{uid}","#);
    let queued = plane.queued(machine()).await;
    let rest = concat!(
        r#""heartbeat":1700000000,"name":"SMUpdateBDB","object_name":"bdb:1","pending_ops":{},"#,
        r#""progress":0.0,"status":"queued"}"#
    );
    assert_eq!(shown(&plane, queued).await, head(queued) + rest);

    let executing = plane.started(machine()).await;
    plane.clock.advance(std::time::Duration::from_millis(9_999));
    let report = Report::new()
        .with_progress(Progress::percent(50.0).unwrap())
        .with_step("proxy_policy")
        .with_attributes(Json::new(r#"{"x":"1","pending_ops":{"b": 1.50,"a":[]}}"#).unwrap());
    plane.report(executing, report).await;
    let rest = concat!(
        r#""heartbeat":1700000009,"name":"SMUpdateBDB","object_name":"bdb:1","#,
        r#""pending_ops":{"b": 1.50,"a":[]},"progress":50.0,"state":"proxy_policy","#,
        r#""status":"executing"}"#
    );
    assert_eq!(shown(&plane, executing).await, head(executing) + rest);

    // A renewal of the owner's lease does not count as activity of the action.
    plane.clock.advance(std::time::Duration::from_secs(60));
    let renew = Command::renew(plane.owner.clone());
    plane.store.command(renew).await.unwrap();
    assert_eq!(shown(&plane, executing).await, head(executing) + rest);

    for (outcome, word, progress, error) in [
        (Outcome::Succeeded, "completed", "100", false),
        (Outcome::Cancelled, "cancelled", "12.5", false),
        (Outcome::Failed, "failed", "12.5", true),
        (Outcome::Interrupted, "failed", "12.5", true),
        (Outcome::Lost, "failed", "12.5", true),
    ] {
        let uid = plane.ended(machine(), outcome).await;
        let action = plane.store.action(uid).await.unwrap().unwrap();
        let message = action.error.as_ref().map(|e| e.message.to_string());
        let error = if error {
            format!(r#""error":"{}","#, message.unwrap())
        } else {
            String::new()
        };
        let rest = format!(
            concat!(
                r#"{}"heartbeat":1700000069,"name":"SMUpdateBDB","object_name":"bdb:1","#,
                r#""progress":{},"status":"{}"}}"#
            ),
            error, progress, word
        );
        assert_eq!(shown(&plane, uid).await, head(uid) + &rest, "{outcome}");
    }
}

#[tokio::test]
async fn only_a_succeeded_action_is_shown_as_completed_in_both_arrays() {
    for outcome in Outcome::ALL {
        for new in [task(), machine(), NewAction::new(Source::Other, "other")] {
            // A lost action ends its owner, so each outcome needs a new plane.
            let plane = Plane::new().await;
            let uid = plane.ended(new, *outcome).await;
            let json: serde_json::Value = serde_json::from_str(&shown(&plane, uid).await).unwrap();
            let completed = json["status"] == "completed";
            assert_eq!(completed, *outcome == Outcome::Succeeded, "{json}");
        }
    }
}

async fn the_operator_detail_and_the_result_are_never_shown(plane: Plane) {
    for new in [task(), machine()] {
        let uid = plane.started(new).await;
        let error = ActionError::new("disk_full", "no space left").with_detail("SECRET-PATH");
        let result = Json::new(r#"{"password":"SECRET-RESULT"}"#).unwrap();
        let finish = Finish::failed(error).with_result(result);
        plane.finish(uid, finish).await;
        assert!(!shown(&plane, uid).await.contains("SECRET"));
    }
    let list = ok(get(&plane.router(), "/v1/actions").await);
    assert!(
        list.contains("no space left") && !list.contains("SECRET"),
        "{list}"
    );
}

async fn an_object_is_written_according_to_its_kind(plane: Plane) {
    for (object, field, text) in [
        (ObjectRef::node(2), "node_uid", "2"),
        (ObjectRef::bdb(4), "object_name", "bdb:4"),
        (ObjectRef::cluster(), "object_name", "cluster"),
        (
            ObjectRef::new("crdb", "eu:1").unwrap(),
            "object_name",
            "crdb:eu:1",
        ),
    ] {
        let uid = plane.queued(task().with_object(object.clone())).await;
        let json: serde_json::Value = serde_json::from_str(&shown(&plane, uid).await).unwrap();
        for name in ["node_uid", "bdb_uid", "object_name"] {
            let expected = (name == field).then(|| json!(text));
            assert_eq!(json.get(name), expected.as_ref(), "{name} of {json}");
        }
        let new = NewAction::state_machine("SM", object.clone());
        let uid = plane.queued(new).await;
        let json: serde_json::Value = serde_json::from_str(&shown(&plane, uid).await).unwrap();
        assert_eq!(json["object_name"], object.as_str());
        assert!(json.get("bdb_uid").is_none() && json.get("node_uid").is_none());
    }
}

async fn a_tasks_attributes_are_strings_among_its_fields_in_order(plane: Plane) {
    let attributes = r#"{"zone":"a\u00e9\"b","module_uid":7,"ratio":1.50,"on":true,"none":null,
        "Big":12345678901234567890123,"pending_ops":{"a": 1},"list":[ "x" ],"":"empty name"}"#;
    let uid = plane
        .queued(task().with_attributes(Json::new(attributes).unwrap()))
        .await;
    let expected = format!(
        concat!(
            r#"{{"":"empty name","Big":"12345678901234567890123","action_uid":"{uid}","#,
            r#""list":"[ \"x\" ]","module_uid":"7","name":"backup_bdb","none":"null","on":"true","#,
            r#""pending_ops":"{{\"a\": 1}}","progress":"0","ratio":"1.50","status":"queued","#,
            // A string attribute is sent as the text that was recorded.
            r#""task_id":"{uid}","zone":"a\u00e9\"b"}}"#
        ),
        uid = uid
    );
    assert_eq!(shown(&plane, uid).await, expected);
}

async fn a_state_machine_shows_no_attributes(plane: Plane) {
    let attributes = Json::new(r#"{"module_uid":"7"}"#).unwrap();
    let uid = plane.queued(machine().with_attributes(attributes)).await;
    let shown = shown(&plane, uid).await;
    assert!(!shown.contains("module_uid"), "{shown}");
    assert!(shown.contains(r#""pending_ops":{}"#), "{shown}");
}

async fn every_progress_is_a_number_of_the_documented_form(plane: Plane) {
    let uid = plane.started(machine()).await;
    for (hundredths, number) in [
        (1, "0.01"),
        (10, "0.1"),
        (100, "1.0"),
        (1_429, "14.29"),
        (5_050, "50.5"),
        (9_900, "99.0"),
        (9_999, "99.99"),
        // Only a succeeded action shows 100.
        (10_000, "99.99"),
    ] {
        let progress = Progress::from_hundredths(hundredths).unwrap();
        plane
            .report(uid, Report::new().with_progress(progress))
            .await;
        let shown = shown(&plane, uid).await;
        let expected = format!(r#""progress":{number},"status":"executing""#);
        assert!(shown.contains(&expected), "{shown}");
    }
}

async fn hostile_texts_are_escaped_and_preserved(plane: Plane) {
    let texts = [
        "</script><script>alert(1)</script>",
        "\"},\"status\":\"completed\",{\"",
        "\\\" \\u0000 %00 \u{202e}\u{feff}\u{2028}",
        "'; DROP TABLE actions_head; --",
        "\u{10ffff}\u{fffd}é",
    ];
    for text in texts {
        let attributes = Json::of(&json!({ text: text, "nested": { text: [text] } })).unwrap();
        let new = NewAction::task(text).with_attributes(attributes);
        let error = ActionError::new(text, format!("{text}\n\t\u{1}"));
        let uid = plane.failed(new, error).await;
        let json: serde_json::Value = serde_json::from_str(&shown(&plane, uid).await).unwrap();
        assert_eq!(json["name"], text);
        assert_eq!(json[text], text);
        assert_eq!(json["status"], "failed");
        assert_eq!(json["error_code"], text);
        assert_eq!(json["error"], format!("{text}\n\t\u{1}"));
        let nested: serde_json::Value =
            serde_json::from_str(json["nested"].as_str().unwrap()).unwrap();
        assert_eq!(nested[text][0], text);
    }
    let list = ok(get(&plane.router(), "/v1/actions").await);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["actions"].as_array().unwrap().len(), texts.len());
}
