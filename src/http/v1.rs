//! The shapes of version 1: tasks, of which every field is a string, and state machines, whose
//! fields are typed. Keys stand in alphabetical order.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::fields::{PendingOps, Uid, pending_ops};
use super::text::{Object, Text, Written};
use super::words::{self, Shape, Words};
use crate::model::{Action, Json, Member, ObjectRef, Progress, Source};

/// A task or a state machine, as a bare object.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    Task(Task<'a>),
    StateMachine(StateMachine<'a>),
}

impl Written for Entry<'_> {
    fn write(&self, to: &mut Text) {
        match self {
            Entry::Task(task) => task.write(to),
            Entry::StateMachine(machine) => machine.write(to),
        }
    }
}

/// A task: every field is a string. Its attributes stand among them.
#[derive(Debug)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V1Task))]
pub(super) struct Task<'a> {
    action_uid: Uid,
    /// Unix seconds; with the vendor's words only.
    creation_time: Option<String>,
    error: Option<&'a str>,
    error_code: Option<&'a str>,
    /// For who may see what operators see.
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
    /// Whatever else was recorded, sorted by name: a string's own text, anything else as JSON text.
    #[cfg_attr(feature = "openapi", schema(ignore))]
    attributes: Vec<(Cow<'a, str>, Member<'a>)>,
}

impl Written for Task<'_> {
    fn write(&self, to: &mut Text) {
        let mut fields = Among {
            object: to.object(),
            attributes: &self.attributes,
        };
        fields.member("action_uid", self.action_uid.0, Text::uid);
        fields.maybe("creation_time", self.creation_time.as_deref());
        fields.maybe("error", self.error);
        fields.maybe("error_code", self.error_code);
        fields.maybe("error_detail", self.error_detail);
        fields.maybe("error_message", self.error_message);
        fields.member("name", self.name, Text::string);
        fields.maybe("node_uid", self.node_uid);
        fields.maybe("object_name", self.object_name);
        fields.member("progress", &*self.progress, Text::word);
        fields.member("status", self.status, Text::word);
        fields.member("task_id", self.task_id.0, Text::uid);
        fields.end();
    }
}

/// Writes known fields in the order of their names, and the attributes among them.
struct Among<'t> {
    object: Object<'t>,
    /// Those that are still to come.
    attributes: &'t [(Cow<'t, str>, Member<'t>)],
}

impl Among<'_> {
    fn member<T>(&mut self, name: &'static str, value: T, write: impl FnOnce(&mut Text, T)) {
        self.attributes_before(name);
        self.object.member(name, value, write);
    }

    fn maybe(&mut self, name: &'static str, value: Option<&str>) {
        self.attributes_before(name);
        self.object.maybe(name, value, Text::string);
    }

    fn attributes_before(&mut self, name: &'static str) {
        while let Some(((attribute, member), rest)) = self.attributes.split_first()
            && order(attribute, name).is_le()
        {
            // Should one bear a documented name after all, the documented field stands.
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

/// Writes an attribute as a string: a string as the text it was recorded as, anything else as JSON
/// text in a string.
fn as_text(attribute: &Member<'_>, to: &mut Object<'_>) {
    let to = to.named(attribute.written_name);
    match attribute.value.starts_with('"') {
        true => to.json(attribute.value),
        false => to.string(attribute.value),
    }
}

/// A state machine: its fields are typed.
#[derive(Debug)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V1StateMachine))]
pub(super) struct StateMachine<'a> {
    action_uid: Uid,
    error: Option<&'a str>,
    /// For who may see what operators see.
    error_detail: Option<&'a str>,
    /// Unix seconds of the last accepted change or report of the action itself.
    heartbeat: i64,
    name: &'a str,
    object_name: &'a str,
    /// While it is not finished.
    pending_ops: Option<PendingOps<'a>>,
    progress: Percent,
    /// While it is not finished, when known.
    state: Option<&'a str>,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::v1_state_machine_status))]
    status: &'static str,
}

/// How far a state machine has come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Percent {
    /// A hundred, without decimals.
    Done,
    /// With at least one.
    At(Progress),
}

impl Written for StateMachine<'_> {
    fn write(&self, to: &mut Text) {
        let mut fields = to.object();
        fields.member("action_uid", self.action_uid.0, Text::uid);
        fields.maybe("error", self.error, Text::string);
        fields.maybe("error_detail", self.error_detail, Text::string);
        fields.member("heartbeat", self.heartbeat, Text::integer);
        fields.member("name", self.name, Text::string);
        fields.member("object_name", self.object_name, Text::string);
        fields.maybe("pending_ops", self.pending_ops, PendingOps::write);
        fields.member("progress", self.progress, |to, progress| match progress {
            Percent::Done => to.integer(100),
            Percent::At(progress) => to.percent(progress),
        });
        fields.maybe("state", self.state, Text::string);
        fields.member("status", self.status, Text::word);
        fields.end();
    }
}

/// One action, in the shape of its source.
pub(super) fn entry(action: &Action, words: Words) -> Entry<'_> {
    match action.source {
        Source::StateMachine => Entry::StateMachine(state_machine(action, words)),
        Source::Task | Source::Other => Entry::Task(task(action, words)),
    }
}

fn task(action: &Action, words: Words) -> Task<'_> {
    let status = words::status(action, Shape::V1Task(words));
    let error = words::error(action, status);
    // Never `bdb_uid`: a published client declares it as a number and fails to read the list.
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
        creation_time: (words == Words::Vendor).then(|| created_at.to_string()),
        // The message twice: published clients read only `error`.
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

fn state_machine(action: &Action, words: Words) -> StateMachine<'_> {
    let status = words::status(action, Shape::V1StateMachine(words));
    let error = words::error(action, status);
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

/// What was recorded beside the known fields, sorted by name.
fn attributes(action: &Action) -> Vec<(Cow<'_, str>, Member<'_>)> {
    let members = action.attributes.iter().flat_map(Json::raw_members);
    let mut attributes: Vec<_> = members.map(|member| (member.name(), member)).collect();
    attributes.sort_unstable_by(|(name, _), (other, _)| order(name, other));
    attributes
}

/// The order of names: nearly always their first bytes tell.
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
    fn attributes_stand_in_order_among_the_fields_and_in_place_of_none() {
        let digest = Digest::from_uuid(uuid::Uuid::nil());
        let mut action = Action::new(&NewAction::task("t"), digest, Timestamp::from_seconds(1));
        // No store takes the second of these, but whoever wrote one may have done so.
        let json = r#"{"zone": "a\tb", "name": "x", "n\u0061": [1, "b"], "nb": null, "": 2}"#;
        action.attributes = Some(Json::new(json).unwrap());
        let text = Text::of(&entry(&action, Words::Lifecycle));
        let uid = action.uid;
        let expected = format!(
            r#"{{"":"2","action_uid":"{uid}","n\u0061":"[1, \"b\"]","name":"t","nb":"null","progress":"0","status":"queued","task_id":"{uid}","zone":"a\tb"}}"#
        );
        assert_eq!(text.as_str(), expected);
    }
}
