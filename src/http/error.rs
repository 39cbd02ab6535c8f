//! Errors as answers, and the headers that every answer carries.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use uuid::Uuid;

use super::authorize::Denied;
use super::json_writer::JsonWriter;
use crate::error::{StoreError, StoreErrorKind};

/// Maximum number of characters of the client's own text that an error repeats.
const SHOWN: usize = 64;

/// `Retry-After` of a 503 answer, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A failure that was answered with a 5xx status, for the host's log.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<'f> {
    /// The reference that the client received in place of the cause. Each answer has its own.
    pub reference: &'f str,
    /// The cause, with its source. Do not send it to clients.
    pub error: &'f StoreError,
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (reference {})", self.error, self.reference)
    }
}

/// The limit that a request exceeded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Busy {
    /// Too many requests wait or stream.
    Watchers,
    /// Too many of them are of the same client.
    ClientWatchers,
    /// Too many concurrent requests.
    Requests,
    /// The request took too long.
    Time,
}

impl Busy {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Busy::Watchers => (
                "too_many_watchers",
                "Too many requests wait already, try again",
            ),
            Busy::ClientWatchers => (
                "too_many_watchers",
                "Too many requests of this client wait already, try again",
            ),
            Busy::Requests => ("busy", "Too many requests at once, try again"),
            Busy::Time => ("timed_out", "There was no answer in time, try again"),
        }
    }
}

/// The reason for an error answer.
#[derive(Debug)]
pub(super) enum Problem {
    Denied(Denied),
    /// The action does not exist, is outside the scope, or the text is not a uid. All three are
    /// answered alike.
    NoSuchAction(String),
    /// As `NoSuchAction`, for a uid drawn no later than the youngest removed action.
    Gone(String),
    /// Changes after this position were removed, or the position is from another store.
    Expired,
    Busy(Busy),
    /// Name of a request header, and the fault of its value.
    Header(&'static str, &'static str),
    /// No visible action touches the database with this uid.
    NoActionOfBdb(String),
    NoSuchPath,
    NoSuchMethod,
    /// Name of a query parameter, and the fault of its value.
    Parameter(String, &'static str),
    Store(StoreError),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem::Store(error)
    }
}

/// The JSON body of every error.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Error))]
pub(super) struct ErrorBody {
    description: String,
    error_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

impl Problem {
    pub(super) fn into_response(self, on_failure: &dyn Fn(&Failure<'_>)) -> Response {
        let (status, headers, body) = self.tell(on_failure);
        let mut response = frame(status, body);
        response.headers_mut().extend(headers);
        response
    }

    /// Returns the body alone, for a stream whose head has been sent.
    pub(super) fn into_body(self, on_failure: &dyn Fn(&Failure<'_>)) -> Vec<u8> {
        self.tell(on_failure).2
    }

    fn tell(self, on_failure: &dyn Fn(&Failure<'_>)) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut headers = HeaderMap::new();
        let mut reference = None;
        let mut failed = |error: &StoreError, (status, error_code, description): Told| {
            reference = Some(tell_host(error, on_failure));
            (status, error_code, description.to_owned())
        };
        let (status, error_code, description) = match self {
            Problem::Denied(Denied::Unauthenticated { challenge }) => {
                headers.insert(header::WWW_AUTHENTICATE, challenge);
                let description = "Credentials are missing or wrong".to_owned();
                (StatusCode::UNAUTHORIZED, "unauthorized", description)
            }
            Problem::Denied(Denied::Forbidden) => {
                let description = "This is not allowed".to_owned();
                (StatusCode::FORBIDDEN, "forbidden", description)
            }
            Problem::NoSuchAction(uid) => {
                let description = format!("Action {} does not exist", shown(&uid));
                (StatusCode::NOT_FOUND, "action_not_found", description)
            }
            Problem::Gone(uid) => {
                let uid = shown(&uid);
                let description =
                    format!("Action {uid} does not exist; it may have been removed by retention");
                (StatusCode::GONE, "action_gone", description)
            }
            Problem::Expired => {
                let description = "This position has expired: actions that changed after it may \
                    have been removed, or the store was restored from a backup. Restart without \
                    it, in the feed with after=0, and discard cached actions that are not returned";
                (StatusCode::GONE, "cursor_expired", description.to_owned())
            }
            Problem::Header(name, fault) => {
                let description = format!("Header '{name}' {fault}");
                (StatusCode::BAD_REQUEST, "invalid_header", description)
            }
            Problem::NoActionOfBdb(uid) => {
                let description = format!("There is no action on database {}", shown(&uid));
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
            Problem::Denied(Denied::Unavailable) => {
                let message = "the authorizer could not decide";
                failed(&unavailable("authorize", message), UNAVAILABLE)
            }
            Problem::Busy(busy) => {
                let (error_code, description) = busy.words();
                let told = (StatusCode::SERVICE_UNAVAILABLE, error_code, description);
                failed(&unavailable("serve", description), told)
            }
            Problem::Store(error) => failed(&error, told_of(&error)),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        let body = ErrorBody {
            description,
            error_code,
            reference,
        };
        // Serializing strings to JSON cannot fail.
        (
            status,
            headers,
            serde_json::to_vec(&body).unwrap_or_default(),
        )
    }
}

/// Calls the failure hook. Returns the reference that it was called with.
pub(super) fn tell_host(error: &StoreError, on_failure: &dyn Fn(&Failure<'_>)) -> String {
    let reference = Uuid::now_v7().to_string();
    on_failure(&Failure {
        reference: &reference,
        error,
    });
    reference
}

type Told = (StatusCode, &'static str, &'static str);

const UNAVAILABLE: Told = (
    StatusCode::SERVICE_UNAVAILABLE,
    "unavailable",
    "Actions cannot be read now, try again",
);

/// Returns the status and texts that a client receives for a store error.
fn told_of(error: &StoreError) -> Told {
    // A closed store is one that restarts: another try may reach the next process.
    if error.is_retryable() || error.kind() == StoreErrorKind::Closed {
        return UNAVAILABLE;
    }
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "Actions cannot be read",
    )
}

fn unavailable(operation: &'static str, message: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, operation, message)
}

/// Builds a 200 answer from a serializable value.
pub(super) fn answer(value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(not_json)?;
    Ok(frame(StatusCode::OK, body))
}

/// Builds a 200 answer from JSON text.
pub(super) fn written(text: JsonWriter) -> Response {
    frame(StatusCode::OK, text.into_bytes())
}

pub(super) fn not_json(error: serde_json::Error) -> Problem {
    let message = "an action cannot be written as JSON";
    StoreError::new(StoreErrorKind::Corrupt, "answer", message)
        .with_source(error)
        .into()
}

/// Builds a JSON answer. `nosniff` keeps browsers from guessing another type, and `no-store` keeps
/// caches from storing it.
fn frame(status: StatusCode, body: Vec<u8>) -> Response {
    framed(status, "application/json", Body::from(body))
}

pub(super) fn framed(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = bare(status);
    *response.body_mut() = body;
    let content_type = HeaderValue::from_static(content_type);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    response
}

/// Builds an answer without a body.
pub(super) fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CACHE_CONTROL, "no-store");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
