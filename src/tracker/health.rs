//! How a tracker stands.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::recovery::Recovery;
use crate::error::StoreError;

/// How a tracker stands: for a health page. From [`Tracker::health`](crate::Tracker::health).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Health {
    /// Whether it owns its actions, as far as it knows; see
    /// [`Tracker::is_owner`](crate::Tracker::is_owner).
    pub is_owner: bool,
    /// Whether the store has said that it is no longer alive. Then a new tracker is needed.
    pub is_fenced: bool,
    /// Whether nothing can be recorded any more: the store is closed, or the tracker is shut down.
    /// That says nothing about who owns the name.
    pub is_closed: bool,
    /// How long ago the last renewal that succeeded was sent. Up to a sixth of the lease is normal;
    /// at two thirds `is_owner` becomes false; from a whole lease on others may fence this owner.
    pub since_renewal: Duration,
    /// The [lease](crate::TrackerOptions::lease), to compare that with.
    pub lease: Duration,
    /// How many actions have a handle in this process.
    pub in_work: usize,
    /// How many of them have progress to be written.
    pub waiting_progress: usize,
    /// How many ends wait in the background for a store that did not take them yet, those that are
    /// just being written included. Each handle that is dropped or fails to record its end waits
    /// here, however many there are.
    pub waiting_ends: usize,
    /// The memory those take, in bytes. Beyond 16 MiB a further end leaves out its result, warnings
    /// and long error texts, with a note among the action's warnings, and takes about 1 KiB.
    pub waiting_bytes: usize,
    /// How many ends are being written for a caller who waits for the answer
    /// ([`ActionHandle::finish`](crate::ActionHandle::finish) and what calls it). Those that fail
    /// then wait in the background.
    pub finishing: usize,
    /// How many ends cannot be written because of what is stored, or were still waiting when the
    /// store was closed or the tracker ended. Their actions are completed by the shutdown, or by
    /// the next start.
    pub given_up: u64,
    /// Why the last of those was given up; none if none was.
    pub given_up_error: Option<StoreError>,
    /// The error of the background task that failed last, among the four below; none while all work.
    pub failure: Option<StoreError>,
    /// Set while renewals fail: this owner's name is at risk.
    pub renewing: Option<Failing>,
    /// Set while writes in the background fail: ends and progress wait.
    pub writing: Option<Failing>,
    /// Set while sweeps fail: dead owners are not found, or what they left is not settled.
    pub sweeping: Option<Failing>,
    /// Set while the search for cancel requests fails: work does not hear of them.
    pub listening: Option<Failing>,
    /// What the sweeps of this tracker have come to since its start, of all owner names together:
    /// how much they have settled, and, as of the last look at each name, what is left and what
    /// stands in the way. `unsettled` above 0 for longer than a lease wants somebody's eye.
    pub swept: Arc<Recovery>,
}

/// A background task of a tracker whose last try failed. It goes on trying; the next success clears
/// this.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failing {
    /// The error of the last try.
    pub error: StoreError,
    /// How many tries in a row have failed, the last one included.
    pub failures: u64,
    /// How long ago the first of them failed.
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

/// Tries that failed, in a row.
#[derive(Debug)]
struct Row {
    error: StoreError,
    failures: u64,
    first: Instant,
    last: Instant,
}

/// Notes of a tracker's tasks about themselves.
#[derive(Debug)]
pub(super) struct HealthState {
    /// When the last renewal that succeeded was sent.
    pub(super) renewed: Instant,
    pub(super) swept: Arc<Recovery>,
    given_up: u64,
    given_up_error: Option<StoreError>,
    /// By [`Task`].
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

    /// Notes how a try of a task went.
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

    /// Notes ends that will not be written.
    pub(super) fn give_up(&mut self, ends: usize, error: StoreError) {
        if ends > 0 {
            self.given_up += u64::try_from(ends).unwrap_or(u64::MAX);
            self.given_up_error = Some(error);
        }
    }

    /// Fills in what is noted here.
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
