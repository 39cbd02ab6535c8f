//! Plots: bars of ratios against the baseline, as SVG that needs nothing but a browser.

use std::fmt::Write;

use crate::report::Group;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 220.0;
const RIGHT: f64 = 110.0;
const BAR: f64 = 18.0;
const STEP: f64 = 24.0;
const HEAD: f64 = 64.0;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The ratios of all groups, one block of bars for each. The scale is logarithmic, since a store
/// twice as slow is as far from 1 as one twice as fast; the line is the baseline.
pub fn ratios(title: &str, groups: &[&Group]) -> String {
    let ratio = |group: &Group, line| group.ratio(line, group.baseline());
    let all = || {
        groups
            .iter()
            .flat_map(|group| group.lines.iter().map(|line| ratio(group, line)))
    };
    // From the power of ten below the least to what is above the greatest, the baseline within.
    let low = all().fold(0.5, f64::min).log10() - 0.05;
    let high = all().fold(2.0, f64::max).log10() + 0.05;
    let x =
        |ratio: f64| LEFT + (ratio.max(1e-9).log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let rows: usize = groups.iter().map(|group| group.lines.len() + 1).sum();
    let height = HEAD + rows as f64 * STEP + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"16\" font-weight=\"bold\" fill=\"#1f2933\">{}</text>\n",
        escape(title)
    );
    for tick in [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0] {
        let at = x(tick);
        if !(LEFT..=WIDTH - RIGHT).contains(&at) {
            continue;
        }
        let colour = if tick == 1.0 { "#1f2933" } else { "#d5dbe1" };
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#52606d\">{tick}x</text>",
            HEAD - 8.0,
            height - 10.0,
            HEAD - 14.0,
        );
    }
    let mut y = HEAD;
    for group in groups {
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"{:.1}\" font-weight=\"bold\" fill=\"#1f2933\">{}</text>",
            y + 14.0,
            escape(&group.workload)
        );
        y += STEP;
        for (index, line) in group.lines.iter().enumerate() {
            let ratio = ratio(group, line);
            let (from, to) = (x(ratio.min(1.0)), x(ratio.max(1.0)));
            // Ours, the baseline, the others.
            let colour = ["#1f6feb", "#8896a5"].get(index).unwrap_or(&"#c3ccd6");
            let middle = y + 14.0;
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\" fill=\"#323f4b\">{}</text>\
                 <rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" \
                 fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{middle:.1}\" fill=\"#323f4b\">{ratio:.2}x</text>",
                LEFT - 10.0,
                escape(line.contestant),
                (to - from).max(1.5),
                to + 6.0,
            );
            y += STEP;
        }
    }
    svg.push_str("</svg>\n");
    svg
}
