//! Paging: small pages during writes, and pages that are cut by their size in bytes.

use std::collections::HashMap;

use action_store::http::{AllowAll, RouterOptions, router_with};
use action_store::{
    ActionError, ActionStore, ActionStoreExt, ActionUid, Finish, Json, NewAction, ObjectRef, Query,
    Report,
};
use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;

use crate::support::{Answer, Between, ListAnswer, Plane, Through, get};

fn shown(answer: &Answer) -> Vec<ActionUid> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let json = answer.json();
    let arrays = ["actions", "state-machines"].map(|array| json[array].as_array().unwrap().clone());
    let uid = |entry: &serde_json::Value| entry["action_uid"].as_str().unwrap().parse().unwrap();
    arrays.concat().iter().map(uid).collect()
}

/// Reads all pages. Writes something before each page.
async fn walk(app: &Router, query: &str, write: impl AsyncFn(usize)) -> Vec<Vec<ActionUid>> {
    let mut pages = Vec::new();
    let mut path = format!("/v1/actions?{query}");
    for n in 0..2_000 {
        write(n).await;
        let answer = get(app, &path).await;
        pages.push(shown(&answer));
        match answer.next() {
            Some(next) => path = format!("/v1/actions{next}"),
            None => return pages,
        }
    }
    panic!("{query}: paging did not end");
}

#[tokio::test]
async fn pages_of_any_size_return_each_action_once_during_writes() {
    for limit in [1, 2, 3, 7, 50, 99, 100, 101, 299, 300, 301, 1000] {
        for order in ["newest", "oldest"] {
            let plane = Plane::new().await;
            let mut uids = Vec::new();
            for n in 0..300 {
                let tenant = if n % 3 == 0 { "other" } else { "mine" };
                let uid = plane
                    .started(NewAction::task("a").with_tenant(tenant))
                    .await;
                uids.extend((n % 3 != 0).then_some(uid));
            }
            let ends = uids.clone();
            let write = async |n: usize| {
                // One action is created and one ends. This must not move the actions that
                // match all the time.
                let new = NewAction::task("new").with_tenant("mine");
                plane.store.create(new).await.unwrap();
                if let Some(uid) = ends.get(n) {
                    plane.finish(*uid, Finish::succeeded()).await;
                }
            };
            let query = format!("tenant=mine&name=a&order={order}&limit={limit}");
            let pages = walk(&plane.router(), &query, write).await;
            assert!(pages.iter().all(|page| page.len() <= limit), "{query}");
            let expected = match order {
                "oldest" => uids,
                _ => uids.into_iter().rev().collect(),
            };
            assert_eq!(pages.concat(), expected, "{query}");
        }
    }
}

/// An action whose entry has about this many bytes.
fn big(bytes: usize) -> NewAction {
    let attributes = Json::of(&serde_json::json!({ "padding": "x".repeat(bytes) }));
    NewAction::task("big").with_attributes(attributes.unwrap())
}

#[tokio::test]
async fn a_page_is_cut_by_its_bytes_and_has_a_next_link() {
    let plane = Plane::new().await;
    let mut uids = Vec::new();
    for n in 0..400 {
        let bytes = [10, 60_000, 500, 30_000][n % 4];
        uids.push(plane.queued(big(bytes)).await);
    }
    for (most, query) in [
        (300_000, ""),
        (300_000, "order=newest"),
        (1_000_000, "limit=20"),
        // The limit is smaller than one action, and one action is still returned.
        (1, "name=big"),
    ] {
        let options = RouterOptions::new().with_page_bytes(most);
        let app = router_with(plane.store.clone(), AllowAll, options);
        let mut path = format!("/v1/actions?{query}");
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let answer = get(&app, &path).await;
            let page = shown(&answer);
            assert!(!page.is_empty() || answer.next().is_none(), "{query}");
            let fits = answer.body.len() <= most || page.len() == 1;
            assert!(fits, "{query}: {} of {most}", answer.body.len());
            seen.extend(page);
            pages += 1;
            match answer.next() {
                Some(next) => path = format!("/v1/actions{next}"),
                None => break,
            }
        }
        // Pages are nearly full: an action does not get its own page.
        let bytes: usize = 400 / 4 * (60_000 + 30_000);
        assert!(most == 1 || pages < 4 * bytes / most, "{query}: {pages}");
        let newest: Vec<ActionUid> = uids.iter().rev().copied().collect();
        assert_eq!(seen, newest, "{query}");
    }
}

#[tokio::test]
async fn paging_by_bytes_during_writes_loses_nothing() {
    let plane = Plane::new().await;
    let mut uids = Vec::new();
    for _ in 0..60 {
        uids.push(plane.started(big(50_000)).await);
    }
    let options = RouterOptions::new().with_page_bytes(400_000);
    let app = router_with(plane.store.clone(), AllowAll, options);
    let write = async |n: usize| {
        // Some of the actions not yet returned, and some of the returned ones.
        for at in [n * 2, 59 - n * 3 % 60] {
            let finish = Finish::failed(ActionError::new("a", "b".repeat(4_000)));
            let _ = plane
                .store
                .finish(uids[at], finish, Some(&plane.owner))
                .await;
        }
    };
    let pages = walk(&app, "", write).await;
    let mut times: HashMap<ActionUid, usize> = HashMap::new();
    for uid in pages.concat() {
        *times.entry(uid).or_default() += 1;
    }
    assert!(uids.iter().all(|uid| (1..=2).contains(&times[uid])));
}

/// An action with the longest value in every field that an answer shows.
fn longest(n: u64) -> NewAction {
    let control = "\u{1}".repeat(4_000);
    let nested = serde_json::json!({ "a": "\"\\".repeat(2_000), "b": ["\n", 1, null] });
    let attributes = serde_json::json!({ "nested": nested, "list": [nested], "n": 1, "é\"": "\\" });
    let label = "\"\\".repeat(120);
    let new = match n % 2 {
        0 => NewAction::task(&*label),
        _ => NewAction::state_machine(&*label, ObjectRef::bdb(n)),
    };
    new.with_object(ObjectRef::new("bdb", &format!("{n}{label}")).unwrap())
        .with_tenant(&*label)
        .with_actor(&*label)
        .with_correlation(&*label)
        .with_description(&*control)
        .with_attributes(Json::of(&attributes).unwrap())
}

#[tokio::test]
async fn no_answer_exceeds_its_size_limit() {
    let plane = Plane::new().await;
    let control = "\u{1}".repeat(4_000);
    for n in 0..40 {
        let uid = plane.started(longest(n)).await;
        let report = Report::new()
            .with_step("\"".repeat(255))
            .with_warning(&*control);
        plane.report(uid, report).await;
        if n % 4 < 2 {
            let error = ActionError::new("\\".repeat(255), &*control);
            plane.finish(uid, Finish::failed(error)).await;
        }
    }
    // Actions without the nested fields.
    let plain = Plane::new().await;
    for _ in 0..300 {
        let parent = NewAction::task("a");
        let new = NewAction::task("a")
            .part_of(&parent)
            .with_retry_of(parent.uid);
        plain.started(new).await;
        plain.succeeded(parent).await;
    }
    for (plane, most) in [(&plane, 400_000), (&plain, 100_000)] {
        let options = RouterOptions::new().with_page_bytes(most);
        let app = router_with(plane.store.clone(), AllowAll, options);
        for path in [
            "/v1/actions",
            "/v2/actions",
            "/v2/actions?order=oldest",
            "/v1/actions/changes?after=0&limit=1000",
        ] {
            let answer = get(&app, path).await;
            assert_eq!(answer.status, StatusCode::OK);
            let bytes = answer.body.len();
            assert!(bytes <= most, "{path}: {bytes} of {most}");
            // The page is not nearly empty either.
            assert!(bytes > most / 8, "{path}: {bytes} of {most}");
        }
    }
}

/// A store that returns more than the limit of the query.
#[derive(Debug)]
struct Generous;

#[async_trait]
impl Between for Generous {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        store.list(&query.clone().with_limit(50)).await
    }
}

#[tokio::test]
async fn a_store_that_returns_too_much_does_not_crash_the_adapter() {
    let plane = Plane::new().await;
    for _ in 0..70 {
        plane.queued(big(100)).await;
    }
    let store = Through(plane.store.clone(), Generous);
    let options = RouterOptions::new().with_page_bytes(20_000);
    let app = router_with(store, AllowAll, options);
    for query in ["limit=3", "limit=3&order=oldest", ""] {
        let pages = walk(&app, query, async |_| {}).await;
        assert_eq!(pages.concat().len(), 70, "{query}");
    }
}
