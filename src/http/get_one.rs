//! Reads one action, with an optional wait for its completion.

use std::sync::Arc;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_LOCATION;
use axum::http::request::Parts;
use axum::response::Response;
use uuid::Uuid;

use super::adapter::Adapter;
use super::authorize::Scope;
use super::error::Problem;
use super::{parameters, wait};
use crate::model::{Action, ActionUid, Detail, Filter, Position, Query, Timestamp};
use crate::store::{ActionStore as _, ActionStoreExt as _};

/// Reads the uid of an action as the router reads the one in a path: in upper or lower case, with
/// or without hyphens. All spellings name the same action. Returns `None` for any other text.
///
/// Use it in the host's own paths, so that they accept what these endpoints accept.
///
/// ```
/// use action_store::ActionUid;
/// use action_store::http::read_uid;
///
/// let uid = ActionUid::new();
/// let spelled = uid.to_string().replace('-', "").to_uppercase();
/// assert_eq!(read_uid(&spelled), Some(uid));
/// assert_eq!(read_uid("latest"), None);
/// ```
#[must_use]
pub fn read_uid(text: &str) -> Option<ActionUid> {
    // The parser also reads forms with braces and `urn:uuid:`.
    let is_plain = matches!(text.len(), 32 | 36);
    let uuid = is_plain.then(|| Uuid::try_parse(text).ok()).flatten();
    uuid.map(ActionUid::from_uuid)
}

/// Adds `Content-Location`, the canonical address, if the path spells the uid in another way. It is
/// relative to the request's own path. `from_end` is the place of the uid in the path, `rest` what
/// follows it.
pub(super) fn located(
    mut response: Response,
    parts: &Parts,
    from_end: usize,
    uid: ActionUid,
    rest: &str,
) -> Response {
    if parameters::segment(parts, from_end) != uid.to_string() {
        let address = format!("{}{uid}{rest}", "../".repeat(from_end));
        if let Ok(address) = HeaderValue::try_from(address) {
            response.headers_mut().insert(CONTENT_LOCATION, address);
        }
    }
    response
}

impl Adapter {
    /// Reads the action in the path. With `wait`, waits for its completion first. Returns true if
    /// all of it is asked for; then it is read with results and operator detail, for any caller.
    pub(super) async fn one(
        &self,
        parts: &Parts,
        scope: &Scope,
    ) -> Result<(Arc<Action>, bool), Problem> {
        let [time, view] = parameters::read(parts.uri.query(), ["wait", "view"])?;
        let is_full = match view.as_deref() {
            None => false,
            Some(view) if view.eq_ignore_ascii_case("full") => true,
            Some(_) => return Err(Problem::Parameter("view".to_owned(), "must be full")),
        };
        let time = wait::read(time.as_deref(), &self.options.bounds)?;
        let uid = parameters::segment(parts, 0);
        let detail = if is_full {
            Detail::Full
        } else {
            scope.detail()
        };
        let action = self.visible(&uid, scope, detail).await?;
        if self.waiting.for_end(&action, time, scope).await? {
            Ok((self.visible(&uid, scope, detail).await?, is_full))
        } else {
            Ok((action, is_full))
        }
    }

    /// Returns an action if it exists and is in the scope.
    pub(super) async fn visible(
        &self,
        text: &str,
        scope: &Scope,
        detail: Detail,
    ) -> Result<Arc<Action>, Problem> {
        let Some(uid) = read_uid(text) else {
            return Err(Problem::NoSuchAction(text.to_owned()));
        };
        let (found, at) = self.seen(uid, scope, detail).await?;
        let drawn = match found {
            Some(action) => return Ok(action),
            None => drawn_at(uid),
        };
        // An action outside the scope is answered like an absent one. 404 or 410 depends only on
        // the uid's own time, so the answer reveals nothing about what exists or existed.
        let at = match at {
            Some(at) => at,
            None => self.store.changed(None).await?,
        };
        if drawn.is_some() && drawn <= at.pruned_created {
            Err(Problem::Gone(text.to_owned()))
        } else {
            Err(Problem::NoSuchAction(text.to_owned()))
        }
    }

    /// Looks an action up within the scope with one query to the store. With a scope it also
    /// returns the store's position.
    async fn seen(
        &self,
        uid: ActionUid,
        scope: &Scope,
        detail: Detail,
    ) -> Result<(Option<Arc<Action>>, Option<Position>), Problem> {
        if scope.filters().is_empty() {
            let found = self.store.action(uid).await?;
            return Ok((found.map(|action| detail.of(action)), None));
        }
        let mut query = Query::new()
            .with_filter(Filter::Uid(uid))
            .with_limit(1)
            .with_detail(detail);
        query.filters.extend_from_slice(scope.filters());
        let mut page = self.store.list(&query).await?;
        Ok((page.items.pop(), Some(page.at)))
    }
}

/// Returns the time in a uid of version 7, in milliseconds.
fn drawn_at(uid: ActionUid) -> Option<Timestamp> {
    let uuid = uid.as_uuid();
    if uuid.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanos) = uuid.get_timestamp()?.to_unix();
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    Some(Timestamp::from_micros(micros + i64::from(nanos / 1_000)))
}
