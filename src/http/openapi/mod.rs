//! The OpenAPI 3.1 document of the endpoints.
//!
//! The schemas are derived from the serialized types (`schemas.rs`). The paths, parameters and
//! answers are written by hand (`paths.rs`, `answers.rs`).

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

const ABOUT: &str = "Status and history of long-lived actions. All endpoints are read-only. `HEAD` \
    works wherever `GET` does. A query parameter that is unknown, repeated, empty or malformed is answered \
    400, and the description names it. An action that the caller may not see is answered like an absent one.";

/// Returns the OpenAPI 3.1 document (JSON) of [`router_with`](super::router_with) with these options.
/// A version that the options leave out is not described.
///
/// The document has no `servers`. A host that nests the router adds them. It names two security
/// schemes, `basic` and `bearer`. The [`Authorizer`](super::Authorizer) decides which one applies.
///
/// ```
/// use action_store::http::{RouterOptions, openapi};
///
/// let document = openapi(&RouterOptions::new().without_v2());
/// assert!(document.contains("/v1/actions/{uid}") && !document.contains("/v2/"));
/// ```
#[must_use]
pub fn openapi(options: &RouterOptions) -> String {
    // `{:#}` indents the JSON. Keys are sorted.
    format!("{:#}\n", document(options))
}

/// Serves [`openapi`] at `GET /openapi.json` without authorization. The document contains no recorded
/// data.
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
    // Schemas that no remaining path refers to.
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
