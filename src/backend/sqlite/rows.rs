//! The columns of the tables, in the order in which `encode` writes and `decode` reads them.

use std::sync::LazyLock;

/// The columns of `actions_action`, in the order in which `decode_action` reads and
/// `encode_action` writes them.
pub(super) const ACTION_COLUMNS: &[&str] = &[
    "number",
    "uid",
    "source",
    "name",
    "object",
    "related",
    "tenant",
    "actor",
    "parent",
    "retry_of",
    "correlation",
    "exclusive",
    "idempotency_key",
    "digest",
    "created_at",
    "status",
    "outcome",
    "progress",
    "step",
    "description",
    "attributes",
    "result",
    "error_code",
    "error_message",
    "error_detail",
    "warnings",
    "owner",
    "incarnation",
    "cancel_at",
    "cancel_by",
    "cancel_reason",
    "evidence_owner",
    "evidence_incarnation",
    "evidence_end",
    "evidence_seen_at",
    "evidence_by",
    "started_at",
    "finished_at",
    "last_seen_at",
    "version",
    "log_entries",
    "last_op",
];

/// Where the columns begin that a change may touch.
pub(super) const FIRST_CHANGEABLE: usize = 15;

/// The columns that hold identities; they travel as hexadecimal text.
pub(super) const BLOBS: &[&str] = &[
    "uid",
    "parent",
    "retry_of",
    "digest",
    "incarnation",
    "evidence_incarnation",
    "last_op",
    "op",
];

/// The columns of `actions_log`.
pub(super) const LOG_COLUMNS: &[&str] = &[
    "entry",
    "action",
    "kind",
    "version",
    "at",
    "status",
    "outcome",
    "progress",
    "step",
    "owner",
    "incarnation",
    "by",
    "op",
    "note",
];

/// The columns of `actions_owner` but its id.
pub(super) const OWNER_COLUMNS: &[&str] = &[
    "name",
    "incarnation",
    "state",
    "renewals",
    "claimed_at",
    "renewed_at",
    "ended_at",
];

/// All the columns of an action as one, in a query that calls its table `a`.
pub(super) static PACKED_ACTION: LazyLock<String> =
    LazyLock::new(|| format!("json_array({})", packed("a.", ACTION_COLUMNS)));

/// An action's uid and all the columns of its log entry as one; that table is called `l`.
pub(super) static PACKED_ENTRY: LazyLock<String> =
    LazyLock::new(|| format!("json_array(hex(a.uid), {})", packed("l.", LOG_COLUMNS)));

/// All the columns of an owner as one.
pub(super) static PACKED_OWNER: LazyLock<String> =
    LazyLock::new(|| format!("json_array({})", packed("", OWNER_COLUMNS)));

/// A table's columns as what JSON can hold: no blobs.
pub(super) fn packed(table: &str, columns: &[&str]) -> String {
    let column = |column: &&str| match BLOBS.contains(column) {
        true => format!("hex({table}{column})"),
        false => format!("{table}{column}"),
    };
    let columns: Vec<String> = columns.iter().map(column).collect();
    columns.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changeable_columns_begin_where_the_constant_says() {
        assert_eq!(ACTION_COLUMNS[FIRST_CHANGEABLE], "status");
        assert_eq!(ACTION_COLUMNS[FIRST_CHANGEABLE - 1], "created_at");
    }
}
