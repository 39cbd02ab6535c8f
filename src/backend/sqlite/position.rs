//! The position of the store, as the first row of every page has it.

use sqlx::sqlite::SqliteRow;

use super::decode::Columns;
use crate::backend::another_branch;
use crate::backend::sql::{Lineage, corrupt};
use crate::error::StoreError;
use crate::model::{Cursor, End, Position, Revision};

/// Reads the position of the store, for [`read_position`].
pub(super) const POSITION: &str = "SELECT json_array(revision, pruned_through, pruned_created, actions, last_number, last_entry) FROM actions_store WHERE id = 1";

pub(super) fn read_position(
    operation: &'static str,
    lineage: &Lineage,
    rows: &[SqliteRow],
) -> Result<Position, StoreError> {
    let row = rows.first();
    let row = row.ok_or_else(|| corrupt(operation, "the store's own row is missing"))?;
    Ok(position_of(lineage, &mut Columns::new(operation, row)?)?.0)
}

fn position_of(
    lineage: &Lineage,
    columns: &mut Columns<'_>,
) -> Result<(Position, End), StoreError> {
    let at = Position {
        revision: Revision::new(columns.number()?),
        pruned_through: Revision::new(columns.number()?),
        pruned_created: columns.time_opt()?,
        actions: columns.number()?,
        ..lineage.position()
    };
    let end = End {
        revision: at.revision.get(),
        number: columns.number()?,
        entry: columns.number()?,
    };
    Ok((at, end))
}

/// The first row of a page, and the rows after it.
pub(super) struct First<'r> {
    /// Position of the store.
    pub(super) at: Position,
    /// End of its history.
    pub(super) end: End,
    /// The other values of the first row.
    pub(super) columns: Columns<'r>,
    pub(super) rows: &'r [SqliteRow],
}

pub(super) fn read_first<'r>(
    operation: &'static str,
    lineage: &Lineage,
    after: Option<Cursor>,
    results: &'r [Vec<SqliteRow>],
) -> Result<First<'r>, StoreError> {
    let rows = results.first().and_then(|rows| rows.split_first());
    let (first, rows) = rows.ok_or_else(|| corrupt(operation, "the store's own row is missing"))?;
    let mut columns = Columns::new(operation, first)?;
    let (at, end) = position_of(lineage, &mut columns)?;
    match after {
        Some(cursor) if !lineage.branches.understand(&cursor, end) => {
            Err(another_branch(operation))
        }
        _ => Ok(First {
            at,
            end,
            columns,
            rows,
        }),
    }
}
