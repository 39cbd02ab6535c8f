//! HTTP API of the plane: its own write endpoints and the library's read endpoints.

use std::sync::Arc;

use action_store::http::{
    Authorizer, BasicAuth, Denied, Failure, Permission, RequestLimits, RouterOptions,
    StatusVocabulary, console, limits, openapi, openapi_router, read_uid, router_with,
};
use action_store::{Action, CancelRequest, Error, ErrorKind};
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use crate::catalogue::Bdb;
use crate::plane::{Operation, Plane};
use crate::same_origin::same_origin;
use crate::scrape::Metrics;
use crate::unauthenticated::ConnectionAuth;

/// Maximum number of rows of a database.
const MOST_ROWS: u64 = 10_000_000;

#[derive(Clone)]
struct Api {
    plane: Arc<Plane>,
    auth: Arc<ConnectionAuth>,
    /// The only user.
    user: Arc<str>,
}

pub(crate) fn app(
    plane: Arc<Plane>,
    metrics: Metrics,
    auth: BasicAuth,
    user: &str,
    words: StatusVocabulary,
    stopped: watch::Receiver<()>,
) -> Router {
    let store = plane.tracker.store().clone();
    let auth = Arc::new(ConnectionAuth(auth));
    let options = RouterOptions::new()
        .with_vocabulary(words)
        .with_failure_hook(complain)
        // Streams and waits end when the plane stops.
        .with_shutdown(move || {
            let mut stopped = stopped.clone();
            async move { drop(stopped.changed().await) }
        });
    let api = Api {
        plane,
        auth: auth.clone(),
        user: user.into(),
    };
    // The library serves the read endpoints, and the plane the write endpoints.
    let app = Router::new()
        .merge(console())
        .merge(openapi_router(&openapi(&options)))
        .merge(router_with(store, auth, options))
        .merge(scrapes(metrics, api.clone()))
        .merge(writes(api, words));
    limits(app, RequestLimits::new().with_failure_hook(complain))
}

/// Logs the details of a failure. The client got only a reference to them.
fn complain(failure: &Failure<'_>) {
    let source = std::error::Error::source(failure.error);
    let source = source.map(|source| format!(": {source}"));
    eprintln!("request failed: {failure}{}", source.unwrap_or_default());
}

/// Serves the metrics to users that the read endpoints accept too.
fn scrapes(metrics: Metrics, api: Api) -> Router {
    let scrape = async |State(metrics): State<Metrics>| match metrics.render().await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            eprintln!("the metrics cannot be read: {error}");
            problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again")
        }
    };
    Router::new()
        .route("/metrics", get(scrape))
        .route_layer(from_fn_with_state(api, authenticated))
        .with_state(metrics)
}

fn writes(api: Api, words: StatusVocabulary) -> Router {
    let on_bdb = |operation: Operation| {
        async |State(api): State<Api>, Path(uid): Path<String>| match uid.parse() {
            Ok(uid) => accept(&api, uid, operation).await,
            Err(_) => invalid("the uid of a database must be a number"),
        }
    };
    let router = match words {
        // Served in addition to the library's GET of the same path.
        StatusVocabulary::Vendor => Router::new().route("/v1/actions/{uid}", delete(cancel)),
        _ => Router::new(),
    };
    router
        .route("/v1/bdbs", post(create))
        .route("/v1/bdbs/{uid}", delete(on_bdb(Operation::Delete)))
        .route(
            "/v1/bdbs/{uid}/actions/backup",
            put(on_bdb(Operation::Backup)),
        )
        .route(
            "/v1/bdbs/{uid}/actions/check",
            post(on_bdb(Operation::Check)),
        )
        .route(
            &format!("/v1/nodes/{}/actions/check", api.plane.node),
            post(check_node),
        )
        .route("/v1/actions/{uid}/cancel", post(cancel))
        .route_layer(from_fn(same_origin))
        .route_layer(from_fn_with_state(api.clone(), authenticated))
        .with_state(api)
}

/// Accepts only users that the read endpoints accept too.
async fn authenticated(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let permission = Permission::ViewStatusOfClusterAction;
    match api.auth.authorize(&parts, permission).await {
        Ok(_) => next.run(Request::from_parts(parts, body)).await,
        Err(Denied::Unauthenticated { challenge }) => {
            let words = "user and password required";
            let mut response = problem(StatusCode::UNAUTHORIZED, "unauthorized", words);
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
        Err(_) => problem(StatusCode::FORBIDDEN, "forbidden", "not permitted"),
    }
}

async fn create(State(api): State<Api>, body: Bytes) -> Response {
    let new: Bdb = match serde_json::from_slice(&body) {
        Ok(new) => new,
        Err(error) => return invalid(&format!("the body: {error}")),
    };
    if new.rows > MOST_ROWS {
        return invalid(&format!("rows: the limit is {MOST_ROWS}"));
    }
    if new.name.is_empty() || new.name.len() > 64 || new.name.contains(char::is_control) {
        return invalid("name: must have 1 to 64 bytes and no control characters");
    }
    match api.plane.catalogue.next_uid().await {
        Ok(uid) => accept(&api, uid, Operation::Create(new)).await,
        Err(error) => {
            eprintln!("the catalogue cannot be written: {error}");
            unavailable()
        }
    }
}

async fn check_node(State(api): State<Api>) -> Response {
    accept(&api, api.plane.node, Operation::CheckNode).await
}

async fn accept(api: &Api, uid: u64, operation: Operation) -> Response {
    accepted(api.plane.accept(uid, operation, &api.user).await)
}

/// Body of a cancel request: the reason.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    reason: Option<String>,
}

/// Requests the cancellation of an action. The action is cancelled once its own task
/// confirms it.
async fn cancel(State(api): State<Api>, Path(uid): Path<String>, body: Bytes) -> Response {
    let Some(uid) = read_uid(&uid) else {
        return no_such_action();
    };
    let cancel = match &body[..] {
        [] => Ok(Cancel::default()),
        body => serde_json::from_slice(body),
    };
    let mut request = CancelRequest::new().with_by(api.user.clone());
    match cancel {
        Ok(cancel) => request.reason = cancel.reason.map(Arc::from),
        Err(error) => return invalid(&format!("the body: {error}")),
    }
    accepted(api.plane.tracker.cancel(uid, request).await)
}

fn accepted(answer: Result<Arc<Action>, Error>) -> Response {
    let error = match answer {
        Ok(action) => {
            let mut body = json!({ "action_uid": action.uid.to_string() });
            if let Some((kind, id)) = action
                .object
                .as_ref()
                .and_then(|o| Some((o.kind(), o.id()?)))
            {
                body[format!("{kind}_uid")] = id.into();
            }
            return (StatusCode::ACCEPTED, Json(body)).into_response();
        }
        Err(error) => error,
    };
    match (error.kind(), error.current()) {
        (ErrorKind::Invalid, _) => invalid(&error.to_string()),
        (ErrorKind::NotFound, _) => no_such_action(),
        // The conflicting action: one on the same database, or the action itself if it is
        // completed.
        (ErrorKind::Conflict, Some(current)) => {
            let description = error.to_string();
            let uid = current.uid.to_string();
            let body = json!({
                "error_code": "conflict", "description": description, "action_uid": uid,
            });
            (StatusCode::CONFLICT, Json(body)).into_response()
        }
        _ => {
            eprintln!("operation not accepted: {error}");
            unavailable()
        }
    }
}

fn invalid(words: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, "invalid", words)
}

fn no_such_action() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "action_not_found",
        "the action does not exist",
    )
}

fn unavailable() -> Response {
    let words = "the operation cannot be recorded now and was not started";
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", words)
}

pub(crate) fn problem(status: StatusCode, code: &str, words: &str) -> Response {
    let body = json!({ "error_code": code, "description": words });
    (status, Json(body)).into_response()
}
