//! Filters as SQL conditions.

use crate::backend::sqlite::script::Script;
use crate::model::{
    AccessPath, ActionUid, Filter, ObjectRef, ObjectSet, Query, StateSet, label_text, prefix_end,
};

/// Returns the conditions of the filters that the index itself does not fulfil.
pub(super) fn conditions(
    script: &mut Script,
    query: &Query,
    path: &AccessPath,
    exact: bool,
) -> Result<Vec<String>, sqlx::Error> {
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
        (Filter::NamePrefix(prefix), AccessPath::NamePrefix(driven)) => prefix == driven,
        (Filter::Label { key, value: None }, AccessPath::Label(driven)) => key == driven,
        (
            Filter::Label {
                key,
                value: Some(value),
            },
            AccessPath::Label(driven),
        ) => label_text(key, value) == *driven,
        // Its index has all unfinished actions.
        (Filter::States(states), AccessPath::States(driven)) => {
            states == driven && states.unfinished().count() != 1
        }
        (Filter::States(states), AccessPath::Unfinished) => *states == StateSet::UNFINISHED,
        (Filter::States(states), AccessPath::Ended(driven)) => {
            *states == StateSet::new().with_outcome(*driven)
        }
        _ => false,
    }
}

/// Returns the condition of a filtering term. The plus stops its column from selecting the index.
fn condition(script: &mut Script, filter: &Filter) -> Result<String, sqlx::Error> {
    let blob = |uid: &ActionUid| uid.as_uuid().as_bytes().to_vec();
    let mut text = |column: &str, text: &str| {
        let value = script.bind(text.to_owned())?;
        Ok(format!("+a.{column} = ${value}"))
    };
    match filter {
        Filter::Name(name) => text("name", name),
        Filter::Object(object) => text("object", object.as_str()),
        Filter::Tenant(tenant) => text("tenant", tenant),
        Filter::Actor(actor) => text("actor", actor),
        Filter::OwnerName(name) => text("owner", name),
        Filter::Correlation(correlation) => text("correlation", correlation),
        Filter::Touches(object) => {
            let value = script.bind(object.as_str().to_owned())?;
            Ok(format!(
                "EXISTS (SELECT 1 FROM actions_touch AS x \
                 WHERE x.object = ${value} AND x.action = a.number)"
            ))
        }
        Filter::TouchesAny(objects) => {
            let value = script.bind(json_of(objects))?;
            // Few actions have related objects, and only these need a search for each object.
            Ok(format!(
                "(a.object IN (SELECT value FROM json_each(${value})) \
                 OR (a.flags & 32 = 32 AND EXISTS (SELECT 1 FROM json_each(${value}) AS j \
                 CROSS JOIN actions_touch AS x ON x.object = j.value AND x.action = a.number)))"
            ))
        }
        Filter::Uid(uid) => {
            let value = script.bind(blob(uid))?;
            Ok(format!("+a.uid = ${value}"))
        }
        Filter::Status(status) => int(script, "status", "=", status.code().into()),
        Filter::Unfinished => Ok("+a.status < 2".to_owned()),
        Filter::States(states) => Ok(within(*states)),
        Filter::NamePrefix(prefix) => Ok(format!("({})", prefix_range(script, "+a.name", prefix)?)),
        Filter::Label { key, value } => {
            let label = match value {
                Some(value) => label_text(key, value).to_string(),
                None => key.to_string(),
            };
            let value = script.bind(label)?;
            Ok(format!(
                "EXISTS (SELECT 1 FROM actions_label AS x \
                 WHERE x.label = ${value} AND x.action = a.number)"
            ))
        }
        Filter::Outcome(outcome) => int(script, "outcome", "=", outcome.code().into()),
        Filter::Source(source) => int(script, "source", "=", source.code().into()),
        Filter::Owner(owner) => {
            let name = script.bind(owner.name.to_string())?;
            let uuid = owner.incarnation.as_uuid();
            let incarnation = script.bind(uuid.as_bytes().to_vec())?;
            Ok(format!(
                "+a.owner = ${name} AND a.incarnation = ${incarnation}"
            ))
        }
        Filter::Parent(uid) => {
            let value = script.bind(blob(uid))?;
            Ok(format!("+a.parent = ${value}"))
        }
        Filter::RetryOf(uid) => {
            let value = script.bind(blob(uid))?;
            Ok(format!("+a.retry_of = ${value}"))
        }
        Filter::CreatedFrom(time) => int(script, "created_at", ">=", time.as_micros()),
        Filter::CreatedBefore(time) => int(script, "created_at", "<", time.as_micros()),
        Filter::FinishedFrom(time) => int(script, "finished_at", ">=", time.as_micros()),
        Filter::FinishedBefore(time) => int(script, "finished_at", "<", time.as_micros()),
        Filter::CancelRequested => Ok("a.flags & 16 = 16".to_owned()),
        // `Query::check` refuses it earlier.
        Filter::Unknown => Ok("false".to_owned()),
    }
}

/// Returns the number of an action and the value that its uid is. For a missing action, returns the
/// number of a neighbour: a row is examined in both cases, so the time does not show which one it
/// was.
pub(super) fn nearest(
    script: &mut Script,
    uid: &ActionUid,
) -> Result<(String, usize), sqlx::Error> {
    let value = script.bind(uid.as_uuid().as_bytes().to_vec())?;
    let number = format!(
        "(SELECT u.number FROM actions_action AS u WHERE u.uid <= ${value} \
         ORDER BY u.uid DESC LIMIT 1)"
    );
    Ok((number, value))
}

/// Returns the condition that selects one action among those that touch an object. None does if the
/// action does not exist.
pub(super) fn touching(script: &mut Script, uid: &ActionUid) -> Result<String, sqlx::Error> {
    let (number, _) = nearest(script, uid)?;
    Ok(format!(" AND t.action = coalesce({number}, 0)"))
}

/// Returns the condition for the actions in a set of states.
fn within(states: StateSet) -> String {
    let statuses: Vec<String> = states.unfinished().map(|s| s.code().to_string()).collect();
    let outcomes: Vec<String> = states.outcomes().map(|o| o.code().to_string()).collect();
    format!(
        "(+a.status IN ({}) OR +a.outcome IN ({}))",
        statuses.join(", "),
        outcomes.join(", ")
    )
}

/// Returns the condition for the texts of a column that begin with a prefix.
pub(super) fn prefix_range(
    script: &mut Script,
    column: &str,
    prefix: &str,
) -> Result<String, sqlx::Error> {
    let from = script.bind(prefix.to_owned())?;
    let end = match prefix_end(prefix) {
        None => String::new(),
        Some(end) => format!(" AND {column} < ${}", script.bind(end)?),
    };
    Ok(format!("{column} >= ${from}{end}"))
}

/// Encodes objects as a JSON array.
pub(super) fn json_of(objects: &ObjectSet) -> String {
    let texts: Vec<&str> = objects.iter().map(ObjectRef::as_str).collect();
    // Texts are written to memory, which cannot fail.
    serde_json::to_string(&texts).unwrap_or_default()
}

fn int(script: &mut Script, column: &str, op: &str, number: i64) -> Result<String, sqlx::Error> {
    let value = script.bind(number)?;
    Ok(format!("+a.{column} {op} ${value}"))
}
