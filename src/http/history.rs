//! `GET /v1/actions/{uid}/history`: an action and its log.

use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;

use super::adapter::Adapter;
use super::authorize::Scope;
use super::error::{Problem, answer};
use super::get_one::located;
use super::parameters;
use super::query::{limit_of, link};
use super::record::{Entry, Record};
use super::walk::not_a_cursor;
use crate::error::StoreErrorKind;
use crate::model::{Limits, LogQuery};

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct History<'a> {
    action: Record<'a>,
    history: Vec<Entry<'a>>,
    /// Number of the oldest steps and notes that the history no longer has. Absent if zero.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    dropped: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Adapter {
    pub(super) async fn history(&self, parts: &Parts, scope: &Scope) -> Result<Response, Problem> {
        let [limit, cursor] = parameters::read(parts.uri.query(), ["limit", "cursor"])?;
        let asked = limit_of(limit.as_deref())?;
        let after = cursor.as_deref().map(str::parse).transpose();
        let after = after.map_err(|_| not_a_cursor())?;
        // Counted from the end, the uid is the second segment, wherever the router is nested.
        let uid = parameters::segment(parts, 1);
        let action = self.visible(&uid, scope, scope.detail()).await?;
        let query = LogQuery::of(action.uid)
            .with_after(after)
            .with_limit(asked.unwrap_or(Limits::PAGE));
        let log = self.store.log(&query).await;
        let page = log.map_err(|error| match error.kind() {
            StoreErrorKind::Invalid if after.is_some() => not_a_cursor(),
            _ => Problem::Store(error),
        })?;
        let inside = scope.shows_detail();
        let entry = |transition| Entry::new(transition, inside);
        let mut response = answer(&History {
            action: Record::new(&action, inside),
            history: page.items.iter().map(entry).collect(),
            dropped: action.log_dropped(),
        })?;
        if let Some(next) = page.next {
            let kept = asked.map(|limit| format!("limit={limit}"));
            if let Some(link) = link(&kept.unwrap_or_default(), &next.to_string()) {
                response.headers_mut().insert(header::LINK, link);
            }
        }
        Ok(located(response, parts, 1, action.uid, "/history"))
    }
}
