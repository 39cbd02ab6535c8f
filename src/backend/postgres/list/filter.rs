//! Filters as SQL conditions.

use crate::backend::postgres::literal::{Rows, Type};
use crate::backend::postgres::script::Script;
use crate::model::{AccessPath, ActionUid, Filter, ObjectSet, Query};

/// Returns the conditions of the filters that the index itself does not fulfil.
pub(super) fn conditions(
    script: &mut Script,
    query: &Query,
    path: &AccessPath,
    exact: bool,
) -> Vec<String> {
    let filters = query.filters.iter();
    let rest = filters.filter(|filter| !(exact && is_driven_by(filter, path)));
    rest.map(|filter| condition(script, filter)).collect()
}

/// Returns true if a term says exactly what the selecting condition says.
fn is_driven_by(filter: &Filter, path: &AccessPath) -> bool {
    match (filter, path) {
        (Filter::Uid(uid), AccessPath::Uid(driven)) => uid == driven,
        (Filter::TouchesAny(objects), AccessPath::TouchesAny(driven)) => objects == driven,
        (Filter::Parent(uid), AccessPath::Parent(driven)) => uid == driven,
        (Filter::RetryOf(uid), AccessPath::RetryOf(driven)) => uid == driven,
        (Filter::Correlation(text), AccessPath::Correlation(driven)) => text == driven,
        (
            Filter::OwnerName(name),
            AccessPath::UnfinishedOf(driven) | AccessPath::CancelsOf(driven),
        ) => name == driven,
        (
            Filter::Unfinished,
            AccessPath::UnfinishedOf(_) | AccessPath::CancelsOf(_) | AccessPath::Unfinished,
        ) => true,
        (Filter::CancelRequested, AccessPath::CancelsOf(_)) => true,
        (Filter::Touches(object), AccessPath::Touches(driven)) => object == driven,
        (Filter::Outcome(outcome), AccessPath::Ended(driven)) => outcome == driven,
        (Filter::Tenant(tenant), AccessPath::Tenant(driven)) => tenant == driven,
        (Filter::Name(name), AccessPath::Name(driven)) => name == driven,
        _ => false,
    }
}

/// Returns the condition of a filtering term.
fn condition(script: &mut Script, filter: &Filter) -> String {
    let mut text = |column: &str, text: &str| {
        let value = script.bind_text(text);
        format!("a.{column} = ${value}")
    };
    let int = |script: &mut Script, column: &str, op: &str, number: i64| {
        let value = script.bind_int(number);
        format!("a.{column} {op} ${value}")
    };
    match filter {
        Filter::Name(name) => text("name", name),
        Filter::Object(object) => text("object", object.as_str()),
        Filter::Tenant(tenant) => text("tenant", tenant),
        Filter::Actor(actor) => text("actor", actor),
        Filter::OwnerName(name) => text("owner", name),
        Filter::Correlation(correlation) => text("correlation", correlation),
        Filter::Touches(object) => {
            let value = script.bind_text(object.as_str());
            format!(
                "EXISTS (SELECT 1 FROM actions_touch AS x \
                 WHERE x.object = ${value} AND x.action = a.number)"
            )
        }
        Filter::TouchesAny(objects) => {
            let value = bind_objects(script, objects);
            // Few actions have related objects, and only these need a search for each object.
            format!(
                "(a.object = ANY (${value}) OR (a.flags & 32 = 32 AND EXISTS (\
                 SELECT 1 FROM actions_touch AS x \
                 WHERE x.object = ANY (${value}) AND x.action = a.number)))"
            )
        }
        Filter::Uid(uid) => id(script, "uid", uid),
        Filter::Parent(uid) => id(script, "parent", uid),
        Filter::RetryOf(uid) => id(script, "retry_of", uid),
        Filter::Status(status) => int(script, "status", "=", status.code().into()),
        Filter::Unfinished => "a.status < 2".to_owned(),
        Filter::Outcome(outcome) => int(script, "outcome", "=", outcome.code().into()),
        Filter::Source(source) => int(script, "source", "=", source.code().into()),
        Filter::Owner(owner) => {
            let name = script.bind_text(&owner.name);
            let incarnation = script.bind_id(owner.incarnation.as_uuid());
            format!("a.owner = ${name} AND a.incarnation = ${incarnation}")
        }
        Filter::CreatedFrom(time) => int(script, "created_at", ">=", time.as_micros()),
        Filter::CreatedBefore(time) => int(script, "created_at", "<", time.as_micros()),
        Filter::FinishedFrom(time) => int(script, "finished_at", ">=", time.as_micros()),
        Filter::FinishedBefore(time) => int(script, "finished_at", "<", time.as_micros()),
        Filter::CancelRequested => "a.flags & 16 = 16".to_owned(),
        // `Query::check` refuses it earlier.
        Filter::Unknown => "false".to_owned(),
    }
}

pub(super) fn id(script: &mut Script, column: &str, uid: &ActionUid) -> String {
    let value = script.bind_id(uid.as_uuid());
    format!("a.{column} = ${value}")
}

/// Returns the number of an action. For a missing action, returns the number of a neighbour: a row
/// is examined in both cases, so the time does not show which one it was.
pub(super) fn nearest(script: &mut Script, uid: &ActionUid) -> String {
    let value = script.bind_id(uid.as_uuid());
    format!(
        "(SELECT u.number FROM actions_action AS u WHERE u.uid <= ${value} \
         ORDER BY u.uid DESC LIMIT 1)"
    )
}

/// Binds objects as an array.
pub(super) fn bind_objects(script: &mut Script, objects: &ObjectSet) -> usize {
    let mut rows = Rows::new(&[Type::Text]);
    for object in objects.iter() {
        rows.row(|row| row.text(object.as_str()));
    }
    script.bind_rows(&rows)
}

/// Joins conditions, each after AND.
pub(super) fn all_of(conditions: impl IntoIterator<Item = String>) -> String {
    let conditions = conditions.into_iter();
    conditions
        .map(|condition| format!(" AND {condition}"))
        .collect()
}
