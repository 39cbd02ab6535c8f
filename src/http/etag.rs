//! Polling that costs little: a tag for each state of an action.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::error::bare;
use super::words::Words;
use crate::model::Action;

/// Seconds after which to look at an unfinished action again.
const LOOK_AGAIN: HeaderValue = HeaderValue::from_static("2");

/// All that decides how the same action is written, with whether operators' detail is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    V1(Words, bool),
    V2(bool),
}

impl Shape {
    const fn letters(self) -> &'static str {
        match self {
            Shape::V1(Words::Lifecycle, false) => "v1",
            Shape::V1(Words::Lifecycle, true) => "v1-detail",
            Shape::V1(Words::Vendor, false) => "v1-vendor",
            Shape::V1(Words::Vendor, true) => "v1-vendor-detail",
            Shape::V2(false) => "v2",
            Shape::V2(true) => "v2-detail",
        }
    }
}

/// The tag of an action in a shape.
///
/// The version alone will not do: an action that is entered again after it was removed counts from
/// the beginning.
fn tag(action: &Action, shape: Shape) -> Option<HeaderValue> {
    let (seen, shape) = (action.last_seen_at.as_micros(), shape.letters());
    HeaderValue::try_from(format!("\"{}.{seen:x}.{shape}\"", action.version)).ok()
}

/// Puts the tag and, for an unfinished action, when to come again on its answer; or says that
/// nothing has changed.
pub(super) fn tagged(response: Response, action: &Action, shape: Shape, asked: &Parts) -> Response {
    let Some(tag) = tag(action, shape) else {
        return response;
    };
    let mut response = match matches(&asked.headers, &tag) {
        true => bare(StatusCode::NOT_MODIFIED),
        false => response,
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    if action.is_unfinished() {
        headers.insert(header::RETRY_AFTER, LOOK_AGAIN);
    }
    response
}

/// Whether `If-None-Match` names the tag, which has neither comma nor quote within.
fn matches(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = asked.get_all(header::IF_NONE_MATCH);
    values.iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|one| {
            let one = one.trim_ascii();
            let one = one.strip_prefix(b"W/").unwrap_or(one);
            one == b"*" || one == tag.as_bytes()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_header_is_understood() {
        let tag = HeaderValue::from_static("\"3.5f.v1\"");
        for (values, expected) in [
            (&["\"3.5f.v1\""][..], true),
            (&["W/\"3.5f.v1\""], true),
            (&["*"], true),
            (&["\"a\", \"3.5f.v1\" ,\"b\""], true),
            (&["\"a\"", "\"3.5f.v1\""], true),
            (&[], false),
            (&["\"3.5f.v2\""], false),
            (&["3.5f.v1"], false),
            (&["w/\"3.5f.v1\""], false),
            (&["\"\u{e9}\""], false),
        ] {
            let mut asked = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                asked.append(header::IF_NONE_MATCH, value);
            }
            assert_eq!(matches(&asked, &tag), expected, "{values:?}");
        }
    }
}
