//! Spans and events for `tracing`.

use std::time::Duration;

use super::Stopwatch;
use crate::error::{StoreError, StoreErrorKind};

/// A commit that takes longer is reported.
const SLOW_COMMIT: Duration = Duration::from_secs(1);

/// Emits an event.
macro_rules! event {
    ($level:ident, $name:literal, $($rest:tt)+) => {
        #[cfg(feature = "tracing")]
        tracing::event!(name: $name, target: "action_store", tracing::Level::$level, $($rest)+);
    };
}

/// Returns a future that runs in a span.
macro_rules! in_span {
    ($work:expr, $level:ident, $name:literal $($fields:tt)*) => {{
        #[cfg(feature = "tracing")]
        let work = {
            let span =
                tracing::span!(target: "action_store", tracing::Level::$level, $name $($fields)*);
            tracing::Instrument::instrument($work, span)
        };
        #[cfg(not(feature = "tracing"))]
        let work = $work;
        work
    }};
}

/// Opens a store of a kind.
pub(crate) async fn opening<T>(
    kind: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let stopwatch = Stopwatch::start();
    let opened = in_span!(work, INFO, "action_store.open", store.kind = kind).await;
    match &opened {
        Ok(_) => {
            event!(
                INFO,
                "action_store.opened",
                store.kind = kind,
                duration = stopwatch.elapsed().as_secs_f64(),
                "a store was opened"
            );
        }
        Err(error) => {
            event!(ERROR, "action_store.open.failed", store.kind = kind,
                error.type = error.kind().as_str(), "a store could not be opened");
        }
    }
    opened
}

/// The counts of a recovery.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recovered {
    pub(crate) is_complete: bool,
    pub(crate) lost: u64,
    pub(crate) interrupted: u64,
    pub(crate) left: u64,
    pub(crate) unsettled: u64,
}

/// Settles the actions that earlier owners of a name left.
pub(crate) async fn recovering<T>(
    work: impl Future<Output = T>,
    counts: impl FnOnce(&T) -> Recovered,
) -> T {
    let stopwatch = Stopwatch::start();
    let recovery = in_span!(work, INFO, "action_store.recover").await;
    #[cfg(feature = "tracing")]
    {
        let Recovered {
            is_complete,
            lost,
            interrupted,
            left,
            unsettled,
        } = counts(&recovery);
        let duration = stopwatch.elapsed().as_secs_f64();
        if is_complete {
            event!(
                INFO,
                "action_store.recovered",
                lost,
                interrupted,
                left,
                duration,
                "the actions of earlier owners are settled"
            );
        } else {
            event!(
                WARN,
                "action_store.recovery.incomplete",
                lost,
                interrupted,
                left,
                unsettled,
                duration,
                "actions of earlier owners are not settled; tried again"
            );
        }
    }
    recovery
}

/// Writes a batch with this many commands.
pub(crate) fn writing<T>(
    commands: usize,
    work: impl Future<Output = T>,
) -> impl Future<Output = T> {
    in_span!(work, DEBUG, "action_store.write", commands)
}

pub(super) fn slow_commit(took: Duration, commands: usize) {
    if took >= SLOW_COMMIT {
        event!(
            WARN,
            "action_store.commit.slow",
            duration = took.as_secs_f64(),
            commands,
            "a commit was slow"
        );
    }
}

/// Reports the failures that concern operators. The others are ordinary answers.
pub(super) fn call_failed(operation: &'static str, kind: StoreErrorKind) {
    use StoreErrorKind::{Corrupt, Incompatible, OutcomeUnknown, Unavailable};
    if matches!(kind, Unavailable | OutcomeUnknown | Corrupt | Incompatible) {
        event!(WARN, "action_store.call.failed", operation.name = operation,
            error.type = kind.as_str(), "a call of the store failed");
    }
}

pub(super) fn rejected(reason: &'static str) {
    event!(
        DEBUG,
        "action_store.command.rejected",
        rejection.reason = reason,
        "a command was refused"
    );
}

/// A fenced owner said how its action ended.
pub(crate) fn late_report(outcome: &'static str) {
    event!(
        WARN,
        "action_store.report.late",
        action.outcome = outcome,
        "the end of an action came after its owner was fenced"
    );
}

/// This process has fenced another owner.
pub(crate) fn owner_fenced() {
    event!(
        WARN,
        "action_store.owner.fenced",
        "an owner that did not renew was fenced"
    );
}

/// The tracker of this process has not renewed in time.
pub(crate) fn lease_late() {
    event!(
        WARN,
        "action_store.lease.late",
        "the lease was not renewed in time"
    );
}

/// The owner of this process was ended by another one.
pub(crate) fn lease_lost() {
    event!(
        ERROR,
        "action_store.lease.lost",
        "the owner is no longer alive; restart"
    );
}
