//! Authentication, which happens before any read of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use action_store::http::{
    Authorizer, BasicAuth, Denied, Permission, RouterOptions, Scope, router, router_with,
};
use action_store::{ActionStore, ActionUid, MemoryStore, NewAction, Query};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Answer, Between, GetAnswer, ListAnswer, Plane, Through, ask, get, ok, send};

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

async fn with_header(app: &Router, path: &str, authorization: &[&str]) -> Answer {
    let mut request = Request::get(path);
    for value in authorization {
        request = request.header("authorization", *value);
    }
    send(app, request.body(Body::empty()).unwrap()).await
}

/// Counts the reads of the store.
#[derive(Debug, Clone, Default)]
struct Counts(Arc<AtomicUsize>);

#[async_trait]
impl Between for Counts {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        self.0.fetch_add(1, Ordering::Relaxed);
        action_store::ActionStore::list(store, query).await
    }
    async fn get(&self, store: &dyn ActionStore, uids: &[ActionUid]) -> GetAnswer {
        self.0.fetch_add(1, Ordering::Relaxed);
        action_store::ActionStore::get(store, uids).await
    }
}

#[tokio::test]
async fn every_path_checks_authorization_before_it_reads_the_store() {
    let plane = Plane::new().await;
    let uid = plane.queued(NewAction::task("a")).await;
    let counts = Counts::default();
    let paths = [
        ("/v1/actions".to_owned(), StatusCode::OK),
        ("/v1/actions?bad=1".to_owned(), StatusCode::BAD_REQUEST),
        (format!("/v1/actions/{uid}"), StatusCode::OK),
        (
            format!("/v1/actions/{}", ActionUid::new()),
            StatusCode::NOT_FOUND,
        ),
        ("/v1/actions/nonsense".to_owned(), StatusCode::NOT_FOUND),
        (format!("/v1/actions/{uid}/x"), StatusCode::NOT_FOUND),
    ];
    let verdicts = [
        (
            Err(Denied::basic("r")),
            Some((StatusCode::UNAUTHORIZED, "unauthorized")),
        ),
        (
            Err(Denied::Forbidden),
            Some((StatusCode::FORBIDDEN, "forbidden")),
        ),
        (
            Err(Denied::Unavailable),
            Some((StatusCode::SERVICE_UNAVAILABLE, "unavailable")),
        ),
        (Ok(Scope::everything()), None),
    ];
    for (verdict, expected) in verdicts {
        let store = Through(plane.store.clone(), counts.clone());
        let given = verdict.clone();
        let app = router(store, move |_: &Parts, permission: Permission| {
            assert_eq!(permission.as_str(), "view_status_of_cluster_action");
            given.clone()
        });
        for (path, allowed) in &paths {
            let answer = get(&app, path).await;
            match expected {
                None => assert_eq!(answer.status, *allowed, "{path}"),
                Some((status, code)) => {
                    assert_eq!(answer.error(status).0, code, "{path}");
                    let challenge = answer.headers.contains_key("www-authenticate");
                    assert_eq!(challenge, status == StatusCode::UNAUTHORIZED);
                    let retry = answer.headers.contains_key("retry-after");
                    assert_eq!(retry, status == StatusCode::SERVICE_UNAVAILABLE);
                }
            }
        }
        let looked_up = counts.0.swap(0, Ordering::Relaxed);
        // A list reads twice, unfinished and finished actions. A denied request reads
        // nothing.
        assert_eq!(looked_up, if verdict.is_ok() { 4 } else { 0 });
    }
}

#[tokio::test]
async fn an_authorizer_sees_the_request_head_and_can_await() {
    #[derive(Debug)]
    struct ByHeader;
    #[async_trait]
    impl Authorizer for ByHeader {
        async fn authorize(&self, parts: &Parts, _: Permission) -> Result<Scope, Denied> {
            tokio::task::yield_now().await;
            let role = parts.headers.get("x-role").map(|role| role.as_bytes());
            match (role, parts.extensions.get::<&'static str>()) {
                (Some(b"viewer"), Some(&"from a layer")) => Ok(Scope::everything()),
                (Some(_), _) => Err(Denied::Forbidden),
                (None, _) => Err(Denied::basic("quo\"te\\d\r\n\u{e9}")),
            }
        }
    }
    let plane = Plane::new().await;
    let app = router(plane.store.clone(), Arc::new(ByHeader));
    let answer = get(&app, "/v1/actions").await;
    answer.error(StatusCode::UNAUTHORIZED);
    let realm = r#"Basic realm="quo\"te\\d""#;
    assert_eq!(answer.header("www-authenticate"), realm);
    let request = || Request::get("/v1/actions").header("x-role", "viewer");
    let answer = send(&app, request().body(Body::empty()).unwrap()).await;
    answer.error(StatusCode::FORBIDDEN);
    let request = request().extension("from a layer");
    ok(send(&app, request.body(Body::empty()).unwrap()).await);
}

#[tokio::test]
async fn basic_auth_accepts_only_known_credentials() {
    let auth = BasicAuth::new("ada", "s3cret:é")
        .unwrap()
        .with_user("bob", "hunter2")
        .unwrap()
        .with_user("bob", "hunter3")
        .unwrap()
        .with_realm("cluster");
    let plane = Plane::new().await;
    let app = router(plane.store.clone(), auth);
    let encoded = STANDARD.encode("ada:s3cret:é");
    for good in [
        basic("ada", "s3cret:é"),
        basic("bob", "hunter2"),
        basic("bob", "hunter3"),
        format!("bASIC {encoded}"),
        format!("Basic   {encoded}"),
    ] {
        ok(with_header(&app, "/v1/actions", &[&good]).await);
    }
    let good = basic("ada", "s3cret:é");
    let long = "x".repeat(20_000);
    for bad in [
        vec![],
        vec![&*basic("ada", "s3cret:e")],
        vec![&*basic("ada", "s3cret:é ")],
        vec![&*basic("ada", "")],
        vec![&*basic("Ada", "s3cret:é")],
        vec![&*basic("", "")],
        vec![&*basic("ada", "hunter2")],
        vec![&*basic("ada", "s3cret:é\0")],
        vec![&*basic("ada", &long)],
        vec![&*format!("Basic {}", STANDARD.encode("ada"))],
        vec![&*format!("Basic {}", STANDARD.encode(""))],
        vec!["Basic"],
        vec!["Basic "],
        vec!["Basic ***"],
        vec![&*format!("Bearer {encoded}")],
        vec![&*format!("Basic{encoded}")],
        vec![&*encoded],
        vec![&*format!("Basic {encoded}, Basic {encoded}")],
        vec![&*good, &*good],
        vec![&*basic("nobody", "x"), &*good],
    ]
    .map(|headers| headers.into_iter().map(str::to_owned).collect::<Vec<_>>())
    {
        let headers: Vec<&str> = bad.iter().map(String::as_str).collect();
        let answer = with_header(&app, "/v1/actions", &headers).await;
        let (code, _) = answer.error(StatusCode::UNAUTHORIZED);
        assert_eq!(code, "unauthorized", "{bad:?}");
        assert_eq!(
            answer.header("www-authenticate"),
            r#"Basic realm="cluster""#
        );
    }
}

#[test]
fn credentials_that_no_client_can_send_are_refused() {
    let long = "x".repeat(256);
    for (user, password, field) in [
        ("", "p", "user"),
        ("u", "", "password"),
        ("a:b", "p", "user"),
        ("a\n", "p", "user"),
        ("u", "p\u{7f}", "password"),
        (&long, "p", "user"),
        ("u", &long, "password"),
    ] {
        let refused = BasicAuth::new(user, password).unwrap_err();
        assert_eq!(refused.field, field, "{user:?} {password:?}");
    }
    assert!(BasicAuth::new(&long[..255], &long[..255]).is_ok());
}

#[tokio::test]
async fn the_longest_credentials_work() {
    let long = "é".repeat(127);
    let auth = BasicAuth::new(&long, &long).unwrap();
    let app = router(MemoryStore::new(), auth);
    ok(with_header(&app, "/v1/actions", &[&basic(&long, &long)]).await);
    let answer = with_header(&app, "/v1/actions", &[&basic(&long, &format!("{long}é"))]).await;
    answer.error(StatusCode::UNAUTHORIZED);
}

#[test]
fn debug_shows_no_password() {
    let auth = BasicAuth::new("ada", "hunter2").unwrap();
    let debug = format!("{auth:?} {:?}", RouterOptions::new());
    assert!(
        debug.contains("ada") && !debug.contains("hunter2"),
        "{debug}"
    );
}

#[tokio::test]
async fn an_authorizer_failure_reaches_the_hook() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = seen.clone();
    let options = RouterOptions::new()
        .with_failure_hook(move |failure| sink.lock().unwrap().push(failure.to_string()));
    let undecided = |_: &Parts, _: Permission| Err::<Scope, _>(Denied::Unavailable);
    let app = router_with(MemoryStore::new(), undecided, options);
    let answer = ask(&app, Method::GET, "/v1/actions").await;
    let json = answer.json();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].contains(json["reference"].as_str().unwrap()),
        "{seen:?}"
    );
    assert!(seen[0].contains("authorize"), "{seen:?}");
}
