//! `BasicAuth`: scopes of users, checks of the host, password hashes, and floods of logins.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use action_store::http::{BasicAuth, Denied, RouterOptions, Scope, router, router_with};
use action_store::{ActionError, MemoryStore, NewAction};
use axum::Router;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Answer, Plane, get_with, ok};

/// The status of a list for these credentials.
async fn login(app: &Router, user: &str, password: &str) -> StatusCode {
    list(app, user, password).await.status
}

async fn list(app: &Router, user: &str, password: &str) -> Answer {
    read(app, "/v1/actions", user, password).await
}

async fn read(app: &Router, path: &str, user: &str, password: &str) -> Answer {
    let token = STANDARD.encode(format!("{user}:{password}"));
    get_with(app, path, &[("authorization", &format!("Basic {token}"))]).await
}

#[tokio::test]
async fn each_user_sees_the_scope_that_was_set() {
    let plane = Plane::new().await;
    let error = ActionError::new("disk_full", "no space left").with_detail("/dev/sda1");
    let uid = plane
        .failed(NewAction::task("a").with_tenant("acme"), error)
        .await;
    let auth = BasicAuth::new("ada", "1").unwrap();
    let auth = auth
        .with_scope("ada", Scope::everything().with_operator_detail())
        .unwrap();
    let auth = auth.with_user("ada", "new").unwrap();
    let auth = auth.with_user("bob", "2").unwrap();
    let auth = auth.with_user("eve", "3").unwrap();
    let auth = auth.with_scope("eve", Scope::tenant("other")).unwrap();
    let app = router(plane.store.clone(), auth);
    let path = format!("/v1/actions/{uid}");
    for password in ["1", "new"] {
        let body = ok(read(&app, &path, "ada", password).await);
        assert!(body.contains("/dev/sda1"), "{body}");
    }
    let body = ok(read(&app, &path, "bob", "2").await);
    assert!(!body.contains("/dev/sda1"), "{body}");
    read(&app, &path, "eve", "3")
        .await
        .error(StatusCode::NOT_FOUND);
    assert_eq!(login(&app, "eve", "1").await, StatusCode::UNAUTHORIZED);
    let unknown = BasicAuth::default().with_scope("ada", Scope::everything());
    assert_eq!(unknown.unwrap_err().field, "user");
    let nobody = router(plane.store.clone(), BasicAuth::default());
    assert_eq!(login(&nobody, "ada", "1").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_check_of_the_host_is_asked_about_unknown_credentials_only() {
    let plane = Plane::new().await;
    plane.queued(NewAction::task("a").with_tenant("acme")).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let sink = asked.clone();
    let auth = BasicAuth::new("ada", "1")
        .unwrap()
        .with_check(move |user, password| {
            sink.lock().unwrap().push(format!("{user}/{password}"));
            match (user, password) {
                ("acme", "a:b") => Ok(Some(Scope::tenant("acme"))),
                ("other", _) => Ok(Some(Scope::tenant("other"))),
                ("barred", _) => Err(Denied::Forbidden),
                ("down", _) => Err(Denied::Unavailable),
                ("broken", _) => panic!("the check of the host is broken"),
                _ => Ok(None),
            }
        });
    let app = router(plane.store.clone(), auth);
    assert_eq!(login(&app, "ada", "1").await, StatusCode::OK);
    assert!(asked.lock().unwrap().is_empty());
    assert!(ok(list(&app, "acme", "a:b").await).contains("action_uid"));
    assert!(!ok(list(&app, "other", "x").await).contains("action_uid"));
    let wrong = list(&app, "ada", "2").await;
    assert_eq!(wrong.error(StatusCode::UNAUTHORIZED).0, "unauthorized");
    assert_eq!(wrong.header("www-authenticate"), "Basic realm=\"actions\"");
    assert_eq!(login(&app, "barred", "x").await, StatusCode::FORBIDDEN);
    assert_eq!(
        login(&app, "down", "x").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        login(&app, "broken", "x").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let expected = [
        "acme/a:b", "other/x", "ada/2", "barred/x", "down/x", "broken/x",
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

/// A check that blocks until it is opened, and counts.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
    inside: AtomicUsize,
    most: AtomicUsize,
    calls: AtomicUsize,
}

impl Door {
    fn pass(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        // A test that fails does not open it, and waits for its threads.
        let longest = Duration::from_secs(60);
        let opened = self.opened.wait_timeout_while(open, longest, |open| !*open);
        drop(opened.unwrap());
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_flood_of_logins_runs_few_checks_at_once_and_delays_no_known_user() {
    let door = Arc::new(Door::default());
    let inside = door.clone();
    let auth = BasicAuth::new("ada", "1")
        .unwrap()
        .with_concurrent_checks(3)
        .with_check(move |_, _| {
            inside.pass();
            Ok(None)
        });
    let app = router(MemoryStore::new(), auth);
    let flood: Vec<_> = (0..200)
        .map(|n| {
            let app = app.clone();
            tokio::spawn(async move { list(&app, "eve", &n.to_string()).await })
        })
        .collect();
    // Three run, 32 wait, and all others have been refused.
    let refused = || flood.iter().filter(|login| login.is_finished()).count();
    while door.calls.load(Ordering::SeqCst) < 3 || refused() < 165 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // A client that gives up leaves its check running, so no other takes its place.
    flood.iter().for_each(|login| login.abort());
    let more: Vec<_> = (0..10)
        .map(|n| {
            let app = app.clone();
            tokio::spawn(async move { login(&app, "eve", &n.to_string()).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(login(&app, "ada", "1").await, StatusCode::OK);
    assert_eq!(door.calls.load(Ordering::SeqCst), 3);
    *door.open.lock().unwrap() = true;
    door.opened.notify_all();
    let mut refused = 0;
    for login in flood {
        let Ok(answer) = login.await else { continue };
        let (code, _) = answer.error(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(code, "unavailable");
        assert_eq!(answer.header("retry-after"), "1");
        refused += 1;
    }
    assert_eq!(refused, 165);
    for login in more {
        assert_eq!(login.await.unwrap(), StatusCode::UNAUTHORIZED);
    }
    // Abandoned logins were not checked, and never more than three at once.
    assert_eq!(door.calls.load(Ordering::SeqCst), 13);
    assert_eq!(door.most.load(Ordering::SeqCst), 3);
    // The flood is over.
    assert_eq!(login(&app, "eve", "x").await, StatusCode::UNAUTHORIZED);
}

/// Watches one stream as a user.
async fn stream(app: &Router, user: &str, password: &str) -> axum::response::Response {
    use tower::ServiceExt as _;
    let token = STANDARD.encode(format!("{user}:{password}"));
    let request = axum::http::Request::get("/v1/actions/changes")
        .header("accept", "text/event-stream")
        .header("authorization", format!("Basic {token}"))
        .body(axum::body::Body::empty());
    app.clone().oneshot(request.unwrap()).await.unwrap()
}

#[tokio::test]
async fn each_user_is_a_client_with_its_own_bound_of_watchers() {
    let plane = Plane::new().await;
    let auth = BasicAuth::new("ada", "1").unwrap();
    let auth = auth.with_check(|user, _| Ok((user != "eve").then(Scope::everything)));
    let options = RouterOptions::new().with_watchers_per_client(1);
    let app = router_with(plane.store.clone(), auth, options);
    let held = stream(&app, "ada", "1").await;
    assert_eq!(held.status(), StatusCode::OK);
    for (user, status) in [
        ("ada", StatusCode::SERVICE_UNAVAILABLE),
        ("bob", StatusCode::OK),
        ("cyd", StatusCode::OK),
    ] {
        assert_eq!(stream(&app, user, "1").await.status(), status, "{user}");
    }
    assert_eq!(login(&app, "ada", "1").await, StatusCode::OK);
}

#[cfg(feature = "argon2")]
mod hashes {
    use action_store::http::BasicAuth;
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};

    use super::*;

    fn hash(password: &str) -> String {
        let params = Params::new(64, 1, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = format!("salt of {password}, and longer");
        let hash = argon2.hash_password_with_salt(password.as_bytes(), salt.as_bytes());
        hash.unwrap().to_string()
    }

    #[tokio::test]
    async fn a_password_is_checked_against_the_hashes_of_its_user() {
        let plane = Plane::new().await;
        let auth = BasicAuth::default()
            .with_password_hash("ada", &hash("one"))
            .unwrap();
        let auth = auth.with_password_hash("ada", &hash("two")).unwrap();
        let auth = auth.with_password_hash("bob", &hash("three")).unwrap();
        let auth = auth.with_user("cyd", "four").unwrap();
        let app = router(plane.store.clone(), auth);
        // Twice: the second time it is remembered.
        for _ in 0..2 {
            for (user, password) in [
                ("ada", "one"),
                ("ada", "two"),
                ("bob", "three"),
                ("cyd", "four"),
            ] {
                assert_eq!(login(&app, user, password).await, StatusCode::OK, "{user}");
            }
            for (user, password) in [
                ("ada", "three"),
                ("ada", "one "),
                ("ada", "one\0"),
                ("ada", ""),
                ("bob", "one"),
                ("bob", "four"),
                ("cyd", "three"),
                ("cyd", "one"),
                ("dan", "one"),
                ("", "one"),
                ("ad", "a:one"),
            ] {
                let status = login(&app, user, password).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{user} {password}");
            }
        }
    }

    /// Known test vectors of other implementations are accepted, too.
    #[tokio::test]
    async fn a_hash_of_the_reference_implementation_is_accepted() {
        let reference =
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8";
        let auth = BasicAuth::default()
            .with_password_hash("ada", reference)
            .unwrap();
        let app = router(MemoryStore::new(), auth);
        assert_eq!(login(&app, "ada", "password").await, StatusCode::OK);
        assert_eq!(
            login(&app, "ada", "passwore").await,
            StatusCode::UNAUTHORIZED
        );
    }

    #[test]
    fn what_is_no_complete_hash_is_refused() {
        let good = hash("one");
        let (rest, _) = good.rsplit_once('$').unwrap();
        for bad in [
            "",
            "one",
            "$argon2id$",
            rest,
            "$2b$12$DwCYfFUG0sT6mSyUJZxMz.1cCBbcOUNsGzvqWoGdCFJwGZLeqLsBO",
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
            &good.replace("m=64", "m=1"),
            &good.replace("t=1", "t=0"),
            &good.replace("v=19", "v=20"),
        ] {
            let refused = BasicAuth::default()
                .with_password_hash("ada", bad)
                .unwrap_err();
            assert_eq!(refused.field, "hash", "{bad}");
        }
        for bad in ["", "a:b", "a\n"] {
            let refused = BasicAuth::default()
                .with_password_hash(bad, &good)
                .unwrap_err();
            assert_eq!(refused.field, "user", "{bad}");
        }
        let auth = BasicAuth::default()
            .with_password_hash("ada", &good)
            .unwrap();
        let debug = format!("{auth:?}");
        assert!(
            debug.contains("ada") && !debug.contains("argon2"),
            "{debug}"
        );
    }

    #[tokio::test]
    async fn a_user_whose_password_was_right_is_not_hashed_again() {
        let door = Arc::new(Door::default());
        let inside = door.clone();
        let auth = BasicAuth::default()
            .with_password_hash("ada", &hash("one"))
            .unwrap()
            .with_concurrent_checks(1)
            .with_check(move |_, _| {
                inside.pass();
                Ok(None)
            });
        let app = router(MemoryStore::new(), auth);
        assert_eq!(login(&app, "ada", "one").await, StatusCode::OK);
        // One check occupies the only place. A login that needs a hash has to wait for it.
        let other = app.clone();
        let blocked = tokio::spawn(async move { login(&other, "eve", "x").await });
        while door.calls.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let known = tokio::time::timeout(Duration::from_secs(30), login(&app, "ada", "one"));
        assert_eq!(known.await.unwrap(), StatusCode::OK);
        let wrong = tokio::time::timeout(Duration::from_millis(50), login(&app, "ada", "two"));
        assert!(
            wrong.await.is_err(),
            "a wrong password was answered without its hash"
        );
        *door.open.lock().unwrap() = true;
        door.opened.notify_all();
        assert_eq!(blocked.await.unwrap(), StatusCode::UNAUTHORIZED);
    }
}
