//! The documented read endpoints as an axum router.
//!
//! | method, path | answer |
//! | --- | --- |
//! | `GET /v1/actions` | `{"actions":[...],"state-machines":[...]}` |
//! | `GET /v1/actions/{uid}` | one action, as a bare object |
//! | `GET /v1/actions/bdb/{bdb_uid}` | an array of the actions that touch a database, newest first |
//! | `GET /v1/actions/{uid}/history` | `{"action":{...},"history":[...]}`: what has happened to it; `"dropped":n` if the oldest steps and notes were dropped |
//! | `GET /v1/actions/changes` | `{"changes":[...],"position",...}`: what has changed, or events |
//! | `GET /v1/actions/counts` | `{"queued":{"number":3,"exact":true},...}`: how many actions are in each state |
//! | `GET /v2/actions` | an array of actions |
//! | `GET /v2/actions/{uid}` | one action, as a bare object |
//! | `GET /v2/actions/counts` | as in version 1 |
//!
//! `HEAD` works on all of them; any other method is 405. Every answer is JSON, errors included
//! (`{"description","error_code"}`), and carries `Cache-Control: no-store` and
//! `X-Content-Type-Options: nosniff`. The router can be merged into the host's router or nested
//! under any path. It has no fallback, so it takes only the paths under `/v1/actions` and
//! `/v2/actions`. Either version can be left out ([`RouterOptions::without_v1`],
//! [`RouterOptions::without_v2`]); its paths are then free for the host.
//!
//! An [`Authorizer`] decides before anything is read. There is no router without one.
//!
//! # The list
//!
//! A bare `GET /v1/actions` is bounded: all unfinished actions, newest first, up to a cap
//! ([`RouterOptions::with_cap`]), then the newest finished ones until the cap is reached. If there
//! are more, the answer has a `Link: <?cursor=...>; rel="next"` header, a reference relative to the
//! request's own path. It leads through the unfinished actions that did not fit, then through the
//! finished ones, newest first. An answer may be short, even empty, and still have a next one.
//!
//! A walk to the end shows every action that was there when it began and was not removed meanwhile.
//! An action that finishes meanwhile may be shown twice, first unfinished, later completed. Keep the
//! later entry. Within one answer nothing is shown twice. Nothing is lost, because the walk through
//! the finished actions begins after the walk through the unfinished ones has ended.
//!
//! # Parameters
//!
//! A client that sends none gets the documented answers. A parameter that is unknown, unreadable or
//! repeated (but for those marked `*`) is answered 400 and named: a misspelt filter must not show everything.
//!
//! | lists | |
//! | --- | --- |
//! | `limit` | at most so many; more than 1000 is 1000 |
//! | `cursor` | from the `Link` of the answer before |
//! | `status` * | `queued`, `executing`, `completed`: the lifecycle, so `completed` whatever the outcome |
//! | `outcome` * | `succeeded`, `failed`, `cancelled`, `interrupted`, `lost` |
//! | `name` | exactly this one; with a `*` at the end, names that begin with the rest |
//! | `tenant` | exactly this one |
//! | `object` | exactly this object: `bdb:1`, `cluster`; not where the path names one |
//! | `label` * | `key` or `key=value`; each must match |
//! | `parent` | the parts of this action |
//! | `owner` | the name of the owner; only for callers who may see operator detail, 403 for others |
//! | `since`, `until` | created at this time or later, before this time |
//! | `finished_since`, `finished_until` | completed at this time or later, before this time |
//! | `order` | `newest` (unless set) or `oldest` first; `finished`: the last completed first |
//! | `view` | `records`: an array of actions as in the feed, without operator detail |
//!
//! `status` and `outcome` take several words, with commas between them or repeated. An action must
//! have one of the statuses and one of the outcomes.
//!
//! Words may be in upper or lower case; names, tenants and objects are compared exactly. A time is one of:
//!
//! - Unix seconds: `1760400087`, with up to six decimals
//!
//! - a time with an offset (RFC 3339): `2026-01-31T10:00:00+01:00`. The offset may also be `Z`,
//!   `+0100` or `+01`. A `+` that the client did not encode arrives as a space and is read as `+`.
//!
//! - a date: `2026-01-31`, midnight in UTC
//!
//! With any parameter but `limit`, `cursor` and `view`, the list is not the walk above. It is all actions that
//! match, in one order, and the `Link` keeps the parameters. Answers are bounded in bytes, too
//! ([`RouterOptions::with_page_bytes`]).
//!
//! **Counts** take the parameters that filter, and `bound`: each state is counted up to this number
//! (1,000 unless set, at most 10,000). `exact` is false for a state that may have more. A scope counts
//! what it shows.
//!
//! **One action** with `view=full` shows all that the caller may see, in a shape of its own:
//! `{"action":{...},"parts":{...}}`, where `action` is as in the feed. It has `related` objects,
//! `attributes`, the `result`, the `cancel` request, the expected `remaining` time of an executing
//! action, and the numbers of its `parts`. The owner, the `evidence` and the detail of an error are
//! shown with operator detail only. Parts and earlier actions outside the scope are not counted.
//!
//! # Polling, waiting, following
//!
//! **One action** has an `ETag`. With `If-None-Match`, an unchanged action is answered 304.
//! `Retry-After` says when to poll an unfinished action again.
//!
//! A uid may be in upper case or without hyphens. The answer is the same, and its `Content-Location`
//! is the canonical address, relative to the request's path. [`read_uid`] reads uids in this way.
//!
//! **Waiting**: `GET /v1/actions/{uid}?wait=30s` answers once the action is completed, or when the time
//! is up. The unit is `ms`, `s`, `m` or `h`; a bare number is seconds. A time above
//! [`RouterOptions::with_longest_wait`] is cut to it.
//!
//! **The feed**: `GET /v1/actions/changes?after=POSITION` shows each action once, at its latest change.
//! The answer says from which `position` to continue and whether there is `more`. `limit` and `wait`
//! work here, too. Without `after` it begins now, with `after=0` at the beginning. A revision number is
//! accepted as a position, but it is not checked against a restored backup. A position that may have
//! missed something is answered 410 `cursor_expired`. So is one from before the store was restored.
//! Restart with `after=0` and discard cached actions that are not returned.
//!
//! **Server-sent events**: with `Accept: text/event-stream` the feed comes as events (not with the
//! weight `q=0`). Each event is a page (`event: changes`). Its id is the position after it, so
//! `Last-Event-ID` loses and repeats nothing. A comment is sent at least every 15 seconds. A stream ends after
//! [`RouterOptions::with_stream_time`]. Rights are checked when it begins.
//!
//! Waiting and streaming requests are bounded ([`RouterOptions::with_watchers`]), also for each client
//! ([`RouterOptions::with_watchers_per_client`]). They end when the host stops
//! ([`RouterOptions::with_shutdown`]). They need a tokio runtime with a timer.
//!
//! # 404 and 410
//!
//! A uid that is absent or not visible is answered 404 `action_not_found`. It is 410 `action_gone` if
//! the uid has version 7 and was drawn no later than the youngest removed action. Only the uid's own
//! time decides, so the answer does not tell whether the action exists or existed.
//!
//! # For people and for machines
//!
//! [`console`] is a page for people (feature `console`). [`openapi`] is a description in OpenAPI 3.1
//! (feature `openapi`), which the host can merge with its own. The host mounts either beside the router.
//!
//! # What the host looks after
//!
//! The host provides TLS. For pages of another origin it adds CORS, which must expose `Link`, `ETag`,
//! `Retry-After`, `WWW-Authenticate` and `Content-Location`, and allow `Authorization`, `If-None-Match`
//! and `Last-Event-ID`. It puts [`limits`] around the router, and bounds connections and their time
//! around both. Connections that have not authenticated need a lower bound of their own; the
//! repository's `examples/management_plane/unauthenticated.rs` closes the oldest of them.
//! `axum::serve` has neither: a client can hold a connection by sending nothing, or by reading an
//! answer slowly. With hyper's own server:
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use action_store::MemoryStore;
//! use action_store::http::{AllowAll, RequestLimits, limits, router};
//! use hyper::server::conn::http1;
//! use hyper_util::rt::{TokioIo, TokioTimer};
//! use hyper_util::service::TowerToHyperService;
//! use tokio::sync::Semaphore;
//!
//! let app = limits(router(MemoryStore::new(), AllowAll), RequestLimits::new());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let connections = Arc::new(Semaphore::new(1_000));
//! loop {
//!     let place = connections.clone().acquire_owned().await?;
//!     let Ok((stream, _)) = listener.accept().await else {
//!         // The client is gone, or file handles are exhausted. Both are temporary.
//!         tokio::time::sleep(Duration::from_millis(100)).await;
//!         continue;
//!     };
//!     let service = TowerToHyperService::new(app.clone());
//!     tokio::spawn(async move {
//!         // Also ends a connection that is idle between two requests.
//!         let served = http1::Builder::new()
//!             .timer(TokioTimer::new())
//!             .header_read_timeout(Duration::from_secs(30))
//!             .serve_connection(TokioIo::new(stream), service);
//!         // Longer than a stream of events may last. Slow readers are disconnected.
//!         let _ = tokio::time::timeout(Duration::from_secs(600), served).await;
//!         drop(place);
//!     });
//! }
//! # }
//! ```

mod adapter;
mod authorize;
mod basic_auth;
mod changes;
#[cfg(feature = "console")]
mod console;
mod counts;
mod credentials;
mod error;
mod etag;
mod fields;
mod full;
mod get_one;
mod history;
mod json_writer;
mod limits;
mod list_writer;
#[cfg(feature = "openapi")]
mod openapi;
mod options;
mod parameters;
#[cfg(feature = "argon2")]
mod password_hash;
mod query;
mod record;
mod sse;
mod status_vocabulary;
mod time_param;
mod v1;
mod v2;
mod wait;
mod walk;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

pub use authorize::{AllowAll, Authorizer, Denied, Permission, Scope};
pub use basic_auth::BasicAuth;
#[cfg(feature = "console")]
pub use console::console;
pub use error::Failure;
pub use get_one::read_uid;
pub use limits::{LimitedRequests, RequestLimits, RequestLimitsLayer, limits};
#[cfg(feature = "openapi")]
pub use openapi::{OpenApiOptions, openapi, openapi_router, openapi_with};
pub use options::RouterOptions;
pub use status_vocabulary::StatusVocabulary;

use crate::store::ActionStore;
use crate::watch::Watcher;
use adapter::{Adapter, Endpoint, no_such_path, on};
use wait::Waiting;

/// Builds the router over a store, with default [`RouterOptions`].
///
/// The state `S` is that of the host's router. The router needs no state, so it merges with and
/// nests in a router of any state.
///
/// ```
/// use action_store::MemoryStore;
/// use action_store::http::{BasicAuth, router};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app: axum::Router = router(MemoryStore::new(), BasicAuth::new("ada", "correct horse")?);
/// # Ok(())
/// # }
/// ```
pub fn router<S>(store: impl ActionStore, authorizer: impl Authorizer) -> Router<S> {
    router_with(store, authorizer, RouterOptions::default())
}

/// Builds the router over a store, with the given options. See [`router`] for the state `S`.
///
/// ```
/// use action_store::MemoryStore;
/// use action_store::http::{AllowAll, RouterOptions, router_with};
/// use axum::Router;
/// use axum::extract::State;
/// use axum::routing::get;
///
/// #[derive(Clone)]
/// struct Plane(&'static str);
///
/// let actions = router_with(MemoryStore::new(), AllowAll, RouterOptions::new());
/// let app: Router = Router::new()
///     .route("/name", get(async |State(Plane(name)): State<Plane>| name))
///     .nest("/cluster", actions)
///     .with_state(Plane("east"));
/// # let _ = app;
/// ```
pub fn router_with<S>(
    store: impl ActionStore,
    authorizer: impl Authorizer,
    options: RouterOptions,
) -> Router<S> {
    let mut router = Router::new();
    if options.v1 {
        router = router
            .route("/v1/actions", on(Endpoint::V1Actions))
            .route("/v1/actions/{uid}", on(Endpoint::V1Action))
            .route("/v1/actions/{uid}/history", on(Endpoint::V1History))
            .route("/v1/actions/bdb/{bdb_uid}", on(Endpoint::V1OfBdb))
            .route("/v1/actions/changes", on(Endpoint::V1Changes))
            .route("/v1/actions/counts", on(Endpoint::Counts))
            // Unknown paths below are answered 404 in JSON, too. A path that the host adds, like
            // `/v1/actions/{uid}/cancel`, is more specific and takes precedence.
            .route("/v1/actions/", any(no_such_path))
            .route("/v1/actions/{uid}/", any(no_such_path))
            .route("/v1/actions/{uid}/{*rest}", any(no_such_path));
    }
    if options.v2 {
        router = router
            .route("/v2/actions", on(Endpoint::V2Actions))
            .route("/v2/actions/{uid}", on(Endpoint::V2Action))
            .route("/v2/actions/counts", on(Endpoint::Counts))
            .route("/v2/actions/", any(no_such_path))
            .route("/v2/actions/{uid}/", any(no_such_path))
            .route("/v2/actions/{uid}/{*rest}", any(no_such_path));
    }
    let store: Arc<dyn ActionStore> = Arc::new(store);
    router.with_state(Arc::new(Adapter {
        waiting: Waiting::new(Watcher::of(store.clone()), &options),
        store,
        authorizer: Box::new(authorizer),
        options,
    }))
}
