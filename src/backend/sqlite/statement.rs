//! The statements that write encoded rows. Their texts are built once, because building one takes
//! longer than the rest of a small transaction.

use std::sync::LazyLock;

use super::encode::JsonRows;
use super::rows::{self, Layout, fields};
use super::script::Script;
use crate::model::Limits;

pub(super) static ACTIONS: LazyLock<Statement> =
    LazyLock::new(|| insert("actions_action", rows::ACTION));
pub(super) static UPDATES: LazyLock<Statement> =
    LazyLock::new(|| overwrite("actions_action", rows::UPDATE));
pub(super) static PROGRESS: LazyLock<Statement> =
    LazyLock::new(|| overwrite("actions_action", rows::PROGRESS));
pub(super) static POSITIONS: LazyLock<Statement> =
    LazyLock::new(|| insert("actions_feed", rows::POSITION));
pub(super) static MOVES: LazyLock<Statement> =
    LazyLock::new(|| overwrite("actions_feed", rows::POSITION));
pub(super) static TOUCHES: LazyLock<Statement> =
    LazyLock::new(|| insert("actions_touch", rows::TOUCH));
pub(super) static ENTRIES: LazyLock<Statement> =
    LazyLock::new(|| insert("actions_log", rows::ENTRY));
pub(super) static KEYS: LazyLock<Statement> = LazyLock::new(|| insert("actions_key", rows::KEY));
pub(super) static PINS: LazyLock<Statement> = LazyLock::new(|| insert("actions_pin", rows::PIN));

/// Inserts or overwrites owners, whose list is the value `$#`.
pub(super) static OWNERS: LazyLock<String> = LazyLock::new(|| {
    let (columns, fields) = split(rows::OWNER, "j.value", false);
    let (columns, fields) = (columns.join(", "), fields.join(", "));
    format!(
        "INSERT INTO actions_owner ({columns}) SELECT {fields} FROM json_each($#) AS j WHERE true \
         ON CONFLICT (name, incarnation) DO UPDATE SET state = excluded.state, \
         renewals = excluded.renewals, renewed_at = excluded.renewed_at, \
         ended_at = excluded.ended_at"
    )
});

/// Deletes from logs the entries that [`trim_log`](crate::spi::trim_log) removes; the list of their
/// actions is `$#`. `n` is the newest entry of a log. `d` is the last entry to delete: in the order
/// of `rank`, newest first, it is the one after all entries that stay.
pub(super) static TRIM: LazyLock<String> = LazyLock::new(|| {
    let kept = Limits::LOG_ENTRIES;
    let of = |log: &str| format!("{log}.action = j.value ->> 0 AND {log}.kind <> 7");
    // Adoptions go after steps and notes. The newest entry and the others stay.
    let rank = |log: &str| {
        format!("({log}.entry <> n.entry) * (({log}.kind IN (2, 3)) * 2 + ({log}.kind = 5))")
    };
    let (of_k, of_o, rank_k, rank_o, rank_d) = (of("k"), of("o"), rank("k"), rank("o"), rank("d"));
    format!(
        "DELETE FROM actions_log WHERE entry IN (\
         SELECT o.entry FROM json_each($#) AS j \
         CROSS JOIN actions_log AS n ON n.entry = (\
         SELECT k.entry FROM actions_log AS k WHERE {of_k} ORDER BY k.version DESC LIMIT 1) \
         CROSS JOIN actions_log AS d ON d.entry = (SELECT entry FROM (\
         SELECT k.entry AS entry, k.version AS version, {rank_k} AS rank \
         FROM actions_log AS k WHERE {of_k}) \
         ORDER BY rank, version DESC LIMIT 1 OFFSET {kept}) \
         CROSS JOIN actions_log AS o ON {of_o} \
         AND ({rank_o}, -o.version) >= ({rank_d}, -d.version))"
    )
});

/// Returns the list of encoded rows. Not `json_each` directly: it would copy a row's text for every
/// field that is read.
const LIST: &str = "WITH j AS MATERIALIZED (SELECT value FROM json_each($#))";

/// A statement that writes rows of one kind, in its variants; its value is written `$#`.
pub(super) struct Statement {
    /// For a list of rows: without and with [sparse](rows::Part::Sparse) columns.
    lists: [String; 2],
    /// For one row, without the outer array: for a list, even of one row, SQLite creates and drops
    /// a temporary table.
    alone: [String; 2],
}

impl Statement {
    /// `list` and `alone` build a text from the columns and the expressions for their values.
    fn new(
        layout: Layout,
        list: impl Fn(&[&str], &[String]) -> String,
        alone: impl Fn(&[&str], &[String]) -> String,
    ) -> Statement {
        let text = |row, any_sparse, make: &dyn Fn(&[&str], &[String]) -> String| {
            let (columns, fields) = split(layout, row, any_sparse);
            make(&columns, &fields)
        };
        Statement {
            lists: [false, true].map(|any_sparse| text("j.value", any_sparse, &list)),
            alone: [false, true].map(|any_sparse| text("$#", any_sparse, &alone)),
        }
    }

    /// Adds the statement with its rows; adds nothing if there are none.
    pub(super) fn push(&self, script: &mut Script, rows: JsonRows) -> Result<(), sqlx::Error> {
        let form = usize::from(rows.any_sparse());
        match rows.len() {
            0 => Ok(()),
            1 => script.push_about(&self.alone[form], rows.into_row()),
            _ => push_lists(script, &self.lists[form], rows),
        }
    }
}

/// Adds a statement once for each text of the rows; its value is written `$#`.
pub(super) fn push_lists(
    script: &mut Script,
    statement: &str,
    rows: JsonRows,
) -> Result<(), sqlx::Error> {
    let mut lists = rows.into_lists().into_iter();
    lists.try_for_each(|list| script.push_about(statement, list))
}

fn insert(table: &str, layout: Layout) -> Statement {
    let begin = |columns: &[&str]| format!("INSERT INTO {table} ({})", columns.join(", "));
    let list = |columns: &[&str], fields: &[String]| {
        format!(
            "{} {LIST} SELECT {} FROM j",
            begin(columns),
            fields.join(", ")
        )
    };
    let alone = |columns: &[&str], fields: &[String]| {
        format!("{} VALUES ({})", begin(columns), fields.join(", "))
    };
    Statement::new(layout, list, alone)
}

/// Updates columns; the first field of a row identifies the row.
fn overwrite(table: &str, layout: Layout) -> Statement {
    let set = |columns: &[&str], fields: &[String]| {
        let (columns, fields) = (columns[1..].join(", "), fields[1..].join(", "));
        format!("UPDATE {table} SET ({columns}) = ({fields})")
    };
    let place = |columns: &[&str], fields: &[String]| format!("{} = {}", columns[0], fields[0]);
    let list = |columns: &[&str], fields: &[String]| {
        let (set, place) = (set(columns, fields), place(columns, fields));
        format!("{LIST} {set} FROM j WHERE {place}")
    };
    let alone = |columns: &[&str], fields: &[String]| {
        let (set, place) = (set(columns, fields), place(columns, fields));
        format!("{set} WHERE {place}")
    };
    Statement::new(layout, list, alone)
}

fn split(layout: Layout, row: &str, any_sparse: bool) -> (Vec<&'static str>, Vec<String>) {
    fields(layout, row, any_sparse).unzip()
}
