//! `GET /v1/actions/counts`: how many actions are in each state.

use axum::http::request::Parts;
use axum::response::Response;
use serde::Serialize;

use super::Adapter;
use super::authorize::Scope;
use super::error::{Problem, answer};
use super::query::read_counts;
use crate::store::{ActionStoreExt as _, StateCount, StateCounts};

/// A number of actions. It is a lower bound unless `exact` is true.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Count {
    number: u64,
    exact: bool,
}

impl From<StateCount> for Count {
    fn from(count: StateCount) -> Count {
        Count {
            number: count.number,
            exact: count.exact,
        }
    }
}

/// Numbers of actions by status and outcome.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Counts {
    queued: Count,
    executing: Count,
    succeeded: Count,
    failed: Count,
    cancelled: Count,
    interrupted: Count,
    lost: Count,
    /// All of them.
    total: Count,
}

impl From<StateCounts> for Counts {
    fn from(counts: StateCounts) -> Counts {
        Counts {
            queued: counts.queued.into(),
            executing: counts.executing.into(),
            succeeded: counts.succeeded.into(),
            failed: counts.failed.into(),
            cancelled: counts.cancelled.into(),
            interrupted: counts.interrupted.into(),
            lost: counts.lost.into(),
            total: Count {
                number: counts.total(),
                exact: counts.is_exact(),
            },
        }
    }
}

impl Adapter {
    pub(super) async fn counts(&self, parts: &Parts, scope: &Scope) -> Result<Response, Problem> {
        let (asked, bound) = read_counts(parts.uri.query(), scope)?;
        let filters = [scope.filters(), &asked].concat();
        let counts = self.store.count(&filters, bound).await?;
        answer(&Counts::from(counts))
    }
}
