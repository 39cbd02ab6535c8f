//! Many callers at once, each waiting for its answer before it asks again.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::latencies::Latencies;
use super::measured::Measured;
use crate::conformance::failure::Failure;

/// One caller of a [`closed_loop`]: its stopwatch.
#[derive(Debug)]
pub struct Caller {
    number: usize,
    until: Instant,
    last: Instant,
    latencies: Latencies,
}

impl Caller {
    /// Which of them, from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Whether there is time for another round; the next lap begins now. There always is for the
    /// first: a caller that came late has measured something too.
    pub async fn goes_on(&mut self) -> bool {
        // A store that answers without ever waiting would let the first callers work alone.
        tokio::task::consume_budget().await;
        self.last = Instant::now();
        self.last < self.until || self.latencies.count() == 0
    }

    /// A call was answered: counts the time since the call before.
    pub fn lap(&mut self) {
        let now = Instant::now();
        self.latencies.record(now - self.last);
        self.last = now;
    }
}

/// Runs so many callers, each in a task of its own, and measures them together. A caller works
/// `while caller.goes_on().await`, calls [`Caller::lap`] after each answer, and returns the [`Caller`]
/// with whatever it wants to hand on.
///
/// For comparing a store with something that is no store: what the workloads themselves run on.
///
/// # Errors
/// [`Failure`] if a caller panicked.
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
        let (caller, value) = ended.map_err(|error| {
            Failure::new("a caller that comes to its end", format!("{error:?}"))
        })?;
        latencies.merge(&caller.latencies);
        handed_on.push(value);
    }
    Ok((Measured::since(begun, cpu, latencies), handed_on))
}

/// Processor time this process has used, user and system, in all its threads; none where the
/// system does not say so in a file.
pub(super) fn cpu_time() -> Option<Duration> {
    /// What the kernel counts in for user space, on all its architectures but two that are gone.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name comes before, in parentheses, and may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u32>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(TICK * user.checked_add(system)?)
}
