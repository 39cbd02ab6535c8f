//! The SQL that writes and reads the columns of the tables.

use std::sync::LazyLock;

use super::literal::Rows;
use crate::backend::sql::{self, ACTION, Columns, ENTRY, OWNER, Type};
use crate::model::codec::{EntryField as E, Field, Layout, Record};

/// A statement that writes rows, which it names `$#`, and the types of their columns.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) sql: String,
    types: Vec<Type>,
}

impl Written {
    pub(super) fn rows(&self) -> Rows {
        Rows::in_lists(&self.types)
    }

    fn insert(table: &str, columns: &Columns) -> Written {
        let (names, types) = split(columns);
        let names = names.join(", ");
        Written {
            sql: format!(
                "INSERT INTO {table} ({names}) SELECT {names} FROM unnest($#) AS j({names})"
            ),
            types,
        }
    }

    /// Calls a function of the schema, which has one array for each column.
    fn call(function: &str, columns: &Columns) -> Written {
        let (_, types) = split(columns);
        let sql = format!("SELECT {function}($#)");
        Written { sql, types }
    }
}

fn split(columns: &Columns) -> (Vec<&'static str>, Vec<Type>) {
    let all = columns.sparse.iter().chain(&columns.dense);
    all.map(|column| (column.name, column.kind)).unzip()
}

/// New actions.
pub(super) static ACTIONS: LazyLock<Written> =
    LazyLock::new(|| Written::call("actions_create", &sql::NEW_ACTION));

/// Changed actions.
pub(super) static UPDATES: LazyLock<Written> =
    LazyLock::new(|| Written::call("actions_change", &sql::CHANGED_ACTION));

/// Actions with a change of progress only.
pub(super) static PROGRESS: LazyLock<Written> =
    LazyLock::new(|| Written::call("actions_progress", &sql::PROGRESSED_ACTION));

pub(super) static ENTRIES: LazyLock<Written> =
    LazyLock::new(|| Written::call("actions_append", &sql::NEW_ENTRY));

/// Inserts or changes owners.
pub(super) static OWNERS: LazyLock<Written> = LazyLock::new(|| {
    let mut written = Written::insert("actions_owner", &sql::NEW_OWNER);
    written.sql.push_str(
        " ON CONFLICT (name, incarnation) DO UPDATE SET state = excluded.state, \
         renewals = excluded.renewals, renewed_at = excluded.renewed_at, \
         ended_at = excluded.ended_at, body = excluded.body",
    );
    written
});

pub(super) static POSITIONS: LazyLock<Written> =
    LazyLock::new(|| Written::insert("actions_feed", &sql::POSITION));
pub(super) static MOVES: LazyLock<Written> =
    LazyLock::new(|| Written::call("actions_move", &sql::POSITION));
pub(super) static TOUCHES: LazyLock<Written> =
    LazyLock::new(|| Written::insert("actions_touch", &sql::TOUCH));
pub(super) static LABELS: LazyLock<Written> =
    LazyLock::new(|| Written::insert("actions_label", &sql::LABEL));
pub(super) static KEYS: LazyLock<Written> =
    LazyLock::new(|| Written::insert("actions_key", &sql::KEY));
pub(super) static PINS: LazyLock<Written> =
    LazyLock::new(|| Written::insert("actions_pin", &sql::PIN));

/// Returns the columns of a record, in a query that names its table `table`.
fn stored<R: Record>(layout: Layout<R>, table_of: impl Fn(R::Field) -> &'static str) -> String {
    let column = |field: R::Field| format!("{}{}, ", table_of(field), field.name());
    layout.columns().iter().map(column).collect()
}

/// An action, in a query that names its table `a`.
pub(super) static STORED_ACTION: LazyLock<String> =
    LazyLock::new(|| stored(ACTION, |_| "a.") + "a.body");

/// The number of columns of a [`STORED_ACTION`].
pub(super) const STORED_ACTION_WIDTH: usize = ACTION.columns().len() + 1;

/// A log entry, in a query that names its table `l` and its action `a`.
pub(super) static STORED_ENTRY: LazyLock<String> = LazyLock::new(|| {
    let table = |field: E| if field == E::Uid { "a." } else { "l." };
    format!("l.entry, {}l.body", stored(ENTRY, table))
});

/// An owner, in a query that names its table `o`.
pub(super) static STORED_OWNER: LazyLock<String> =
    LazyLock::new(|| format!("o.id, {}o.body", stored(OWNER, |_| "o.")));
