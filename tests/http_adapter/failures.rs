//! Answers when the store fails.

use std::sync::{Arc, Mutex};

use action_store::http::{AllowAll, RouterOptions, router_with};
use action_store::{ActionStore, ActionUid, MemoryStore, Query, StoreError, StoreErrorKind};
use async_trait::async_trait;
use axum::http::StatusCode;

use crate::support::{Between, GetAnswer, ListAnswer, Plane, Through, get};

#[derive(Debug)]
struct Broken(StoreErrorKind);

impl Broken {
    fn error(&self, operation: &'static str) -> StoreError {
        let message = "SELECT * FROM actions_head failed in /var/lib/plane.db";
        StoreError::new(self.0, operation, message)
            .with_source(std::io::Error::other("SQLITE_IOERR in /var/lib/plane.db"))
    }
}

#[async_trait]
impl Between for Broken {
    async fn list(&self, _: &dyn ActionStore, _: &Query) -> ListAnswer {
        Err(self.error("list"))
    }
    async fn get(&self, _: &dyn ActionStore, _: &[ActionUid]) -> GetAnswer {
        Err(self.error("get"))
    }
}

#[tokio::test]
async fn only_the_host_sees_the_reason_of_a_store_error() {
    let unavailable = (StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    let internal = (StatusCode::INTERNAL_SERVER_ERROR, "internal_error");
    for (kind, (status, code)) in [
        (StoreErrorKind::Unavailable, unavailable),
        (StoreErrorKind::OutcomeUnknown, unavailable),
        (StoreErrorKind::Closed, unavailable),
        (StoreErrorKind::Invalid, internal),
        (StoreErrorKind::Unsupported, internal),
        (StoreErrorKind::CursorExpired, internal),
        (StoreErrorKind::Corrupt, internal),
        (StoreErrorKind::Incompatible, internal),
    ] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let options = RouterOptions::new().with_failure_hook(move |failure| {
            let told = (failure.reference.to_owned(), failure.error.clone());
            sink.lock().unwrap().push(told);
        });
        let store = Through(Arc::new(MemoryStore::new()), Broken(kind));
        let app = router_with(store, AllowAll, options);
        let one = format!("/v1/actions/{}", ActionUid::new());
        for path in ["/v1/actions", &one] {
            let answer = get(&app, path).await;
            assert_eq!(answer.error(status).0, code, "{kind:?}");
            let retry = answer.headers.get("retry-after");
            assert_eq!(retry.is_some(), status == StatusCode::SERVICE_UNAVAILABLE);
            if retry.is_some() {
                assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
            }
            for secret in ["SELECT", "actions_head", "/var", "SQLITE", "Error"] {
                assert!(!answer.body.contains(secret), "{answer:?}");
            }
            let (reference, error) = told.lock().unwrap().pop().unwrap();
            assert_eq!(answer.json()["reference"], reference);
            assert_eq!(error.kind(), kind);
            assert!(std::error::Error::source(&error).is_some());
        }
        assert!(told.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn each_failure_has_its_own_reference() {
    let plane = Plane::new().await;
    plane.store.close().await.unwrap();
    let app = plane.router();
    let first = get(&app, "/v1/actions").await;
    let second = get(&app, "/v1/actions").await;
    first.error(StatusCode::SERVICE_UNAVAILABLE);
    assert_ne!(first.json()["reference"], second.json()["reference"]);
}

#[tokio::test]
async fn a_client_error_does_not_reach_the_hook() {
    let told = Arc::new(Mutex::new(0));
    let sink = told.clone();
    let options = RouterOptions::new().with_failure_hook(move |_| *sink.lock().unwrap() += 1);
    let app = router_with(MemoryStore::new(), AllowAll, options);
    for path in [
        "/v1/actions?x=1",
        "/v1/actions?cursor=x",
        "/v1/actions/x",
        "/v1/actions/x/y",
    ] {
        assert!(get(&app, path).await.status.is_client_error());
    }
    assert_eq!(*told.lock().unwrap(), 0);
}
