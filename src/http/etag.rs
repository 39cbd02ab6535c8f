//! Entity tags, so that polling an unchanged action is cheap.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::error::bare;
use super::status_vocabulary::StatusVocabulary;
use crate::model::Action;

/// `Retry-After` of an unfinished action, in seconds.
const LOOK_AGAIN: HeaderValue = HeaderValue::from_static("2");

/// The shape of an answer. The boolean is true if operators' detail is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    V1(StatusVocabulary, bool),
    V2(bool),
}

impl Shape {
    const fn letters(self) -> &'static str {
        match self {
            Shape::V1(StatusVocabulary::Lifecycle, false) => "v1",
            Shape::V1(StatusVocabulary::Lifecycle, true) => "v1-detail",
            Shape::V1(StatusVocabulary::Vendor, false) => "v1-vendor",
            Shape::V1(StatusVocabulary::Vendor, true) => "v1-vendor-detail",
            Shape::V2(false) => "v2",
            Shape::V2(true) => "v2-detail",
        }
    }
}

/// Builds the tag of an action in a shape.
///
/// The version alone is not enough: an action recorded again under the same uid
/// after its removal restarts its versions.
fn tag(action: &Action, shape: Shape) -> Option<HeaderValue> {
    let (seen, shape) = (action.last_seen_at.as_micros(), shape.letters());
    HeaderValue::try_from(format!("\"{}.{seen:x}.{shape}\"", action.version)).ok()
}

/// Adds the tag to an answer, and `Retry-After` if the action is unfinished. Answers 304 if the
/// client's tag matches.
pub(super) fn tagged(response: Response, action: &Action, shape: Shape, asked: &Parts) -> Response {
    let Some(tag) = tag(action, shape) else {
        return response;
    };
    let mut response = if matches(&asked.headers, &tag) {
        bare(StatusCode::NOT_MODIFIED)
    } else {
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    if action.is_unfinished() {
        headers.insert(header::RETRY_AFTER, LOOK_AGAIN);
    }
    response
}

/// Returns true if `If-None-Match` contains the tag. Our tags contain no comma and no quote.
pub(super) fn matches(asked: &HeaderMap, tag: &HeaderValue) -> bool {
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
    fn every_form_of_if_none_match_is_understood() {
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
