//! The SQL that writes and reads the columns of the tables.

use std::sync::LazyLock;

use crate::backend::sql::{ACTION, Columns, ENTRY, OWNER, Type};
use crate::model::codec::{ActionField as A, EntryField as E, Field, Kind, Layout, Record};

/// Returns each column with the expression for its value. `row` is the SQL for the row, `bodies`
/// for the bodies of all rows. A row that travels alone has its body as a value of its own.
///
/// The sparse columns travel packed in one nested array, or null if all are empty, as the first
/// field: SQLite searches an array from its beginning. Without sparse values, those columns are
/// NULL and not searched.
pub(super) fn fields(
    columns: &Columns,
    row: &str,
    any_sparse: bool,
    bodies: Bodies,
) -> (Vec<&'static str>, Vec<String>) {
    let mut fields = Vec::new();
    for (index, column) in columns.sparse.iter().enumerate() {
        fields.push(match (any_sparse, column.kind) {
            (false, _) => "NULL".to_owned(),
            (true, Type::Id) => format!("unhex({row} ->> '$[0][{index}]')"),
            (true, _) => format!("{row} ->> '$[0][{index}]'"),
        });
    }
    let first = usize::from(!columns.sparse.is_empty());
    for (place, column) in (first..).zip(&columns.dense) {
        fields.push(match (column.kind, bodies) {
            // An identity travels as hexadecimal text.
            (Type::Id, _) => format!("unhex({row} ->> {place})"),
            (Type::Bytes, Bodies::Alone) => "$@".to_owned(),
            // The body travels as its place in the bodies of all rows: offset and length.
            (Type::Bytes, Bodies::Joined) => {
                format!("substr($@, {row} ->> {place}, {row} ->> {})", place + 1)
            }
            (Type::Int | Type::Text, _) => format!("{row} ->> {place}"),
        });
    }
    let all = columns.sparse.iter().chain(&columns.dense);
    (all.map(|column| column.name).collect(), fields)
}

/// How bodies travel; `$@` is the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bodies {
    /// The bodies of all rows, one after the other.
    Joined,
    /// The body of the only row.
    Alone,
}

/// Returns an action as one value, in a query that names its table `a`.
///
/// The value is the body, followed by the fields that have columns. sqlx copies each column into a
/// value of its own on SQLite's thread, and frees it on ours. One value is several times as fast.
pub(super) static STORED_ACTION: LazyLock<String> = LazyLock::new(|| {
    let column = |field: A| match field.is_required() {
        true => format!(" || a.{}", field.name()),
        false => format!(" || ifnull(a.{}, '')", field.name()),
    };
    let columns: String = ACTION.columns().iter().map(column).collect();
    format!("CAST(a.body{columns} AS BLOB)")
});

/// Returns a log entry as one value, in a query that names its table `l` and its action `a`.
pub(super) static STORED_ENTRY: LazyLock<String> = LazyLock::new(|| {
    let table = |field: E| if field == E::Uid { "a." } else { "l." };
    packed("l.", &["entry"], ENTRY, table)
});

/// Returns an owner as one value, in a query that names its table `o`.
pub(super) static STORED_OWNER: LazyLock<String> =
    LazyLock::new(|| packed("o.", &["id"], OWNER, |_| "o."));

/// Returns a row as one JSON array: its key, its body, and the fields of its columns.
fn packed<R: Record>(
    table: &str,
    key: &[&str],
    layout: Layout<R>,
    table_of: impl Fn(R::Field) -> &'static str,
) -> String {
    let mut fields: Vec<String> = key.iter().map(|key| format!("{table}{key}")).collect();
    fields.push(format!("hex({table}body)"));
    let column = |field: R::Field| {
        let (table, name) = (table_of(field), field.name());
        match field.kind() {
            // JSON cannot hold blobs.
            Kind::Id => format!("hex({table}{name})"),
            _ => format!("{table}{name}"),
        }
    };
    fields.extend(layout.columns().iter().map(column));
    format!("json_array({})", fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::sql::NEW_ENTRY;

    #[test]
    fn columns_that_no_row_has_are_not_searched() {
        let written = |any_sparse| fields(&NEW_ENTRY, "r", any_sparse, Bodies::Joined).1;
        assert_eq!(
            written(true)[..4],
            [
                "r ->> '$[0][0]'",
                "r ->> '$[0][1]'",
                "r ->> '$[0][2]'",
                "r ->> 1"
            ]
        );
        assert_eq!(written(false)[..4], ["NULL", "NULL", "NULL", "r ->> 1"]);
        assert_eq!(written(true)[3..], written(false)[3..]);
    }
}
