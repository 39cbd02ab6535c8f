//! The statements that write encoded rows. Their texts are built once, because building one takes
//! longer than the rest of a small transaction.

use std::sync::LazyLock;

use super::encode::{JsonRows, List};
use super::rows::{Bodies, fields};
use super::script::Script;
use crate::backend::sql::{self, Columns};
use crate::model::Limits;

pub(super) static ACTIONS: LazyLock<Statement> =
    LazyLock::new(|| insert("actions_action", &sql::NEW_ACTION));
pub(super) static UPDATES: LazyLock<Statement> =
    LazyLock::new(|| overwrite("actions_action", &sql::CHANGED_ACTION));
pub(super) static PROGRESS: LazyLock<Statement> =
    LazyLock::new(|| overwrite("actions_action", &sql::PROGRESSED_ACTION));
pub(super) static POSITIONS: LazyLock<Statement> =
    LazyLock::new(|| insert("actions_feed", &sql::POSITION));
pub(super) static MOVES: LazyLock<Statement> =
    LazyLock::new(|| overwrite("actions_feed", &sql::POSITION));
pub(super) static TOUCHES: LazyLock<Statement> =
    LazyLock::new(|| insert("actions_touch", &sql::TOUCH));
pub(super) static LABELS: LazyLock<Statement> =
    LazyLock::new(|| insert("actions_label", &sql::LABEL));
pub(super) static ENTRIES: LazyLock<Statement> =
    LazyLock::new(|| insert("actions_log", &sql::NEW_ENTRY));
pub(super) static KEYS: LazyLock<Statement> = LazyLock::new(|| insert("actions_key", &sql::KEY));
pub(super) static PINS: LazyLock<Statement> = LazyLock::new(|| insert("actions_pin", &sql::PIN));

/// Inserts or overwrites owners, whose list is the value `$#`.
pub(super) static OWNERS: LazyLock<String> = LazyLock::new(|| {
    let (columns, fields) = fields(&sql::NEW_OWNER, "j.value", false, Bodies::Joined);
    let (columns, fields) = (columns.join(", "), fields.join(", "));
    format!(
        "INSERT INTO actions_owner ({columns}) SELECT {fields} FROM json_each($#) AS j WHERE true \
         ON CONFLICT (name, incarnation) DO UPDATE SET state = excluded.state, \
         renewals = excluded.renewals, renewed_at = excluded.renewed_at, \
         ended_at = excluded.ended_at, body = excluded.body"
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

/// A statement that writes rows of one kind, in its variants. Its rows are written `$#`, their
/// bodies `$@`.
pub(super) struct Statement {
    /// For a list of rows: without and with [sparse](Columns::sparse) columns.
    lists: [String; 2],
    /// For one row, without the outer array: for a list, even of one row, SQLite creates and drops
    /// a temporary table.
    alone: [String; 2],
}

impl Statement {
    /// `list` and `alone` build a text from the columns and the expressions for their values.
    fn new(
        columns: &Columns,
        list: impl Fn(&[&str], &[String]) -> String,
        alone: impl Fn(&[&str], &[String]) -> String,
    ) -> Statement {
        let text = |row, any_sparse, bodies, make: &dyn Fn(&[&str], &[String]) -> String| {
            let (columns, fields) = fields(columns, row, any_sparse, bodies);
            make(&columns, &fields)
        };
        let both = [false, true];
        Statement {
            lists: both.map(|any_sparse| text("j.value", any_sparse, Bodies::Joined, &list)),
            alone: both.map(|any_sparse| text("$#", any_sparse, Bodies::Alone, &alone)),
        }
    }

    /// Adds the statement with its rows; adds nothing if there are none.
    pub(super) fn push(&self, script: &mut Script, rows: JsonRows) -> Result<(), sqlx::Error> {
        let form = usize::from(rows.any_sparse());
        match rows.len() {
            0 => Ok(()),
            1 => push_list(script, &self.alone[form], rows.into_row()),
            _ => push_lists(script, &self.lists[form], rows),
        }
    }
}

/// Adds a statement once for each list of the rows; adds nothing if there are no rows.
pub(super) fn push_lists(
    script: &mut Script,
    statement: &str,
    rows: JsonRows,
) -> Result<(), sqlx::Error> {
    if rows.len() == 0 {
        return Ok(());
    }
    let mut lists = rows.into_lists().into_iter();
    lists.try_for_each(|list| push_list(script, statement, list))
}

fn push_list(script: &mut Script, statement: &str, list: List) -> Result<(), sqlx::Error> {
    let bodies = (!list.bodies.is_empty()).then_some(list.bodies);
    script.push_about(statement, list.rows, bodies)
}

fn insert(table: &str, columns: &Columns) -> Statement {
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
    Statement::new(columns, list, alone)
}

/// Updates columns; the first field of a row identifies the row.
fn overwrite(table: &str, columns: &Columns) -> Statement {
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
    Statement::new(columns, list, alone)
}
