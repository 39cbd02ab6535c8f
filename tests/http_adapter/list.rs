//! `GET /v1/actions`: answers are bounded, and paging loses nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use action_store::http::{AllowAll, RouterOptions, router, router_with};
use action_store::query::{Detail, StoreId};
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, Change, Command, Cursor, Finish, NewAction,
    ObjectRef, OwnerRef, Page, Query,
};
use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;

use crate::support::{Answer, Between, ListAnswer, Plane, Through, get, ok, on_each_store};

on_each_store! {
    an_empty_store_gives_two_empty_arrays,
    each_source_has_its_array_with_the_newest_first,
    unfinished_actions_come_first_then_the_newest_finished_ones,
    an_old_action_that_is_unfinished_is_on_the_first_page,
    exactly_one_full_page_has_no_link,
    unfinished_actions_fill_several_pages_before_finished_ones,
    an_action_that_ends_during_a_request_is_returned_once,
    the_number_of_short_pages_read_is_bounded,
    the_link_is_relative_to_the_mount_point_of_the_router,
    the_error_names_the_unknown_parameter,
}

/// Records tasks and state machines alternately, oldest first. The last `unfinished` of
/// them stay unfinished; every other one of those is executing.
async fn many(plane: &Plane, finished: usize, unfinished: usize) -> Vec<ActionUid> {
    let mut uids = Vec::new();
    let mut commands = Vec::new();
    for n in 0..finished + unfinished {
        let new = match n % 2 {
            0 => NewAction::task("t"),
            _ => NewAction::state_machine("SM", ObjectRef::bdb(1)),
        };
        let uid = new.uid;
        let apply = |change| Command::apply(uid, change).by(plane.owner.clone());
        uids.push(uid);
        commands.push(Command::create(new));
        if n < finished || n % 2 == 0 {
            commands.push(apply(Change::Start));
        }
        if n < finished {
            commands.push(apply(Change::Finish(Finish::succeeded())));
        }
    }
    write(&plane.store, commands).await;
    uids
}

async fn write(store: &dyn ActionStore, commands: Vec<Command>) {
    for chunk in commands.chunks(900) {
        for answer in store.write(Batch::each(chunk.to_vec())).await.unwrap() {
            answer.unwrap();
        }
    }
}

/// Ends actions that may not have started.
async fn end(store: &dyn ActionStore, owner: &OwnerRef, uids: Vec<ActionUid>) {
    let finish = |uid| {
        Command::apply(
            uid,
            Change::Finish(Finish::new(action_store::Outcome::Interrupted)),
        )
        .by(owner.clone())
    };
    write(store, uids.into_iter().map(finish).collect()).await;
}

/// Content of an answer: tasks, then state machines, each with its status.
fn shown(answer: &Answer) -> Vec<(ActionUid, String)> {
    let json = answer.json();
    let mut shown = Vec::new();
    for array in ["actions", "state-machines"] {
        for entry in json[array].as_array().unwrap() {
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            shown.push((text("action_uid").parse().unwrap(), text("status")));
        }
    }
    let distinct: HashSet<ActionUid> = shown.iter().map(|(uid, _)| *uid).collect();
    assert_eq!(distinct.len(), shown.len(), "an action is returned twice");
    shown
}

/// Reads all pages.
async fn walk(app: &Router, path: &str) -> Vec<Vec<(ActionUid, String)>> {
    let mut pages = Vec::new();
    let mut reference = String::new();
    for _ in 0..100 {
        let answer = get(app, &format!("{path}{reference}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        pages.push(shown(&answer));
        match answer.next() {
            Some(next) => reference = next,
            None => return pages,
        }
    }
    panic!("paging did not end");
}

fn sizes(pages: &[Vec<(ActionUid, String)>]) -> Vec<usize> {
    pages.iter().map(Vec::len).collect()
}

async fn an_empty_store_gives_two_empty_arrays(plane: Plane) {
    let answer = get(&plane.router(), "/v1/actions").await;
    assert_eq!(answer.next(), None);
    assert_eq!(ok(answer), r#"{"actions":[],"state-machines":[]}"#);
}

async fn each_source_has_its_array_with_the_newest_first(plane: Plane) {
    let old = plane.succeeded(NewAction::task("old")).await;
    let other = NewAction::new(action_store::Source::Other, "other");
    let other = plane.succeeded(other).await;
    let young = plane.succeeded(NewAction::task("young")).await;
    let first = plane.queued(NewAction::task("first")).await;
    let machine = NewAction::state_machine("SM", ObjectRef::bdb(1));
    let machine = plane.started(machine).await;
    let second = plane.queued(NewAction::task("second")).await;
    let answer = get(&plane.router(), "/v1/actions").await;
    let uids: Vec<ActionUid> = shown(&answer).into_iter().map(|(uid, _)| uid).collect();
    // Unfinished actions come before finished ones, even if these are newer.
    assert_eq!(uids, [second, first, young, other, old, machine]);
    assert_eq!(answer.json()["state-machines"].as_array().unwrap().len(), 1);
}

async fn unfinished_actions_come_first_then_the_newest_finished_ones(plane: Plane) {
    let uids = many(&plane, 2_490, 10).await;
    let app = plane.router();
    let pages = walk(&app, "/v1/actions").await;
    assert_eq!(sizes(&pages), [1_000, 1_000, 500]);
    let set = |uids: &[ActionUid]| uids.iter().copied().collect::<HashSet<_>>();
    let page = |n: usize| pages[n].iter().map(|(uid, _)| *uid).collect::<HashSet<_>>();
    // The first page has ten unfinished actions and the 990 newest finished ones.
    assert_eq!(page(0), set(&uids[1_500..]));
    assert_eq!(page(1), set(&uids[500..1_500]));
    assert_eq!(page(2), set(&uids[..500]));
    let unfinished = |page: &[(ActionUid, String)]| {
        page.iter()
            .filter(|(_, status)| status != "completed")
            .count()
    };
    assert_eq!(unfinished(&pages[0]), 10);
    assert_eq!(unfinished(&pages[1]) + unfinished(&pages[2]), 0);
}

async fn an_old_action_that_is_unfinished_is_on_the_first_page(plane: Plane) {
    let old = plane.started(NewAction::task("old")).await;
    many(&plane, 1_200, 0).await;
    let answer = get(&plane.router(), "/v1/actions").await;
    assert!(shown(&answer).contains(&(old, "executing".to_owned())));
    let pages = walk(&plane.router(), "/v1/actions").await;
    assert_eq!(sizes(&pages), [1_000, 201]);
}

async fn exactly_one_full_page_has_no_link(plane: Plane) {
    many(&plane, 5, 2).await;
    let app = |cap| {
        let options = RouterOptions::new().with_cap(cap);
        router_with(plane.store.clone(), AllowAll, options)
    };
    assert_eq!(sizes(&walk(&app(7), "/v1/actions").await), [7]);
    assert_eq!(sizes(&walk(&app(6), "/v1/actions").await), [6, 1]);
    assert_eq!(sizes(&walk(&app(3), "/v1/actions").await), [3, 3, 1]);
    // A limit of zero still returns something, or paging would never end.
    assert_eq!(walk(&app(0), "/v1/actions").await.concat().len(), 7);
}

async fn unfinished_actions_fill_several_pages_before_finished_ones(plane: Plane) {
    let uids = many(&plane, 600, 1_900).await;
    let pages = walk(&plane.router(), "/v1/actions").await;
    assert_eq!(sizes(&pages), [1_000, 1_000, 500]);
    let all: HashSet<ActionUid> = pages.concat().into_iter().map(|(uid, _)| uid).collect();
    assert_eq!(all, uids.into_iter().collect());
    assert!(pages[0].iter().all(|(_, status)| status != "completed"));
    let completed = pages[1].iter().filter(|(_, status)| status == "completed");
    assert_eq!(completed.count(), 100);
}

/// Ends a few actions before each page that the adapter reads.
#[derive(Debug)]
struct EndsBefore {
    owner: OwnerRef,
    ends: Mutex<VecDeque<ActionUid>>,
    at_once: usize,
}

#[async_trait]
impl Between for EndsBefore {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        let ends: Vec<ActionUid> = {
            let mut ends = self.ends.lock().unwrap();
            let few = self.at_once.min(ends.len());
            ends.drain(..few).collect()
        };
        end(store, &self.owner, ends).await;
        store.list(query).await
    }
}

#[tokio::test]
async fn an_action_that_ends_during_paging_is_not_lost() {
    // With and without room for all unfinished actions on the first page. Ends either the
    // oldest, which paging returns last, or the newest, which it has already returned.
    for (finished, unfinished, cap) in [(1_900, 600, 1_000), (700, 1_800, 300)] {
        for oldest_first in [true, false] {
            let plane = Plane::new().await;
            let uids = many(&plane, finished, unfinished).await;
            let mut ends: VecDeque<ActionUid> = uids[finished..].iter().copied().collect();
            if !oldest_first {
                ends = ends.into_iter().rev().collect();
            }
            let between = EndsBefore {
                owner: plane.owner.clone(),
                ends: Mutex::new(ends),
                at_once: unfinished / 5,
            };
            let store = Through(plane.store.clone(), between);
            let options = RouterOptions::new().with_cap(cap);
            let app = router_with(store, AllowAll, options);
            let pages = walk(&app, "/v1/actions").await;
            let mut last: HashMap<ActionUid, String> = HashMap::new();
            let mut times: HashMap<ActionUid, usize> = HashMap::new();
            for (uid, status) in pages.concat() {
                // Later pages show later states, so no action becomes unfinished again.
                let before = last.insert(uid, status.clone());
                let word = before.as_deref().unwrap_or("queued");
                assert!(
                    !["completed", "failed"].contains(&word),
                    "{word} -> {status}"
                );
                *times.entry(uid).or_default() += 1;
            }
            let lost = uids.iter().filter(|uid| !last.contains_key(uid)).count();
            assert_eq!(
                lost, 0,
                "of {unfinished} unfinished, cap {cap}, {oldest_first}"
            );
            assert!(times.values().all(|times| *times <= 2));
            // Actions that ended before are returned once.
            assert!(uids[..finished].iter().all(|uid| times[uid] == 1));
        }
    }
}

async fn an_action_that_ends_during_a_request_is_returned_once(plane: Plane) {
    let uid = plane.started(NewAction::task("a")).await;
    let between = EndsBefore {
        owner: plane.owner.clone(),
        // Another action ends before the first page is read, this one before the second.
        ends: Mutex::new(VecDeque::from([
            plane.started(NewAction::task("b")).await,
            uid,
        ])),
        at_once: 1,
    };
    let app = router(Through(plane.store.clone(), between), AllowAll);
    let shown = shown(&get(&app, "/v1/actions").await);
    assert_eq!(shown.len(), 2);
    assert!(shown.contains(&(uid, "failed".to_owned())), "{shown:?}");
}

/// Records the queries that it receives.
#[derive(Debug, Default)]
struct Asked(Arc<Mutex<Vec<Query>>>);

#[async_trait]
impl Between for Asked {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        self.0.lock().unwrap().push(query.clone());
        store.list(query).await
    }
}

#[tokio::test]
async fn the_list_does_not_fetch_results_and_operator_detail() {
    let asked = Asked::default();
    let queries = asked.0.clone();
    let app = router(Through(Plane::new().await.store, asked), AllowAll);
    ok(get(&app, "/v1/actions").await);
    let queries = queries.lock().unwrap();
    assert_eq!(queries.len(), 2);
    assert!(queries.iter().all(|q| q.detail == Detail::Summary));
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_during_writes_loses_nothing() {
    let plane = Plane::new().await;
    let uids = many(&plane, 1_000, 1_500).await;
    let app = plane.router();
    let ends = uids[1_000..].to_vec();
    let (store, owner) = (plane.store.clone(), plane.owner.clone());
    let writer = tokio::spawn(async move {
        for few in ends.chunks(10) {
            end(&store, &owner, few.to_vec()).await;
            store.create(NewAction::task("new")).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut walks = 0;
    while !writer.is_finished() || walks == 0 {
        let pages = walk(&app, "/v1/actions").await;
        let all: HashSet<ActionUid> = pages.concat().into_iter().map(|(uid, _)| uid).collect();
        let lost = uids.iter().filter(|uid| !all.contains(uid)).count();
        assert_eq!(lost, 0);
        walks += 1;
        assert!(walks < 10_000, "the writer did not end");
    }
    writer.await.unwrap();
}

/// A store whose pages are always empty but never the last.
#[derive(Debug)]
struct Endless(Arc<AtomicUsize>);

#[async_trait]
impl Between for Endless {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        let calls = self.0.fetch_add(1, Ordering::Relaxed);
        let at = store.list(query).await?.at;
        let next = Cursor::newest(at, 1_000_000 - calls as u64);
        Ok(Page::new(Vec::new(), Some(next), at))
    }
}

async fn the_number_of_short_pages_read_is_bounded(plane: Plane) {
    let calls = Arc::new(AtomicUsize::new(0));
    let app = router(
        Through(plane.store.clone(), Endless(calls.clone())),
        AllowAll,
    );
    let first = get(&app, "/v1/actions").await;
    let first_calls = calls.load(Ordering::Relaxed);
    assert!((2..=16).contains(&first_calls), "{first_calls}");
    let next = first.next().unwrap();
    assert_eq!(ok(first), r#"{"actions":[],"state-machines":[]}"#);
    let second = get(&app, &format!("/v1/actions{next}")).await;
    assert_ne!(second.next().unwrap(), next);
    assert_eq!(calls.load(Ordering::Relaxed), first_calls * 2);
}

async fn the_link_is_relative_to_the_mount_point_of_the_router(plane: Plane) {
    many(&plane, 5, 0).await;
    let options = RouterOptions::new().with_cap(2);
    let inner = router_with(plane.store.clone(), AllowAll, options);
    let app = Router::new().nest("/deep/down", inner);
    let answer = get(&app, "/deep/down/v1/actions").await;
    assert!(
        answer.next().unwrap().starts_with("?cursor=f."),
        "{answer:?}"
    );
    assert_eq!(sizes(&walk(&app, "/deep/down/v1/actions").await), [2, 2, 1]);
}

async fn the_error_names_the_unknown_parameter(plane: Plane) {
    let app = plane.router();
    let mut at = plane.store.changed(None).await.unwrap();
    at.store_id = StoreId::new();
    let foreign = Cursor::newest(at, 7);
    let oldest = Cursor::oldest(at, 7);
    let long = "x".repeat(500);
    let mut cases = Vec::new();
    for (query, name) in [
        ("Limit=1", "Limit"),
        ("Cursor=f", "Cursor"),
        ("%22%3C", "\"<"),
        ("%ff%00=1", "\u{fffd}\0"),
        (&long, &long[..64]),
    ] {
        cases.push((query.to_owned(), name, "is not known here"));
    }
    for query in ["cursor", "cursor=%ff"] {
        cases.push((query.to_owned(), "cursor", "has no readable value"));
    }
    cases.push(("cursor=f&cursor=f".to_owned(), "cursor", "is given twice"));
    for cursor in ["", "u", "x", "f.", "f.1n", "f.1n.x.1", &long] {
        let fault = "is not a cursor of this list";
        cases.push((format!("cursor={cursor}"), "cursor", fault));
    }
    for (letter, cursor) in [("f", foreign), ("u", foreign), ("f", oldest)] {
        let fault = "is not a cursor of this list";
        cases.push((format!("cursor={letter}.{cursor}"), "cursor", fault));
    }
    for (query, name, fault) in cases {
        let answer = get(&app, &format!("/v1/actions?{query}")).await;
        let (code, description) = answer.error(StatusCode::BAD_REQUEST);
        assert_eq!(code, "invalid_parameter", "{query}");
        assert_eq!(description, format!("Query parameter '{name}' {fault}"));
        let whole = serde_json::json!({ "description": description, "error_code": code });
        assert_eq!(answer.body, whole.to_string());
    }
    for fine in ["", "&", "cursor=f", "cursor=%66"] {
        ok(get(&app, &format!("/v1/actions?{fine}")).await);
    }
}
