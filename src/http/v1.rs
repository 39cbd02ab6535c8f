//! The JSON of version 1. All fields of a task are strings, the fields of a state machine are
//! typed. Keys are in alphabetical order.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::fields::{PendingOps, Uid, pending_ops};
use super::json_writer::{JsonWriter, Object, Written};
use super::status_vocabulary::{self, Shape, StatusVocabulary};
use crate::model::{Action, Json, Member, ObjectRef, Progress, Source};

/// A task or a state machine, as a bare object.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    Task(Task<'a>),
    StateMachine(StateMachine<'a>),
}

impl Written for Entry<'_> {
    fn write(&self, to: &mut JsonWriter) {
        match self {
            Entry::Task(task) => task.write(to),
            Entry::StateMachine(machine) => machine.write(to),
        }
    }
}

/// A task: every field is a string. Its attributes are fields, too.
#[derive(Debug)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V1Task))]
pub(super) struct Task<'a> {
    action_uid: Uid,
    /// Unix seconds; only in the vendor vocabulary.
    creation_time: Option<String>,
    error: Option<&'a str>,
    error_code: Option<&'a str>,
    /// Operator detail; only for callers who may see it.
    error_detail: Option<&'a str>,
    error_message: Option<&'a str>,
    name: &'a str,
    /// The uid of the node, if the object is a node.
    node_uid: Option<&'a str>,
    /// Any other object as `kind:id`, for example `bdb:4`; the cluster is `cluster`.
    object_name: Option<&'a str>,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    progress: Cow<'static, str>,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::v1_task_status))]
    status: &'static str,
    task_id: Uid,
    /// Other recorded attributes, sorted by name. A string is kept; any other value is its JSON
    /// text.
    #[cfg_attr(feature = "openapi", schema(ignore))]
    attributes: Vec<(Cow<'a, str>, Member<'a>)>,
}

impl Written for Task<'_> {
    fn write(&self, to: &mut JsonWriter) {
        let mut fields = Among {
            object: to.object(),
            attributes: &self.attributes,
        };
        fields.member("action_uid", self.action_uid.0, JsonWriter::uid);
        fields.maybe("creation_time", self.creation_time.as_deref());
        fields.maybe("error", self.error);
        fields.maybe("error_code", self.error_code);
        fields.maybe("error_detail", self.error_detail);
        fields.maybe("error_message", self.error_message);
        fields.member("name", self.name, JsonWriter::string);
        fields.maybe("node_uid", self.node_uid);
        fields.maybe("object_name", self.object_name);
        fields.member("progress", &*self.progress, JsonWriter::word);
        fields.member("status", self.status, JsonWriter::word);
        fields.member("task_id", self.task_id.0, JsonWriter::uid);
        fields.end();
    }
}

/// Merges the known fields and the attributes in the order of their names.
struct Among<'t> {
    object: Object<'t>,
    /// The attributes not yet written.
    attributes: &'t [(Cow<'t, str>, Member<'t>)],
}

impl Among<'_> {
    fn member<T>(&mut self, name: &'static str, value: T, write: impl FnOnce(&mut JsonWriter, T)) {
        self.attributes_before(name);
        self.object.member(name, value, write);
    }

    fn maybe(&mut self, name: &'static str, value: Option<&str>) {
        self.attributes_before(name);
        self.object.maybe(name, value, JsonWriter::string);
    }

    fn attributes_before(&mut self, name: &'static str) {
        while let Some(((attribute, member), rest)) = self.attributes.split_first()
            && order(attribute, name).is_le()
        {
            // A documented field takes precedence over an attribute of the same name.
            if attribute != name {
                as_text(member, &mut self.object);
            }
            self.attributes = rest;
        }
    }

    fn end(mut self) {
        for (_, member) in self.attributes {
            as_text(member, &mut self.object);
        }
        self.object.end();
    }
}

/// Writes an attribute as a string. A string is kept; any other value becomes its JSON text.
fn as_text(attribute: &Member<'_>, to: &mut Object<'_>) {
    let to = to.named(attribute.written_name);
    if attribute.value.starts_with('"') {
        to.json(attribute.value)
    } else {
        to.string(attribute.value)
    }
}

/// A state machine: its fields are typed.
#[derive(Debug)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V1StateMachine))]
pub(super) struct StateMachine<'a> {
    action_uid: Uid,
    error: Option<&'a str>,
    /// Operator detail; only for callers who may see it.
    error_detail: Option<&'a str>,
    /// Time of the last accepted change or report of this action itself, in Unix seconds.
    heartbeat: i64,
    name: &'a str,
    object_name: &'a str,
    /// Only while the action is unfinished.
    pending_ops: Option<PendingOps<'a>>,
    progress: Percent,
    /// Only while the action is unfinished, if known.
    state: Option<&'a str>,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::v1_state_machine_status))]
    status: &'static str,
}

/// Progress of a state machine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Percent {
    /// Written `100`, without decimals.
    Done,
    /// Written with at least one decimal.
    At(Progress),
}

impl Written for StateMachine<'_> {
    fn write(&self, to: &mut JsonWriter) {
        let mut fields = to.object();
        fields.member("action_uid", self.action_uid.0, JsonWriter::uid);
        fields.maybe("error", self.error, JsonWriter::string);
        fields.maybe("error_detail", self.error_detail, JsonWriter::string);
        fields.member("heartbeat", self.heartbeat, JsonWriter::integer);
        fields.member("name", self.name, JsonWriter::string);
        fields.member("object_name", self.object_name, JsonWriter::string);
        fields.maybe("pending_ops", self.pending_ops, PendingOps::write);
        fields.member("progress", self.progress, |to, progress| match progress {
            Percent::Done => to.integer(100),
            Percent::At(progress) => to.percent(progress),
        });
        fields.maybe("state", self.state, JsonWriter::string);
        fields.member("status", self.status, JsonWriter::word);
        fields.end();
    }
}

/// Returns the entry of an action, in the shape of its source.
pub(super) fn entry(action: &Action, words: StatusVocabulary) -> Entry<'_> {
    match action.source {
        Source::StateMachine => Entry::StateMachine(state_machine(action, words)),
        Source::Task | Source::Other => Entry::Task(task(action, words)),
    }
}

fn task(action: &Action, words: StatusVocabulary) -> Task<'_> {
    let status = status_vocabulary::status(action, Shape::V1Task(words));
    let error = status_vocabulary::error(action, status);
    // Never `bdb_uid`: a published client declares it as a number and cannot parse the list.
    let (node_uid, object_name) = match action.object.as_ref() {
        Some(object) => match object.parts() {
            ("node", id) => (id, None),
            _ => (None, Some(object.as_str())),
        },
        None => (None, None),
    };
    let created_at = action.created_at.as_seconds();
    Task {
        action_uid: Uid(action.uid),
        creation_time: (words == StatusVocabulary::Vendor).then(|| created_at.to_string()),
        // The message appears twice, because published clients read only `error`.
        error: error.message,
        error_code: error.code,
        error_detail: error.detail,
        error_message: error.message,
        name: &action.name,
        node_uid,
        object_name,
        progress: match action.progress {
            Progress::ZERO => "0".into(),
            Progress::DONE => "100".into(),
            progress => progress.to_string().into(),
        },
        status,
        task_id: Uid(action.uid),
        attributes: attributes(action),
    }
}

fn state_machine(action: &Action, words: StatusVocabulary) -> StateMachine<'_> {
    let status = status_vocabulary::status(action, Shape::V1StateMachine(words));
    let error = status_vocabulary::error(action, status);
    let unfinished = action.is_unfinished();
    StateMachine {
        action_uid: Uid(action.uid),
        error: error.message,
        error_detail: error.detail,
        heartbeat: action.last_seen_at.as_seconds(),
        name: &action.name,
        object_name: action.object.as_ref().map_or("", ObjectRef::as_str),
        pending_ops: unfinished.then(|| pending_ops(action).unwrap_or(PendingOps::NONE)),
        progress: match action.progress {
            Progress::DONE if !unfinished => Percent::Done,
            progress => Percent::At(progress),
        },
        state: action.step.as_deref().filter(|_| unfinished),
        status,
    }
}

/// Returns the other recorded attributes, sorted by name.
fn attributes(action: &Action) -> Vec<(Cow<'_, str>, Member<'_>)> {
    let members = action.attributes.iter().flat_map(Json::raw_members);
    let mut attributes: Vec<_> = members.map(|member| (member.name(), member)).collect();
    attributes.sort_unstable_by(|(name, _), (other, _)| order(name, other));
    attributes
}

/// Compares two names. The first bytes nearly always decide.
fn order(name: &str, other: &str) -> Ordering {
    let first = |name: &str| name.as_bytes().first().copied();
    let order = first(name).cmp(&first(other));
    order.then_with(|| name.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, NewAction, Timestamp};

    #[test]
    fn attributes_are_sorted_among_the_fields_and_replace_none() {
        let digest = Digest::from_uuid(uuid::Uuid::nil());
        let mut action = Action::new(&NewAction::task("t"), digest, Timestamp::from_seconds(1));
        // A store rejects the attribute `name`, but a store of the host's own may have accepted it.
        let json = r#"{"zone": "a\tb", "name": "x", "n\u0061": [1, "b"], "nb": null, "": 2}"#;
        action.attributes = Some(Json::new(json).unwrap());
        let text = JsonWriter::of(&entry(&action, StatusVocabulary::Lifecycle));
        let uid = action.uid;
        let expected = format!(
            r#"{{"":"2","action_uid":"{uid}","n\u0061":"[1, \"b\"]","name":"t","nb":"null","progress":"0","status":"queued","task_id":"{uid}","zone":"a\tb"}}"#
        );
        assert_eq!(text.as_str(), expected);
    }
}
