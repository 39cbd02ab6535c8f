//! The documented read endpoints as an axum router.
//!
//! | method, path | answer |
//! | --- | --- |
//! | `GET /v1/actions` | `{"actions":[...],"state-machines":[...]}` |
//! | `GET /v1/actions/{uid}` | one action, as a bare object |
//!
//! `HEAD` works on both; any other method is 405. Every answer is JSON, also every error
//! (`{"description","error_code"}`), and carries `Cache-Control: no-store` and
//! `X-Content-Type-Options: nosniff`. The router can be merged into the host's or nested under any
//! path; it has no fallback of its own, so it takes nothing but the paths under `/v1/actions`.
//!
//! Nobody reads anything before an [`Authorizer`] has said so: there is no router without one.
//!
//! # The list
//!
//! A bare `GET /v1/actions` is bounded: all unfinished actions, newest first, up to a cap
//! ([`RouterOptions::with_cap`]), then the newest finished ones until the cap is reached. When
//! there is more, the answer has a `Link: <?cursor=...>; rel="next"` header (a reference relative
//! to the request's own path), which walks on: through the unfinished actions that did not fit, if
//! any, then through the finished ones, newest first. An answer may be short, even empty, and
//! still go on.
//!
//! What a walk to the end promises: every action that was there when it began, and is not removed
//! meanwhile, is shown. One that finishes meanwhile may be shown twice, first unfinished, later
//! completed; the later entry is the one to keep. Within one answer nothing is shown twice.
//! (Why nothing is lost: the walk through the finished ones begins only when the one through the
//! unfinished ones has ended, so whatever left the second is in the first.)
//!
//! # What the host looks after
//!
//! TLS, time limits and the number of connections. `axum::serve` waits for a request's head
//! without a limit.

mod authorize;
mod error;
mod parameters;
mod v1;
mod walk;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{any, get};

pub use authorize::{AllowAll, Authorizer, BasicAuth, Denied, Permission, Scope};
pub use error::Failure;

use crate::model::{ActionUid, Limits};
use crate::store::{ActionStore, ActionStoreExt};
use error::{Problem, answer};
use walk::Walk;

/// What a router can be told beside its store and its authorizer.
#[derive(Clone)]
#[non_exhaustive]
pub struct RouterOptions {
    cap: u16,
    on_failure: Arc<dyn Fn(&Failure<'_>) + Send + Sync>,
}

impl Default for RouterOptions {
    fn default() -> RouterOptions {
        RouterOptions {
            cap: Limits::PAGE,
            on_failure: Arc::new(|_| {}),
        }
    }
}

impl RouterOptions {
    /// A cap of 1000 actions an answer, failures told to nobody.
    #[must_use]
    pub fn new() -> RouterOptions {
        RouterOptions::default()
    }

    /// Sets how many actions an answer of `GET /v1/actions` has at most: 1..=[`Limits::PAGE`],
    /// which is also the default; what lies outside is taken for the nearest of these.
    #[must_use]
    pub fn with_cap(mut self, cap: u16) -> RouterOptions {
        self.cap = cap.clamp(1, Limits::PAGE);
        self
    }

    /// Hears of every answer that is not the client's fault (5xx), with the reference that the
    /// client was given instead of the reason: log them together. It is called while the request
    /// waits, so it must not block.
    #[must_use]
    pub fn with_failure_hook(
        mut self,
        hook: impl Fn(&Failure<'_>) + Send + Sync + 'static,
    ) -> RouterOptions {
        self.on_failure = Arc::new(hook);
        self
    }
}

impl fmt::Debug for RouterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterOptions")
            .field("cap", &self.cap)
            .finish_non_exhaustive()
    }
}

/// The endpoints over a store, with default [`RouterOptions`].
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
pub fn router(store: impl ActionStore, authorizer: impl Authorizer) -> Router {
    router_with(store, authorizer, RouterOptions::default())
}

/// The endpoints over a store.
pub fn router_with(
    store: impl ActionStore,
    authorizer: impl Authorizer,
    options: RouterOptions,
) -> Router {
    let adapter = Arc::new(Adapter {
        store: Box::new(store),
        authorizer: Box::new(authorizer),
        options,
    });
    // `get` and no `any` for the endpoints: a host that routes the same path by mistake hears of it
    // when it merges, and one that adds a method of its own finds it in `Allow`, which axum fills.
    Router::new()
        .route("/v1/actions", get(actions).fallback(no_such_method))
        .route("/v1/actions/{uid}", get(action).fallback(no_such_method))
        // Whatever else lies below, so that clients hear JSON there too. A path that the host
        // adds below, like `/v1/actions/{uid}/cancel`, is more specific and wins.
        .route("/v1/actions/", any(no_such_path))
        .route("/v1/actions/{uid}/", any(no_such_path))
        .route("/v1/actions/{uid}/{*rest}", any(no_such_path))
        .with_state(adapter)
}

/// What the handlers share.
struct Adapter {
    store: Box<dyn ActionStore>,
    authorizer: Box<dyn Authorizer>,
    options: RouterOptions,
}

async fn actions(State(adapter): State<Arc<Adapter>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    adapter.finish(adapter.actions(&parts).await)
}

async fn action(State(adapter): State<Arc<Adapter>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    adapter.finish(adapter.action(&parts).await)
}

async fn no_such_path(State(adapter): State<Arc<Adapter>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let denied = adapter.admit(&parts).await.err();
    adapter.finish(Err(denied.unwrap_or(Problem::NoSuchPath)))
}

/// Says nothing that depends on who asks or what is stored, so nobody is asked.
async fn no_such_method(State(adapter): State<Arc<Adapter>>) -> Response {
    adapter.finish(Err(Problem::NoSuchMethod))
}

impl Adapter {
    /// Comes before everything that depends on what is stored, parameters included.
    async fn admit(&self, parts: &Parts) -> Result<Scope, Problem> {
        let permission = Permission::ViewStatusOfClusterAction;
        let verdict = self.authorizer.authorize(parts, permission).await;
        verdict.map_err(Problem::Denied)
    }

    async fn actions(&self, parts: &Parts) -> Result<Response, Problem> {
        let scope = self.admit(parts).await?;
        let [cursor] = parameters::read(parts.uri.query(), ["cursor"])?;
        let walk = match &cursor {
            Some(text) => text.parse().map_err(|_| walk::not_a_cursor())?,
            None => Walk::BEGIN,
        };
        let page = walk::read(&*self.store, &scope, walk, self.options.cap).await?;
        let mut response = answer(&v1::list(&page.items))?;
        if let Some(next) = page.next {
            // Relative to the request's own path: right wherever the host, or a proxy in front of
            // it, has put this router.
            let link = format!("<?cursor={next}>; rel=\"next\"");
            if let Ok(link) = HeaderValue::try_from(link) {
                response.headers_mut().insert(header::LINK, link);
            }
        }
        Ok(response)
    }

    async fn action(&self, parts: &Parts) -> Result<Response, Problem> {
        let scope = self.admit(parts).await?;
        let [] = parameters::read(parts.uri.query(), [])?;
        // Not by an extractor: axum's refuse in plain text. The uid is the last segment, wherever
        // the router is nested.
        let segment = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let text = parameters::decode(segment).text();
        let found = match text.parse::<ActionUid>() {
            Ok(uid) => self.store.action(uid).await?,
            Err(_) => None,
        };
        match found.filter(|action| scope.sees(action)) {
            Some(action) => answer(&v1::entry(&action)),
            None => Err(Problem::NoSuchAction(text)),
        }
    }

    fn finish(&self, result: Result<Response, Problem>) -> Response {
        result.unwrap_or_else(|problem| problem.into_response(&*self.options.on_failure))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;
    use crate::backend::MemoryStore;
    use crate::model::{NewAction, Term};

    /// Scopes other than everything come later; that they hold is settled now.
    #[tokio::test]
    async fn what_is_outside_the_scope_does_not_exist() {
        let store = Arc::new(MemoryStore::new());
        let mine = store.create(NewAction::task("mine").with_tenant("a")).await;
        let other = store
            .create(NewAction::task("other").with_tenant("b"))
            .await;
        let (mine, other) = (mine.unwrap().uid, other.unwrap().uid);
        let app = router(store, |_: &Parts, _: Permission| {
            Ok(Scope::of(vec![Term::Tenant("a".into())]))
        });
        let get = async |path: String| {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            (parts.status, String::from_utf8(body.to_vec()).unwrap())
        };
        let (_, list) = get("/v1/actions".to_owned()).await;
        assert!(list.contains(&mine.to_string()), "{list}");
        assert!(!list.contains(&other.to_string()), "{list}");
        assert_eq!(get(format!("/v1/actions/{mine}")).await.0, StatusCode::OK);
        let absent = ActionUid::new();
        let (status, body) = get(format!("/v1/actions/{other}")).await;
        let (absent_status, absent_body) = get(format!("/v1/actions/{absent}")).await;
        assert_eq!(
            (status, absent_status),
            (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
        );
        assert_eq!(
            body.replace(&other.to_string(), &absent.to_string()),
            absent_body
        );
    }
}
