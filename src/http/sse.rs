//! The feed as server-sent events.
//!
//! Each event is a page. Its id is the position after that page, so a client that resumes there
//! loses and repeats nothing.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_core::Stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::adapter::Adapter;
use super::authorize::Scope;
use super::changes::Feed;
use super::error::{Problem, framed, tell_host};
use super::json_writer::JsonWriter;
use crate::runtime;

const EVENT_STREAM: &str = "text/event-stream";

/// Maximum silence on a stream. It is shorter than the usual proxy timeouts.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Pause before the next read after a store error.
const RESPITE: Duration = Duration::from_secs(1);

/// Returns true if `Accept` names the type of event streams, with a weight above 0.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut types = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    types.any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(EVENT_STREAM));
        named && !parts.any(is_weight_zero)
    })
}

/// Returns true for `q=0`, which refuses a type, with up to three decimals.
fn is_weight_zero(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let is_weight = name.trim_end().eq_ignore_ascii_case("q");
    is_weight && value.trim_start().parse::<f32>() == Ok(0.0)
}

/// Starts a stream of events. It ends after the time set by `RouterOptions::with_stream_time`, and
/// when the host stops.
pub(super) async fn stream(
    adapter: Arc<Adapter>,
    mut feed: Feed,
    scope: &Scope,
) -> Result<Response, Problem> {
    let permit = adapter.waiting.permit(scope)?;
    let runtime = runtime::current("watch")?;
    let before = feed.position();
    // Read before the head is sent, so that a bad position can still get its own status.
    let first = feed.read().await?;
    let first = if first.is_empty {
        None
    } else {
        Some(event(&feed.json(&first), &feed.position()))
    };
    let hello = format!("retry: 1000\nid: {before}\n: from here on\n\n");
    // Buffers at most one event for a slow reader.
    let (sender, receiver) = channel(1);
    let end = Instant::now() + adapter.options.bounds.stream_time;
    runtime.spawn(async move {
        // A separate task ends the stream on time even if the client never reads the body.
        let _permit = permit;
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
            () = adapter.options.shutdown.begun() => {}
            () = work => {}
        }
    });
    let body = Body::from_stream(Events(receiver));
    let mut response = framed(StatusCode::OK, EVENT_STREAM, body);
    // Keeps nginx from buffering the events.
    let name = HeaderName::from_static("x-accel-buffering");
    let headers = response.headers_mut();
    headers.insert(name, HeaderValue::from_static("no"));
    Ok(response)
}

/// Sends changes until a permanent error.
async fn follow(adapter: &Adapter, mut feed: Feed, sender: &Sender<Bytes>) {
    let mut beat = Instant::now() + HEARTBEAT;
    let mut outage = Outage::default();
    loop {
        let step = async {
            match feed.news().await {
                Err(Problem::Store(error)) if error.is_retryable() => {
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
            // The id advances the client past changes outside its scope.
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

/// Tracks repeated store errors, so that the hook is called once per outage. The client is not informed.
#[derive(Default)]
struct Outage {
    failed: Option<Instant>,
}

impl Outage {
    /// Returns true if this is the first error for longer than a heartbeat.
    fn begins(&mut self) -> bool {
        let before = self.failed.replace(Instant::now());
        before.is_none_or(|before| before.elapsed() > HEARTBEAT)
    }
}

/// Formats a page as an event. The JSON text contains no line break, so one `data:` line is enough.
fn event(json: &JsonWriter, id: &str) -> Bytes {
    format!("event: changes\nid: {id}\ndata: {}\n\n", json.as_str()).into()
}

/// Ignores a closed channel, because the task ends when the reader is gone.
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
