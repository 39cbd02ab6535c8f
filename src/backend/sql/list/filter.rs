//! Filters as SQL conditions.

use crate::backend::sql::dialect::Dialect;
use crate::backend::sql::select::{Select, Value};
use crate::model::{
    AccessPath, ActionUid, Filter, ObjectRef, ObjectSet, Query, StateSet, label_text, prefix_end,
};

/// Returns the conditions of the filters that the index itself does not fulfil.
pub(super) fn conditions<D: Dialect>(
    select: &mut Select,
    query: &Query,
    path: &AccessPath,
    exact: bool,
) -> Vec<String> {
    let filters = query.filters.iter();
    let rest = filters.filter(|filter| !(exact && is_driven_by(filter, path)));
    rest.map(|filter| condition::<D>(select, filter)).collect()
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
        (Filter::Label { key, value }, AccessPath::Label(driven)) => {
            text_of_label(key, value.as_deref()) == **driven
        }
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

/// Returns the condition of a filtering term. Its column does not select the index.
fn condition<D: Dialect>(select: &mut Select, filter: &Filter) -> String {
    let mut text = |column: &str, text: &str| {
        let value = select.bind(Value::Text(text.to_owned()));
        format!("{} = ${value}", D::unindexed(column))
    };
    match filter {
        Filter::Name(name) => text("a.name", name),
        Filter::Object(object) => text("a.object", object.as_str()),
        Filter::Tenant(tenant) => text("a.tenant", tenant),
        Filter::Actor(actor) => text("a.actor", actor),
        Filter::OwnerName(name) => text("a.owner", name),
        Filter::Correlation(correlation) => text("a.correlation", correlation),
        Filter::Touches(object) => {
            let value = select.bind(Value::Text(object.as_str().to_owned()));
            format!(
                "EXISTS (SELECT 1 FROM actions_touch AS x \
                 WHERE x.object = ${value} AND x.action = a.number{})",
                D::ONE_BY_ONE
            )
        }
        Filter::TouchesAny(objects) => {
            let value = select.bind(texts_of(objects));
            let (each, join) = (D::each(value), D::JOIN);
            // Few actions have related objects, and only these need a search for each object.
            format!(
                "(a.object IN (SELECT j.value FROM {each}) \
                 OR (a.flags & 32 = 32 AND EXISTS (SELECT 1 FROM {each} \
                 {join} actions_touch AS x ON x.object = j.value AND x.action = a.number{})))",
                D::ONE_BY_ONE
            )
        }
        Filter::Uid(uid) => id::<D>(select, "a.uid", uid),
        Filter::Status(status) => int::<D>(select, "a.status", "=", status.code().into()),
        Filter::Unfinished => format!("{} < 2", D::unindexed("a.status")),
        Filter::States(states) => within::<D>(*states),
        Filter::NamePrefix(prefix) => {
            let range = prefix_range(select, &D::unindexed("a.name"), prefix);
            format!("({range})")
        }
        Filter::Label { key, value } => {
            let text = text_of_label(key, value.as_deref());
            let value = select.bind(Value::Text(text));
            format!(
                "EXISTS (SELECT 1 FROM actions_label AS x \
                 WHERE x.label = ${value} AND x.action = a.number{})",
                D::ONE_BY_ONE
            )
        }
        Filter::Outcome(outcome) => int::<D>(select, "a.outcome", "=", outcome.code().into()),
        Filter::Source(source) => int::<D>(select, "a.source", "=", source.code().into()),
        Filter::Owner(owner) => {
            let name = select.bind(Value::Text(owner.name.to_string()));
            let incarnation = select.bind(Value::Id(*owner.incarnation.as_uuid()));
            let column = D::unindexed("a.owner");
            format!("{column} = ${name} AND a.incarnation = ${incarnation}")
        }
        Filter::Parent(uid) => id::<D>(select, "a.parent", uid),
        Filter::RetryOf(uid) => id::<D>(select, "a.retry_of", uid),
        Filter::CreatedFrom(time) => int::<D>(select, "a.created_at", ">=", time.as_micros()),
        Filter::CreatedBefore(time) => int::<D>(select, "a.created_at", "<", time.as_micros()),
        Filter::FinishedFrom(time) => int::<D>(select, "a.finished_at", ">=", time.as_micros()),
        Filter::FinishedBefore(time) => int::<D>(select, "a.finished_at", "<", time.as_micros()),
        Filter::CancelRequested => "a.flags & 16 = 16".to_owned(),
        // `Query::check` refuses it earlier.
        Filter::Unknown => "false".to_owned(),
    }
}

/// Returns the number of an action and the value that its uid is. For a missing action, returns the
/// number of a neighbour: a row is examined in both cases, so the time does not show which one it
/// was.
pub(super) fn nearest(select: &mut Select, uid: &ActionUid) -> (String, usize) {
    let value = select.bind(Value::Id(*uid.as_uuid()));
    let number = format!(
        "(SELECT u.number FROM actions_action AS u WHERE u.uid <= ${value} \
         ORDER BY u.uid DESC LIMIT 1)"
    );
    (number, value)
}

/// Returns the condition that selects one action among those that touch an object. None does if the
/// action does not exist.
pub(super) fn touching(select: &mut Select, uid: &ActionUid) -> String {
    let (number, _) = nearest(select, uid);
    format!("t.action = coalesce({number}, 0)")
}

/// Returns the text under which the index lists the actions with a label.
fn text_of_label(key: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => label_text(key, value).to_string(),
        None => key.to_owned(),
    }
}

/// Returns the condition for the actions in a set of states.
fn within<D: Dialect>(states: StateSet) -> String {
    let statuses: Vec<String> = states.unfinished().map(|s| s.code().to_string()).collect();
    let outcomes: Vec<String> = states.outcomes().map(|o| o.code().to_string()).collect();
    let lists = [("a.status", statuses), ("a.outcome", outcomes)];
    let lists = lists.into_iter().filter(|(_, codes)| !codes.is_empty());
    let one_of = |(column, codes): (&str, Vec<String>)| {
        format!("{} IN ({})", D::unindexed(column), codes.join(", "))
    };
    let lists: Vec<String> = lists.map(one_of).collect();
    match lists.is_empty() {
        true => "false".to_owned(),
        false => format!("({})", lists.join(" OR ")),
    }
}

/// Returns the condition for the texts of a column that begin with a prefix.
pub(super) fn prefix_range(select: &mut Select, column: &str, prefix: &str) -> String {
    let from = select.bind(Value::Text(prefix.to_owned()));
    let end = prefix_end(prefix).map(|end| select.bind(Value::Text(end)));
    let end = end.map(|end| format!(" AND {column} < ${end}"));
    format!("{column} >= ${from}{}", end.unwrap_or_default())
}

pub(super) fn texts_of(objects: &ObjectSet) -> Value {
    let texts = objects.iter().map(ObjectRef::as_str);
    Value::Texts(texts.map(str::to_owned).collect())
}

fn id<D: Dialect>(select: &mut Select, column: &str, uid: &ActionUid) -> String {
    let value = select.bind(Value::Id(*uid.as_uuid()));
    format!("{} = ${value}", D::unindexed(column))
}

fn int<D: Dialect>(select: &mut Select, column: &str, op: &str, number: i64) -> String {
    let value = select.bind(Value::Int(number));
    format!("{} {op} ${value}", D::unindexed(column))
}
