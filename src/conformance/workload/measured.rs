//! What a workload came to.

use std::fmt;
use std::time::{Duration, Instant};

use super::callers::cpu_time;
use super::latencies::Latencies;

/// What a workload came to. One number alone says little: compare those of one run on one machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Measured {
    /// How long it ran.
    pub took: Duration,
    /// How long each call took.
    pub latencies: Latencies,
    /// Processor time of the whole process meanwhile, callers included, to the hundredth of a
    /// second; none where the system does not say (it does on Linux).
    pub cpu: Option<Duration>,
    /// Actions in the store at the end.
    pub rows: u64,
    /// Actions that were removed meanwhile.
    pub removed: u64,
    /// What the store occupied at the end, as the workload's probe says; none without one.
    pub bytes: Option<u64>,
}

impl Measured {
    pub(super) fn since(begun: Instant, cpu: Option<Duration>, latencies: Latencies) -> Measured {
        let used = cpu.zip(cpu_time());
        Measured {
            took: begun.elapsed(),
            latencies,
            cpu: used.map(|(before, after)| after.saturating_sub(before)),
            rows: 0,
            removed: 0,
            bytes: None,
        }
    }

    /// How many calls were answered. A whole life is six.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.latencies.count()
    }

    /// Calls a second, of all callers together.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.calls() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Processor time for a call.
    #[must_use]
    pub fn cpu_a_call(&self) -> Option<Duration> {
        let calls = self.calls().max(1) as f64;
        self.cpu.map(|cpu| cpu.div_f64(calls))
    }

    /// Bytes for an action with its log.
    #[must_use]
    pub fn bytes_a_row(&self) -> Option<f64> {
        let rows = self.rows.max(1) as f64;
        self.bytes.map(|bytes| bytes as f64 / rows)
    }
}

impl fmt::Display for Measured {
    /// One line: throughput, p50, p99, p99.9, processor time a call, bytes a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantile = |share| self.latencies.quantile(share);
        write!(
            f,
            "{:.0} calls/s, p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}",
            self.throughput(),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999)
        )?;
        if let Some(cpu) = self.cpu_a_call() {
            write!(f, ", {cpu:.1?} CPU a call")?;
        }
        if let Some(bytes) = self.bytes_a_row() {
            write!(f, ", {bytes:.0} bytes a row")?;
        }
        Ok(())
    }
}
