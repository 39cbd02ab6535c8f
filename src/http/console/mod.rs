//! A web page that shows actions to people.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::etag;

/// The page: one document, whose style and script are joined from their files.
const PAGE: &str = concat!(
    include_str!("head.html"),
    include_str!("console.css"),
    include_str!("body.html"),
    include_str!("base.js"),
    include_str!("requests.js"),
    include_str!("view.js"),
    include_str!("feed.js"),
    include_str!("estimates.js"),
    include_str!("list.js"),
    include_str!("counts.js"),
    include_str!("timeline.js"),
    include_str!("detail.js"),
    include_str!("main.js"),
    "</script>\n</body>\n</html>\n",
);

/// The entity tag of the page. It changes with the page.
static TAG: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    hasher.write(PAGE.as_bytes());
    HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish())).ok()
});

/// Allows only the page's own script, identified by its digest, and requests only to the same
/// origin. Text cannot become markup (`require-trusted-types-for`).
///
/// If the page has changed, `tests/console.rs` prints the new digests.
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-1y4di17JFvnMw2BawdlwtOIqxmZB2IM3csTuSNcl4aU='; \
    style-src 'sha256-V2BsoKdAVlxZKyw9A1Vo3KSZnZOUmFV2+RQQfg3YJCg='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Serves a web page at `GET /console` that shows actions live: with search, filters, counts, a
/// timeline, and each action with its parts, result and history.
///
/// The page reads the endpoints of version 1 relative to its own path. Merge it with
/// [`router`](super::router), or nest both under the same path. Version 1 must not be left out. The
/// page loads nothing from elsewhere. [The console](crate::guide::console) describes it.
///
/// The page itself contains no recorded data and needs no authorization. Its requests are authorized
/// like all others. On a 401 it asks for a name and a password (`Basic`) or a token (`Bearer`), and
/// keeps them in memory only. If the challenge is not `Basic`, it tries the browser's cookies first.
///
/// The page is one document of less than 128 KiB, with a strict content security policy, an `ETag`
/// and `Cache-Control: no-cache`. It holds at most 12,000 actions and one stream of changes.
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

async fn page(asked: HeaderMap) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (OPENER, "same-origin"),
    ];
    let fixed = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    let mut headers = HeaderMap::from_iter(fixed);
    if let Some(tag) = TAG.as_ref() {
        headers.insert(header::ETAG, tag.clone());
        if etag::matches(&asked, tag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
    }
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    (headers, PAGE).into_response()
}

const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
