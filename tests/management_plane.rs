//! The example plane, killed at random moments: what it answered is on record, and nothing that
//! it left in the middle reads as if it were still going on.
//!
//! `MANAGEMENT_PLANE_KILLS` says how often (5 unless set), `MANAGEMENT_PLANE_SEED` when.

// A test that fails may panic, outside of a function marked as one, too.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Order, Outcome, Query,
    SqliteStore, Status,
};
use base64::Engine as _;
use serde_json::Value;

/// A running plane. Killed, without a chance to say a word, when this is dropped.
struct Plane {
    child: Child,
    address: String,
}

impl Plane {
    fn program() -> PathBuf {
        // Examples are built beside the directory of the tests.
        let test = std::env::current_exe().unwrap();
        let built = test.parent().and_then(Path::parent).unwrap();
        let program = built.join("examples/management_plane");
        let program = program.with_extension(std::env::consts::EXE_EXTENSION);
        assert!(
            program.exists(),
            "{} is not built: `cargo test` does it, and `cargo build --example management_plane`",
            program.display()
        );
        program
    }

    fn command(data: &Path) -> Command {
        let mut command = Command::new(Plane::program());
        command.args([
            "--addr",
            "127.0.0.1:0",
            "--user",
            "ada",
            "--password",
            "pass word",
        ]);
        command.arg("--data").arg(data);
        command
    }

    /// Starts one and waits until it listens: then it has settled what the last one left.
    fn start(data: &Path) -> Plane {
        let mut command = Plane::command(data);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.strip_prefix("listening on http://")?.to_owned())
        });
        let address = found.unwrap_or_else(|| panic!("the plane ended: {:?}", child.wait()));
        // Nobody reads on, and the pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Plane { child, address }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let user = base64::engine::general_purpose::STANDARD.encode("ada:pass word");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: plane\r\nConnection: close\r\n\
             Authorization: Basic {user}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.get(9..12).and_then(|code| code.parse().ok());
        Ok((status.ok_or_else(broken)?, serde_json::from_str(body)?))
    }

    /// Asks for an operation. An answer is a promise.
    fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<ActionUid> {
        let (status, answer) = self.request(method, path, body)?;
        assert_eq!(status, 202, "{method} {path}: {answer}");
        Ok(answer["action_uid"].as_str().unwrap().parse().unwrap())
    }

    fn read(&self, uid: ActionUid) -> Value {
        let path = format!("/v1/actions/{uid}");
        let (status, entry) = self.request("GET", &path, "").unwrap();
        assert_eq!(status, 200, "{entry}");
        entry
    }
}

/// Waits until an action is over, at most a minute.
fn ended(plane: &Plane, uid: ActionUid) -> Value {
    for _ in 0..1200 {
        let entry = plane.read(uid);
        if !["queued", "executing"].contains(&entry["status"].as_str().unwrap()) {
            return entry;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{uid} does not end");
}

impl Drop for Plane {
    fn drop(&mut self) {
        // SIGKILL on Unix.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
async fn nothing_that_was_answered_is_forgotten_and_nothing_reads_unfinished_after_a_kill() {
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
                let over = ["completed", "failed"].contains(&entry["status"].as_str().unwrap());
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
                    Ok(uid) => answered.push(uid),
                    Err(_) => return,
                }
                std::thread::sleep(Duration::from_millis(random.below(60)));
            }
        });
        std::thread::sleep(moment);
        kill(&plane);
        asking.join().unwrap();
    });
    answered
}

/// Kills a plane that somebody is still talking to.
fn kill(plane: &Plane) {
    let killed = Command::new("kill")
        .arg("-9")
        .arg(plane.child.id().to_string())
        .status();
    assert!(killed.unwrap().success());
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
    assert_eq!(first.len(), 11);
    let failed: Vec<&str> = first
        .values()
        .filter_map(|action| Some(&*action.error.as_ref()?.code))
        .collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.contains(&"bdb_not_found") && failed.contains(&"bdb_corrupt"));
    let said = run().await;
    assert!(
        said.contains("the history has 11 actions of earlier runs"),
        "{said}"
    );
    let second = history(data).await;
    assert_eq!(second.len(), 22);
    for (uid, action) in &first {
        assert_eq!(&second[uid], action);
    }
}

#[tokio::test]
async fn bad_requests_are_refused_and_leave_no_action() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    for (method, path, body) in [
        ("POST", "/v1/bdbs", "{"),
        ("POST", "/v1/bdbs", r#"{"name":"a"}"#),
        ("POST", "/v1/bdbs", r#"{"name":"","rows":1}"#),
        ("POST", "/v1/bdbs", r#"{"name":"a","rows":-1}"#),
        ("POST", "/v1/bdbs", r#"{"name":"a","rows":10000001}"#),
        ("PUT", "/v1/bdbs/x/actions/backup", ""),
        ("DELETE", "/v1/bdbs/-1", ""),
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
        let mut stream = TcpStream::connect(&plane.address).unwrap();
        let end = "Host: plane\r\nConnection: close\r\n\r\n{\"name\":\"a\",\"rows\":1}";
        stream
            .write_all(format!("{request}{end}").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(
            answer
                .to_ascii_lowercase()
                .contains("www-authenticate: basic"),
            "{answer}"
        );
    }
    let good = r#"{"name":"a","rows":1}"#;
    let good = plane.ask("POST", "/v1/bdbs", good).unwrap();
    drop(plane);
    let history = history(directory.path()).await;
    let asked_for = |action: &&Arc<Action>| action.actor.as_deref() == Some("ada");
    let asked_for: Vec<_> = history.values().filter(asked_for).collect();
    assert_eq!(asked_for.len(), 1);
    assert_eq!(asked_for[0].uid, good);
}

#[test]
fn what_is_wrong_with_a_database_ends_as_a_failed_action_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    let new = r#"{"name":"small","rows":50}"#;
    let (status, answer) = plane.request("POST", "/v1/bdbs", new).unwrap();
    assert_eq!(status, 202, "{answer}");
    let bdb = answer["bdb_uid"].as_str().unwrap();
    let created = ended(
        &plane,
        answer["action_uid"].as_str().unwrap().parse().unwrap(),
    );
    assert_eq!(created["status"], "completed", "{created}");
    let check = || {
        let path = format!("/v1/bdbs/{bdb}/actions/check");
        ended(&plane, plane.ask("POST", &path, "").unwrap())
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
        let missing = ended(&plane, plane.ask(method, path, "").unwrap());
        assert_eq!(missing["error_code"], "bdb_not_found");
        assert_eq!(missing["error_message"], "there is no database 999");
    }
    let missing = ended(&plane, plane.ask("DELETE", "/v1/bdbs/999", "").unwrap());
    assert_eq!(
        (&missing["status"], &missing["error"]),
        (&"failed".into(), &"there is no database 999".into())
    );
}
