//! Reads one action, with an optional wait for its completion.

use std::sync::Arc;

use axum::http::request::Parts;

use super::authorize::Scope;
use super::error::Problem;
use super::{Adapter, parameters, wait};
use crate::model::{Action, ActionUid, Filter, Position, Query, Timestamp};
use crate::store::{ActionStore as _, ActionStoreExt as _};

impl Adapter {
    /// Reads the action in the path. With `wait`, waits for its completion first.
    pub(super) async fn one(&self, parts: &Parts, scope: &Scope) -> Result<Arc<Action>, Problem> {
        let [time] = parameters::read(parts.uri.query(), ["wait"])?;
        let time = wait::read(time.as_deref(), &self.options.bounds)?;
        let uid = parameters::segment(parts, 0);
        let action = self.visible(&uid, scope).await?;
        if self.waiting.for_end(&action, time).await? {
            self.visible(&uid, scope).await
        } else {
            Ok(action)
        }
    }

    /// Returns an action if it exists and is in the scope.
    pub(super) async fn visible(&self, text: &str, scope: &Scope) -> Result<Arc<Action>, Problem> {
        let Ok(uid) = text.parse::<ActionUid>() else {
            return Err(Problem::NoSuchAction(text.to_owned()));
        };
        let (found, at) = self.seen(uid, scope).await?;
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
    ) -> Result<(Option<Arc<Action>>, Option<Position>), Problem> {
        if scope.filters().is_empty() {
            let found = self.store.action(uid).await?;
            return Ok((found.map(|action| scope.detail().of(action)), None));
        }
        let mut query = Query::new()
            .with_filter(Filter::Uid(uid))
            .with_limit(1)
            .with_detail(scope.detail());
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
