//! `serve`, with a plain HTTP client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use action_store::{ActionStore, ActionStoreExt, NewAction};
use base64::Engine as _;

use crate::support::{Place, Running, fill};

struct Served {
    running: Running,
    at: String,
}

impl Served {
    fn start(place: &Place, arguments: &[&str], password: Option<&str>) -> Served {
        let arguments = [&["serve", "--addr", "127.0.0.1:0", "--json"], arguments].concat();
        let mut command = place.command(&arguments);
        if let Some(password) = password {
            command.env("ACTIONS_PASSWORD", password);
        }
        Served {
            running: Running::start(command),
            at: String::new(),
        }
    }

    /// Returns what it says when it listens.
    fn said(&mut self) -> serde_json::Value {
        let line = self.running.line().expect("a line");
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = said["url"].as_str().unwrap();
        self.at = url.strip_prefix("http://").unwrap().to_owned();
        said
    }

    /// Sends a request. Returns the status and the rest of the answer.
    fn get(&self, path: &str, user: Option<&str>) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.at).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let auth = user.map(|user| {
            let user = base64::engine::general_purpose::STANDARD.encode(user);
            format!("Authorization: Basic {user}\r\n")
        });
        let auth = auth.unwrap_or_default();
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{auth}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_shows_a_living_planes_store_to_who_has_the_password() {
    let place = Place::new();
    let plane = place.open().await;
    let filled = fill(&*plane).await;
    let mut served = Served::start(&place, &["--user", "ada"], Some("correct horse"));
    let said = served.said();
    assert_eq!(
        said["password"],
        serde_json::Value::Null,
        "it is known already"
    );
    let known = Some("ada:correct horse");
    for path in ["/v1/actions", "/v2/actions", "/v1/actions/changes"] {
        assert_eq!(served.get(path, None).0, 401, "{path}");
        assert_eq!(served.get(path, Some("ada:wrong")).0, 401, "{path}");
        assert_eq!(
            served.get(path, Some("admin:correct horse")).0,
            401,
            "{path}"
        );
        assert_eq!(served.get(path, known).0, 200, "{path}");
    }
    let (_, list) = served.get("/v1/actions", known);
    assert!(list.contains(&filled.failed.to_string()), "{list}");
    let new = plane.create(NewAction::task("new")).await.unwrap().uid;
    assert_eq!(served.get(&format!("/v1/actions/{new}"), known).0, 200);
    // The page and the description contain no data.
    assert!(served.get("/console", None).1.contains("<!doctype html>"));
    assert!(served.get("/openapi.json", None).1.contains("\"openapi\""));
    assert_eq!(served.get("/", None).0, 303);
    served.running.signal("INT");
    served.running.end().ends(0);
    plane.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_password_a_new_one_is_drawn_each_time() {
    let place = Place::new();
    place.filled().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut served = Served::start(&place, &[], None);
        let said = served.said();
        let password = said["password"].as_str().unwrap().to_owned();
        assert!(password.len() >= 20, "{password}");
        let user = format!("admin:{password}");
        assert_eq!(served.get("/v1/actions", None).0, 401);
        assert_eq!(served.get("/v1/actions", Some(&user)).0, 200);
        served.running.signal("TERM");
        served.running.end().ends(0);
        seen.push(password);
    }
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_a_file_and_an_empty_one_is_refused() {
    let place = Place::new();
    place.filled().await;
    std::fs::write(place.path("password"), "from a file\nsecond line\n").unwrap();
    let mut served = Served::start(&place, &["--password-file", "password"], Some("not this"));
    served.said();
    assert_eq!(served.get("/v1/actions", Some("admin:from a file")).0, 200);
    assert_eq!(served.get("/v1/actions", Some("admin:not this")).0, 401);
    served.running.signal("INT");
    served.running.end().ends(0);

    std::fs::write(place.path("empty"), "\n").unwrap();
    let mut empty = Served::start(&place, &["--password-file", "empty"], None);
    let ran = empty.running.end().ends(2);
    assert!(
        ran.err.contains("password: must not be empty"),
        "{}",
        ran.err
    );
    let mut empty = Served::start(&place, &[], Some(""));
    empty.running.end().ends(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_does_not_delay_the_end() {
    let place = Place::new();
    place.filled().await;
    let mut served = Served::start(&place, &[], Some("correct horse"));
    served.said();
    let mut stream = TcpStream::connect(&served.at).unwrap();
    let user = base64::engine::general_purpose::STANDARD.encode("admin:correct horse");
    let head = format!(
        "GET /v1/actions/changes?after=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\
         Authorization: Basic {user}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut some = [0; 16];
    stream.read_exact(&mut some).unwrap();
    assert_eq!(&some, b"HTTP/1.1 200 OK\r");
    // `end` waits for a minute; the stream would go on for five.
    served.running.signal("INT");
    served.running.end().ends(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_ends_with_1() {
    let place = Place::new();
    place.filled().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let ran = place.run(&["serve", "--addr", &addr]).ends(1);
    assert!(
        ran.err.contains(&addr) && ran.err.contains("hint:"),
        "{}",
        ran.err
    );
}
