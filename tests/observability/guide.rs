//! Reads the tables of the guide.

use std::collections::BTreeSet;

const GUIDE: &str = include_str!("../../docs/guide/observability.md");

/// Returns the rows of the table below a heading, without the meaning: the name, the plain cells,
/// and the names in the last cell.
pub(crate) fn rows(heading: &str) -> BTreeSet<String> {
    let (_, section) = GUIDE.split_once(&format!("\n# {heading}\n")).unwrap();
    let section = section.split("\n# ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows: BTreeSet<String> = rows.map(row).collect();
    assert!(rows.len() >= 3, "the table of {heading} was not read");
    rows
}

fn row(line: &str) -> String {
    let cells: Vec<String> = line
        .trim_matches('|')
        .split('|')
        .map(|cell| cell.replace('`', "").trim().to_owned())
        .collect();
    let (_meaning, cells) = cells.split_last().unwrap();
    let (names, cells) = cells.split_last().unwrap();
    self::line(cells, names.split(", "))
}

/// Formats what is reported like a row of the guide.
pub(crate) fn line<'n>(cells: &[String], names: impl IntoIterator<Item = &'n str>) -> String {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let names: Vec<&str> = names.into_iter().collect();
    format!("{} | {}", cells.join(" | "), names.join(", "))
}
