//! Kills the example plane at random moments. Answered requests are recorded, no interrupted action
//! stays unfinished, and each names who decided its outcome. A database has one operation at a
//! time, and each can be cancelled.
//!
//! `MANAGEMENT_PLANE_KILLS` says how often (5 unless set), `MANAGEMENT_PLANE_SEED` when.

// A test that fails may panic, outside of a function marked as one, too.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "management_plane/cross_site.rs"]
mod cross_site;
#[cfg(all(unix, feature = "postgres"))]
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/running_plane.rs"]
mod running_plane;
#[path = "management_plane/scraped.rs"]
mod scraped;
#[cfg(all(unix, feature = "postgres"))]
#[path = "management_plane/several.rs"]
mod several;
#[cfg(unix)]
#[path = "management_plane/unauthenticated.rs"]
mod unauthenticated;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Order, Outcome, Query,
    SqliteStore, Status,
};
use running_plane::Plane;
use serde_json::Value;

/// Everything on record, while no plane has it open.
async fn history(data: &Path) -> HashMap<ActionUid, Arc<Action>> {
    let store = SqliteStore::open(data.join("actions.db")).await.unwrap();
    let query = Query::new().with_order(Order::Oldest);
    let actions = store.pages(query).collect().await.unwrap();
    store.close().await.unwrap();
    actions
        .into_iter()
        .map(|action| (action.uid, action))
        .collect()
}

/// splitmix64: enough for picking moments, and the same again from the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn number_from(variable: &str, or: impl FnOnce() -> u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => or(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_actions_survive_a_kill_and_none_stays_unfinished() {
    let kills = number_from("MANAGEMENT_PLANE_KILLS", || 5);
    let seed = number_from("MANAGEMENT_PLANE_SEED", || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap().as_micros().try_into().unwrap()
    });
    println!("MANAGEMENT_PLANE_SEED={seed}");
    let mut random = Random(seed);
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();

    let mut promised = Vec::new();
    let mut before: HashMap<ActionUid, Arc<Action>> = HashMap::new();
    let mut lost = 0;
    for round in 0..=kills {
        let plane = Plane::start(data);
        lost += check_settled(&plane, &before);
        if round == kills {
            break;
        }
        let moment = Duration::from_millis(200 + random.below(3000));
        promised.extend(ask_until_killed(plane, moment, &mut random));

        let now = history(data).await;
        for uid in &promised {
            assert!(now.contains_key(uid), "{uid} was answered and is gone");
        }
        for (uid, action) in &before {
            let now = &now[uid];
            match (action.status, now.outcome) {
                (Status::Completed, _) => assert_eq!(now, action, "history has changed"),
                (Status::Executing, Some(Outcome::Lost)) => {
                    let evidence = now.evidence.as_ref().unwrap();
                    assert_eq!(Some(&evidence.owner), action.owner.as_ref());
                    assert_eq!(&*now.error.as_ref().unwrap().code, ActionError::LOST);
                }
                (Status::Queued, Some(Outcome::Interrupted)) => {}
                (was, is) => panic!("{uid} was {was} when its plane was killed and is {is:?}"),
            }
        }
        before = now;
    }
    assert!(lost > 0, "no plane was killed in the middle of anything");
    println!("{kills} kills, {} answers, {lost} lost", promised.len());
}

/// Checks over HTTP what became of what the last plane left. Returns how many were lost.
fn check_settled(plane: &Plane, before: &HashMap<ActionUid, Arc<Action>>) -> usize {
    let mut lost = 0;
    for action in before.values() {
        let entry = plane.read(action.uid);
        let task = entry.get("task_id").is_some();
        let code = match action.status {
            Status::Completed => {
                let over = ["completed", "failed", "cancelled"]
                    .contains(&entry["status"].as_str().unwrap());
                assert!(over, "{entry}");
                continue;
            }
            Status::Executing => {
                lost += 1;
                ActionError::LOST
            }
            Status::Queued => ActionError::INTERRUPTED,
        };
        assert_eq!(entry["status"], "failed", "{entry}");
        if task {
            assert_eq!(entry["error_code"], code, "{entry}");
        }
        assert!(entry["error"].is_string(), "{entry}");
    }
    lost
}

/// Asks for one operation after the other until the plane is killed. Returns what was answered.
fn ask_until_killed(plane: Plane, moment: Duration, random: &mut Random) -> Vec<ActionUid> {
    let mut answered = Vec::new();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            // One ask fails when the plane is gone; how many come before that is up to the moment.
            for turn in 0..1000 {
                let bdb = 1 + random.below(10);
                let asked = match turn % 4 {
                    0 => plane.ask("POST", "/v1/bdbs", r#"{"name":"more","rows":20000}"#),
                    1 => plane.ask("PUT", &format!("/v1/bdbs/{bdb}/actions/backup"), ""),
                    2 => plane.ask("POST", &format!("/v1/bdbs/{bdb}/actions/check"), ""),
                    _ => plane.ask("DELETE", &format!("/v1/bdbs/{bdb}"), ""),
                };
                match asked {
                    Ok(uid) => answered.extend(uid),
                    Err(_) => return,
                }
                std::thread::sleep(Duration::from_millis(random.below(60)));
            }
        });
        std::thread::sleep(moment);
        plane.kill();
        asking.join().unwrap();
    });
    answered
}

#[tokio::test]
async fn a_second_run_shows_the_history_of_the_first_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let run = || async {
        let mut command = tokio::process::Command::from({
            let mut command = Plane::command(data);
            command.arg("--once");
            command
        });
        command.kill_on_drop(true);
        let run = tokio::time::timeout(Duration::from_secs(120), command.output());
        let output = run.await.unwrap().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    run().await;
    let first = history(data).await;
    assert_eq!(first.len(), 14);
    let cancelled = |action: &&Arc<Action>| action.outcome == Some(Outcome::Cancelled);
    assert_eq!(first.values().filter(cancelled).count(), 1);
    let failed: Vec<&str> = first
        .values()
        .filter(|action| action.outcome == Some(Outcome::Failed))
        .filter_map(|action| Some(&*action.error.as_ref()?.code))
        .collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.contains(&"bdb_not_found") && failed.contains(&"bdb_corrupt"));
    let said = run().await;
    assert!(
        said.contains("the history has 14 actions of earlier runs"),
        "{said}"
    );
    let second = history(data).await;
    assert_eq!(second.len(), 28);
    // The second run finds what the first one has damaged, and is not stopped by it.
    let warned = second.values().filter(|action| !action.warnings.is_empty());
    assert_eq!(
        warned.map(|action| &*action.name).collect::<Vec<_>>(),
        ["check_node"]
    );
    for (uid, action) in &first {
        assert_eq!(&second[uid], action);
    }
}

#[tokio::test]
async fn bad_requests_are_refused_and_leave_no_action() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let cancel = format!("/v1/actions/{}/cancel", ActionUid::new());
    for (method, path, body) in [
        ("POST", "/v1/bdbs", "{"),
        ("POST", "/v1/bdbs", r#"{"name":"a"}"#),
        ("POST", "/v1/bdbs", r#"{"name":"","rows":1}"#),
        ("POST", "/v1/bdbs", r#"{"name":"a","rows":-1}"#),
        ("POST", "/v1/bdbs", r#"{"name":"a","rows":10000001}"#),
        ("PUT", "/v1/bdbs/x/actions/backup", ""),
        ("DELETE", "/v1/bdbs/-1", ""),
        ("POST", &cancel, "{"),
        ("POST", &cancel, r#"{"why":"so"}"#),
    ] {
        let (status, answer) = plane.request(method, path, body).unwrap();
        assert_eq!(
            (status, &answer["error_code"]),
            (400, &"invalid".into()),
            "{path} {body}"
        );
    }
    // Without the password nothing is done and nothing is shown.
    for request in [
        "POST /v1/bdbs HTTP/1.1\r\nContent-Length: 21\r\n",
        "DELETE /v1/bdbs/1 HTTP/1.1\r\n",
        "GET /v1/actions HTTP/1.1\r\n",
    ] {
        plane.refuses_without_password(request);
    }
    let good = r#"{"name":"a","rows":1}"#;
    let good = plane.order("POST", "/v1/bdbs", good);
    drop(plane);
    let history = history(directory.path()).await;
    let asked_for = |action: &&Arc<Action>| action.actor.as_deref() == Some("ada");
    let asked_for: Vec<_> = history.values().filter(asked_for).collect();
    assert_eq!(asked_for.len(), 1);
    assert_eq!(asked_for[0].uid, good);
}

#[test]
fn a_broken_database_ends_as_a_failed_action_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let new = r#"{"name":"small","rows":50}"#;
    let (status, answer) = plane.request("POST", "/v1/bdbs", new).unwrap();
    assert_eq!(status, 202, "{answer}");
    let bdb = answer["bdb_uid"].as_str().unwrap();
    let created = plane.ended(answer["action_uid"].as_str().unwrap().parse().unwrap());
    assert_eq!(created["status"], "completed", "{created}");
    let check = || {
        let path = format!("/v1/bdbs/{bdb}/actions/check");
        plane.ended(plane.order("POST", &path, ""))
    };
    assert_eq!(check()["status"], "completed");
    let file = directory.path().join(format!("bdb-{bdb}.db"));
    std::fs::write(
        &file,
        "this is no database, however long one looks at it".repeat(100),
    )
    .unwrap();
    assert_eq!(check()["error_code"], "bdb_corrupt");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let unreadable = check();
    assert_eq!(unreadable["error_code"], "bdb_file_missing");
    assert!(
        !unreadable.to_string().contains(file.to_str().unwrap()),
        "{unreadable}"
    );
    for (method, path) in [
        ("PUT", "/v1/bdbs/999/actions/backup"),
        ("POST", "/v1/bdbs/999/actions/check"),
    ] {
        let missing = plane.ended(plane.order(method, path, ""));
        assert_eq!(missing["error_code"], "bdb_not_found");
        assert_eq!(missing["error_message"], "there is no database 999");
    }
    let missing = plane.ended(plane.order("DELETE", "/v1/bdbs/999", ""));
    assert_eq!(
        (&missing["status"], &missing["error"]),
        (&"failed".into(), &"there is no database 999".into())
    );
}

/// Begins to create a database that is not made within the time of a test, and waits until it has
/// rows.
fn begin_large(plane: &Plane) -> (ActionUid, String) {
    let new = r#"{"name":"large","rows":10000000}"#;
    let (status, answer) = plane.request("POST", "/v1/bdbs", new).unwrap();
    assert_eq!(status, 202, "{answer}");
    let text = |field: &str| answer[field].as_str().unwrap().to_owned();
    let uid = text("action_uid").parse().unwrap();
    plane.until(uid, |entry| entry["progress"].as_f64() > Some(0.0));
    (uid, text("bdb_uid"))
}

#[tokio::test]
async fn one_operation_at_a_time_on_a_database_and_each_can_be_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let (uid, bdb) = begin_large(&plane);
    let backup = format!("/v1/bdbs/{bdb}/actions/backup");
    let conflict = |method: &str, path: &str| {
        let (status, answer) = plane.request(method, path, "").unwrap();
        assert_eq!((status, &answer["error_code"]), (409, &"conflict".into()));
        assert_eq!(answer["action_uid"], uid.to_string(), "{answer}");
    };
    conflict("PUT", &backup);
    conflict("DELETE", &format!("/v1/bdbs/{bdb}"));

    let cancel = format!("/v1/actions/{uid}/cancel");
    plane.refuses_without_password(&format!("POST {cancel} HTTP/1.1\r\n"));
    let part = directory.path().join(format!("bdb-{bdb}.part"));
    assert!(part.exists());
    let asked = plane.order("POST", &cancel, r#"{"reason":"not wanted"}"#);
    assert_eq!(asked, uid);
    assert_eq!(plane.ended(uid)["status"], "cancelled");
    assert!(!part.exists(), "what was made is gone");
    conflict("POST", &cancel);
    for absent in [ActionUid::new().to_string(), "x".to_owned()] {
        let path = format!("/v1/actions/{absent}/cancel");
        let (status, answer) = plane.request("POST", &path, "").unwrap();
        assert_eq!(
            (status, &answer["error_code"]),
            (404, &"action_not_found".into())
        );
    }
    // Nothing is in the way any more; but there is no such database either.
    let backup = plane.ended(plane.order("PUT", &backup, ""));
    assert_eq!(backup["error_code"], "bdb_not_found");
    drop(plane);
    let cancelled = &history(directory.path()).await[&uid];
    assert_eq!(cancelled.outcome, Some(Outcome::Cancelled));
    let cancel = cancelled.cancel.as_ref().unwrap();
    let said = (cancel.by.as_deref(), cancel.reason.as_deref());
    assert_eq!(said, (Some("ada"), Some("not wanted")));
}

#[test]
fn the_next_start_says_what_was_lost_and_who_decided_that() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let (uid, bdb) = begin_large(&plane);
    drop(plane);
    let plane = Plane::start(directory.path());
    // It serves once it has said it.
    assert_eq!(plane.read(uid)["status"], "failed");
    let line = plane.says(|line| line.contains(&uid.to_string()));
    let object = format!("SMCreateBDB bdb:{bdb} at ");
    let (owner, decider) = ("its owner plane@node-1/", "decided by plane@node-1");
    for part in [&object, owner, "is disconnected, last seen ", decider] {
        assert!(line.contains(part), "{line} does not say {part}");
    }
    // Its key went with it.
    plane.order("DELETE", &format!("/v1/bdbs/{bdb}"), "");
}

/// Starts that many incomplete requests, and returns the answer to the next request.
fn too_many(plane: &Plane, most: usize, head: &str) -> Value {
    let begin = |count: usize| (0..count).map(|_| plane.begin(head).unwrap());
    let mut held: Vec<_> = begin(most).collect();
    for _ in 0..20 {
        // Some may have been refused while earlier ones were not over: others take their place.
        held.extend(begin(16));
        // It may be answered before one of them, because all are read at the same time.
        let next = plane.request("GET", "/v1/actions/changes?wait=1ms", "");
        match next.unwrap() {
            (503, answer) => return answer,
            _ => std::thread::sleep(Duration::from_millis(300)),
        }
    }
    panic!("{} at once are not too many", held.len());
}

#[test]
fn the_reference_that_a_client_is_given_is_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let stream = "GET /v1/actions/changes HTTP/1.1\r\nAccept: text/event-stream\r\n";
    let no_body = "POST /v1/bdbs HTTP/1.1\r\n\
        Content-Type: application/json\r\nContent-Length: 21\r\n";
    for (most, head, code) in [(128, stream, "too_many_watchers"), (256, no_body, "busy")] {
        let answer = too_many(&plane, most, head);
        assert_eq!(answer["error_code"], code, "{answer}");
        let reference = answer["reference"].as_str().unwrap();
        let line = plane.says(|line| line.contains(reference));
        assert!(line.contains("serve: "), "{line} does not say what failed");
    }
}

#[test]
fn a_client_that_sends_nothing_is_disconnected() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let mut stream = plane.connect();
    stream
        .set_read_timeout(Some(Duration::from_secs(120)))
        .unwrap();
    stream
        .write_all(b"GET /v1/actions HTTP/1.1\r\nHost:")
        .unwrap();
    // Not an error, which the time of the read itself would be.
    stream.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn it_speaks_as_clients_of_the_vendor_expect() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start_with(directory.path(), &["--words", "vendor"]);
    let (uid, _) = begin_large(&plane);
    assert_eq!(plane.read(uid)["status"], "active");
    let path = format!("/v1/actions/{uid}");
    plane.refuses_without_password(&format!("DELETE {path} HTTP/1.1\r\n"));
    assert_eq!(plane.order("DELETE", &path, ""), uid);
    let over = |entry: &Value| entry["status"] == "failed";
    assert_eq!(
        plane.until(uid, over)["error"],
        "it was cancelled on request"
    );
    // A task on a node; every field is a string.
    let check = plane.order("POST", "/v1/nodes/1/actions/check", "");
    let checked = plane.until(check, |entry| entry["status"] == "completed");
    let fields = checked.as_object().unwrap();
    assert!(fields.values().all(Value::is_string), "{checked}");
    assert_eq!(
        (&checked["node_uid"], &checked["progress"]),
        (&"1".into(), &"100".into())
    );
}
