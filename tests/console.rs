//! The page as it is served.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use action_store::http::{AllowAll, console, router};
use action_store::{ActionUid, MemoryStore};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

async fn ask(app: &Router, method: Method, path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).unwrap();
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    (
        parts.status,
        parts.headers,
        String::from_utf8(body).unwrap(),
    )
}

async fn served() -> (HeaderMap, String) {
    let (status, headers, page) = ask(&console(), Method::GET, "/console").await;
    assert_eq!(status, StatusCode::OK);
    (headers, page)
}

/// Returns the text between the only two tags with this name.
fn inside<'p>(page: &'p str, tag: &str) -> &'p str {
    let open = match tag {
        "script" => "<script type=\"module\">".to_owned(),
        _ => format!("<{tag}>"),
    };
    let close = format!("</{tag}>");
    assert_eq!(page.matches(&format!("<{tag}")).count(), 1, "{tag}");
    let (_, rest) = page.split_once(&open).unwrap();
    rest.split_once(&close).unwrap().0
}

#[tokio::test]
async fn the_page_has_the_headers_of_a_page_that_trusts_nobody() {
    let (headers, page) = served().await;
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(page.len() < 128 * 1024, "{} bytes", page.len());
    let (status, headers, body) = ask(&console(), Method::HEAD, "/console").await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    assert!(headers.contains_key("content-security-policy"));
    let (status, ..) = ask(&console(), Method::POST, "/console").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_policy_allows_the_pages_own_script_and_style_and_nothing_else() {
    let (headers, page) = served().await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    for (directive, tag) in [("script-src", "script"), ("style-src", "style")] {
        let digest = STANDARD.encode(Sha256::digest(inside(&page, tag)));
        let allowed = format!("{directive} 'sha256-{digest}';");
        assert!(policy.contains(&allowed), "it must have: {allowed}");
    }
    for directive in [
        "default-src 'none'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(directive), "{directive}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    // None of these would run or show, by this policy.
    for attribute in [
        " style=",
        " onclick=",
        " onload=",
        " onerror=",
        "javascript:",
    ] {
        assert!(!page.contains(attribute), "{attribute}");
    }
}

#[tokio::test]
async fn nothing_of_the_page_comes_from_anywhere_else() {
    let (_, page) = served().await;
    for address in ["://", "src=", "@import", "url(", "innerHTML", "eval("] {
        assert!(!page.contains(address), "{address}");
    }
    // No markup is made of text.
    for sink in [
        "insertAdjacentHTML",
        "outerHTML",
        "document.write",
        "Function(",
    ] {
        assert!(!page.contains(sink), "{sink}");
    }
    let hrefs: Vec<&str> = page.split("href=\"").skip(1).collect();
    assert_eq!(hrefs.len(), 2, "the skip link and the empty icon");
    assert!(hrefs.iter().all(|href| href.starts_with(['#', 'd'])));
}

#[tokio::test]
async fn the_page_is_not_sent_again_to_a_browser_that_has_it() {
    let (headers, _) = served().await;
    let tag = headers["etag"].to_str().unwrap();
    let asked = async |known: &str| {
        let request = Request::builder()
            .uri("/console")
            .header("if-none-match", known);
        let request = request.body(Body::empty()).unwrap();
        let response = console().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let length = to_bytes(body, 1 << 20).await.unwrap().len();
        (parts.status, parts.headers, length)
    };
    for known in [tag, &format!("\"old\", W/{tag}"), "*"] {
        let (status, headers, length) = asked(known).await;
        assert_eq!((status, length), (StatusCode::NOT_MODIFIED, 0), "{known}");
        assert_eq!(headers["etag"], tag);
        // Browsers update the headers of their copy from this answer.
        assert!(headers.contains_key("content-security-policy"));
        assert_eq!(headers["cache-control"], "no-cache");
    }
    let (status, headers, length) = asked("\"old\"").await;
    assert_eq!(
        (status, &headers["etag"]),
        (StatusCode::OK, &headers["etag"])
    );
    assert!(length > 10_000);
}

#[tokio::test]
async fn it_stands_beside_the_endpoints_wherever_they_are() {
    let both = router(MemoryStore::new(), AllowAll).merge(console());
    let nested = Router::new().nest("/plane", both);
    let status = async |path: &str| ask(&nested, Method::GET, path).await.0;
    assert_eq!(status("/plane/console").await, StatusCode::OK);
    assert_eq!(status("/plane/v1/actions").await, StatusCode::OK);
    let absent = format!("/plane/v1/actions/{}", ActionUid::new());
    assert_eq!(status(&absent).await, StatusCode::NOT_FOUND);
    assert_eq!(status("/console").await, StatusCode::NOT_FOUND);
}
