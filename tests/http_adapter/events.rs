//! `GET /v1/actions/changes` as server-sent events.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use action_store::http::{AllowAll, RouterOptions, router_with};
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Command, Finish, NewAction, Progress, Query, Report,
    StoreError, StoreErrorKind,
};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Method, Request, StatusCode};
use futures_core::Stream;
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;

use crate::support::{Between, ListAnswer, Plane, Through, get_with};

const PATH: &str = "/v1/actions/changes";
const ACCEPT: (&str, &str) = ("accept", "text/event-stream");

/// One server-sent event: the lines between two empty lines.
#[derive(Debug, Default)]
struct Block {
    event: Option<String>,
    id: Option<String>,
    data: Option<String>,
    is_comment: bool,
}

impl Block {
    fn shown(&self) -> Vec<(ActionUid, u64)> {
        let json: serde_json::Value = serde_json::from_str(self.data.as_ref().unwrap()).unwrap();
        // The position is the same in both places.
        assert_eq!(json["position"].as_str(), self.id.as_deref());
        let record = |record: &serde_json::Value| {
            let uid = record["action_uid"].as_str().unwrap().parse().unwrap();
            (uid, record["version"].as_u64().unwrap())
        };
        json["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(record)
            .collect()
    }
}

/// A client of the event stream.
struct Events {
    body: BodyDataStream,
    blocks: VecDeque<String>,
    /// The last event id, as a browser stores it.
    last_id: Option<String>,
}

impl Events {
    async fn connect(app: &Router, query: &str, last_id: Option<&str>) -> Events {
        let mut request = Request::get(format!("{PATH}{query}")).header(ACCEPT.0, ACCEPT.1);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = app
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        Events {
            body: response.into_body().into_data_stream(),
            blocks: VecDeque::new(),
            last_id: last_id.map(str::to_owned),
        }
    }

    async fn next(&mut self) -> Option<Block> {
        if self.blocks.is_empty() {
            let chunk = poll_fn(|context| Pin::new(&mut self.body).poll_next(context)).await?;
            let text = String::from_utf8(chunk.unwrap().to_vec()).unwrap();
            let blocks = text.strip_suffix("\n\n").unwrap().split("\n\n");
            self.blocks.extend(blocks.map(str::to_owned));
        }
        let text = self.blocks.pop_front()?;
        let mut block = Block::default();
        for line in text.lines() {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("event", value) => block.event = Some(value.to_owned()),
                ("id", value) => block.id = Some(value.to_owned()),
                ("data", value) => block.data = Some(value.to_owned()),
                ("", _) => block.is_comment = true,
                ("retry", value) => assert_eq!(value, "1000"),
                other => panic!("{other:?}"),
            }
        }
        self.last_id = block.id.clone().or(self.last_id.take());
        Some(block)
    }

    /// Returns the next event that has changes.
    async fn changes(&mut self) -> Option<Vec<(ActionUid, u64)>> {
        loop {
            let block = self.next().await?;
            match block.event.as_deref() {
                Some("changes") => return Some(block.shown()),
                None => assert!(block.is_comment && block.data.is_none(), "{block:?}"),
                Some(_) => panic!("{block:?}"),
            }
        }
    }
}

fn app_with(plane: &Plane, options: RouterOptions) -> Router {
    router_with(plane.store.clone(), AllowAll, options)
}

#[tokio::test(start_paused = true)]
async fn changes_are_sent_as_they_happen() {
    let plane = Plane::new().await;
    plane.queued(NewAction::task("old")).await;
    let mut events = Events::connect(&plane.router(), "", None).await;
    // The first event carries a position, so a client that disconnects now loses nothing.
    let hello = events.next().await.unwrap();
    assert!(hello.is_comment && hello.id.is_some() && hello.data.is_none());
    let uid = plane.queued(NewAction::task("new")).await;
    assert_eq!(events.changes().await.unwrap(), [(uid, 1)]);
    plane.store.start(uid, &plane.owner).await.unwrap();
    plane.finish(uid, Finish::succeeded()).await;
    assert_eq!(events.changes().await.unwrap(), [(uid, 3)]);
}

#[tokio::test(start_paused = true)]
async fn reconnects_neither_lose_nor_repeat_changes() {
    let plane = Plane::new().await;
    let app = plane.router();
    let mut uids = Vec::new();
    for _ in 0..30 {
        uids.push(plane.started(NewAction::task("a")).await);
    }
    let mut seen: HashMap<ActionUid, Vec<u64>> = HashMap::new();
    let mut last_id: Option<String> = None;
    for round in 0..120_usize {
        for n in 0..4 {
            let report = Report::new().with_progress(Progress::ratio(round as u64, 120));
            let uid = uids[(round * 13 + n * 7) % uids.len()];
            plane.report(uid, report).await;
        }
        // The URL stays the same, as in a browser. The last event id takes precedence
        // over it.
        let mut events = Events::connect(&app, "?after=0&limit=5", last_id.as_deref()).await;
        // Disconnects after this many events. The last round reads everything.
        let most = if round == 119 { 100 } else { round % 4 };
        for _ in 0..most {
            let Ok(page) = timeout(Duration::from_secs(5), events.changes()).await else {
                break;
            };
            let page = page.unwrap();
            assert!((1..=5).contains(&page.len()));
            for (uid, version) in page {
                seen.entry(uid).or_default().push(version);
            }
        }
        last_id = events.last_id.or(last_id);
    }
    for uid in uids {
        let seen = &seen[&uid];
        // Each change is returned at most once, and the last one is always returned.
        assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
        let action = plane.store.action(uid).await.unwrap().unwrap();
        assert_eq!(seen.last(), Some(&action.version.get()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_sends_heartbeats_and_ends_after_its_time() {
    let plane = Plane::new().await;
    let options = RouterOptions::new().with_stream_time(Duration::from_secs(100));
    let begun = Instant::now();
    let mut events = Events::connect(&app_with(&plane, options), "", None).await;
    events.next().await.unwrap();
    let mut beats = 0;
    while let Some(block) = events.next().await {
        beats += 1;
        assert!(block.is_comment && block.id.is_some() && block.event.is_none());
        assert_eq!(begun.elapsed().as_secs(), beats * 15);
    }
    assert_eq!(beats, 6);
    assert_eq!(begun.elapsed().as_secs(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_latest_state_and_delays_no_one() {
    let plane = Plane::new().await;
    let options = RouterOptions::new()
        .with_stream_time(Duration::from_secs(600))
        .with_watchers(1);
    let app = app_with(&plane, options);
    let uid = plane.started(NewAction::task("a")).await;
    let mut events = Events::connect(&app, "", None).await;
    for n in 0..2_000 {
        let report = Report::new().with_progress(Progress::ratio(n, 2_000));
        plane.report(uid, report).await;
        tokio::time::sleep(Duration::from_millis(101)).await;
    }
    let latest = plane
        .store
        .action(uid)
        .await
        .unwrap()
        .unwrap()
        .version
        .get();
    // One page was read, one waits to be sent, and the next has the current state.
    let mut pages = 0;
    let last = loop {
        let page = events.changes().await.unwrap();
        pages += 1;
        assert_eq!(page.len(), 1);
        if page[0].1 == latest {
            break page[0].0;
        }
    };
    assert_eq!(last, uid);
    assert!(pages <= 4, "{pages} pages were buffered for it");
    // A client that never reads is disconnected after the stream time, which frees its
    // slot.
    get_with(&app, PATH, &[ACCEPT])
        .await
        .error(StatusCode::SERVICE_UNAVAILABLE);
    tokio::time::sleep(Duration::from_secs(601)).await;
    drop(Events::connect(&app, "", None).await);
    // The slot is freed at once if the client disconnects.
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(Events::connect(&app, "", None).await);
}

#[tokio::test(start_paused = true)]
async fn a_missed_removal_ends_the_stream_and_fails_the_reconnect() {
    let plane = Plane::new().await;
    let app = plane.router();
    let uid = plane.succeeded(NewAction::task("a")).await;
    let mut events = Events::connect(&app, "?after=1", None).await;
    assert_eq!(events.changes().await.unwrap().len(), 1);
    let seen = events.last_id.clone().unwrap();
    // While the client does not read, another action is created, completed and removed.
    let other = plane.succeeded(NewAction::task("b")).await;
    for uid in [uid, other] {
        let if_version = plane.store.action(uid).await.unwrap().unwrap().version;
        let removed = plane.store.command(Command::remove(uid, if_version)).await;
        removed.unwrap();
    }
    let block = events.next().await.unwrap();
    assert_eq!(block.event.as_deref(), Some("error"));
    assert!(block.data.unwrap().contains("\"cursor_expired\""));
    assert!(events.next().await.is_none());
    let answer = get_with(&app, PATH, &[ACCEPT, ("last-event-id", &seen)]).await;
    assert_eq!(answer.error(StatusCode::GONE).0, "cursor_expired");
}

/// Fails while its flag is set.
#[derive(Debug, Default)]
struct Weather(Arc<AtomicBool>);

#[async_trait]
impl Between for Weather {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        match self.0.load(Ordering::Relaxed) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "list", "busy")),
            false => store.list(query).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_survives_outages_and_reports_each_once() {
    let plane = Plane::new().await;
    let told = Arc::new(AtomicUsize::new(0));
    let hears = told.clone();
    let options = RouterOptions::new().with_failure_hook(move |failure| {
        assert_eq!(failure.error.kind(), StoreErrorKind::Unavailable);
        hears.fetch_add(1, Ordering::Relaxed);
    });
    let bad = Arc::new(AtomicBool::new(false));
    let store = Through(plane.store.clone(), Weather(bad.clone()));
    let app = router_with(store, AllowAll, options);
    let mut events = Events::connect(&app, "", None).await;
    events.next().await.unwrap();
    for outage in 1..=3 {
        bad.store(true, Ordering::Relaxed);
        let uid = plane.queued(NewAction::task("a")).await;
        assert!(
            timeout(Duration::from_secs(10), events.changes())
                .await
                .is_err()
        );
        assert_eq!(told.load(Ordering::Relaxed), outage);
        bad.store(false, Ordering::Relaxed);
        assert_eq!(events.changes().await.unwrap(), [(uid, 1)]);
        // The store works for longer than the interval that separates two outages.
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_the_store_closes() {
    let plane = Plane::new().await;
    let mut events = Events::connect(&plane.router(), "", None).await;
    events.next().await.unwrap();
    plane.store.close().await.unwrap();
    let block = events.next().await.unwrap();
    assert_eq!(block.event.as_deref(), Some("error"));
    let data = block.data.unwrap();
    assert!(
        data.contains("\"unavailable\"") && data.contains("\"reference\""),
        "{data}"
    );
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn an_invalid_stream_request_gets_a_json_error() {
    let plane = Plane::new().await;
    let app = plane.router();
    for (query, headers, status, words) in [
        ("?wait=1s", vec![], 400, "Query parameter 'wait'"),
        ("?limit=0", vec![], 400, "Query parameter 'limit'"),
        (
            "?after=x",
            vec![("last-event-id", "0")],
            400,
            "Query parameter 'after'",
        ),
        (
            "",
            vec![("last-event-id", "x")],
            400,
            "Header 'Last-Event-ID'",
        ),
        (
            "",
            vec![("last-event-id", "")],
            400,
            "Header 'Last-Event-ID'",
        ),
        (
            "",
            vec![("last-event-id", "0"), ("last-event-id", "0")],
            400,
            "Header",
        ),
        ("?after=99", vec![], 410, "after=0"),
        ("?after=0", vec![("last-event-id", "99")], 410, "after=0"),
    ] {
        let headers = [vec![ACCEPT], headers].concat();
        let answer = get_with(&app, &format!("{PATH}{query}"), &headers).await;
        let status = StatusCode::from_u16(status).unwrap();
        let (_, description) = answer.error(status);
        assert!(description.contains(words), "{description}");
    }
    // Only a client that names the media type gets events.
    for (accept, stream) in [
        ("*/*", false),
        ("application/json", false),
        ("text/*", false),
        ("Text/Event-Stream", true),
        ("application/json, text/event-stream;q=0.5", true),
        ("text/event-stream;charset=utf-8; Q = 0.001", true),
        ("text/event-stream;q=0", false),
        ("text/event-stream; q=0.000, application/json", false),
        ("application/json;q=0, text/event-stream;q=0.0, */*", false),
    ] {
        let request = Request::get(PATH).header("accept", accept);
        let response = app
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let found = response.headers()["content-type"] == "text/event-stream";
        assert_eq!(found, stream, "{accept}");
    }
    let request = Request::builder()
        .method(Method::HEAD)
        .uri(PATH)
        .header(ACCEPT.0, ACCEPT.1);
    let answer = crate::support::send(&app, request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, ""));
}
