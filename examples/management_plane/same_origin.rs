//! Refuses changes from pages of other sites, because a browser adds the password to
//! their requests.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::api::problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Accepts only requests that a page of another site cannot send.
///
/// A form can be sent to any site, and the browser adds the stored password. But a form
/// cannot send JSON. A script can, after a preflight request, and this plane allows none.
/// Browsers also send the origin of a request; other programs do not.
///
/// `Origin` is compared with `Host`, so a proxy in front of the plane must forward
/// `Host`.
pub(crate) async fn same_origin(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !is_json(headers) {
        return problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "a change needs Content-Type: application/json, even without a body",
        );
    }
    if !is_of_this_site(headers) {
        let words = "the request comes from a page of another site";
        return problem(StatusCode::FORBIDDEN, "cross_site", words);
    }
    next.run(request).await
}

/// Returns the only value of a header. Fails if it has several values or is not ASCII.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().map_err(|_| ()));
    match values.next() {
        None => value.transpose(),
        Some(_) => Err(()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Ok(Some(kind)) = only(headers, header::CONTENT_TYPE) else {
        return false;
    };
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn is_of_this_site(headers: &HeaderMap) -> bool {
    let site = match only(headers, SEC_FETCH_SITE) {
        Ok(site) => site.is_none_or(|site| site == "same-origin"),
        Err(()) => false,
    };
    let origin = match (only(headers, header::ORIGIN), only(headers, header::HOST)) {
        (Ok(None), _) => true,
        (Ok(Some(origin)), Ok(Some(host))) => origin
            .split_once("://")
            .is_some_and(|(_, of)| of.eq_ignore_ascii_case(host)),
        _ => false,
    };
    site && origin
}
