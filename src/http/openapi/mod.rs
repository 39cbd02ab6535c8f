//! The OpenAPI 3.1 document of the endpoints.
//!
//! The schemas are derived from the serialized types (`schemas.rs`). The paths, parameters and
//! answers are written by hand (`paths.rs`, `answers.rs`).

mod answers;
mod options;
mod paths;
pub(super) mod schemas;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Map, Value, json};
use utoipa::openapi::{OpenApi, Server};

pub use options::OpenApiOptions;

use super::RouterOptions;
use super::error::framed;

const ABOUT: &str = "Status and history of long-lived actions. All endpoints are read-only. `HEAD` \
    works wherever `GET` does. A query parameter that is unknown, repeated, empty or malformed is answered \
    400, and the description names it. An action that the caller may not see is answered like an absent one.";

/// Prefix of the names of all components, so that they do not meet the host's own when two documents
/// are merged.
const PREFIX: &str = "Actions";

/// Returns the OpenAPI 3.1 document of [`router_with`](super::router_with) with these options, with
/// the limits that they set. A version that the options leave out is not described.
///
/// The document can be merged into the host's own, or nested in it. The names of its schemas and
/// responses begin with `Actions`. Each operation names two security schemes, `basic` and `bearer`;
/// the [`Authorizer`](super::Authorizer) decides which one applies. If the host's document has schemes
/// of these names, those are kept.
///
/// ```
/// use action_store::http::{RouterOptions, openapi};
/// use utoipa::openapi::{InfoBuilder, OpenApiBuilder};
///
/// let actions = openapi(&RouterOptions::new().without_v2());
/// let info = InfoBuilder::new().title("The plane").version("1.0.0").build();
/// let all = OpenApiBuilder::new().info(info).build().nest("/cluster", actions);
/// assert!(all.paths.paths.contains_key("/cluster/v1/actions/{uid}"));
/// ```
#[must_use]
pub fn openapi(options: &RouterOptions) -> OpenApi {
    openapi_with(options, &OpenApiOptions::new())
}

/// Returns the document of [`openapi`] with the prefix and the servers of a host that has no document of its own.
///
/// ```
/// use action_store::http::{OpenApiOptions, RouterOptions, openapi_with};
///
/// let place = OpenApiOptions::new()
///     .with_prefix("/cluster")
///     .with_server("https://plane.example.com");
/// let document = openapi_with(&RouterOptions::new(), &place);
/// assert!(document.paths.paths.contains_key("/cluster/v2/actions"));
/// ```
#[must_use]
pub fn openapi_with(options: &RouterOptions, place: &OpenApiOptions) -> OpenApi {
    // The test below shows that the document can be read, and that nothing is lost.
    let mut described: OpenApi = serde_json::from_value(document(options)).unwrap_or_default();
    let paths = std::mem::take(&mut described.paths.paths);
    let placed = |(path, item)| (format!("{}{path}", place.prefix), item);
    described.paths.paths = paths.into_iter().map(placed).collect();
    if !place.servers.is_empty() {
        described.servers = Some(place.servers.iter().map(Server::new).collect());
    }
    described
}

/// Serves a document at `GET /openapi.json` without authorization: the one of [`openapi`], or the
/// host's own with it. The document of `openapi` contains no recorded data.
///
/// ```
/// use action_store::MemoryStore;
/// use action_store::http::{AllowAll, RouterOptions, openapi, openapi_router, router_with};
///
/// let options = RouterOptions::new();
/// let description = openapi_router(&openapi(&options));
/// let app: axum::Router = router_with(MemoryStore::new(), AllowAll, options).merge(description);
/// # let _ = app;
/// ```
pub fn openapi_router<S>(document: &OpenApi) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    // Serializing to JSON cannot fail: all keys are strings.
    let document = Bytes::from(document.to_pretty_json().unwrap_or_default());
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
        paths.extend(paths::v1(&options.bounds));
    }
    if options.v2 {
        paths.extend(paths::v2(&options.bounds));
    }
    // Schemas that no remaining path refers to.
    let left_out: &[&str] = match (options.v1, options.v2) {
        (true, true) => &[],
        (true, false) => &["V2Entry", "V2Info", "V2Status"],
        _ => &["V1", "Changes", "History"],
    };
    schemas.retain(|name, _| !left_out.iter().any(|prefix| name.starts_with(prefix)));
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Actions",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": prefixed(schemas),
            "responses": prefixed(answers::all(&options.bounds)),
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
    });
    prefix_references(&mut document);
    document
}

fn prefixed(components: Map<String, Value>) -> Map<String, Value> {
    let prefixed = |(name, component)| (format!("{PREFIX}{name}"), component);
    components.into_iter().map(prefixed).collect()
}

/// Refers to the components by their prefixed names.
fn prefix_references(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref")
                && let Some((place, name)) = reference.rsplit_once('/')
            {
                *reference = format!("{place}/{PREFIX}{name}");
            }
            fields.values_mut().for_each(prefix_references);
        }
        Value::Array(all) => all.iter_mut().for_each(prefix_references),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::StatusVocabulary;
    use super::*;

    #[test]
    fn the_value_says_all_that_the_document_says() {
        for options in [
            RouterOptions::new(),
            RouterOptions::new().with_vocabulary(StatusVocabulary::Vendor),
            RouterOptions::new().without_v1(),
            RouterOptions::new().without_v2(),
            RouterOptions::new().without_v1().without_v2(),
        ] {
            let document = document(&options);
            let value: OpenApi = serde_json::from_value(document.clone()).unwrap();
            let mut differences = Vec::new();
            differ(
                "",
                &serde_json::to_value(value).unwrap(),
                &document,
                &mut differences,
            );
            assert!(differences.is_empty(), "{differences:#?}");
        }
    }

    /// Collects the places at which two documents differ.
    fn differ(at: &str, value: &Value, document: &Value, found: &mut Vec<String>) {
        match (value, document) {
            (Value::Object(some), Value::Object(others)) if some.keys().eq(others.keys()) => {
                for (key, other) in others {
                    differ(&format!("{at}/{key}"), &some[key], other, found);
                }
            }
            (Value::Array(some), Value::Array(others)) if some.len() == others.len() => {
                for (index, other) in others.iter().enumerate() {
                    differ(&format!("{at}/{index}"), &some[index], other, found);
                }
            }
            // Numbers may have been read as floating point.
            (Value::Number(some), Value::Number(other)) if some.as_f64() == other.as_f64() => {}
            _ if value == document => {}
            _ => found.push(format!("{at}: {value} is not {document}")),
        }
    }
}
