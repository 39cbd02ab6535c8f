//! Writes the results: tables, plots, and the text for the README.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::dataset::Dataset;
use crate::footprint::Footprint;
use crate::indexes::{Costs, NEEDED};
use crate::json;
use crate::lives::{self, CALLERS};
use crate::machine;
use crate::opening::{self, Opened};
use crate::pages::{self, MANY};
use crate::plot::{Bar, Block, Plot, Scale, Tone};
use crate::space::Space;

/// Target: a page of the large store takes at most this multiple of the time in the small store.
const PAGE_GOAL: f64 = 2.0;

/// How a store was filled.
#[derive(Debug, Clone, Copy)]
pub struct Filled {
    pub rows: u64,
    pub took: Duration,
    pub bytes: u64,
}

impl From<&Dataset> for Filled {
    fn from(dataset: &Dataset) -> Filled {
        Filled {
            rows: dataset.plan.rows,
            took: dataset.filled_in,
            bytes: dataset.bytes,
        }
    }
}

impl Filled {
    pub fn rows_a_second(&self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64()
    }
}

/// All results. Parts that did not run are empty.
#[derive(Debug)]
pub struct Report {
    pub machine: Value,
    pub conditions: String,
    /// The small store, the large one, the one with lives.
    pub filled: Vec<Filled>,
    pub pages: Vec<pages::Compared>,
    pub opened: Vec<Opened>,
    pub lives: Option<lives::Compared>,
    pub space: Option<Space>,
    pub indexes: Option<Costs>,
    pub footprints: Vec<Footprint>,
}

/// `100 k`, `10 M`.
fn count(number: u64) -> String {
    match number {
        number if number % 1_000_000 == 0 => format!("{} M", number / 1_000_000),
        number if number % 1000 == 0 => format!("{} k", number / 1000),
        number => number.to_string(),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

impl Report {
    pub fn new(machine: Value, conditions: String) -> Report {
        Report {
            machine,
            conditions,
            filled: Vec::new(),
            pages: Vec::new(),
            opened: Vec::new(),
            lives: None,
            space: None,
            indexes: None,
            footprints: Vec::new(),
        }
    }

    /// Prints the tables and writes everything into a directory.
    pub fn write(&self, output: &Path) {
        let table = self.table();
        println!("{table}");
        let write = |name: &str, text: String| std::fs::write(output.join(name), text).unwrap();
        write("table.md", table);
        let json = serde_json::to_string_pretty(&json::of(self)).unwrap();
        write("results.json", json);
        if !self.pages.is_empty() {
            write("pages.svg", self.pages_plot());
        }
        if let Some(space) = &self.space {
            write("space.svg", space_plot(space));
        }
        // A partial run must not replace a full one.
        if self.pages.len() == pages::Read::ALL.len()
            && self.lives.is_some()
            && self.space.is_some()
        {
            write("readme.md", self.readme());
        }
    }

    /// Returns the sizes of the stores that pages were read from.
    fn sizes(&self) -> [String; 2] {
        [0, 1].map(|which| count(self.filled[which].rows))
    }

    fn lives_rows(&self) -> String {
        self.filled
            .last()
            .map_or_else(String::new, |last| count(last.rows))
    }

    fn table(&self) -> String {
        let mut out = format!("{}\n\n{}\n", machine::line(&self.machine), self.conditions);
        self.filled_table(&mut out);
        if !self.pages.is_empty() {
            self.pages_table(&mut out);
        }
        if !self.opened.is_empty() {
            opening::table(&mut out, &self.opened);
        }
        if let Some(lives) = &self.lives {
            let _ = write!(
                out,
                "\n### Whole lives, {CALLERS} callers, {} rows against none\n\n| | calls/s | WAL at \
                 the end |\n| --- | --: | --: |\n",
                self.lives_rows()
            );
            for (which, name) in ["empty", "dataset"].into_iter().enumerate() {
                let (rate, wal) = (lives.median(which), mebibytes(lives.wal[which]));
                let _ = writeln!(out, "| {name} | {rate:.0} | {wal} |");
            }
            let _ = writeln!(out, "| ratio | **{:.2}** | |", lives.ratio());
        }
        if let Some(space) = &self.space {
            space_table(&mut out, space);
        }
        if let Some(indexes) = &self.indexes {
            indexes_table(&mut out, indexes);
        }
        out.push_str(
            "\n### At the end of each part\n\n| part | memory | at most so far | WAL |\n\
             | --- | --: | --: | --: |\n",
        );
        for at in &self.footprints {
            let memory = |bytes: Option<u64>| bytes.map_or("?".to_owned(), mebibytes);
            let (now, most) = (memory(at.resident), memory(at.most_resident));
            let _ = writeln!(
                out,
                "| {} | {now} | {most} | {} |",
                at.after,
                mebibytes(at.wal)
            );
        }
        out
    }

    fn filled_table(&self, out: &mut String) {
        if self.filled.is_empty() {
            return;
        }
        out.push_str(
            "\n### Stocks, filled by imports of 1000\n\n| rows | rows/s | file | bytes a row |\n\
             | --: | --: | --: | --: |\n",
        );
        for filled in &self.filled {
            let _ = writeln!(
                out,
                "| {} | {:.0} | {} | {:.0} |",
                count(filled.rows),
                filled.rows_a_second(),
                mebibytes(filled.bytes),
                filled.bytes as f64 / filled.rows as f64
            );
        }
    }

    fn pages_table(&self, out: &mut String) {
        let [small, large] = self.sizes();
        let _ = write!(
            out,
            "\n### A call, {large} rows against {small}\n\n| | p50 x | p50, {small} | p50, {large} \
             | rate x, {MANY} callers | calls/s, {small} | calls/s, {large} \
             | from disk a call, {large} |\n| --- | --: | --: | --: | --: | --: | --: | --: |\n"
        );
        for compared in &self.pages {
            let disk = disk(compared.median_from_disk(1));
            let _ = writeln!(
                out,
                "| {} | **{:.2}** | {:.1?} | {:.1?} | {:.2} | {:.0} | {:.0} | {disk} |",
                compared.read.name(),
                compared.time_ratio(),
                compared.median_time(0),
                compared.median_time(1),
                compared.rate_ratio(),
                compared.median_rate(0),
                compared.median_rate(1),
            );
        }
    }

    fn pages_plot(&self) -> String {
        let [small, large] = self.sizes();
        let block = |compared: &pages::Compared| Block {
            title: String::new(),
            bars: vec![
                Bar {
                    label: compared.read.name().to_owned(),
                    value: compared.time_ratio(),
                    tone: Tone::First,
                },
                Bar {
                    label: format!("{MANY} callers"),
                    value: compared.rate_ratio(),
                    tone: Tone::Second,
                },
            ],
        };
        Plot {
            title: &format!("A page of a hundred: {large} rows against {small}"),
            note: "How many times as long it takes in the larger store; 1x is just as long, dashed \
                   is the goal.",
            blocks: self.pages.iter().map(block).collect(),
            scale: Scale::Ratios {
                goal: Some(PAGE_GOAL),
            },
        }
        .svg()
    }

    fn readme(&self) -> String {
        let [small, large] = self.sizes();
        let mut out = format!(
            "{}\n\n{}\n\n| time of a call at {large} rows, as a multiple of that at {small} | | from the \
             disk |\n| --- | --: | --: |\n",
            machine::line(&self.machine),
            self.conditions
        );
        for compared in &self.pages {
            let disk = disk(compared.median_from_disk(1));
            let _ = writeln!(
                out,
                "| {} | {:.2} | {disk} a call |",
                compared.read.name(),
                compared.time_ratio(),
            );
        }
        if let Some(lives) = &self.lives {
            let _ = writeln!(
                out,
                "\nWhole lives by {CALLERS} callers run at {:.2} of their rate in an empty store when \
                 there are {} rows.",
                lives.ratio(),
                self.lives_rows()
            );
        }
        if let Some(space) = &self.space {
            let _ = writeln!(
                out,
                "A completed action with its log of three entries takes {:.0} bytes on the disk, \
                 all indexes included.",
                space.bytes()
            );
        }
        if let Some(costs) = &self.indexes {
            out.push_str(
                "\n| whole lives with every index, as a multiple of without | calls a second | bytes \
                 written a call |\n| --- | --: | --: |\n",
            );
            for line in &costs.lines[1..] {
                let written = costs.written_ratio(line);
                let written = written.map_or("?".to_owned(), |ratio| format!("{ratio:.2}"));
                let (name, rate) = (line.without.name(), costs.rate_ratio(line));
                let _ = writeln!(out, "| {name} | {rate:.2} | {written} |");
            }
        }
        out
    }
}

fn disk(bytes: Option<f64>) -> String {
    bytes.map_or("?".to_owned(), |bytes| format!("{:.0} KiB", bytes / 1024.0))
}

fn space_table(out: &mut String, space: &Space) {
    let _ = write!(
        out,
        "\n### Disk: {:.0} bytes an action with its log\n\n{} actions; {} pages of {} bytes, {} of \
         them free.\n\n| | pages | bytes an action | of all | unused in its pages |\n\
         | --- | --: | --: | --: | --: |\n",
        space.bytes(),
        space.actions,
        space.pages,
        space.page_size,
        space.free_pages
    );
    for part in space.growing() {
        let share = part.pages as f64 / space.pages as f64;
        let _ = writeln!(
            out,
            "| {} | {} | {:.1} | {:.1} % | {:.0} % |",
            part.what,
            part.pages,
            part.bytes,
            share * 100.0,
            part.unused * 100.0
        );
    }
    out.push_str("\nWhat does not grow with these actions is left out.\n");
}

fn space_plot(space: &Space) -> String {
    let bars = space.growing().map(|part| Bar {
        label: part.what.clone(),
        value: part.bytes,
        tone: match part.what.contains('(') {
            true => Tone::Other,
            false => Tone::First,
        },
    });
    Plot {
        title: &format!(
            "Disk: {:.0} bytes for a completed action with its log",
            space.bytes()
        ),
        note: "Bytes an action. Tables are blue, indexes grey.",
        blocks: vec![Block {
            title: String::new(),
            bars: bars.collect(),
        }],
        scale: Scale::Amounts { unit: "B" },
    }
    .svg()
}

fn indexes_table(out: &mut String, costs: &Costs) {
    let _ = write!(
        out,
        "\n### Whole lives, {CALLERS} callers, with every index against without\n\nLeft out: {}, by \
         which writing itself looks rows up.\n\n| without | calls/s x | CPU a call x | bytes \
         written a call x |\n| --- | --: | --: | --: |\n",
        NEEDED.join(", ")
    );
    for line in &costs.lines[1..] {
        let ratio = |ratio: Option<f64>| ratio.map_or("?".to_owned(), |r| format!("{r:.2}"));
        let _ = writeln!(
            out,
            "| {} | {:.2} | {} | {} |",
            line.without.name(),
            costs.rate_ratio(line),
            ratio(costs.cpu_ratio(line)),
            ratio(costs.written_ratio(line))
        );
    }
}
