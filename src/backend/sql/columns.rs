//! The columns of the tables: which fields of a record have one, and the rows that are written.

use std::sync::LazyLock;

use crate::model::codec::{
    ActionField as A, EntryField as E, Field, FieldSet, Kind, Layout, OwnerField as O,
};
use crate::model::{Action, LogEntry, Owner};

/// Texts and identities that most actions have are in columns, everything else is in the body.
pub(crate) const ACTION: Layout<Action> = Layout::without(FieldSet::<Action>::of(&[
    A::Uid,
    A::Name,
    A::Object,
    A::Tenant,
    A::Owner,
    A::Incarnation,
]));

/// All fields of a log entry are in columns. Its body has the checksum.
pub(crate) const ENTRY: Layout<LogEntry> = Layout::without(FieldSet::<LogEntry>::of(&[
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
pub(crate) const OWNER: Layout<Owner> = Layout::without(FieldSet::<Owner>::of(&[
    O::Name,
    O::Incarnation,
    O::State,
    O::Renewals,
    O::ClaimedAt,
    O::RenewedAt,
    O::EndedAt,
]));

/// The fields of an action that few actions have.
pub(super) const SPARSE: &[A] = &[A::Actor, A::Parent, A::RetryOf, A::Correlation];

/// The other fields of an action with a column that never change.
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

/// Returns the columns that repeat a field of an action's body, for filters, indexes and rules.
pub(crate) fn copies() -> impl Iterator<Item = A> {
    let all = SPARSE.iter().chain(IDENTITY).chain(CHANGEABLE).copied();
    all.filter(|field| !ACTION.columns().contains(*field))
}

/// Returns the column `flags`: what the rules of the schema need of the body.
pub(crate) fn flags(action: &Action) -> i64 {
    let flags = [
        action.started_at.is_some(),
        action.result.is_some(),
        action.error.is_some(),
        action.evidence.is_some(),
        action.cancel.is_some(),
        !action.related.is_empty(),
    ];
    let bit = |(place, is_set): (usize, &bool)| i64::from(*is_set) << place;
    flags.iter().enumerate().map(bit).sum()
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Int,
    Text,
    Id,
    Bytes,
}

/// A column of a written row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
}

impl Column {
    const fn int(name: &'static str) -> Column {
        let kind = Type::Int;
        Column { name, kind }
    }

    const fn text(name: &'static str) -> Column {
        let kind = Type::Text;
        Column { name, kind }
    }

    fn of<F: Field>(field: F) -> Column {
        let kind = match field.kind() {
            Kind::Id => Type::Id,
            Kind::Text => Type::Text,
            _ => Type::Int,
        };
        let name = field.name();
        Column { name, kind }
    }
}

/// The columns of one kind of row, in the order in which they are written.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    /// Columns that few rows have. They come first.
    pub(crate) sparse: Vec<Column>,
    pub(crate) dense: Vec<Column>,
}

impl Columns {
    fn plain(columns: &[Column]) -> Columns {
        Columns {
            sparse: Vec::new(),
            dense: columns.to_vec(),
        }
    }

    /// Returns the columns of a record: its keys in the database, its fields and its body.
    fn record<F: Field>(
        sparse: &[F],
        keys: &[Column],
        dense: impl IntoIterator<Item = F>,
    ) -> Columns {
        let dense = dense.into_iter().map(Column::of);
        Columns {
            sparse: sparse.iter().copied().map(Column::of).collect(),
            dense: keys.iter().copied().chain(dense).chain([BODY]).collect(),
        }
    }
}

const NUMBER: Column = Column::int("number");
const FLAGS: Column = Column::int("flags");
const ACTION_NUMBER: Column = Column::int("action");
const BODY: Column = Column {
    name: "body",
    kind: Type::Bytes,
};

/// A row of `actions_action`.
pub(crate) static NEW_ACTION: LazyLock<Columns> = LazyLock::new(|| {
    let dense = IDENTITY.iter().chain(CHANGEABLE).copied();
    Columns::record(SPARSE, &[NUMBER, FLAGS], dense)
});

/// An action's number, and the columns that a change may modify.
pub(crate) static CHANGED_ACTION: LazyLock<Columns> =
    LazyLock::new(|| Columns::record(&[], &[NUMBER, FLAGS], CHANGEABLE.iter().copied()));

/// An action's number, and the columns that progress modifies.
pub(crate) static PROGRESSED_ACTION: LazyLock<Columns> =
    LazyLock::new(|| Columns::record(&[], &[NUMBER], PROGRESSED.iter().copied()));

/// A row of `actions_log`.
pub(crate) static NEW_ENTRY: LazyLock<Columns> = LazyLock::new(|| {
    let keys = [Column::int("entry"), ACTION_NUMBER];
    Columns::record(SPARSE_ENTRY, &keys, DENSE_ENTRY.iter().copied())
});

/// A row of `actions_owner`, without its id.
pub(crate) static NEW_OWNER: LazyLock<Columns> =
    LazyLock::new(|| Columns::record(&[], &[], OWNER.columns().iter()));

/// A row of `actions_feed`, `actions_touch`, `actions_label`, `actions_key`, `actions_pin`.
pub(crate) static POSITION: LazyLock<Columns> =
    LazyLock::new(|| Columns::plain(&[ACTION_NUMBER, Column::int("revision")]));
pub(crate) static TOUCH: LazyLock<Columns> =
    LazyLock::new(|| Columns::plain(&[Column::text("object"), ACTION_NUMBER]));
pub(crate) static LABEL: LazyLock<Columns> =
    LazyLock::new(|| Columns::plain(&[Column::text("label"), ACTION_NUMBER]));
pub(crate) static KEY: LazyLock<Columns> = LazyLock::new(|| {
    let [tenant, key] = ["tenant", "key"].map(Column::text);
    Columns::plain(&[tenant, Column::int("kind"), key, ACTION_NUMBER])
});
pub(crate) static PIN: LazyLock<Columns> = LazyLock::new(|| Columns::plain(&[ACTION_NUMBER]));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_an_action_is_written_once() {
        let identity = SPARSE.iter().chain(IDENTITY);
        let written: Vec<A> = identity.chain(CHANGEABLE).copied().collect();
        for field in ACTION.columns().iter().chain(copies()) {
            let times = written.iter().filter(|other| **other == field).count();
            assert_eq!(times, 1, "{field:?}");
        }
        assert_eq!(written.len(), ACTION.columns().len() + copies().count());
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
}
