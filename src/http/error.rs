//! The frame of every answer, and everything that is answered instead of actions.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use uuid::Uuid;

use super::authorize::Denied;
use crate::error::{ErrorKind, StoreError};

/// Characters of a client's own text that it is shown again.
const SHOWN: usize = 64;

/// Seconds after which to try again what could not be done now.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An answer that is not the client's fault (5xx), for the host's log.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<'f> {
    /// What the client was told in place of the reason; drawn for this one answer.
    pub reference: &'f str,
    /// What failed, with its source. Not for clients.
    pub error: &'f StoreError,
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (reference {})", self.error, self.reference)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Problem {
    Denied(Denied),
    /// An unknown uid, somebody else's, or something that is no uid: all the same.
    NoSuchAction(String),
    NoSuchPath,
    NoSuchMethod,
    /// A query parameter, and what is wrong with it.
    Parameter(String, &'static str),
    Store(StoreError),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem::Store(error)
    }
}

/// The one shape of all errors.
#[derive(Serialize)]
struct ErrorBody {
    description: String,
    error_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

impl Problem {
    pub(super) fn into_response(self, on_failure: &dyn Fn(&Failure<'_>)) -> Response {
        let mut headers = HeaderMap::new();
        let mut reference = None;
        let (status, error_code, description) = match self {
            Problem::Denied(Denied::Unauthenticated { challenge }) => {
                headers.insert(header::WWW_AUTHENTICATE, challenge);
                let description = "Credentials are missing or wrong".to_owned();
                (StatusCode::UNAUTHORIZED, "unauthenticated", description)
            }
            Problem::Denied(Denied::Forbidden) => {
                let description = "This is not allowed".to_owned();
                (StatusCode::FORBIDDEN, "forbidden", description)
            }
            Problem::NoSuchAction(uid) => {
                let description = format!("Action {} does not exist", shown(&uid));
                (StatusCode::NOT_FOUND, "action_not_found", description)
            }
            Problem::NoSuchPath => {
                let description = "There is nothing at this path".to_owned();
                (StatusCode::NOT_FOUND, "not_found", description)
            }
            Problem::NoSuchMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Actions can only be read".to_owned(),
            ),
            Problem::Parameter(name, fault) => {
                let description = format!("Query parameter '{}' {fault}", shown(&name));
                (StatusCode::BAD_REQUEST, "invalid_parameter", description)
            }
            Problem::Denied(Denied::Unavailable) | Problem::Store(_) => {
                let error = match self {
                    Problem::Store(error) => error,
                    _ => StoreError::new(
                        ErrorKind::Unavailable,
                        "authorize",
                        "the authorizer could not decide",
                    ),
                };
                let drawn = Uuid::now_v7().to_string();
                on_failure(&Failure {
                    reference: &drawn,
                    error: &error,
                });
                reference = Some(drawn);
                match error.kind() {
                    ErrorKind::Unavailable | ErrorKind::OutcomeUnknown | ErrorKind::Closed => {
                        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
                        let description = "Actions cannot be read now, try again".to_owned();
                        (StatusCode::SERVICE_UNAVAILABLE, "unavailable", description)
                    }
                    _ => (
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "internal_error",
                        "Actions cannot be read".to_owned(),
                    ),
                }
            }
        };
        let body = ErrorBody {
            description,
            error_code,
            reference,
        };
        // Two texts cannot fail to be JSON.
        let mut response = frame(status, serde_json::to_vec(&body).unwrap_or_default());
        response.headers_mut().extend(headers);
        response
    }
}

/// Answers with a value.
pub(super) fn answer(value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| {
        let message = "an action cannot be written as JSON";
        StoreError::new(ErrorKind::Corrupt, "answer", message).with_source(error)
    })?;
    Ok(frame(StatusCode::OK, body))
}

/// The headers that every answer has: it is JSON whatever it looks like, and nobody keeps it.
fn frame(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "application/json");
    set(header::CACHE_CONTROL, "no-store");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
