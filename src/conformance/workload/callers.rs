//! Concurrent callers. Each sends its next call after the answer to the last one.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::latencies::Latencies;
use super::measured::Measured;
use crate::conformance::failure::Failure;

/// One caller of a [`closed_loop`], which measures the time of its calls.
#[derive(Debug)]
pub struct Caller {
    number: usize,
    until: Instant,
    last: Instant,
    latencies: Latencies,
}

impl Caller {
    /// Returns the number of this caller, from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Returns true if there is time for another round, and restarts the stopwatch.
    /// Always true for the first round, so that a caller that starts late measures
    /// something.
    pub async fn goes_on(&mut self) -> bool {
        // If the store never waits, this lets the other callers run too.
        tokio::task::consume_budget().await;
        self.last = Instant::now();
        self.last < self.until || self.latencies.count() == 0
    }

    /// Records the time since the last call, or since the start of the round.
    pub fn lap(&mut self) {
        let now = Instant::now();
        self.latencies.record(now - self.last);
        self.last = now;
    }
}

/// Runs `callers` callers, each in its own task, and measures all of them together. A
/// caller loops `while caller.goes_on().await` and calls [`Caller::lap`] after each
/// answer. At the end it returns the [`Caller`] and a result.
///
/// All workloads use this function. It is public so that a benchmark can compare a store
/// with other code.
///
/// # Errors
/// Returns [`Failure`] if a caller panics.
pub async fn closed_loop<F, Fut, T>(
    callers: usize,
    time: Duration,
    caller: F,
) -> Result<(Measured, Vec<T>), Failure>
where
    F: Fn(Caller) -> Fut,
    Fut: Future<Output = (Caller, T)> + Send + 'static,
    T: Send + 'static,
{
    let cpu = cpu_time();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..callers {
        tasks.spawn(caller(Caller {
            number,
            until: begun + time,
            last: begun,
            latencies: Latencies::default(),
        }));
    }
    let (mut latencies, mut handed_on) = (Latencies::default(), Vec::with_capacity(callers));
    while let Some(ended) = tasks.join_next().await {
        let (caller, value) = ended
            .map_err(|error| Failure::new("a caller that does not panic", format!("{error:?}")))?;
        latencies.merge(&caller.latencies);
        handed_on.push(value);
    }
    Ok((Measured::since(begun, cpu, latencies), handed_on))
}

/// Returns the processor time of this process, user and system, in all its threads.
/// Returns `None` if the system does not report it in `/proc/self/stat`.
pub(super) fn cpu_time() -> Option<Duration> {
    /// Unit of the kernel's counters in user space. It is the same on every supported
    /// architecture.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program comes before, in parentheses, and may contain any
    // character.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u32>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(TICK * user.checked_add(system)?)
}
