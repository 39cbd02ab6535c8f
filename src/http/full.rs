//! `GET /v1/actions/{uid}?view=full`: all that a caller may see of an action.

use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Adapter;
use super::authorize::Scope;
use super::counts::Counts;
use super::error::{Problem, answer};
use super::get_one::located;
use super::query::COUNTED;
use super::record::{Record, Seconds};
use crate::expectations::{Expectations, Remaining};
use crate::model::{Action, Evidence, Filter, Json};
use crate::store::ActionStoreExt as _;

/// An action with everything that the caller may see.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = FullAction))]
pub(super) struct Full<'a> {
    action: Record<'a>,
    /// Numbers of its parts, up to 1,000 of each state.
    parts: Counts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    related: Vec<Related<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    attributes: Option<&'a RawValue>,
    /// The result, as the host has recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::any, required = false))]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<Cancel<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<Rest>,
    /// Facts about an owner that did not complete the action. Only for callers who may see operator
    /// detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<EvidenceOf<'a>>,
}

/// Another object that the action touches.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RelatedObject))]
struct Related<'a> {
    role: &'a str,
    object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// A request to cancel the action.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CancelRequest))]
struct Cancel<'a> {
    at: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Expected remaining time of an executing action, from earlier ones of its name.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RemainingTime))]
struct Rest {
    /// `typical`: until the median duration. `slow`: beyond it, until the 95th percentile.
    /// `beyond`: longer than that, by so many seconds.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::remaining))]
    expected: &'static str,
    seconds: u64,
}

impl From<Remaining> for Rest {
    fn from(remaining: Remaining) -> Rest {
        let (expected, time) = match remaining {
            Remaining::Typical(time) => ("typical", time),
            Remaining::Slow(time) => ("slow", time),
            Remaining::Beyond(time) => ("beyond", time),
        };
        Rest {
            expected,
            seconds: time.as_secs(),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Evidence))]
struct EvidenceOf<'a> {
    owner: &'a str,
    end: &'a str,
    last_seen_at: Seconds,
    decided_by: &'a str,
}

impl<'a> From<&'a Evidence> for EvidenceOf<'a> {
    fn from(evidence: &'a Evidence) -> EvidenceOf<'a> {
        EvidenceOf {
            owner: &evidence.owner.name,
            end: evidence.end.as_str(),
            last_seen_at: Seconds(evidence.last_seen_at),
            decided_by: &evidence.decided_by,
        }
    }
}

/// Returns a recorded JSON text as it is written.
fn raw(json: Option<&Json>) -> Result<Option<&RawValue>, Problem> {
    let raw = json.map(|json| serde_json::from_str(json.as_str()));
    raw.transpose().map_err(super::error::not_json)
}

impl Adapter {
    /// Answers with all that the caller may see of an action, which was read with
    /// [`Detail::Full`](crate::model::Detail::Full).
    pub(super) async fn full(
        &self,
        parts: &Parts,
        action: &Action,
        scope: &Scope,
    ) -> Result<Response, Problem> {
        let uid = action.uid;
        let inside = scope.shows_detail();
        // Parts and earlier actions outside the scope are not counted.
        let children = [scope.filters(), &[Filter::Parent(uid)]].concat();
        let children = self.store.count(&children, COUNTED).await?;
        let related = action.related.iter().map(|related| Related {
            role: &related.role,
            object: related.object.as_str(),
            name: related.name.as_deref(),
        });
        let cancel = action.cancel.as_ref().map(|cancel| Cancel {
            at: Seconds(cancel.at),
            by: cancel.by.as_deref(),
            reason: cancel.reason.as_deref(),
        });
        let evidence = action.evidence.as_ref().filter(|_| inside);
        let response = answer(&Full {
            action: Record::new(action, inside),
            parts: children.into(),
            related: related.collect(),
            attributes: raw(action.attributes.as_ref())?,
            result: raw(action.result.as_ref())?,
            cancel,
            remaining: self.remaining(action, scope).await?,
            evidence: evidence.map(EvidenceOf::from),
        })?;
        Ok(located(response, parts, 0, uid, "?view=full"))
    }

    async fn remaining(&self, action: &Action, scope: &Scope) -> Result<Option<Rest>, Problem> {
        if action.started_at.is_none() || !action.is_unfinished() {
            return Ok(None);
        }
        let (name, sample) = (action.name.clone(), Expectations::SAMPLE);
        let usual = Expectations::among(&*self.store, name, scope.filters(), sample).await?;
        let remaining = usual.remaining(action, self.options.clock.now());
        Ok(remaining.map(Rest::from))
    }
}
