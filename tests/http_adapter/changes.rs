//! `GET /v1/actions/changes` as JSON.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use action_store::query::{BranchId, Position, Revision, StoreId};
use action_store::{
    ActionError, ActionStore, ActionStoreExt, ActionUid, Command, Cursor, Finish, MemoryStore,
    NewAction, OwnerRef, Progress, Query, Report,
};
use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Between, ListAnswer, Plane, Through, get, ok, on_each_store};

on_each_store! {
    the_feed_starts_at_the_current_position_by_default,
    a_client_that_follows_the_feed_has_the_latest_state,
    a_position_that_missed_a_removal_is_gone,
    the_error_names_the_malformed_parameter;
    in_memory:
    an_action_that_changes_during_a_request_is_returned_once,
    an_answer_is_bounded_by_its_bytes,
    each_action_is_returned_once_at_its_latest_change,
}

const PATH: &str = "/v1/actions/changes";

/// Content of an answer: uids, versions and the next position.
struct WriteSet {
    shown: Vec<(ActionUid, u64)>,
    position: String,
    revision: u64,
    more: bool,
}

async fn changes(app: &Router, query: &str) -> WriteSet {
    let json: Value =
        serde_json::from_str(&ok(get(app, &format!("{PATH}?{query}")).await)).unwrap();
    let shown = json["changes"].as_array().unwrap().iter().map(|record| {
        let uid = record["action_uid"].as_str().unwrap().parse().unwrap();
        (uid, record["version"].as_u64().unwrap())
    });
    WriteSet {
        shown: shown.collect(),
        position: json["position"].as_str().unwrap().to_owned(),
        revision: json["revision"].as_u64().unwrap(),
        more: json["more"].as_bool().unwrap(),
    }
}

async fn each_action_is_returned_once_at_its_latest_change(plane: Plane) {
    let app = plane.router();
    let mut uids = Vec::new();
    for _ in 0..300 {
        uids.push(plane.started(NewAction::task("a")).await);
    }
    // These actions change again, so they come last.
    for uid in &uids[..50] {
        plane.finish(*uid, Finish::succeeded()).await;
    }
    let mut expected: Vec<(ActionUid, u64)> = uids[50..].iter().map(|uid| (*uid, 2)).collect();
    expected.extend(uids[..50].iter().map(|uid| (*uid, 3)));
    for limit in [1, 7, 99, 100, 101, 299, 300, 1000] {
        let (mut seen, mut after) = (Vec::new(), "0".to_owned());
        for _ in 0..310 {
            let page = changes(&app, &format!("after={after}&limit={limit}")).await;
            assert!(page.shown.len() <= limit);
            seen.extend(page.shown);
            after = page.position;
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, expected, "{limit}");
        // The next read returns only new changes.
        assert_eq!(changes(&app, &format!("after={after}")).await.shown, []);
    }
}

async fn the_feed_starts_at_the_current_position_by_default(plane: Plane) {
    let app = plane.router();
    let old = plane.started(NewAction::task("old")).await;
    let now = changes(&app, "").await;
    assert!(now.shown.is_empty() && !now.more);
    let new = plane.queued(NewAction::task("new")).await;
    let page = changes(&app, &format!("after={}", now.position)).await;
    assert_eq!(page.shown, [(new, 1)]);
    // The number of a revision is accepted too.
    let page = changes(&app, &format!("after={}", now.revision)).await;
    assert_eq!(page.shown, [(new, 1)]);
    assert_eq!(page.revision, now.revision + 1);
    let page = changes(&app, "after=0").await;
    assert_eq!(page.shown, [(old, 2), (new, 1)]);
}

async fn a_client_that_follows_the_feed_has_the_latest_state(plane: Plane) {
    let app = plane.router();
    let mut uids = Vec::new();
    for _ in 0..40 {
        uids.push(plane.started(NewAction::task("a")).await);
    }
    let (mut known, mut after) = (HashMap::new(), "0".to_owned());
    for round in 0..200 {
        // Some actions change between any two pages.
        for n in 0..3 {
            let uid = uids[(round * 7 + n * 11) % uids.len()];
            let progress = Progress::ratio(round as u64 + 1, 200);
            let report = Report::new().with_progress(progress);
            let _ = plane.store.report(uid, report, &plane.owner).await;
        }
        let page = changes(&app, &format!("after={after}&limit=4")).await;
        known.extend(page.shown);
        after = page.position;
    }
    loop {
        let page = changes(&app, &format!("after={after}&limit=4")).await;
        known.extend(page.shown);
        after = page.position;
        if !page.more {
            break;
        }
    }
    for uid in uids {
        let action = plane.store.action(uid).await.unwrap().unwrap();
        assert_eq!(known[&uid], action.version.get());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_first_change() {
    let plane = Plane::new().await;
    let app = plane.router();
    let uid = plane.started(NewAction::task("a")).await;
    let after = changes(&app, "").await.position;
    let begun = Instant::now();
    let waiting = tokio::spawn({
        let (app, after) = (app.clone(), after.clone());
        async move { changes(&app, &format!("after={after}&wait=30s")).await }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!waiting.is_finished());
    plane.finish(uid, Finish::succeeded()).await;
    let page = waiting.await.unwrap();
    assert_eq!(page.shown, [(uid, 3)]);
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(5) && took < Duration::from_secs(6),
        "{took:?}"
    );
    // Changes that already exist are returned at once. A wait without a change ends with
    // an empty answer.
    for (after, seconds) in [(&after, 0.0), (&page.position, 30.0)] {
        let begun = Instant::now();
        changes(&app, &format!("after={after}&wait=30s")).await;
        let took = begun.elapsed().as_secs_f64();
        assert!((took - seconds).abs() < 0.2, "{took}");
    }
}

async fn remove(plane: &Plane, uid: ActionUid) {
    let if_version = plane.store.action(uid).await.unwrap().unwrap().version;
    let removed = plane.store.command(Command::remove(uid, if_version)).await;
    removed.unwrap();
}

async fn a_position_that_missed_a_removal_is_gone(plane: Plane) {
    let app = plane.router();
    let first = plane.started(NewAction::task("a")).await;
    let before = changes(&app, "").await;
    let second = plane.succeeded(NewAction::task("b")).await;
    let after = changes(&app, "").await;
    remove(&plane, second).await;
    let at = plane.store.changed(None).await.unwrap();
    let other = Position::new(StoreId::new(), at.branch, at.revision);
    let parted = Position::new(at.store_id, BranchId::new(), at.revision);
    let foreign = Cursor::feed(other, Revision::new(1));
    let ahead = Cursor::feed(at, Revision::new(at.revision.get() + 1));
    let parted = Cursor::feed(parted, at.revision);
    for expired in [
        before.position,
        before.revision.to_string(),
        foreign.to_string(),
        ahead.to_string(),
        parted.to_string(),
        (at.revision.get() + 1).to_string(),
        u64::MAX.to_string(),
    ] {
        let answer = get(&app, &format!("{PATH}?after={expired}")).await;
        let (code, description) = answer.error(StatusCode::GONE);
        assert_eq!(code, "cursor_expired", "{expired}");
        assert!(description.contains("after=0"));
    }
    // A position that missed nothing still works, and so does a restart.
    assert_eq!(
        changes(&app, &format!("after={}", after.position))
            .await
            .shown,
        []
    );
    assert_eq!(changes(&app, "after=0").await.shown, [(first, 2)]);
}

async fn the_error_names_the_malformed_parameter(plane: Plane) {
    plane.queued(NewAction::task("a")).await;
    plane.queued(NewAction::task("a")).await;
    let app = plane.router();
    let next = get(&app, "/v1/actions?order=newest&limit=1").await.next();
    let newest = next.unwrap().rsplit_once('=').unwrap().1.to_owned();
    let of_a_list = format!("after={newest}");
    for (query, name) in [
        (&*of_a_list, "after"),
        ("after=", "after"),
        ("after=-1", "after"),
        ("after=%2B1", "after"),
        ("after=1.5", "after"),
        ("after=18446744073709551616", "after"),
        ("after=x", "after"),
        ("after=1&after=1", "after"),
        ("limit=0", "limit"),
        ("wait=30x", "wait"),
        ("cursor=x", "cursor"),
        ("name=x", "name"),
    ] {
        let answer = get(&app, &format!("{PATH}?{query}")).await;
        let (code, description) = answer.error(StatusCode::BAD_REQUEST);
        assert_eq!(code, "invalid_parameter");
        assert!(
            description.contains(&format!("'{name}'")),
            "{query}: {description}"
        );
    }
}

/// Changes some of the first actions before each page is read.
#[derive(Debug)]
struct Changing {
    owner: OwnerRef,
    uids: Vec<ActionUid>,
    pages: AtomicUsize,
}

#[async_trait]
impl Between for Changing {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        let page = self.pages.fetch_add(1, Ordering::Relaxed);
        for at in [0, 3, 4, page % 400, 124, 130] {
            let report = Report::new().with_step(format!("{page}.{at}"));
            let _ = store.report(self.uids[at], report, &self.owner).await;
        }
        let end = Finish::succeeded();
        let _ = store
            .finish(self.uids[page * 2], end, Some(&self.owner))
            .await;
        store.list(query).await
    }
}

async fn an_action_that_changes_during_a_request_is_returned_once(plane: Plane) {
    let mut uids = Vec::new();
    for _ in 0..400 {
        uids.push(plane.started(NewAction::task("a")).await);
    }
    for bytes in [4_000_000, 60_000] {
        let changing = Changing {
            owner: plane.owner.clone(),
            uids: uids.clone(),
            pages: AtomicUsize::new(0),
        };
        let options = action_store::http::RouterOptions::new().with_page_bytes(bytes);
        let store = Through(plane.store.clone(), changing);
        let app = action_store::http::router_with(store, action_store::http::AllowAll, options);
        let (mut last, mut after, mut pages) = (HashMap::new(), "0".to_owned(), 0);
        loop {
            let page = changes(&app, &format!("after={after}&limit=1000")).await;
            let shown: HashMap<ActionUid, u64> = page.shown.iter().copied().collect();
            assert_eq!(shown.len(), page.shown.len(), "{bytes}");
            last.extend(shown);
            (after, pages) = (page.position, pages + 1);
            assert!(pages < 100, "no end");
            if !page.more {
                break;
            }
        }
        assert_eq!(pages == 1, bytes > 1_000_000);
        for uid in &uids {
            let now = plane.store.action(*uid).await.unwrap().unwrap();
            assert_eq!(last.get(uid), Some(&now.version.get()), "{bytes}");
        }
    }
}

async fn an_answer_is_bounded_by_its_bytes(plane: Plane) {
    let error = || ActionError::new("a", "x".repeat(4_000));
    for _ in 0..300 {
        plane.failed(NewAction::task("a"), error()).await;
    }
    let options = action_store::http::RouterOptions::new().with_page_bytes(100_000);
    let allow = action_store::http::AllowAll;
    let app = action_store::http::router_with(plane.store.clone(), allow, options);
    let (mut after, mut seen) = ("0".to_owned(), 0);
    loop {
        let answer = get(&app, &format!("{PATH}?after={after}&limit=1000")).await;
        assert!(answer.body.len() <= 100_000, "{}", answer.body.len());
        let page = changes(&app, &format!("after={after}&limit=1000")).await;
        seen += page.shown.len();
        after = page.position;
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, 300);
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let app = action_store::http::router(store.clone(), action_store::http::AllowAll);
    store.close().await.unwrap();
    let answer = get(&app, PATH).await;
    answer.error(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "1");
}
