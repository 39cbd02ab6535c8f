//! Pages that merge the rows of several lists by number.

use super::walk::Walk;
use crate::model::Limits;

/// Lists of rows that a page merges. Each has the same text, for one value of the table `j`.
pub(super) struct Lists<'s> {
    /// The table `j` with a row for each list.
    pub(super) each: &'s str,
    /// The number of lists.
    pub(super) count: usize,
    /// The rows of a list: a table `x` and a condition.
    pub(super) rows: &'s str,
    /// The number of the action in a row.
    pub(super) key: &'s str,
}

impl Lists<'_> {
    /// Returns the last row that a page may examine. Each list gets an equal share of rows. The page
    /// ends where the first share ends, so that the union of the shares is complete.
    pub(super) fn end(&self, walk: &Walk, after: usize) -> String {
        let Lists {
            each,
            count,
            rows,
            key,
        } = self;
        let one = share(walk, after, *count, rows, key);
        format!("(SELECT {}(({one})) FROM {each})", nearest(walk))
    }
}

/// As [`Lists::end`], for lists of actions that differ in their conditions.
pub(super) fn end_of_branches(walk: &Walk, after: usize, branches: &[String]) -> String {
    let ends = branches.iter().map(|condition| {
        let rows = format!("actions_action AS x WHERE {}", of_x(condition));
        let one = share(walk, after, branches.len(), &rows, "x.number");
        format!("SELECT ({one}) AS last")
    });
    let ends: Vec<String> = ends.collect();
    let ends = ends.join(" UNION ALL ");
    format!("(SELECT {}(m.last) FROM ({ends}) AS m)", nearest(walk))
}

/// Renames the table of a condition.
fn of_x(condition: &str) -> String {
    condition.replace("a.", "x.")
}

/// Returns the last row of the share of one list.
fn share(walk: &Walk, after: usize, count: usize, rows: &str, key: &str) -> String {
    let Walk {
        beyond, direction, ..
    } = walk;
    let skip = Limits::SCAN / count.max(1) - 1;
    format!(
        "SELECT {key} FROM {rows} AND {key} {beyond} ${after} \
         ORDER BY {key} {direction} LIMIT 1 OFFSET {skip}"
    )
}

/// Returns the function that finds the first number of several in this direction.
fn nearest(walk: &Walk) -> &'static str {
    match walk.direction {
        "ASC" => "min",
        _ => "max",
    }
}
