//! Bounds of the times in blocks of actions.

use std::collections::BTreeMap;

use super::literal::Rows;
use super::script::Script;
use crate::backend::sql::{RowWriter, Type};
use crate::model::{ActionUid, BlockTimes, Timestamp, WriteSet};

/// Widens the bounds of blocks of actions.
const BLOCKS: &str = "SELECT actions_widen($#)";

/// Bounds of a block, as far as this transaction knows them.
#[derive(Default)]
struct Bounds {
    created: Option<(i64, i64)>,
    finished: Option<(i64, i64)>,
}

const MINUTE: i64 = 60_000_000;

/// Returns bounds that include a time, in whole minutes.
fn including(bounds: Option<(i64, i64)>, time: Timestamp) -> (i64, i64) {
    let from = time.as_micros().div_euclid(MINUTE).saturating_mul(MINUTE);
    let to = from.saturating_add(MINUTE);
    let (min, max) = bounds.unwrap_or((from, to));
    (min.min(from), max.max(to))
}

/// Appends the statement that widens the bounds of the blocks with created and changed actions.
pub(super) fn widen_blocks(
    script: &mut Script,
    write_set: &WriteSet,
    number_of: impl Fn(ActionUid) -> i64,
) {
    let mut blocks: BTreeMap<i64, Bounds> = BTreeMap::new();
    let size = i64::try_from(BlockTimes::ACTIONS).unwrap_or(1);
    for action in write_set.created.iter().chain(&write_set.updated) {
        let bounds = blocks.entry(number_of(action.uid) / size).or_default();
        bounds.created = Some(including(bounds.created, action.created_at));
        if let Some(finished) = action.finished_at {
            bounds.finished = Some(including(bounds.finished, finished));
        }
    }
    let mut rows = Rows::new(&[Type::Int; 5]);
    for (block, bounds) in blocks {
        rows.row(|row| {
            row.int(block);
            for bounds in [bounds.created, bounds.finished] {
                match bounds {
                    Some((min, max)) => {
                        row.int(min);
                        row.int(max);
                    }
                    None => {
                        row.null();
                        row.null();
                    }
                }
            }
        });
    }
    script.push_rows(BLOCKS, &rows);
}
