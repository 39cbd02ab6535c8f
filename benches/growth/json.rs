//! Writes all results of all rounds as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::footprint::Footprint;
use crate::indexes::{Costs, Line, Round};
use crate::opening::Opened;
use crate::report::{Filled, Report};
use crate::space::Space;
use crate::{lives, pages};

pub fn of(report: &Report) -> Value {
    let seconds = |time: &Duration| time.as_secs_f64();
    let filled = |filled: &Filled| {
        json!({
            "rows": filled.rows,
            "rows_a_second": filled.rows_a_second(),
            "bytes": filled.bytes,
        })
    };
    let page = |compared: &pages::Compared| {
        let times = compared
            .time
            .iter()
            .map(|both| both.each_ref().map(seconds));
        json!({
            "read": compared.read.name(),
            "time_ratio": compared.time_ratio(),
            "rate_ratio": compared.rate_ratio(),
            "p50_seconds": times.collect::<Vec<_>>(),
            "calls_a_second": compared.rate,
                "bytes_from_disk_a_call": compared.from_disk,
        })
    };
    let opened = |opened: &Opened| {
        let times = opened.times.map(|both| both.each_ref().map(seconds));
        json!({
            "rows": opened.rows,
            "bytes": opened.bytes,
            "median_and_least_seconds": times,
        })
    };
    let lives = |lives: &lives::Compared| {
        json!({
            "ratio": lives.ratio(),
            "calls_a_second": lives.rate,
            "wal_bytes": lives.wal,
        })
    };
    let space = |space: &Space| {
        let parts = space.parts.iter().map(|part| {
            json!({
                "name": part.name,
                "what": part.what,
                "pages": part.pages,
                "bytes_an_action": part.bytes,
                "unused": part.unused,
            })
        });
        json!({
            "actions": space.actions,
            "page_size": space.page_size,
            "pages": space.pages,
            "free_pages": space.free_pages,
            "bytes_an_action": space.bytes(),
            "parts": parts.collect::<Vec<_>>(),
        })
    };
    let round = |round: &Round| {
        json!({
            "calls_a_second": round.rate,
            "cpu_seconds_a_call": round.cpu,
            "bytes_written_a_call": round.written,
        })
    };
    let indexes = |costs: &Costs| {
        let line = |line: &Line| {
            json!({
                "without": line.without.name(),
                "rate_ratio": costs.rate_ratio(line),
                "cpu_ratio": costs.cpu_ratio(line),
                "written_ratio": costs.written_ratio(line),
                "rounds": line.rounds.iter().map(round).collect::<Vec<_>>(),
            })
        };
        costs.lines.iter().map(line).collect::<Vec<_>>()
    };
    let footprint = |at: &Footprint| {
        json!({
            "after": at.after,
            "resident_bytes": at.resident,
            "most_resident_bytes": at.most_resident,
            "wal_bytes": at.wal,
        })
    };
    json!({
        "machine": report.machine,
        "conditions": report.conditions,
        "filled": report.filled.iter().map(filled).collect::<Vec<_>>(),
        "opened": report.opened.iter().map(opened).collect::<Vec<_>>(),
        "pages": report.pages.iter().map(page).collect::<Vec<_>>(),
        "lives": report.lives.as_ref().map(lives),
        "space": report.space.as_ref().map(space),
        "indexes": report.indexes.as_ref().map(indexes),
        "footprints": report.footprints.iter().map(footprint).collect::<Vec<_>>(),
    })
}
