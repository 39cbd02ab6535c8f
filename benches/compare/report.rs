//! Writes the results as JSON, a table and plots. Ratios within one run come first: absolute
//! numbers depend more on the machine than on the store.

use std::fmt::Write;
use std::time::Duration;

use action_store::conformance::workload::Measured;
use serde_json::{Value, json};

use crate::machine;
use crate::middle::middle;
use crate::plot::{Bar, Block, Plot, Scale, Tone};

/// Result of one contestant in one round of a workload.
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

/// All rounds of a contestant in a workload, with the medians.
#[derive(Debug)]
pub struct Line {
    pub contestant: &'static str,
    pub durability: &'static str,
    pub rounds: Vec<Sample>,
}

impl Line {
    fn time(&self, by: impl Fn(&Sample) -> Duration) -> Duration {
        let rounds = self.rounds.iter().map(by);
        Duration::from_secs_f64(middle(rounds.map(|time| time.as_secs_f64())))
    }

    pub fn calls_a_second(&self) -> f64 {
        middle(self.rounds.iter().map(|round| round.calls_a_second))
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

/// Workload with all its contestants. The first line is the library, the second the baseline.
#[derive(Debug)]
pub struct Group {
    pub workload: String,
    /// Label of the contestant, without its durability.
    pub what: String,
    pub lines: Vec<Line>,
}

impl Group {
    const BASELINE: usize = 1;

    /// Returns the throughput of the baseline as a multiple of a contestant's. It is the median of
    /// the ratios within each round.
    pub fn ratio(&self, line: &Line, base: &Line) -> f64 {
        let rounds = line.rounds.iter().zip(&base.rounds);
        middle(rounds.map(|(line, base)| line.calls_a_second / base.calls_a_second))
    }

    /// Returns the median latency of the baseline as a multiple of a contestant's.
    fn p50_ratio(&self, line: &Line, base: &Line) -> f64 {
        let [base, line] = [base, line].map(|line| line.time(|round| round.p50).as_secs_f64());
        base / line.max(1e-9)
    }

    pub fn baseline(&self) -> &Line {
        &self.lines[Group::BASELINE]
    }
}

pub fn table(machine: &Value, conditions: &str, groups: &[Group]) -> String {
    let mut out = format!("{}\n\n{conditions}\n", machine::line(machine));
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
            let cpu = line
                .cpu()
                .map_or("?".to_owned(), |cpu| format!("{cpu:.1?}"));
            let _ = writeln!(
                out,
                "| {} | **{:.2}** | {:.2} | {:.0} ({low:.0}..{high:.0}) | {:.1?} | {:.1?} | {:.1?} \
                 | {cpu} | {} |",
                line.contestant,
                group.ratio(line, base),
                group.p50_ratio(line, base),
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

/// Returns the text for the README: the library's store as a multiple of each contestant.
pub fn readme(machine: &Value, conditions: &str, families: &[Vec<&Group>]) -> String {
    let mut out = format!("{}\n\n{conditions}\n", machine::line(machine));
    for groups in families {
        let Some(first) = groups.first() else {
            continue;
        };
        let (ours, others) = (first.lines[0].contestant, &first.lines[1..]);
        let _ = write!(
            out,
            "\n| {ours}, calls a second (p50 of a call), as multiples of |"
        );
        for other in others {
            let _ = write!(out, " {} |", other.contestant);
        }
        let _ = write!(out, "\n| --- |{}", " --: |".repeat(others.len()));
        for group in groups {
            let _ = write!(out, "\n| {} |", group.what);
            for other in others {
                let found = |line: &&Line| line.contestant == other.contestant;
                let Some(other) = group.lines.iter().find(found) else {
                    out.push_str(" |");
                    continue;
                };
                let ratio = group.ratio(&group.lines[0], other);
                let p50 = group.p50_ratio(&group.lines[0], other);
                let _ = write!(out, " {ratio:.2} ({p50:.2}) |");
            }
        }
        out.push('\n');
    }
    out
}

/// Returns all ratios against the baseline, one block per workload.
pub fn plot(title: &str, note: &str, groups: &[&Group]) -> String {
    let bar = |group: &Group, index: usize| Bar {
        label: group.lines[index].contestant.to_owned(),
        value: group.ratio(&group.lines[index], group.baseline()),
        tone: match index {
            0 => Tone::First,
            _ => Tone::Other,
        },
    };
    let block = |group: &&Group| Block {
        title: group.what.clone(),
        // All contestants except the baseline itself.
        bars: (0..group.lines.len())
            .filter(|index| *index != Group::BASELINE)
            .map(|index| bar(group, index))
            .collect(),
    };
    let blocks = groups.iter().map(block).collect();
    let scale = Scale::Ratios { goal: None };
    Plot {
        title,
        note,
        blocks,
        scale,
    }
    .svg()
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
