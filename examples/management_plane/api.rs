//! What the plane answers over HTTP: its own write endpoints beside the library's read endpoints.

use std::sync::Arc;

use action_store::http::{Authorizer, BasicAuth, Denied, Permission, router};
use action_store::{Action, ErrorKind};
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::plane::{Operation, Plane};

/// Rows of the largest database this plane makes.
const MOST_ROWS: u64 = 10_000_000;

#[derive(Clone)]
struct Api {
    plane: Arc<Plane>,
    auth: Arc<BasicAuth>,
    /// The one user there is.
    user: Arc<str>,
}

pub(crate) fn app(plane: Arc<Plane>, auth: BasicAuth, user: &str) -> Router {
    let store = plane.tracker.store().clone();
    let auth = Arc::new(auth);
    let api = Api {
        plane,
        auth: auth.clone(),
        user: user.into(),
    };
    Router::new()
        .route("/v1/bdbs", post(create))
        .route("/v1/bdbs/{uid}", delete(remove))
        .route("/v1/bdbs/{uid}/actions/backup", put(backup))
        .route("/v1/bdbs/{uid}/actions/check", post(check))
        .route_layer(from_fn_with_state(api.clone(), authenticated))
        .with_state(api)
        .merge(router(store, auth))
}

/// Lets nobody through whom the read endpoints would not know either.
async fn authenticated(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let permission = Permission::ViewStatusOfClusterAction;
    match api.auth.authorize(&parts, permission).await {
        Ok(_) => next.run(Request::from_parts(parts, body)).await,
        Err(Denied::Unauthenticated { challenge }) => {
            let words = "user and password, please";
            let mut response = problem(StatusCode::UNAUTHORIZED, "unauthorized", words);
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
        Err(_) => problem(StatusCode::FORBIDDEN, "forbidden", "not yours to do"),
    }
}

/// What a database is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBdb {
    name: String,
    rows: u64,
}

async fn create(State(api): State<Api>, body: Bytes) -> Response {
    let new: NewBdb = match serde_json::from_slice(&body) {
        Ok(new) => new,
        Err(error) => return invalid(&format!("the body: {error}")),
    };
    if new.rows > MOST_ROWS {
        return invalid(&format!("rows: at most {MOST_ROWS}"));
    }
    if new.name.is_empty() || new.name.len() > 64 || new.name.contains(char::is_control) {
        return invalid("name: 1 to 64 bytes, no control characters");
    }
    let uid = match api.plane.catalogue.next_uid().await {
        Ok(uid) => uid,
        Err(error) => {
            eprintln!("the catalogue cannot be written: {error}");
            return unavailable();
        }
    };
    let NewBdb { name, rows } = new;
    accept(&api, Operation::Create { uid, name, rows }).await
}

async fn backup(State(api): State<Api>, Path(uid): Path<String>) -> Response {
    accept_on(&api, &uid, |uid| Operation::Backup { uid }).await
}

async fn check(State(api): State<Api>, Path(uid): Path<String>) -> Response {
    accept_on(&api, &uid, |uid| Operation::Check { uid }).await
}

async fn remove(State(api): State<Api>, Path(uid): Path<String>) -> Response {
    accept_on(&api, &uid, |uid| Operation::Delete { uid }).await
}

async fn accept_on(api: &Api, uid: &str, operation: impl Fn(u64) -> Operation) -> Response {
    match uid.parse() {
        Ok(uid) => accept(api, operation(uid)).await,
        Err(_) => invalid("the uid of a database is a number"),
    }
}

async fn accept(api: &Api, operation: Operation) -> Response {
    match api.plane.accept(operation, &api.user).await {
        Ok(action) => accepted(&action),
        Err(error) if error.kind() == ErrorKind::Invalid => invalid(&error.to_string()),
        Err(error) => {
            eprintln!("not accepted: {error}");
            unavailable()
        }
    }
}

fn accepted(action: &Action) -> Response {
    let bdb = action.object.as_ref().and_then(|object| object.id());
    let body = json!({ "action_uid": action.uid.to_string(), "bdb_uid": bdb });
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

fn invalid(words: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, "invalid", words)
}

fn unavailable() -> Response {
    let words = "it cannot be recorded now, so it is not done";
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", words)
}

fn problem(status: StatusCode, code: &str, words: &str) -> Response {
    let body = json!({ "error_code": code, "description": words });
    (status, Json(body)).into_response()
}
