//! The columns of the tables: which fields of a record have one, and the order in which rows are
//! written.

use std::sync::LazyLock;

use crate::model::codec::{
    ActionField as A, EntryField as E, Field, FieldSet, Layout, OwnerField as O, Record,
};
use crate::model::{Action, LogEntry, Owner};

/// Texts and identities that most actions have are in columns, everything else is in the body.
pub(super) const ACTION: Layout<Action> = Layout::without(FieldSet::<Action>::of(&[
    A::Uid,
    A::Name,
    A::Object,
    A::Tenant,
    A::Owner,
    A::Incarnation,
]));

/// Columns that repeat a field of an action's body, for filters, indexes and rules.
pub(super) const COPIES: &[A] = &[
    A::Status,
    A::Outcome,
    A::Progress,
    A::Version,
    A::Source,
    A::CreatedAt,
    A::FinishedAt,
    A::Actor,
    A::Parent,
    A::RetryOf,
    A::Correlation,
];

/// All fields of a log entry are in columns. Its body has the checksum.
pub(super) const ENTRY: Layout<LogEntry> = Layout::without(FieldSet::<LogEntry>::of(&[
    E::Uid,
    E::Version,
    E::Kind,
    E::At,
    E::Status,
    E::Outcome,
    E::Progress,
    E::Step,
    E::Owner,
    E::Incarnation,
    E::By,
    E::Op,
    E::Note,
]));

/// All fields of an owner are in columns. Its body has the checksum.
pub(super) const OWNER: Layout<Owner> = Layout::without(FieldSet::<Owner>::of(&[
    O::Name,
    O::Incarnation,
    O::State,
    O::Renewals,
    O::ClaimedAt,
    O::RenewedAt,
    O::EndedAt,
]));

/// A column of a written row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// A text or a number.
    Plain(&'static str),
    /// An identity, which travels as hexadecimal text.
    Id(&'static str),
    /// The body, which travels as its place in the bodies of all rows: offset and length.
    Body,
}

impl Column {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Column::Plain(name) | Column::Id(name) => name,
            Column::Body => "body",
        }
    }

    fn of<F: Field>(field: F) -> Column {
        match field.kind() {
            crate::model::codec::Kind::Id => Column::Id(field.name()),
            _ => Column::Plain(field.name()),
        }
    }
}

/// The columns of one kind of row, in the order in which they are written.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// Columns that few rows have. They travel packed in one nested array, or null if all are
    /// empty, as the first field. SQLite searches an array from its beginning.
    pub(super) sparse: Vec<Column>,
    pub(super) dense: Vec<Column>,
}

impl Columns {
    fn dense(columns: Vec<Column>) -> Columns {
        Columns {
            sparse: Vec::new(),
            dense: columns,
        }
    }

    /// Returns each column with the expression for its value. `row` is the SQL for the row, `bodies`
    /// for the bodies of all rows. Without [sparse](Columns::sparse) values, those columns are NULL
    /// and not searched. A row that travels alone has its body as a value of its own.
    pub(super) fn fields(
        &self,
        row: &str,
        any_sparse: bool,
        bodies: Bodies,
    ) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        for (index, column) in self.sparse.iter().enumerate() {
            let value = match (any_sparse, column) {
                (false, _) => "NULL".to_owned(),
                (true, Column::Id(_)) => format!("unhex({row} ->> '$[0][{index}]')"),
                (true, _) => format!("{row} ->> '$[0][{index}]'"),
            };
            fields.push((column.name(), value));
        }
        let first = usize::from(!self.sparse.is_empty());
        for (place, column) in (first..).zip(&self.dense) {
            let value = match (column, bodies) {
                (Column::Plain(_), _) => format!("{row} ->> {place}"),
                (Column::Id(_), _) => format!("unhex({row} ->> {place})"),
                (Column::Body, Bodies::Alone) => "$@".to_owned(),
                (Column::Body, Bodies::Joined) => {
                    format!("substr($@, {row} ->> {place}, {row} ->> {})", place + 1)
                }
            };
            fields.push((column.name(), value));
        }
        fields
    }
}

/// How bodies travel; `$@` is the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bodies {
    /// The bodies of all rows, one after the other.
    Joined,
    /// The body of the only row.
    Alone,
}

/// The fields of an action that few actions have.
pub(super) const SPARSE: &[A] = &[A::Actor, A::Parent, A::RetryOf, A::Correlation];

/// The other fields of an action that never change.
pub(super) const IDENTITY: &[A] = &[
    A::Uid,
    A::Source,
    A::Name,
    A::Object,
    A::Tenant,
    A::CreatedAt,
];

/// The fields of an action with a column that a change may modify.
pub(super) const CHANGEABLE: &[A] = &[
    A::Status,
    A::Outcome,
    A::Owner,
    A::Incarnation,
    A::FinishedAt,
    A::Progress,
    A::Version,
];

/// The fields with a column that progress changes. Half of all changes need no more, and this
/// avoids updating the indexes.
pub(super) const PROGRESSED: &[A] = &[A::Progress, A::Version];

fn columns_of(fields: &[A]) -> impl Iterator<Item = Column> {
    fields.iter().map(|field| Column::of(*field))
}

/// A row of `actions_action`.
pub(super) static NEW_ACTION: LazyLock<Columns> = LazyLock::new(|| Columns {
    sparse: columns_of(SPARSE).collect(),
    dense: [Column::Plain("number"), Column::Plain("flags")]
        .into_iter()
        .chain(columns_of(IDENTITY))
        .chain(columns_of(CHANGEABLE))
        .chain([Column::Body])
        .collect(),
});

/// An action's number, and the columns that a change may modify.
pub(super) static CHANGED_ACTION: LazyLock<Columns> = LazyLock::new(|| {
    let number = [Column::Plain("number"), Column::Plain("flags")].into_iter();
    Columns::dense(
        number
            .chain(columns_of(CHANGEABLE))
            .chain([Column::Body])
            .collect(),
    )
});

/// An action's number, and the columns that progress modifies.
pub(super) static PROGRESSED_ACTION: LazyLock<Columns> = LazyLock::new(|| {
    let number = [Column::Plain("number")].into_iter();
    Columns::dense(
        number
            .chain(columns_of(PROGRESSED))
            .chain([Column::Body])
            .collect(),
    )
});

/// The fields of a log entry that few entries have.
pub(super) const SPARSE_ENTRY: &[E] = &[E::Step, E::By, E::Note];

/// The other fields of a log entry; its action is in the row by number.
pub(super) const DENSE_ENTRY: &[E] = &[
    E::Version,
    E::Kind,
    E::At,
    E::Status,
    E::Outcome,
    E::Progress,
    E::Owner,
    E::Incarnation,
    E::Op,
];

/// A row of `actions_log`.
pub(super) static NEW_ENTRY: LazyLock<Columns> = LazyLock::new(|| Columns {
    sparse: SPARSE_ENTRY
        .iter()
        .map(|field| Column::of(*field))
        .collect(),
    dense: [Column::Plain("entry"), Column::Plain("action")]
        .into_iter()
        .chain(DENSE_ENTRY.iter().map(|field| Column::of(*field)))
        .chain([Column::Body])
        .collect(),
});

/// A row of `actions_owner`, without its id.
pub(super) static NEW_OWNER: LazyLock<Columns> = LazyLock::new(|| {
    let fields = OWNER.columns().iter().map(Column::of);
    Columns::dense(fields.chain([Column::Body]).collect())
});

fn plain(columns: &[&'static str]) -> Columns {
    Columns::dense(columns.iter().map(|column| Column::Plain(column)).collect())
}

/// A row of `actions_feed`, `actions_touch`, `actions_label`, `actions_key`, `actions_pin`.
pub(super) static POSITION: LazyLock<Columns> = LazyLock::new(|| plain(&["action", "revision"]));
pub(super) static TOUCH: LazyLock<Columns> = LazyLock::new(|| plain(&["object", "action"]));
pub(super) static LABEL: LazyLock<Columns> = LazyLock::new(|| plain(&["label", "action"]));
pub(super) static KEY: LazyLock<Columns> =
    LazyLock::new(|| plain(&["tenant", "kind", "key", "action"]));
pub(super) static PIN: LazyLock<Columns> = LazyLock::new(|| plain(&["action"]));

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
            crate::model::codec::Kind::Id => format!("hex({table}{name})"),
            _ => format!("{table}{name}"),
        }
    };
    fields.extend(layout.columns().iter().map(column));
    format!("json_array({})", fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_an_action_is_written_once() {
        let identity = SPARSE.iter().chain(IDENTITY);
        let written: Vec<A> = identity.chain(CHANGEABLE).copied().collect();
        for field in ACTION.columns().iter().chain(COPIES.iter().copied()) {
            let times = written.iter().filter(|other| **other == field).count();
            assert_eq!(times, 1, "{field:?}");
        }
        assert_eq!(written.len(), ACTION.columns().len() + COPIES.len());
        assert!(PROGRESSED.iter().all(|field| CHANGEABLE.contains(field)));
    }

    #[test]
    fn every_column_of_an_entry_is_written_once() {
        let written: Vec<E> = SPARSE_ENTRY.iter().chain(DENSE_ENTRY).copied().collect();
        for field in ENTRY.columns().iter().filter(|field| *field != E::Uid) {
            let times = written.iter().filter(|other| **other == field).count();
            assert_eq!(times, 1, "{field:?}");
        }
        assert_eq!(written.len() + 1, ENTRY.columns().len());
    }

    #[test]
    fn columns_that_no_row_has_are_not_searched() {
        let written = |any_sparse| {
            let fields = NEW_ENTRY
                .fields("r", any_sparse, Bodies::Joined)
                .into_iter();
            fields.map(|(_, field)| field).collect::<Vec<_>>()
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
