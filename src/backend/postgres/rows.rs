//! The columns of the tables, and the statements that write records into them.

use std::sync::LazyLock;

use super::literal::{Rows, Type};
use crate::model::codec::{
    ActionField as A, CodecError, EntryField as E, Field, FieldSet, Kind, Layout, OwnerField as O,
    Record,
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

/// The fields of an action with a column that never change.
const IDENTITY: &[A] = &[
    A::Uid,
    A::Source,
    A::Name,
    A::Object,
    A::Tenant,
    A::CreatedAt,
    A::Actor,
    A::Parent,
    A::RetryOf,
    A::Correlation,
];

/// The fields of an action with a column that a change may modify.
const CHANGEABLE: &[A] = &[
    A::Status,
    A::Outcome,
    A::Owner,
    A::Incarnation,
    A::FinishedAt,
    A::Progress,
    A::Version,
];

/// The fields with a column that progress changes. An update of these touches no index.
const PROGRESSED: &[A] = &[A::Progress, A::Version];

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Id => Type::Id,
        Kind::Text => Type::Text,
        _ => Type::Int,
    }
}

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

    fn insert(table: &str, columns: &[(&str, Type)]) -> Written {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        Written {
            sql: format!(
                "INSERT INTO {table} ({names}) SELECT {names} FROM unnest($#) AS j({names})"
            ),
            types: columns.iter().map(|(_, kind)| *kind).collect(),
        }
    }

    /// Updates columns; the first one identifies the row.
    fn update(table: &str, columns: &[(&str, Type)]) -> Written {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let set = names
            .iter()
            .skip(1)
            .map(|name| format!("{name} = j.{name}"));
        let set: Vec<String> = set.collect();
        let (key, set, names) = (names[0], set.join(", "), names.join(", "));
        Written {
            sql: format!(
                "UPDATE {table} AS t SET {set} FROM unnest($#) AS j({names}) WHERE t.{key} = j.{key}"
            ),
            types: columns.iter().map(|(_, kind)| *kind).collect(),
        }
    }
}

fn columns_of<F: Field>(fields: &[F]) -> impl Iterator<Item = (&'static str, Type)> {
    fields
        .iter()
        .map(|field| (field.name(), type_of(field.kind())))
}

const NUMBER: (&str, Type) = ("number", Type::Int);
const FLAGS: (&str, Type) = ("flags", Type::Int);
const BODY: (&str, Type) = ("body", Type::Bytes);

/// New actions.
pub(super) static ACTIONS: LazyLock<Written> = LazyLock::new(|| {
    let columns = [NUMBER, FLAGS].into_iter();
    let columns = columns
        .chain(columns_of(IDENTITY))
        .chain(columns_of(CHANGEABLE));
    Written::insert("actions_action", &columns.chain([BODY]).collect::<Vec<_>>())
});

/// Changed actions.
pub(super) static UPDATES: LazyLock<Written> = LazyLock::new(|| {
    let columns = [NUMBER, FLAGS].into_iter().chain(columns_of(CHANGEABLE));
    Written::update("actions_action", &columns.chain([BODY]).collect::<Vec<_>>())
});

/// Actions with a change of progress only.
pub(super) static PROGRESS: LazyLock<Written> = LazyLock::new(|| {
    let columns = [NUMBER].into_iter().chain(columns_of(PROGRESSED));
    Written::update("actions_action", &columns.chain([BODY]).collect::<Vec<_>>())
});

/// The fields of a log entry with a column; its action is in the row by number.
const ENTRY_FIELDS: &[E] = &[
    E::Version,
    E::Kind,
    E::At,
    E::Status,
    E::Outcome,
    E::Progress,
    E::Owner,
    E::Incarnation,
    E::Op,
    E::Step,
    E::By,
    E::Note,
];

pub(super) static ENTRIES: LazyLock<Written> = LazyLock::new(|| {
    let columns = [("entry", Type::Int), ("action", Type::Int)].into_iter();
    let columns = columns.chain(columns_of(ENTRY_FIELDS)).chain([BODY]);
    Written::insert("actions_log", &columns.collect::<Vec<_>>())
});

/// Inserts or changes owners.
pub(super) static OWNERS: LazyLock<Written> = LazyLock::new(|| {
    let fields: Vec<O> = OWNER.columns().iter().collect();
    let columns: Vec<_> = columns_of(&fields).chain([BODY]).collect();
    let mut written = Written::insert("actions_owner", &columns);
    written.sql.push_str(
        " ON CONFLICT (name, incarnation) DO UPDATE SET state = excluded.state, \
         renewals = excluded.renewals, renewed_at = excluded.renewed_at, \
         ended_at = excluded.ended_at, body = excluded.body",
    );
    written
});

const ACTION_NUMBER: (&str, Type) = ("action", Type::Int);
const OBJECT: (&str, Type) = ("object", Type::Text);

pub(super) static POSITIONS: LazyLock<Written> =
    LazyLock::new(|| Written::insert("actions_feed", &[ACTION_NUMBER, ("revision", Type::Int)]));
pub(super) static MOVES: LazyLock<Written> =
    LazyLock::new(|| Written::update("actions_feed", &[ACTION_NUMBER, ("revision", Type::Int)]));
pub(super) static TOUCHES: LazyLock<Written> =
    LazyLock::new(|| Written::insert("actions_touch", &[OBJECT, ACTION_NUMBER]));
pub(super) static LABELS: LazyLock<Written> =
    LazyLock::new(|| Written::insert("actions_label", &[("label", Type::Text), ACTION_NUMBER]));
pub(super) static KEYS: LazyLock<Written> = LazyLock::new(|| {
    let columns = [
        ("tenant", Type::Text),
        ("kind", Type::Int),
        ("key", Type::Text),
    ];
    let columns: Vec<_> = columns.into_iter().chain([ACTION_NUMBER]).collect();
    Written::insert("actions_key", &columns)
});
pub(super) static PINS: LazyLock<Written> =
    LazyLock::new(|| Written::insert("actions_pin", &[ACTION_NUMBER]));

/// Appends the body of a record as the last field of a row.
fn push_body<R: Record>(out: &mut Rows, layout: Layout<R>, record: &R) -> Result<(), CodecError> {
    let mut body = Vec::new();
    layout.encode(record, &mut body)?;
    out.bytes(&body);
    Ok(())
}

/// Encodes a row of [`ACTIONS`].
pub(super) fn encode_action(
    out: &mut Rows,
    action: &Action,
    number: i64,
) -> Result<(), CodecError> {
    out.int(number);
    out.int(flags(action));
    for field in IDENTITY.iter().chain(CHANGEABLE) {
        out.value(action.value(*field));
    }
    push_body(out, ACTION, action)
}

/// Encodes a row of [`UPDATES`].
pub(super) fn encode_update(
    out: &mut Rows,
    action: &Action,
    number: i64,
) -> Result<(), CodecError> {
    out.int(number);
    out.int(flags(action));
    for field in CHANGEABLE {
        out.value(action.value(*field));
    }
    push_body(out, ACTION, action)
}

/// Encodes a row of [`PROGRESS`].
pub(super) fn encode_progress(
    out: &mut Rows,
    action: &Action,
    number: i64,
) -> Result<(), CodecError> {
    out.int(number);
    for field in PROGRESSED {
        out.value(action.value(*field));
    }
    push_body(out, ACTION, action)
}

/// Encodes a row of [`ENTRIES`].
pub(super) fn encode_entry(
    out: &mut Rows,
    logged: &LogEntry,
    entry: i64,
    action: i64,
) -> Result<(), CodecError> {
    out.int(entry);
    out.int(action);
    for field in ENTRY_FIELDS {
        out.value(logged.value(*field));
    }
    push_body(out, ENTRY, logged)
}

/// Encodes a row of [`OWNERS`].
pub(super) fn encode_owner(out: &mut Rows, owner: &Owner) -> Result<(), CodecError> {
    for value in OWNER.values(owner) {
        out.value(value);
    }
    push_body(out, OWNER, owner)
}

/// Returns the column `flags`: what the rules of the schema need of the body.
fn flags(action: &Action) -> i64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_an_action_is_written_once() {
        let written: Vec<A> = IDENTITY.iter().chain(CHANGEABLE).copied().collect();
        for field in ACTION.columns().iter() {
            assert!(written.contains(&field), "{field:?}");
        }
        for (place, field) in written.iter().enumerate() {
            assert!(!written[..place].contains(field), "{field:?}");
        }
        assert!(PROGRESSED.iter().all(|field| CHANGEABLE.contains(field)));
    }

    #[test]
    fn every_column_of_an_entry_is_written_once() {
        for field in ENTRY.columns().iter().filter(|field| *field != E::Uid) {
            assert!(ENTRY_FIELDS.contains(&field), "{field:?}");
        }
        assert_eq!(ENTRY_FIELDS.len() + 1, ENTRY.columns().len());
    }
}
