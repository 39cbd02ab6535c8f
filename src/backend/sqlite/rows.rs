//! The columns of the tables, in the order in which `encode` writes and `decode` reads them.

use std::sync::LazyLock;

/// A group of columns in a row's JSON array.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Columns with one field each.
    Each(&'static [&'static str]),
    /// Sparse columns, packed into one nested array, or null if all are empty. They come first,
    /// because SQLite searches an array from its beginning.
    Sparse(&'static [&'static str]),
}

/// The fields of a row, in the order in which `encode` writes and `decode` reads them.
pub(super) type Layout = &'static [Part];

/// A row of `actions_action`.
pub(super) const ACTION: Layout = &[
    Part::Each(&["number"]),
    Part::Sparse(&[
        "actor",
        "idempotency_key",
        "parent",
        "retry_of",
        "correlation",
        "related",
        "exclusive",
        "attributes",
        "result",
        "error_code",
        "error_message",
        "error_detail",
        "warnings",
        "cancel_at",
        "cancel_by",
        "cancel_reason",
        "evidence_owner",
        "evidence_incarnation",
        "evidence_end",
        "evidence_seen_at",
        "evidence_by",
    ]),
    Part::Each(&[
        "uid",
        "source",
        "name",
        "object",
        "tenant",
        "digest",
        "created_at",
        "status",
        "outcome",
        "progress",
        "step",
        "description",
        "owner",
        "incarnation",
        "started_at",
        "finished_at",
        "last_seen_at",
        "version",
        "log_entries",
        "last_op",
    ]),
];

/// An action's number, and the columns that a change may modify.
pub(super) const UPDATE: Layout = &[
    Part::Each(&["number"]),
    Part::Sparse(&[
        "attributes",
        "result",
        "error_code",
        "error_message",
        "error_detail",
        "warnings",
        "cancel_at",
        "cancel_by",
        "cancel_reason",
        "evidence_owner",
        "evidence_incarnation",
        "evidence_end",
        "evidence_seen_at",
        "evidence_by",
    ]),
    Part::Each(&[
        "status",
        "outcome",
        "progress",
        "step",
        "description",
        "owner",
        "incarnation",
        "started_at",
        "finished_at",
        "last_seen_at",
        "version",
        "log_entries",
        "last_op",
    ]),
];

/// An action's number, and the columns that only progress changes. Half of all changes need no
/// more, and this avoids updating the indexes.
pub(super) const PROGRESS: Layout = &[
    Part::Each(&["number"]),
    Part::Each(&["progress", "last_seen_at", "version", "last_op"]),
];

/// A row of `actions_log`.
pub(super) const ENTRY: Layout = &[
    Part::Sparse(&["step", "by", "note"]),
    Part::Each(&[
        "entry",
        "action",
        "kind",
        "version",
        "at",
        "status",
        "outcome",
        "progress",
        "owner",
        "incarnation",
        "op",
    ]),
];

/// A row of `actions_owner`, without its id.
pub(super) const OWNER: Layout = &[Part::Each(&[
    "name",
    "incarnation",
    "state",
    "renewals",
    "claimed_at",
    "renewed_at",
    "ended_at",
])];

/// A row of `actions_feed`, `actions_touch`, `actions_key`, `actions_pin`.
pub(super) const POSITION: Layout = &[Part::Each(&["action", "revision"])];
pub(super) const TOUCH: Layout = &[Part::Each(&["object", "action"])];
pub(super) const KEY: Layout = &[Part::Each(&["tenant", "kind", "key", "action"])];
pub(super) const PIN: Layout = &[Part::Each(&["action"])];

/// The columns that hold identities, encoded as hexadecimal text.
const BLOBS: &[&str] = &[
    "uid",
    "parent",
    "retry_of",
    "digest",
    "incarnation",
    "evidence_incarnation",
    "last_op",
    "op",
];

/// Returns all columns of an action as one value, in a query that names its table `a`.
pub(super) static PACKED_ACTION: LazyLock<String> =
    LazyLock::new(|| format!("json_array({})", packed("a.", ACTION, &[])));

/// The same without the columns that [`Detail::Summary`](crate::model::Detail::Summary) omits.
pub(super) static PACKED_SUMMARY: LazyLock<String> = LazyLock::new(|| {
    let row = packed("a.", ACTION, &["result", "error_detail"]);
    format!("json_array({row})")
});

/// Returns an action's uid and all columns of its log entry as one value; the table is named `l`.
pub(super) static PACKED_ENTRY: LazyLock<String> =
    LazyLock::new(|| format!("json_array(hex(a.uid), {})", packed("l.", ENTRY, &[])));

/// Returns all columns of an owner as one value.
pub(super) static PACKED_OWNER: LazyLock<String> =
    LazyLock::new(|| format!("json_array({})", packed("", OWNER, &[])));

/// Returns the fields of a row that is read from a table, with NULL for omitted columns.
pub(super) fn packed(table: &str, layout: Layout, left_out: &[&str]) -> String {
    let column = |column: &str| match left_out.contains(&column) {
        true => "NULL".to_owned(),
        false => format!("{table}{column}"),
    };
    // JSON cannot hold blobs.
    let field = |name: &str| match BLOBS.contains(&name) {
        true => format!("hex({})", column(name)),
        false => column(name),
    };
    let list = |columns: &[&str], each: &dyn Fn(&str) -> String| {
        let each: Vec<String> = columns.iter().map(|column| each(column)).collect();
        each.join(", ")
    };
    let part = |part: &Part| match part {
        Part::Each(columns) => list(columns, &field),
        Part::Sparse(columns) => {
            let (any, all) = (list(columns, &column), list(columns, &field));
            format!("CASE WHEN coalesce({any}) IS NOT NULL THEN json_array({all}) END")
        }
    };
    let parts: Vec<String> = layout.iter().map(part).collect();
    parts.join(", ")
}

/// Returns the columns of a written row, each with the expression for its value. `row` is the SQL
/// for the row. Without [`Sparse`](Part::Sparse) values, those columns are NULL and not searched.
pub(super) fn fields(
    layout: Layout,
    row: &str,
    any_sparse: bool,
) -> impl Iterator<Item = (&'static str, String)> {
    let mut fields = Vec::new();
    let mut place = 0;
    for part in layout {
        match part {
            Part::Each(columns) => {
                let places = place..;
                place += columns.len();
                let each = columns.iter().zip(places);
                fields.extend(each.map(|(column, place)| (*column, place.to_string())));
            }
            Part::Sparse(columns) => {
                let each = columns.iter().zip(0..);
                let path = |index: usize| format!("'$[{place}][{index}]'");
                fields.extend(each.map(|(column, index)| match any_sparse {
                    true => (*column, path(index)),
                    false => (*column, String::new()),
                }));
                place += 1;
            }
        }
    }
    fields.into_iter().map(move |(column, path)| {
        let field = match (path.is_empty(), BLOBS.contains(&column)) {
            (true, _) => "NULL".to_owned(),
            (false, true) => format!("unhex({row} ->> {path})"),
            (false, false) => format!("{row} ->> {path}"),
        };
        (column, field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(layout: Layout) -> impl Iterator<Item = &'static str> {
        fields(layout, "", true).map(|(column, _)| column)
    }

    #[test]
    fn an_update_is_of_all_that_is_not_the_actions_identity() {
        let identity = [
            "actor",
            "idempotency_key",
            "parent",
            "retry_of",
            "correlation",
            "related",
            "exclusive",
            "uid",
            "source",
            "name",
            "object",
            "tenant",
            "digest",
            "created_at",
        ];
        let changeable = columns(ACTION).filter(|column| !identity.contains(column));
        assert!(columns(UPDATE).eq(changeable));
    }

    #[test]
    fn what_no_row_has_is_not_looked_for() {
        let written = |any_sparse| {
            let fields = fields(ENTRY, "r", any_sparse).map(|(_, field)| field);
            fields.collect::<Vec<_>>()
        };
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
