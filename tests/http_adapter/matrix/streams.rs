//! The event stream of each role.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_core::Stream as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::DETAIL;

/// Returns the error in the event stream of a request. Reads until nothing more comes. If
/// nothing is expected, it reads to the end of the stream.
pub(super) async fn fault(
    app: &Router,
    request: Request<Body>,
    expected: &BTreeSet<String>,
) -> Option<String> {
    let response = app.clone().oneshot(request).await.unwrap();
    if response.status() != StatusCode::OK {
        return Some(format!("{response:?}"));
    }
    let mut body = response.into_body().into_data_stream();
    let (mut text, mut uids) = (String::new(), Vec::new());
    while let Some(chunk) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
        text += std::str::from_utf8(&chunk.unwrap()).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let pages: Vec<Value> = data
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        uids.clear();
        pages.iter().for_each(|page| super::shown(page, &mut uids));
        if pages.last().is_some_and(|page| page["more"] == false) {
            break;
        }
    }
    let found: BTreeSet<String> = uids.iter().cloned().collect();
    let right = found == *expected && uids.len() == found.len() && !text.contains(DETAIL);
    (!right).then(|| format!("{text} is not {expected:?}"))
}
