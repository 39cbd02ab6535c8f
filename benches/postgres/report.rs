//! The results as a table. Ratios within one run come first: absolute numbers depend more on the
//! machine and the server than on the store.

use std::fmt::Write;
use std::time::Duration;

use action_store::conformance::workload::Measured;

use crate::middle::middle;

/// Result of one contestant in one round.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    calls_a_second: f64,
    p50: Duration,
    p99: Duration,
    /// Processor time of this process, without the server.
    cpu: Option<Duration>,
}

impl From<&Measured> for Sample {
    fn from(measured: &Measured) -> Sample {
        Sample {
            calls_a_second: measured.throughput(),
            p50: measured.latencies.quantile(0.5),
            p99: measured.latencies.quantile(0.99),
            cpu: measured.cpu_a_call(),
        }
    }
}

/// All rounds of a contestant.
#[derive(Debug)]
pub struct Line {
    name: &'static str,
    pub rounds: Vec<Sample>,
}

impl Line {
    pub fn new(name: &'static str) -> Line {
        Line {
            name,
            rounds: Vec::new(),
        }
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        middle(self.rounds.iter().map(of))
    }
}

/// Returns a table with the first line as a multiple of each.
pub fn table(lines: &[Line]) -> String {
    let first = &lines[0];
    let mut out = format!(
        "| | {} is | rounds | calls/s | p50 ms | p99 ms | own CPU us |\n\
         | --- | --: | --: | --: | --: | --: | --: |\n",
        first.name
    );
    for line in lines {
        let pairs = || first.rounds.iter().zip(&line.rounds);
        let ratios = || pairs().map(|(first, line)| first.calls_a_second / line.calls_a_second);
        let (low, high) = (
            ratios().fold(f64::MAX, f64::min),
            ratios().fold(0.0, f64::max),
        );
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let cpu = |sample: &Sample| sample.cpu.unwrap_or_default().as_secs_f64() * 1e6;
        let _ = writeln!(
            out,
            "| {} | **{:.2} x** | {low:.2}..{high:.2} | {:.0} | {:.2} | {:.2} | {:.0} |",
            line.name,
            middle(ratios()),
            line.median(|sample| sample.calls_a_second),
            line.median(|sample| millis(sample.p50)),
            line.median(|sample| millis(sample.p99)),
            line.median(cpu),
        );
    }
    out
}
