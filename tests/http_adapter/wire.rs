//! HTTP/1.1 over a real listener, byte by byte.

use std::time::Duration;

use action_store::http::{BasicAuth, router};
use action_store::{ActionUid, NewAction};
use axum::http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Plane, ask, on_each_store};

on_each_store! {
    a_connection_is_kept_alive_after_every_kind_of_answer,
    head_is_get_without_the_body,
    a_request_without_a_password_is_refused,
    an_unsupported_method_gets_an_allow_header,
    pipelined_requests_are_answered_in_order,
}

/// Timeout for every wait, so that an error fails the test instead of blocking it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Client(TcpStream);

/// A response head and body as received.
struct Raw {
    head: String,
    body: String,
}

impl Raw {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    }
}

impl Client {
    async fn send(&mut self, request: &str) {
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    /// Reads exactly one response. The next one may follow on the same connection.
    async fn read(&mut self, has_body: bool) -> Raw {
        let read = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.unwrap());
                assert!(head.len() < 16_384);
            }
            let mut raw = Raw {
                head: String::from_utf8(head).unwrap(),
                body: String::new(),
            };
            if has_body {
                let length = raw.header("content-length").unwrap().parse().unwrap();
                let mut body = vec![0; length];
                self.0.read_exact(&mut body).await.unwrap();
                raw.body = String::from_utf8(body).unwrap();
            }
            raw
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap()
    }

    async fn ask(&mut self, method: &str, path: &str) -> Raw {
        let authorization = "Basic YWRhOmh1bnRlcjI="; // ada:hunter2
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\
             Authorization: {authorization}\r\n\r\n"
        ))
        .await;
        self.read(method != "HEAD").await
    }
}

struct Server {
    address: std::net::SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(plane: &Plane) -> Server {
        let auth = BasicAuth::new("ada", "hunter2").unwrap();
        let app = router(plane.store.clone(), auth);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server { address, task }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn a_connection_is_kept_alive_after_every_kind_of_answer(plane: Plane) {
    let uid = plane.queued(NewAction::task("a")).await;
    let server = Server::start(&plane).await;
    let mut client = server.connect().await;
    let one = format!("/v1/actions/{uid}");
    for _ in 0..3 {
        for (method, path, status) in [
            ("GET", "/v1/actions", 200),
            ("HEAD", "/v1/actions", 200),
            ("GET", &*one, 200),
            ("HEAD", &*one, 200),
            ("GET", "/v1/actions/%00%ff%zz", 404),
            ("HEAD", "/v1/actions/nonsense", 404),
            ("GET", "/v1/actions?x", 400),
            ("DELETE", &*one, 405),
            ("BREW", "/v1/actions", 405),
            ("OPTIONS", "/v1/actions", 405),
            ("GET", "/v1/actions/", 404),
        ] {
            let raw = client.ask(method, path).await;
            assert_eq!(raw.status(), status, "{method} {path}: {}", raw.head);
            assert_eq!(raw.header("content-type").unwrap(), "application/json");
            assert_eq!(raw.header("cache-control").unwrap(), "no-store");
            assert_eq!(raw.header("x-content-type-options").unwrap(), "nosniff");
            if method != "HEAD" {
                serde_json::from_str::<serde_json::Value>(&raw.body).unwrap();
            }
            let allow = raw.header("allow").map(|allow| allow.replace(' ', ""));
            assert_eq!(allow.as_deref(), (status == 405).then_some("GET,HEAD"));
        }
    }
}

async fn head_is_get_without_the_body(plane: Plane) {
    let uid = plane.queued(NewAction::task("a")).await;
    let server = Server::start(&plane).await;
    let mut client = server.connect().await;
    let headers = |raw: &Raw| {
        let lines = raw.head.lines().filter(|line| !line.starts_with("date: "));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    for path in [
        "/v1/actions".to_owned(),
        format!("/v1/actions/{uid}"),
        format!("/v1/actions/{}", ActionUid::new()),
    ] {
        let get = client.ask("GET", &path).await;
        let head = client.ask("HEAD", &path).await;
        assert_eq!(headers(&head), headers(&get), "{path}");
        let length: usize = head.header("content-length").unwrap().parse().unwrap();
        assert_eq!(length, get.body.len());
        // Without a listener, so that only the adapter can remove the body.
        let answer = ask(&plane.router(), Method::HEAD, &path).await;
        assert_eq!(answer.body, "");
        assert_eq!(answer.header("content-length"), length.to_string());
    }
}

async fn a_request_without_a_password_is_refused(plane: Plane) {
    let server = Server::start(&plane).await;
    let mut client = server.connect().await;
    client
        .send("GET /v1/actions HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let raw = client.read(true).await;
    assert_eq!(raw.status(), 401);
    let challenge = raw.header("www-authenticate").unwrap();
    assert_eq!(challenge, r#"Basic realm="actions""#);
    // A header with invalid bytes is refused as a wrong password, and the connection
    // stays open.
    let head = b"GET /v1/actions HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xfe\r\n\r\n";
    client.0.write_all(head).await.unwrap();
    assert_eq!(client.read(true).await.status(), 401);
    assert_eq!(client.ask("GET", "/v1/actions").await.status(), 200);
}

async fn an_unsupported_method_gets_an_allow_header(plane: Plane) {
    let app = plane.router();
    for path in ["/v1/actions", "/v1/actions/x"] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = ask(&app, method, path).await;
            let (code, _) = answer.error(StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(code, "method_not_allowed");
            let allow: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
            assert_eq!(allow, ["GET", "HEAD"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_are_answered_concurrently() {
    let plane = Plane::new().await;
    let uid = plane.queued(NewAction::task("a")).await;
    let server = Server::start(&plane).await;
    let mut idle = Vec::new();
    // These clients send incomplete requests. They must not delay the others.
    for _ in 0..8 {
        let mut client = server.connect().await;
        client.send("GET /v1/actions HTTP/1.1\r\nHost:").await;
        idle.push(client);
    }
    let mut tasks = Vec::new();
    for n in 0..16 {
        let mut client = server.connect().await;
        tasks.push(tokio::spawn(async move {
            for round in 0..20 {
                let path = match (n + round) % 2 {
                    0 => "/v1/actions".to_owned(),
                    _ => format!("/v1/actions/{uid}"),
                };
                let raw = client.ask("GET", &path).await;
                assert_eq!(raw.status(), 200);
                assert!(raw.body.contains(&uid.to_string()));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn pipelined_requests_are_answered_in_order(plane: Plane) {
    let server = Server::start(&plane).await;
    let mut client = server.connect().await;
    let request = |n: u32| {
        format!(
            "GET /v1/actions/none-{n} HTTP/1.1\r\nHost: x\r\n\
             Authorization: Basic YWRhOmh1bnRlcjI=\r\n\r\n"
        )
    };
    let all: String = (0..10).map(request).collect();
    client.send(&all).await;
    for n in 0..10 {
        let raw = client.read(true).await;
        assert_eq!(raw.status(), 404);
        assert!(raw.body.contains(&format!("none-{n} ")), "{}", raw.body);
    }
}
