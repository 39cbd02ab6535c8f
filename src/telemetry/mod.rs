//! Reports to the facades `tracing` and `metrics`. Each function is empty unless its feature is on.
//!
//! Names, units and fields are listed in `docs/guide/observability.md`, and a test compares. No value
//! comes from an action, except its outcome, its times and its name as a bounded label.
// Other features decide which of these functions are called.
#![cfg_attr(
    not(all(
        feature = "tracing",
        feature = "metrics",
        feature = "sqlite-unbundled",
        feature = "postgres",
        feature = "tracker"
    )),
    allow(dead_code, unused_imports, unused_variables)
)]

mod events;
mod measures;

use std::time::Duration;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use std::time::Instant;

pub(crate) use events::{
    Recovered, late_report, lease_late, lease_lost, opening, owner_fenced, recovering, writing,
};
#[cfg(feature = "metrics")]
pub use measures::describe_metrics;
pub(crate) use measures::{ended, set_sqlite_gauges, set_store_gauges, set_tracker_gauges};

/// Measures a duration; does nothing unless one of the features is on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(#[cfg(any(feature = "tracing", feature = "metrics"))] Instant);

// Without the features it costs nothing.
#[cfg(not(any(feature = "tracing", feature = "metrics")))]
const _: () = assert!(size_of::<Stopwatch>() == 0);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(
            #[cfg(any(feature = "tracing", feature = "metrics"))]
            Instant::now(),
        )
    }

    /// Returns the time since the start; zero without the features.
    pub(crate) fn elapsed(self) -> Duration {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        return self.0.elapsed();
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        Duration::ZERO
    }
}

/// A transaction with this many commands was committed.
pub(crate) fn committed(took: Duration, commands: usize) {
    measures::committed(took, commands);
    events::slow_commit(took, commands);
}

/// A call of a store failed with an error of this kind.
pub(crate) fn call_failed(operation: &'static str, kind: crate::error::StoreErrorKind) {
    measures::call_failed(operation, kind.as_str());
    events::call_failed(operation, kind);
}

/// A command was refused.
pub(crate) fn rejected(reason: &'static str) {
    measures::rejected(reason);
    events::rejected(reason);
}
