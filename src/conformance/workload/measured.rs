//! The result of a workload.

use std::fmt;
use std::time::{Duration, Instant};

use super::callers::cpu_time;
use super::latencies::Latencies;

/// Result of a workload. A single number says little: compare the results of one run on
/// one machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Measured {
    /// Duration of the workload.
    pub took: Duration,
    /// Latencies of the calls.
    pub latencies: Latencies,
    /// Processor time of the whole process during the workload, callers included, with a
    /// resolution of 10 ms. `None` if the system does not report it; Linux does.
    pub cpu: Option<Duration>,
    /// Actions in the store at the end.
    pub rows: u64,
    /// Actions removed during the workload: by [`Work::Prune`](super::Work::Prune), else 0.
    pub removed: u64,
    /// Size of the store at the end in bytes, from
    /// [`with_bytes`](super::Workload::with_bytes). `None` if it is unknown.
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

    /// Returns the number of answered calls. [`Work::Life`](super::Work::Life) makes six
    /// calls for each action.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.latencies.count()
    }

    /// Returns the calls per second of all callers together.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.calls() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Returns the processor time per call.
    #[must_use]
    pub fn cpu_a_call(&self) -> Option<Duration> {
        let calls = self.calls().max(1) as f64;
        self.cpu.map(|cpu| cpu.div_f64(calls))
    }

    /// Returns the bytes per action, including its log.
    #[must_use]
    pub fn bytes_a_row(&self) -> Option<f64> {
        let rows = self.rows.max(1) as f64;
        self.bytes.map(|bytes| bytes as f64 / rows)
    }
}

impl fmt::Display for Measured {
    /// Formats one line: throughput, p50, p99, p99.9, processor time per call, bytes per
    /// row and removed actions.
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
            write!(f, ", {cpu:.1?} CPU per call")?;
        }
        if let Some(bytes) = self.bytes_a_row() {
            write!(f, ", {bytes:.0} bytes per row")?;
        }
        if self.removed > 0 {
            write!(f, ", {} actions removed", self.removed)?;
        }
        Ok(())
    }
}
