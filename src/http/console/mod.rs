//! A page for people, over the endpoints of this router.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

const PAGE: &str = include_str!("console.html");

/// The page runs nothing but its own script, which is named by its digest, and talks to nobody but
/// who served it. Nothing can be made of a text but a text (`require-trusted-types-for`).
///
/// A test computes both digests and says what they are when the page has changed.
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-s0Gm/BxFHqy9a+WO8AZBYGZ+KxMuu2VHhBNuuE888uQ='; \
    style-src 'sha256-/DJSy21fiE4Z1u5uhb/vetetTuN/PXB19J/dkExJKgs='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A page that shows actions to people, at `GET /console`: live, filtered, each with its history,
/// and on a timeline.
///
/// It reads `v1/actions`, `v1/actions/changes` and `v1/actions/{uid}/history` beside it, so it
/// belongs where [`router`](super::router) is: merged with it, or nested under the same path, and
/// version 1 must not be left out. Nothing of it comes from anywhere else.
///
/// The page itself holds nothing that is recorded and asks for no authorization; what it reads is
/// authorized like everybody's reading. On a 401 it asks for a name and a password (`Basic`) or a
/// token (`Bearer`), and keeps them in its memory only. To a challenge other than `Basic`, a
/// browser's own cookies are tried first.
///
/// It is one document of less than 64 KiB, with a strict content security policy and
/// `Cache-Control: no-cache`. A browser that shows it holds at most 2,000 actions and one stream of
/// changes.
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
