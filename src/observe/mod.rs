//! Metrics, spans and events of a store, for hosts that use the facades `metrics` and `tracing`.
//!
//! Wrap the store in [`Observed`]. The [guide](crate::guide::observability) lists all names.

mod action_names;
#[cfg(feature = "metrics")]
mod gauges;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use smallvec::SmallVec;

use self::action_names::ActionNames;
use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Batch, Change, Command, Done, Effect, LogEntry, LogQuery, Outcome, Owner,
    OwnerQuery, Page, Position, Query, Rejection, Revision,
};
use crate::store::{ActionStore, Capabilities};
use crate::telemetry;
#[cfg(feature = "metrics")]
pub use crate::telemetry::describe_metrics;

/// Wraps a store and reports its calls to `metrics` and `tracing`. It behaves like the wrapped
/// store.
///
/// It counts completed actions, refused commands and failed calls, and measures how long actions
/// take. It sees the calls that are made through it. So give it to the tracker, to
/// [`retention`](crate::retention) and to your own code. It does not see the writes of other
/// processes, nor what a host writes in its own transaction. An end is not counted if the caller
/// drops the future of its write, or if the write fails with
/// [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown) and was applied.
///
/// The durations of actions have the name of the action as a label. The first 100 names that are
/// seen have a label of their own; all others are `other`. No other text of an action is reported.
///
/// # Examples
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use std::sync::Arc;
///
/// use action_store::observe::Observed;
/// use action_store::{MemoryStore, NewAction, Tracker};
///
/// let store = Arc::new(Observed::new(MemoryStore::new()));
/// let tracker = Tracker::start(store.clone(), "plane@host-1").await?;
/// tracker.begin(NewAction::task("backup_bdb")).await?.succeed().await?;
///
/// // For each scrape:
/// # #[cfg(feature = "metrics")]
/// store.record_gauges().await?;
/// # #[cfg(feature = "metrics")]
/// tracker.health().record_gauges();
/// # tracker.shutdown().await
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug)]
pub struct Observed<S> {
    store: S,
    /// Number of writes without an answer.
    pending: AtomicUsize,
    names: ActionNames,
}

impl<S> Observed<S> {
    /// Wraps a store.
    #[must_use]
    pub fn new(store: S) -> Observed<S> {
        Observed {
            store,
            pending: AtomicUsize::new(0),
            names: ActionNames::default(),
        }
    }

    /// Returns the wrapped store.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.store
    }

    /// Reports a failed call.
    fn noted<T>(
        &self,
        operation: &'static str,
        answer: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        answer.inspect_err(|error| telemetry::call_failed(operation, error.kind()))
    }

    /// Reports the answer to a command.
    fn note(&self, kind: Kind, answer: &Result<Done, Rejection>) {
        match answer {
            Ok(done) if done.effect == Effect::Already => {}
            Ok(done) => match (kind, &done.action) {
                (Kind::Fence, _) => telemetry::owner_fenced(),
                (Kind::Finish(_), Some(action)) => self.note_end(action),
                _ => {}
            },
            Err(rejection) => {
                if let Some(reason) = reason(rejection) {
                    telemetry::rejected(reason);
                }
                if let (Kind::Finish(outcome), Rejection::Fenced { .. }) = (kind, rejection) {
                    telemetry::late_report(outcome.as_str());
                }
            }
        }
    }

    /// Reports an action that a change has completed.
    fn note_end(&self, action: &Action) {
        if let (Some(outcome), Some(finished)) = (action.outcome, action.finished_at) {
            let took = action.started_at.map(|started| finished.since(started));
            telemetry::ended(outcome.as_str(), took, || self.names.label(&action.name));
        }
    }
}

/// Kind of a command, as far as its answer is reported.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Finish(Outcome),
    Fence,
    Other,
}

impl Kind {
    fn of(command: &Command) -> Kind {
        match command {
            Command::Apply {
                change: Change::Finish(finish),
                ..
            } => Kind::Finish(finish.outcome),
            Command::Fence { .. } => Kind::Fence,
            _ => Kind::Other,
        }
    }
}

/// Returns the word for a refusal; `None` for one that follows from another one in its batch.
fn reason(rejection: &Rejection) -> Option<&'static str> {
    match rejection {
        Rejection::Invalid(_) => Some("invalid"),
        Rejection::NotFound(_) => Some("not_found"),
        Rejection::Conflict { .. } => Some("conflict"),
        Rejection::OwnerAlive(_) => Some("owner_alive"),
        Rejection::Fenced { .. } => Some("fenced"),
        Rejection::Batch(_) => None,
    }
}

/// Counts a write until it is answered or dropped.
struct Pending<'p>(&'p AtomicUsize);

impl<'p> Pending<'p> {
    fn new(pending: &'p AtomicUsize) -> Pending<'p> {
        pending.fetch_add(1, Ordering::Relaxed);
        Pending(pending)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl<S: ActionStore> ActionStore for Observed<S> {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        let _pending = Pending::new(&self.pending);
        let kinds: SmallVec<[Kind; 4]> = batch.commands.iter().map(Kind::of).collect();
        let written = telemetry::writing(kinds.len(), self.store.write(batch)).await;
        let answers = self.noted("write", written)?;
        for (kind, answer) in kinds.into_iter().zip(&answers) {
            self.note(kind, answer);
        }
        Ok(answers)
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.noted("get", self.store.get(uids).await)
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.noted("list", self.store.list(query).await)
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.noted("log", self.store.log(query).await)
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.noted("owners", self.store.owners(query).await)
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.noted("changed", self.store.changed(after).await)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.noted("close", self.store.close().await)
    }
}
