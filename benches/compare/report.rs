//! The answers: JSON, a table and plots. Ratios within one run come first; an absolute number says
//! more about the machine than about the store.

use std::fmt::Write;
use std::time::Duration;

use action_store::conformance::workload::Measured;
use serde_json::{Value, json};

/// One contestant in one round of one workload.
#[derive(Debug, Clone)]
pub struct Sample {
    pub calls_a_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    pub p999: Duration,
    pub cpu: Option<Duration>,
}

impl From<&Measured> for Sample {
    fn from(measured: &Measured) -> Sample {
        Sample {
            calls_a_second: measured.throughput(),
            p50: measured.latencies.quantile(0.5),
            p99: measured.latencies.quantile(0.99),
            p999: measured.latencies.quantile(0.999),
            cpu: measured.cpu_a_call(),
        }
    }
}

/// A contestant's rounds of a workload, and what it came to.
#[derive(Debug)]
pub struct Line {
    pub contestant: &'static str,
    pub durability: &'static str,
    pub rounds: Vec<Sample>,
}

/// The middle one; the lower of the two in the middle.
fn median<T: Clone>(rounds: &[Sample], by: impl Fn(&Sample) -> T, key: impl Fn(&T) -> f64) -> T {
    let mut values: Vec<T> = rounds.iter().map(by).collect();
    values.sort_by(|a, b| key(a).total_cmp(&key(b)));
    values[(values.len() - 1) / 2].clone()
}

impl Line {
    fn time(&self, by: impl Fn(&Sample) -> Duration) -> Duration {
        median(&self.rounds, by, Duration::as_secs_f64)
    }

    pub fn calls_a_second(&self) -> f64 {
        median(&self.rounds, |round| round.calls_a_second, |value| *value)
    }

    fn cpu(&self) -> Option<Duration> {
        let all = self.rounds.iter().all(|round| round.cpu.is_some());
        all.then(|| self.time(|round| round.cpu.unwrap_or_default()))
    }

    fn spread(&self) -> (f64, f64) {
        let rates = || self.rounds.iter().map(|round| round.calls_a_second);
        (
            rates().fold(f64::MAX, f64::min),
            rates().fold(0.0, f64::max),
        )
    }
}

/// A workload with all its contestants; the first line is ours, the second the baseline.
#[derive(Debug)]
pub struct Group {
    pub workload: String,
    pub lines: Vec<Line>,
}

impl Group {
    /// How many times as fast as a contestant is the baseline. The middle of the rounds' ratios:
    /// what is interleaved is compared within its round.
    pub fn ratio(&self, line: &Line, base: &Line) -> f64 {
        let mut ratios: Vec<f64> = line
            .rounds
            .iter()
            .zip(&base.rounds)
            .map(|(line, base)| line.calls_a_second / base.calls_a_second)
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios[(ratios.len() - 1) / 2]
    }

    pub fn baseline(&self) -> &Line {
        &self.lines[1]
    }
}

pub fn table(machine: &Value, conditions: &str, groups: &[Group]) -> String {
    let text = |name: &str| machine[name].as_str().unwrap_or("?").to_owned();
    let mut out = format!(
        "{} cores, {}; Linux {}, {}; {}; SQLite {}; commit {}\n\n{conditions}\n",
        machine["cores"],
        text("cpu"),
        text("kernel"),
        text("file_system"),
        text("rustc"),
        text("sqlite"),
        text("commit"),
    );
    for group in groups {
        let base = group.baseline();
        let _ = write!(
            out,
            "\n### {}\n\n| store | x {} | p50 x | calls/s (rounds) | p50 | p99 | p99.9 | CPU a call \
             | survives |\n| --- | --: | --: | --: | --: | --: | --: | --: | --- |\n",
            group.workload, base.contestant
        );
        for line in &group.lines {
            let (low, high) = line.spread();
            let p50 = line.time(|round| round.p50);
            let base_p50 = base.time(|round| round.p50);
            let cpu = line
                .cpu()
                .map_or("?".to_owned(), |cpu| format!("{cpu:.1?}"));
            let _ = writeln!(
                out,
                "| {} | **{:.2}** | {:.2} | {:.0} ({low:.0}..{high:.0}) | {:.1?} | {:.1?} | {:.1?} \
                 | {cpu} | {} |",
                line.contestant,
                group.ratio(line, base),
                base_p50.as_secs_f64() / p50.as_secs_f64().max(1e-9),
                line.calls_a_second(),
                p50,
                line.time(|round| round.p99),
                line.time(|round| round.p999),
                line.durability,
            );
        }
    }
    out
}

pub fn json(machine: &Value, conditions: &str, groups: &[Group]) -> Value {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let round = |round: &Sample| {
        json!({
            "calls_a_second": round.calls_a_second,
            "p50_ns": nanos(round.p50),
            "p99_ns": nanos(round.p99),
            "p999_ns": nanos(round.p999),
            "cpu_a_call_ns": round.cpu.map(nanos),
        })
    };
    let line = |group: &Group, line: &Line| {
        json!({
            "contestant": line.contestant,
            "durability": line.durability,
            "ratio": group.ratio(line, group.baseline()),
            "calls_a_second": line.calls_a_second(),
            "rounds": line.rounds.iter().map(round).collect::<Vec<_>>(),
        })
    };
    let group = |group: &Group| {
        json!({
            "workload": group.workload,
            "baseline": group.baseline().contestant,
            "lines": group.lines.iter().map(|l| line(group, l)).collect::<Vec<_>>(),
        })
    };
    json!({
        "machine": machine,
        "conditions": conditions,
        "groups": groups.iter().map(group).collect::<Vec<_>>(),
    })
}
