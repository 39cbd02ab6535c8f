//! A web page that shows actions to people.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

const PAGE: &str = include_str!("console.html");

/// Allows only the page's own script, identified by its digest, and requests only to the same
/// origin. Text cannot become markup (`require-trusted-types-for`).
///
/// If the page has changed, `tests/console.rs` prints the new digests.
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-vbTU8iqrZkvUbZRgGrWZqhW33Xn8ol5/tssXGWK631E='; \
    style-src 'sha256-/DJSy21fiE4Z1u5uhb/vetetTuN/PXB19J/dkExJKgs='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Serves a web page at `GET /console` that shows actions live: with filters, a timeline and the
/// history of each action.
///
/// The page reads `v1/actions`, `v1/actions/changes` and `v1/actions/{uid}/history` relative to its
/// own path. Merge it with [`router`](super::router), or nest both under the same path. Version 1 must
/// not be left out. The page loads nothing from elsewhere.
///
/// The page itself contains no recorded data and needs no authorization. Its requests are authorized
/// like all others. On a 401 it asks for a name and a password (`Basic`) or a token (`Bearer`), and
/// keeps them in memory only. If the challenge is not `Basic`, it tries the browser's cookies first.
///
/// The page is one document of less than 64 KiB, with a strict content security policy and
/// `Cache-Control: no-cache`. It holds at most 2,000 actions and one stream of changes.
///
/// ```
/// use action_store::MemoryStore;
/// use action_store::http::{AllowAll, console, router};
///
/// let app: axum::Router = router(MemoryStore::new(), AllowAll).merge(console());
/// let nested = axum::Router::<()>::new().nest("/plane", app); // the page: /plane/console
/// # let _ = nested;
/// ```
pub fn console<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new().route("/console", get(page))
}

async fn page() -> impl IntoResponse {
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (opener, "same-origin"),
    ];
    (
        headers.map(|(name, value)| (name, HeaderValue::from_static(value))),
        PAGE,
    )
}
