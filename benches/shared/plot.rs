//! Draws horizontal bar charts as standalone SVG.
//!
//! A plot has its own background, so that it is readable on light and dark pages. It follows the
//! reader's colour scheme where the browser reports it.
#![allow(dead_code, reason = "each benchmark draws some of it")]

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const RIGHT: f64 = 76.0;
const BAR: f64 = 16.0;
const STEP: f64 = 22.0;
const BETWEEN: f64 = 10.0;
const HEAD: f64 = 84.0;
const FOOT: f64 = 14.0;
/// Average width of a letter.
const LETTER: f64 = 7.8;

/// Letters have an outline in the background colour, so that no line crosses them.
const STYLE: &str = "\
text { font: 13px sans-serif; fill: #323f4b; \
paint-order: stroke; stroke: #ffffff; stroke-width: 4px } \
.ground { fill: #ffffff } .title { font-size: 16px; font-weight: bold; fill: #1f2933 } \
.block { font-weight: bold; fill: #1f2933 } .note { fill: #616e7c } \
.tick { stroke: #dde3e8 } .base { stroke: #3e4c59 } .goal { stroke: #d64545; stroke-dasharray: 5 4 } \
.first { fill: #1f6feb } .second { fill: #7b8794 } .other { fill: #b8c4ce } \
@media (prefers-color-scheme: dark) { \
text { fill: #c9d1d9; stroke: #0d1117 } .ground { fill: #0d1117 } .title, .block { fill: #f0f6fc } \
.note { fill: #9198a1 } .tick { stroke: #262c34 } .base { stroke: #b1bac4 } \
.goal { stroke: #f47067 } .first { fill: #4493f8 } .second { fill: #7d8590 } .other { fill: #545d68 } }";

/// Role of a bar in a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Subject of the measurement.
    First,
    /// Baseline of the comparison.
    Second,
    Other,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::First => "first",
            Tone::Second => "second",
            Tone::Other => "other",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Bar {
    pub label: String,
    pub value: f64,
    pub tone: Tone,
}

/// Group of bars, with an optional title.
#[derive(Debug, Clone)]
pub struct Block {
    pub title: String,
    pub bars: Vec<Bar>,
}

#[derive(Debug)]
pub struct Plot<'a> {
    pub title: &'a str,
    /// Meaning of the figures, and which direction is better.
    pub note: &'a str,
    pub blocks: Vec<Block>,
    pub scale: Scale<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum Scale<'a> {
    /// Ratios, drawn from 1 on a logarithmic scale: half the speed is as far from 1 as twice the
    /// speed.
    Ratios {
        /// Limit that should not be exceeded.
        goal: Option<f64>,
    },
    /// Amounts in this unit, drawn from 0.
    Amounts { unit: &'a str },
}

/// Converts a value to its position.
struct Axis {
    logarithmic: bool,
    low: f64,
    high: f64,
    left: f64,
}

impl Axis {
    fn of(plot: &Plot<'_>) -> Axis {
        let bars = || plot.blocks.iter().flat_map(|block| &block.bars);
        let letters = bars().map(|bar| bar.label.chars().count()).max();
        let left = 28.0 + letters.unwrap_or(0) as f64 * LETTER;
        let values = || bars().map(|bar| bar.value);
        let (logarithmic, low, high) = match plot.scale {
            Scale::Ratios { goal } => {
                let goal = goal.unwrap_or(1.0);
                let low = values().fold(goal.min(0.7), f64::min).max(1e-4);
                let high = values().fold(goal.max(1.4), f64::max);
                (true, low.log10() - 0.04, high.log10() + 0.04)
            }
            Scale::Amounts { .. } => (false, 0.0, values().fold(1e-9, f64::max)),
        };
        Axis {
            logarithmic,
            low,
            high,
            left,
        }
    }

    fn x(&self, value: f64) -> f64 {
        let value = match self.logarithmic {
            true => value.max(1e-4).log10(),
            false => value,
        };
        let along = (value - self.low) / (self.high - self.low);
        self.left + along * (WIDTH - self.left - RIGHT)
    }

    /// Returns round values, few enough that their labels do not overlap.
    fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let fifth = (self.high - self.low) / 5.0;
            let decade = 10_f64.powf(fifth.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|by| by * decade);
            let step = step.fold(
                f64::MAX,
                |best, step| {
                    if step >= fifth { best.min(step) } else { best }
                },
            );
            let count = (self.high / step).floor() as u32;
            return (0..=count).map(|tick| f64::from(tick) * step).collect();
        }
        let steps: &[f64] = match self.high - self.low {
            wide if wide > 2.5 => &[1.0],
            wide if wide > 0.9 => &[1.0, 2.0, 5.0],
            _ => &[1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0],
        };
        (-4..=5)
            .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
            .filter(|tick| (self.low..=self.high).contains(&tick.log10()))
            .collect()
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Formats a value with three significant digits.
fn figure(value: f64) -> String {
    match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Formats the value of a tick with as many decimals as it needs.
fn round(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Plot<'_> {
    pub fn svg(&self) -> String {
        let axis = Axis::of(self);
        let rows: usize = self.blocks.iter().map(|block| block.bars.len()).sum();
        let titles = self.blocks.iter().filter(|block| !block.title.is_empty());
        let height = HEAD
            + (rows + titles.count()) as f64 * STEP
            + self.blocks.len() as f64 * BETWEEN
            + FOOT;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\">\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
             <text class=\"title\" x=\"16\" y=\"26\">{}</text>\n\
             <text class=\"note\" x=\"16\" y=\"46\">{}</text>\n",
            escape(self.title),
            escape(self.note)
        );
        self.grid(&mut svg, &axis, height);
        let mut y = HEAD;
        for block in &self.blocks {
            if !block.title.is_empty() {
                let (middle, title) = (y + 13.0, escape(&block.title));
                let _ = writeln!(
                    svg,
                    "<text class=\"block\" x=\"16\" y=\"{middle:.1}\">{title}</text>"
                );
                y += STEP;
            }
            for bar in &block.bars {
                self.bar(&mut svg, &axis, bar, y);
                y += STEP;
            }
            y += BETWEEN;
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, svg: &mut String, axis: &Axis, height: f64) {
        let (top, bottom) = (HEAD - 10.0, height - FOOT);
        let mut line = |at: f64, class: &str| {
            let _ = writeln!(
                svg,
                "<line class=\"{class}\" x1=\"{at:.1}\" y1=\"{top:.1}\" x2=\"{at:.1}\" \
                 y2=\"{bottom:.1}\"/>"
            );
        };
        let base = if axis.logarithmic { 1.0 } else { 0.0 };
        for tick in axis.ticks() {
            let class = if tick == base { "base" } else { "tick" };
            line(axis.x(tick), class);
        }
        if let Scale::Ratios { goal: Some(goal) } = self.scale {
            line(axis.x(goal), "goal");
        }
        let mut end = f64::MIN;
        for tick in axis.ticks() {
            let label = match self.scale {
                Scale::Ratios { .. } => format!("{}x", round(tick)),
                Scale::Amounts { unit } => format!("{} {unit}", round(tick)),
            };
            let (at, half) = (axis.x(tick), label.chars().count() as f64 * LETTER / 2.0);
            if at - half < end + 6.0 {
                continue;
            }
            end = at + half;
            let _ = writeln!(
                svg,
                "<text class=\"note\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                HEAD - 16.0
            );
        }
    }

    fn bar(&self, svg: &mut String, axis: &Axis, bar: &Bar, y: f64) {
        let base = if axis.logarithmic { 1.0 } else { 0.0 };
        let (from, to) = (axis.x(bar.value.min(base)), axis.x(bar.value.max(base)));
        let value = match self.scale {
            Scale::Ratios { .. } => format!("{}x", figure(bar.value)),
            Scale::Amounts { .. } => figure(bar.value),
        };
        let middle = y + 13.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>\
             <text x=\"{:.1}\" y=\"{middle:.1}\">{value}</text>",
            axis.left - 10.0,
            escape(&bar.label),
            bar.tone.class(),
            (to - from).max(1.5),
            to + 6.0,
        );
    }
}
