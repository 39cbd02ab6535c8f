//! Metrics for `metrics`.

use std::sync::Arc;
use std::time::Duration;

/// Declares the names of the metrics, and describes all of them.
macro_rules! declare {
    ($($constant:ident = $name:literal, $describe:ident, $unit:ident, $text:literal;)+) => {
        #[cfg(feature = "metrics")]
        mod names {
            $(pub(super) const $constant: &str = $name;)+
        }

        /// Gives units and descriptions to the recorder of the process. Call it once, after the
        /// recorder was installed. Exporters show them, for example as `# HELP`.
        #[cfg(feature = "metrics")]
        pub fn describe_metrics() {
            $(metrics::$describe!(names::$constant, metrics::Unit::$unit, $text);)+
        }
    };
}

declare! {
    ACTION_COUNT = "action_store.action.count", describe_gauge, Count,
        "Number of actions by status";
    ACTION_OLDEST_AGE = "action_store.action.oldest_age", describe_gauge, Seconds,
        "Age of the oldest unfinished action";
    ACTION_ENDS = "action_store.action.ends", describe_counter, Count,
        "Completed actions by outcome";
    ACTION_DURATION = "action_store.action.duration", describe_histogram, Seconds,
        "Time from start to completion by name";
    WRITE_PENDING = "action_store.write.pending", describe_gauge, Count,
        "Batches that wait for an answer";
    CALL_ERRORS = "action_store.call.errors", describe_counter, Count,
        "Calls of the store that failed";
    COMMAND_REJECTIONS = "action_store.command.rejections", describe_counter, Count,
        "Commands that were refused";
    COMMIT_DURATION = "action_store.commit.duration", describe_histogram, Seconds,
        "Time of a commit";
    COMMIT_COMMANDS = "action_store.commit.commands", describe_histogram, Count,
        "Commands in a commit";
    LEASE_AGE = "action_store.lease.age", describe_gauge, Seconds,
        "Time since the last renewal that succeeded";
    WAITING_ENDS = "action_store.tracker.waiting_ends", describe_gauge, Count,
        "Ends that wait in the background";
    GIVEN_UP_ENDS = "action_store.tracker.given_up_ends", describe_counter, Count,
        "Ends that will not be written";
    WAL_SIZE = "action_store.sqlite.wal_size", describe_gauge, Bytes,
        "Size of the WAL file";
    DAMAGED = "action_store.sqlite.damaged", describe_gauge, Count,
        "Damaged records that are known";
}

/// Converts a number to the type of all metrics.
#[cfg(feature = "metrics")]
fn float(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or(u64::MAX) as f64
}

/// An action was completed. `name` returns the label for its name.
pub(crate) fn ended(
    outcome: &'static str,
    took: Option<Duration>,
    name: impl FnOnce() -> Arc<str>,
) {
    #[cfg(feature = "metrics")]
    {
        metrics::counter!(names::ACTION_ENDS, "action.outcome" => outcome).increment(1);
        if let Some(took) = took {
            metrics::histogram!(names::ACTION_DURATION, "action.name" => name()).record(took);
        }
    }
}

pub(super) fn committed(took: Duration, commands: usize) {
    #[cfg(feature = "metrics")]
    {
        metrics::histogram!(names::COMMIT_DURATION).record(took);
        metrics::histogram!(names::COMMIT_COMMANDS).record(float(commands));
    }
}

pub(super) fn call_failed(operation: &'static str, kind: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(names::CALL_ERRORS, "operation.name" => operation, "error.type" => kind)
        .increment(1);
}

pub(super) fn rejected(reason: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(names::COMMAND_REJECTIONS, "rejection.reason" => reason).increment(1);
}

/// Sets the gauges of a store: actions by status, age of the oldest one, batches that wait.
pub(crate) fn set_store_gauges(by_status: [(&'static str, u64); 3], age: Duration, pending: usize) {
    #[cfg(feature = "metrics")]
    {
        for (status, count) in by_status {
            metrics::gauge!(names::ACTION_COUNT, "action.status" => status).set(float(count));
        }
        metrics::gauge!(names::ACTION_OLDEST_AGE).set(age);
        metrics::gauge!(names::WRITE_PENDING).set(float(pending));
    }
}

pub(crate) fn set_tracker_gauges(lease_age: Duration, waiting_ends: usize, given_up_ends: u64) {
    #[cfg(feature = "metrics")]
    {
        metrics::gauge!(names::LEASE_AGE).set(lease_age);
        metrics::gauge!(names::WAITING_ENDS).set(float(waiting_ends));
        metrics::counter!(names::GIVEN_UP_ENDS).absolute(given_up_ends);
    }
}

pub(crate) fn set_sqlite_gauges(wal_bytes: u64, damaged: u64) {
    #[cfg(feature = "metrics")]
    {
        metrics::gauge!(names::WAL_SIZE).set(float(wal_bytes));
        metrics::gauge!(names::DAMAGED).set(float(damaged));
    }
}
