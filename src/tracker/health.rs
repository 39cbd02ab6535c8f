//! Health of a tracker.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::recovery::Recovery;
use crate::error::StoreError;
use crate::model::as_seconds;

/// Health of a tracker, for a health page. Returned by [`Tracker::health`](crate::Tracker::health).
///
/// Serialized for operators: durations are in seconds, and errors show their causes.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// True if the tracker owns its actions, as far as this process knows. See
    /// [`Tracker::is_owner`](crate::Tracker::is_owner).
    pub is_owner: bool,
    /// True if the store has reported that this owner is no longer alive. A new tracker is needed
    /// then.
    pub is_fenced: bool,
    /// True if nothing can be recorded any more, because the store is closed or the tracker is shut
    /// down. This says nothing about the owner of the name.
    pub is_closed: bool,
    /// True once [`Tracker::drain`](crate::Tracker::drain) was called: no new work is taken.
    pub is_draining: bool,
    /// Time since the last successful renewal was sent. Up to a sixth of the lease is normal. At
    /// two thirds `is_owner` becomes false. After a whole lease other trackers may fence this
    /// owner.
    #[serde(serialize_with = "as_seconds")]
    pub since_renewal: Duration,
    /// The [lease](crate::TrackerOptions::lease), to compare `since_renewal` with.
    #[serde(serialize_with = "as_seconds")]
    pub lease: Duration,
    /// Number of actions with a handle in this process.
    pub in_work: usize,
    /// Number of those actions with progress that is not written yet.
    pub waiting_progress: usize,
    /// Number of ends that wait in the background for the store, including those being written now.
    /// An end waits here if its handle was dropped or could not record it. The number is not
    /// limited.
    pub waiting_ends: usize,
    /// Memory used by the waiting ends, in bytes. Above 16 MiB, a further end leaves out its
    /// result, warnings and long error texts, and takes about 1 KiB. A warning on the action says
    /// so.
    pub waiting_bytes: usize,
    /// Number of ends that are being written for a caller that waits for the answer
    /// ([`ActionHandle::finish`](crate::ActionHandle::finish) and the methods that call it). If
    /// such a write fails, the end moves to the background.
    pub finishing: usize,
    /// Number of ends that will not be written. Either the stored data prevents it, or the ends
    /// still waited when the store was closed or the tracker ended. The shutdown or the next start
    /// completes their actions.
    pub given_up: u64,
    /// The error for the last end that was given up; `None` if there was none.
    pub given_up_error: Option<StoreError>,
    /// The latest error among the four background tasks below; `None` while all of them work.
    pub failure: Option<StoreError>,
    /// Set while renewals fail. This owner may be fenced.
    pub renewing: Option<Failing>,
    /// Set while background writes fail. Ends and progress wait.
    pub writing: Option<Failing>,
    /// Set while sweeps fail. Dead owners are not found, or their actions are not settled.
    pub sweeping: Option<Failing>,
    /// Set while polling for cancel requests fails. Work does not learn of them.
    pub listening: Option<Failing>,
    /// Totals of this tracker's sweeps since its start, over all owner names.
    ///
    /// `lost` and `interrupted` count everything settled. The other fields are as of the last check
    /// of each name. If `unsettled` stays above 0 for longer than a lease, an operator should look
    /// at it.
    pub swept: Arc<Recovery>,
    /// Number of settled actions for which
    /// [`on_settled`](crate::TrackerOptions::with_on_settled) has not been called or has not
    /// returned.
    pub waiting_settled: usize,
    /// Number of settled actions for which `on_settled` panicked, or was not called because the
    /// action could not be read or was removed.
    pub failed_settled: u64,
}

#[cfg(feature = "metrics")]
impl Health {
    /// Sets the gauges of the tracker: the age of its lease, the ends that wait, and those that were
    /// given up. Meant for a process with one tracker.
    pub fn record_gauges(&self) {
        let age = self.since_renewal;
        crate::telemetry::set_tracker_gauges(age, self.waiting_ends, self.given_up);
    }
}

/// A background task whose last try failed. It keeps retrying; the next success clears this.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Failing {
    /// The error of the last try.
    pub error: StoreError,
    /// Number of consecutive failed tries, including the last one.
    pub failures: u64,
    /// Time since the first of these failures.
    #[serde(serialize_with = "as_seconds")]
    pub since: Duration,
}

/// The background tasks of a tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Renew,
    Write,
    Sweep,
    Listen,
}

/// Consecutive failed tries of one task.
#[derive(Debug)]
struct Row {
    error: StoreError,
    failures: u64,
    first: Instant,
    last: Instant,
}

/// Health data that the tracker's tasks record.
#[derive(Debug)]
pub(super) struct HealthState {
    /// Time at which the last successful renewal was sent.
    pub(super) renewed: Instant,
    pub(super) swept: Arc<Recovery>,
    given_up: u64,
    given_up_error: Option<StoreError>,
    /// Indexed by [`Task`].
    rows: [Option<Row>; 4],
}

impl HealthState {
    pub(super) fn new(claimed: Instant) -> HealthState {
        HealthState {
            renewed: claimed,
            swept: Arc::default(),
            given_up: 0,
            given_up_error: None,
            rows: [None, None, None, None],
        }
    }

    /// Records the result of one try of a task.
    pub(super) fn note(&mut self, task: Task, failure: Option<StoreError>) {
        let now = Instant::now();
        let row = &mut self.rows[task as usize];
        *row = failure.map(|error| Row {
            error,
            failures: row.as_ref().map_or(0, |row| row.failures) + 1,
            first: row.as_ref().map_or(now, |row| row.first),
            last: now,
        });
    }

    /// Records ends that will not be written.
    pub(super) fn give_up(&mut self, ends: usize, error: StoreError) {
        if ends > 0 {
            self.given_up += u64::try_from(ends).unwrap_or(u64::MAX);
            self.given_up_error = Some(error);
        }
    }

    /// Copies the recorded data into a [`Health`].
    pub(super) fn fill(&self, health: &mut Health) {
        let failing = |task: Task| {
            self.rows[task as usize].as_ref().map(|row| Failing {
                error: row.error.clone(),
                failures: row.failures,
                since: row.first.elapsed(),
            })
        };
        let last = self.rows.iter().flatten().max_by_key(|row| row.last);
        health.since_renewal = self.renewed.elapsed();
        health.given_up = self.given_up;
        health.given_up_error = self.given_up_error.clone();
        health.failure = last.map(|row| row.error.clone());
        health.renewing = failing(Task::Renew);
        health.writing = failing(Task::Write);
        health.sweeping = failing(Task::Sweep);
        health.listening = failing(Task::Listen);
        health.swept = self.swept.clone();
    }
}
