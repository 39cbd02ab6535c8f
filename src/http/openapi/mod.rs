//! What the endpoints promise, for machines: OpenAPI 3.1.
//!
//! The shapes are read off the types that are serialized (`schemas.rs`); the paths, parameters and
//! answers stand beside them (`paths.rs`, `answers.rs`).

mod answers;
mod paths;
pub(super) mod schemas;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::RouterOptions;
use super::error::framed;

const ABOUT: &str = "What long-lived actions are doing and what became of them. Everything can only \
    be read. `HEAD` works wherever `GET` does. A query parameter that is unknown, repeated, empty or \
    malformed is refused with 400, which names it. What somebody may not see does not exist for them.";

/// The description of what [`router_with`](super::router_with) serves with these options, as the
/// text of a JSON document in OpenAPI 3.1. A version that the options leave out is left out.
///
/// It says what the answers look like, not where they are: a host that nests the router adds its
/// `servers`. Which of the two security schemes holds is the [`Authorizer`](super::Authorizer)'s
/// choice.
///
/// ```
/// use action_store::http::{RouterOptions, openapi};
///
/// let document = openapi(&RouterOptions::new().without_v2());
/// assert!(document.contains("/v1/actions/{uid}") && !document.contains("/v2/"));
/// ```
#[must_use]
pub fn openapi(options: &RouterOptions) -> String {
    // With `{:#}`, JSON is indented; keys are sorted.
    format!("{:#}\n", document(options))
}

/// Serves [`openapi`] at `GET /openapi.json`, to everybody: nothing that is recorded is in it.
///
/// ```
/// use action_store::MemoryStore;
/// use action_store::http::{AllowAll, RouterOptions, openapi_router, router_with};
///
/// let options = RouterOptions::new();
/// let description = openapi_router(&options);
/// let app: axum::Router = router_with(MemoryStore::new(), AllowAll, options).merge(description);
/// # let _ = app;
/// ```
pub fn openapi_router<S>(options: &RouterOptions) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let document = axum::body::Bytes::from(openapi(options));
    let handler = async move || {
        let body = Body::from(document.clone());
        framed(StatusCode::OK, "application/json", body)
    };
    Router::new().route("/openapi.json", get(handler))
}

fn document(options: &RouterOptions) -> Value {
    let mut schemas = schemas::all(options.words);
    let mut paths = Map::new();
    if options.v1 {
        paths.extend(paths::v1());
    }
    if options.v2 {
        paths.extend(paths::v2());
    }
    // What no path that is left leads to.
    let left_out: &[&str] = match (options.v1, options.v2) {
        (true, true) => &[],
        (true, false) => &["V2Entry", "V2Info", "V2Status"],
        _ => &["V1", "Record", "Changes", "History", "Seconds", "Percent"],
    };
    schemas.retain(|name, _| !left_out.iter().any(|prefix| name.starts_with(prefix)));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Actions",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "security": [{ "basic": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": answers::all(),
            "headers": answers::headers(),
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}
