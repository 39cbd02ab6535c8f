//! Pages that merge the rows of several lists by number.

use super::listed::Listed;
use super::path::{Driven, Lists};
use super::walk::Walk;
use crate::backend::sql::dialect::Dialect;
use crate::model::Limits;

impl Driven {
    /// Returns the last row that a page of merged lists may examine. Each list gets an equal share
    /// of rows. The page ends where the first share ends, so that the union of the shares is
    /// complete. Returns `None` if nothing is merged.
    pub(super) fn end_of_lists<D: Dialect>(&self, walk: &Walk, after: usize) -> Option<String> {
        let share = |listed: &Listed, count: usize| {
            let Driven { table, key, .. } = self;
            let range = listed.range::<D>(key, walk, after, None);
            let order = listed.order_by::<D>(key, walk.direction);
            let skip = Limits::SCAN / count.max(1) - 1;
            format!(
                "SELECT {key} FROM {table} WHERE {range} ORDER BY {order} LIMIT 1 OFFSET {skip}"
            )
        };
        let nearest = nearest(walk);
        match &self.lists {
            Lists::One => None,
            Lists::Each { values, count } => {
                let share = share(&self.listed, *count);
                Some(format!("(SELECT {nearest}(({share})) FROM {values})"))
            }
            Lists::Branches(lists) => {
                let ends = lists
                    .iter()
                    .map(|listed| format!("SELECT ({}) AS last", share(listed, lists.len())));
                let ends: Vec<String> = ends.collect();
                let ends = ends.join(" UNION ALL ");
                Some(format!("(SELECT {nearest}(m.last) FROM ({ends}) AS m)"))
            }
        }
    }
}

/// Returns the function that finds the first number of several in this direction.
fn nearest(walk: &Walk) -> &'static str {
    match walk.direction {
        "ASC" => "min",
        _ => "max",
    }
}
