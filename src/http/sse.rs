//! The feed as server-sent events.
//!
//! An event is a page: its id is the position after all that it shows, so who resumes there has
//! lost nothing and is shown nothing twice.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_core::Stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Adapter;
use super::changes::Feed;
use super::error::{Problem, framed, tell_host};
use super::text::Text;
use crate::error::{ErrorKind, StoreError};

const EVENT_STREAM: &str = "text/event-stream";

/// How long nothing is sent at most: less than what proxies wait for.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to leave a store alone that has failed.
const RESPITE: Duration = Duration::from_secs(1);

/// Whether a client wants events: it names their type.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut types = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|one| one.split(';').next());
    types.any(|one| one.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// Answers with events, for as long as a stream may last.
pub(super) async fn stream(adapter: Arc<Adapter>, mut feed: Feed) -> Result<Response, Problem> {
    let place = adapter.waiting.place()?;
    let runtime = Handle::try_current().map_err(|outside| {
        let message = "there is no tokio runtime to stream in";
        StoreError::new(ErrorKind::Closed, "watch", message).with_source(outside)
    })?;
    let before = feed.position();
    // Before anything is answered: what is wrong with the position has a status of its own.
    let first = feed.read().await?;
    let first = match first.is_empty {
        true => None,
        false => Some(event(&feed.json(&first), &feed.position())),
    };
    let hello = format!("retry: 1000\nid: {before}\n: from here on\n\n");
    // One event is held for a slow reader, whatever happens meanwhile.
    let (sender, receiver) = channel(1);
    let end = Instant::now() + adapter.options.bounds.stream_time;
    runtime.spawn(async move {
        // A task of its own: a reader that reads nothing would never let a body come to its end.
        let _place = place;
        let work = async {
            let begun = [Some(hello.into()), first];
            for block in begun.into_iter().flatten() {
                send(&sender, block).await;
            }
            follow(&adapter, feed, &sender).await;
        };
        tokio::select! {
            () = sender.closed() => {}
            () = sleep_until(end) => {}
            () = work => {}
        }
    });
    let body = Body::from_stream(Events(receiver));
    let mut response = framed(StatusCode::OK, EVENT_STREAM, body);
    // A well-known proxy would gather events otherwise.
    let name = HeaderName::from_static("x-accel-buffering");
    let headers = response.headers_mut();
    headers.insert(name, HeaderValue::from_static("no"));
    Ok(response)
}

/// Sends what changes until something is wrong that will not pass.
async fn follow(adapter: &Adapter, mut feed: Feed, sender: &Sender<Bytes>) {
    let mut beat = Instant::now() + HEARTBEAT;
    let mut outage = Outage::default();
    loop {
        let step = async {
            match feed.news().await {
                Err(Problem::Store(error)) if is_passing(&error) => {
                    if outage.begins() {
                        tell_host(&error, &*adapter.options.on_failure);
                    }
                    sleep(RESPITE).await;
                    None
                }
                news => Some(news),
            }
        };
        let said = match timeout_at(beat, step).await {
            // With a position: what is hidden from this reader moves on, too.
            Err(_) => Ok(format!(": heartbeat\nid: {}\n\n", feed.position()).into()),
            Ok(None) => continue,
            Ok(Some(Ok(page))) => Ok(event(&feed.json(&page), &feed.position())),
            Ok(Some(Err(problem))) => Err(problem),
        };
        match said {
            Ok(block) => {
                send(sender, block).await;
                beat = Instant::now() + HEARTBEAT;
            }
            Err(problem) => {
                let body = problem.into_body(&*adapter.options.on_failure);
                let mut block = b"event: error\ndata: ".to_vec();
                block.extend(body);
                block.extend(b"\n\n");
                return send(sender, block.into()).await;
            }
        }
    }
}

/// Whether a store's error passes, so that a stream can wait for better times.
fn is_passing(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::OutcomeUnknown
    )
}

/// A time in which a store fails again and again. The client hears nothing of it, and the host
/// once.
#[derive(Default)]
struct Outage {
    failed: Option<Instant>,
}

impl Outage {
    /// Whether a failure now is the first after a time without any.
    fn begins(&mut self) -> bool {
        let before = self.failed.replace(Instant::now());
        before.is_none_or(|before| before.elapsed() > HEARTBEAT)
    }
}

/// An event of changes. JSON text has no line break in it.
fn event(json: &Text, id: &str) -> Bytes {
    format!("event: changes\nid: {id}\ndata: {}\n\n", json.as_str()).into()
}

/// Whoever reads no more is noticed by the task.
async fn send(sender: &Sender<Bytes>, block: Bytes) {
    let _ = sender.send(block).await;
}

struct Events(Receiver<Bytes>);

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|block| block.map(Ok))
    }
}
