//! The columns of the tables, in the order in which `encode` writes and `decode` reads them.

use std::sync::LazyLock;

/// A stretch of a row that travels as one JSON array.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Columns that have a field each.
    Each(&'static [&'static str]),
    /// Columns that most rows leave empty: one field for all of them, an array of their own, or
    /// null. What is taken from an array is looked for from its beginning, so these stand first.
    Seldom(&'static [&'static str]),
}

/// The fields of a row, in the order in which `encode` writes and `decode` reads them.
pub(super) type Layout = &'static [Part];

/// A row of `actions_action`.
pub(super) const ACTION: Layout = &[
    Part::Each(&["number"]),
    Part::Seldom(&[
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

/// An action's number, and the columns that a change may touch.
pub(super) const UPDATE: Layout = &[
    Part::Each(&["number"]),
    Part::Seldom(&[
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

/// An action's number, and the columns that progress alone changes. Half of all changes are no
/// more than that, and spare the indexes.
pub(super) const PROGRESS: Layout = &[
    Part::Each(&["number"]),
    Part::Each(&["progress", "last_seen_at", "version", "last_op"]),
];

/// A row of `actions_log`.
pub(super) const ENTRY: Layout = &[
    Part::Seldom(&["step", "by", "note"]),
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

/// A row of `actions_owner`, its id aside.
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

/// The columns that hold identities; they travel as hexadecimal text.
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

/// All the columns of an action as one, in a query that calls its table `a`.
pub(super) static PACKED_ACTION: LazyLock<String> =
    LazyLock::new(|| format!("json_array({})", packed("a.", ACTION, &[])));

/// The same without what [`Detail::Summary`](crate::model::Detail::Summary) leaves out.
pub(super) static PACKED_SUMMARY: LazyLock<String> = LazyLock::new(|| {
    let row = packed("a.", ACTION, &["result", "error_detail"]);
    format!("json_array({row})")
});

/// An action's uid and all the columns of its log entry as one; that table is called `l`.
pub(super) static PACKED_ENTRY: LazyLock<String> =
    LazyLock::new(|| format!("json_array(hex(a.uid), {})", packed("l.", ENTRY, &[])));

/// All the columns of an owner as one.
pub(super) static PACKED_OWNER: LazyLock<String> =
    LazyLock::new(|| format!("json_array({})", packed("", OWNER, &[])));

/// The fields of a row that is read from a table, with NULL for the columns left out.
pub(super) fn packed(table: &str, layout: Layout, left_out: &[&str]) -> String {
    let column = |column: &str| match left_out.contains(&column) {
        true => "NULL".to_owned(),
        false => format!("{table}{column}"),
    };
    // What JSON can hold: no blobs.
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
        Part::Seldom(columns) => {
            let (any, all) = (list(columns, &column), list(columns, &field));
            format!("CASE WHEN coalesce({any}) IS NOT NULL THEN json_array({all}) END")
        }
    };
    let parts: Vec<String> = layout.iter().map(part).collect();
    parts.join(", ")
}

/// The columns of a row that is written, each with what the row holds for it. `row` is the SQL for
/// the row; where no row has anything [`Seldom`](Part::Seldom), nothing is looked for there.
pub(super) fn fields(
    layout: Layout,
    row: &str,
    any_seldom: bool,
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
            Part::Seldom(columns) => {
                let each = columns.iter().zip(0..);
                let path = |index: usize| format!("'$[{place}][{index}]'");
                fields.extend(each.map(|(column, index)| match any_seldom {
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
        let written = |any_seldom| {
            let fields = fields(ENTRY, "r", any_seldom).map(|(_, field)| field);
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
