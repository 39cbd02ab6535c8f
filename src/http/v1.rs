//! The shapes of version 1: tasks, of which every field is a string, and state machines, whose
//! fields are typed. Keys stand in alphabetical order.

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::fields::{AsText, PendingOps, Percent, Uid, members, pending_ops};
use super::words::{self, Shape, Words};
use crate::model::{Action, ObjectRef, Progress, Source};

/// The two arrays of `GET /v1/actions`.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V1List))]
pub(super) struct List<'a> {
    actions: Vec<Task<'a>>,
    #[serde(rename = "state-machines")]
    state_machines: Vec<StateMachine<'a>>,
}

/// A task or a state machine, as a bare object.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V1Entry))]
#[serde(untagged)]
pub(super) enum Entry<'a> {
    Task(Task<'a>),
    StateMachine(StateMachine<'a>),
}

/// A task: every field is a string. Its attributes stand among them.
#[derive(Debug)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V1Task))]
pub(super) struct Task<'a> {
    action_uid: Uid,
    bdb_uid: Option<&'a str>,
    /// Unix seconds; with the vendor's words only.
    creation_time: Option<String>,
    error: Option<&'a str>,
    error_code: Option<&'a str>,
    /// For who may see what operators see.
    error_detail: Option<&'a str>,
    error_message: Option<&'a str>,
    name: &'a str,
    node_uid: Option<&'a str>,
    object_name: Option<&'a str>,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    progress: Cow<'static, str>,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::v1_task_status))]
    status: &'static str,
    task_id: Uid,
    /// Whatever else was recorded, by name: a string's own text, anything else as JSON text.
    #[cfg_attr(feature = "openapi", schema(ignore))]
    attributes: Vec<(Cow<'a, str>, AsText<'a>)>,
}

impl Serialize for Task<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Among {
            map: serializer.serialize_map(None)?,
            attributes: &self.attributes,
        };
        fields.known("action_uid", Some(&self.action_uid))?;
        fields.known("bdb_uid", self.bdb_uid)?;
        fields.known("creation_time", self.creation_time.as_deref())?;
        fields.known("error", self.error)?;
        fields.known("error_code", self.error_code)?;
        fields.known("error_detail", self.error_detail)?;
        fields.known("error_message", self.error_message)?;
        fields.known("name", Some(self.name))?;
        fields.known("node_uid", self.node_uid)?;
        fields.known("object_name", self.object_name)?;
        fields.known("progress", Some(&*self.progress))?;
        fields.known("status", Some(self.status))?;
        fields.known("task_id", Some(&self.task_id))?;
        fields.rest()
    }
}

/// Writes known fields in the order of their names, and the attributes among them.
struct Among<'t, M> {
    map: M,
    /// Those that are still to come.
    attributes: &'t [(Cow<'t, str>, AsText<'t>)],
}

impl<M: SerializeMap> Among<'_, M> {
    fn known(&mut self, name: &'static str, value: Option<impl Serialize>) -> Result<(), M::Error> {
        while let Some(((attribute, text), rest)) = self.attributes.split_first()
            && **attribute <= *name
        {
            // Should one bear a documented name after all, the documented field stands.
            if attribute != name {
                self.map.serialize_entry(attribute, text)?;
            }
            self.attributes = rest;
        }
        match value {
            Some(value) => self.map.serialize_entry(name, &value),
            None => Ok(()),
        }
    }

    fn rest(mut self) -> Result<M::Ok, M::Error> {
        for (attribute, text) in self.attributes {
            self.map.serialize_entry(attribute, text)?;
        }
        self.map.end()
    }
}

/// A state machine: its fields are typed.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V1StateMachine))]
pub(super) struct StateMachine<'a> {
    action_uid: Uid,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// For who may see what operators see.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_detail: Option<&'a str>,
    /// Unix seconds of the last accepted change or report of the action itself.
    heartbeat: i64,
    name: &'a str,
    object_name: &'a str,
    /// While it is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_ops: Option<PendingOps<'a>>,
    progress: Percent,
    /// While it is not finished, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::v1_state_machine_status))]
    status: &'static str,
}

/// Actions, each in the array it belongs to, in the order they come in.
pub(super) fn list(items: &[Arc<Action>], words: Words) -> List<'_> {
    let mut list = List::default();
    for action in items {
        match entry(action, words) {
            Entry::Task(task) => list.actions.push(task),
            Entry::StateMachine(machine) => list.state_machines.push(machine),
        }
    }
    list
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
    let object = action.object.as_ref().map(ObjectRef::as_str);
    let (node_uid, bdb_uid, object_name) = match object.and_then(|name| name.split_once(':')) {
        Some(("node", id)) => (Some(id), None, None),
        Some(("bdb", id)) => (None, Some(id), None),
        _ => (None, None, object),
    };
    let created_at = action.created_at.as_seconds();
    Task {
        action_uid: Uid(action.uid),
        bdb_uid,
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
        pending_ops: unfinished.then(|| pending_ops(action).unwrap_or_default()),
        progress: match action.progress {
            Progress::DONE if !unfinished => Percent::Whole(100),
            progress => Percent::Decimal(progress.as_percent()),
        },
        state: action.step.as_deref().filter(|_| unfinished),
        status,
    }
}

/// What was recorded beside the known fields, sorted by name.
fn attributes(action: &Action) -> Vec<(Cow<'_, str>, AsText<'_>)> {
    let members = members(action).into_iter();
    let mut attributes: Vec<_> = members.map(|(name, value)| (name, AsText(value))).collect();
    attributes.sort_unstable_by(|(name, _), (other, _)| name.cmp(other));
    attributes
}
