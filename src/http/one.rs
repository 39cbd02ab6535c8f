//! One action: looked up, perhaps waited for, or not there.

use std::sync::Arc;

use axum::http::request::Parts;

use super::authorize::Scope;
use super::error::Problem;
use super::{Adapter, parameters, wait};
use crate::model::{Action, ActionUid, Position, Query, Term, Timestamp};
use crate::store::{ActionStore as _, ActionStoreExt as _};

impl Adapter {
    /// The action that the path names, completed if that comes in the time the client gives it.
    pub(super) async fn one(&self, parts: &Parts, scope: &Scope) -> Result<Arc<Action>, Problem> {
        let [time] = parameters::read(parts.uri.query(), ["wait"])?;
        let time = wait::read(time.as_deref(), &self.options.bounds)?;
        let uid = parameters::segment(parts, 0);
        let action = self.visible(&uid, scope).await?;
        match self.waiting.for_end(&action, time).await? {
            true => self.visible(&uid, scope).await,
            false => Ok(action),
        }
    }

    /// An action, if it is in the scope.
    pub(super) async fn visible(&self, text: &str, scope: &Scope) -> Result<Arc<Action>, Problem> {
        let Ok(uid) = text.parse::<ActionUid>() else {
            return Err(Problem::NoSuchAction(text.to_owned()));
        };
        let (found, at) = self.seen(uid, scope).await?;
        let drawn = match found {
            Some(action) => return Ok(action),
            None => drawn_at(uid),
        };
        // What is not there and what is not visible are the same: a uid that was drawn no later
        // than an action that was removed may have been one of those. Its own time is all that
        // decides, so the answer says nothing about what is or was there.
        let at = match at {
            Some(at) => at,
            None => self.store.changed(None).await?,
        };
        match drawn.is_some() && drawn <= at.removed_created {
            true => Err(Problem::Gone(text.to_owned())),
            false => Err(Problem::NoSuchAction(text.to_owned())),
        }
    }

    /// An action, if it is in the scope: one question to the store, whatever the answer. With a
    /// scope it also says where the store stands.
    async fn seen(
        &self,
        uid: ActionUid,
        scope: &Scope,
    ) -> Result<(Option<Arc<Action>>, Option<Position>), Problem> {
        if scope.terms().is_empty() {
            let found = self.store.action(uid).await?;
            return Ok((found.map(|action| scope.detail().of(action)), None));
        }
        let mut query = Query::new()
            .with_term(Term::Uid(uid))
            .with_limit(1)
            .with_detail(scope.detail());
        query.terms.extend_from_slice(scope.terms());
        let mut page = self.store.list(&query).await?;
        Ok((page.items.pop(), Some(page.at)))
    }
}

/// The time that a uid of version 7 carries, to the millisecond.
fn drawn_at(uid: ActionUid) -> Option<Timestamp> {
    let uuid = uid.as_uuid();
    if uuid.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanos) = uuid.get_timestamp()?.to_unix();
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    Some(Timestamp::from_micros(micros + i64::from(nanos / 1_000)))
}
