//! The shapes of version 1: tasks, of which every field is a string, and state machines, whose
//! fields are typed. Keys stand in alphabetical order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::model::{Action, ObjectRef, Outcome, Progress, Source, Status};

/// The attribute that a state machine shows as a field of its own, as the object it is.
const PENDING_OPS: &str = "pending_ops";

/// What a client can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Queued,
    Executing,
    Succeeded,
    Failed,
    Cancelled,
    /// Lost or interrupted: nobody knows, or it was never through.
    CutShort,
}

impl Phase {
    fn of(action: &Action) -> Phase {
        match (action.status, action.outcome) {
            (Status::Queued, _) => Phase::Queued,
            (Status::Executing, _) => Phase::Executing,
            (Status::Completed, Some(Outcome::Succeeded)) => Phase::Succeeded,
            (Status::Completed, Some(Outcome::Cancelled)) => Phase::Cancelled,
            (Status::Completed, Some(Outcome::Lost | Outcome::Interrupted)) => Phase::CutShort,
            // Without an outcome, which no store accepts, anything but success.
            (Status::Completed, Some(Outcome::Failed) | None) => Phase::Failed,
        }
    }

    /// The one table of status words. Clients poll until `completed`, `failed` or `cancelled` and
    /// take `completed` for success: nothing else may read so.
    const fn word(self) -> &'static str {
        match self {
            Phase::Queued => "queued",
            Phase::Executing => "executing",
            Phase::Succeeded => "completed",
            Phase::Failed => "failed",
            Phase::Cancelled => "cancelled",
            Phase::CutShort => "failed",
        }
    }

    const fn is_failed(self) -> bool {
        matches!(self, Phase::Failed | Phase::CutShort)
    }
}

/// A value as it goes out.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    /// JSON text that goes out as it is: a number that keeps its digits, or what was recorded.
    Json(Cow<'a, str>),
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Integer(number) => serializer.serialize_i64(*number),
            Value::Json(text) => serde_json::from_str::<&RawValue>(text)
                .map_err(S::Error::custom)?
                .serialize(serializer),
        }
    }
}

/// An object; the map keeps its keys in order.
pub(super) type Fields<'a> = BTreeMap<Cow<'a, str>, Value<'a>>;

/// The two arrays of `GET /v1/actions`.
#[derive(Debug, Default, Serialize)]
pub(super) struct List<'a> {
    actions: Vec<Fields<'a>>,
    #[serde(rename = "state-machines")]
    state_machines: Vec<Fields<'a>>,
}

/// Actions, each in the array it belongs to, in the order they come in.
pub(super) fn list(items: &[Arc<Action>]) -> List<'_> {
    let mut list = List::default();
    for action in items {
        match action.source {
            Source::StateMachine => list.state_machines.push(entry(action)),
            Source::Task | Source::Other => list.actions.push(entry(action)),
        }
    }
    list
}

/// One action, in the shape of its source.
pub(super) fn entry(action: &Action) -> Fields<'_> {
    match action.source {
        Source::StateMachine => state_machine(action),
        Source::Task | Source::Other => task(action),
    }
}

fn task(action: &Action) -> Fields<'_> {
    let mut fields = Fields::new();
    // Before all others: should a recorded attribute bear a documented name after all, the
    // documented field stands.
    let attributes = action.attributes.as_ref();
    for (name, value) in attributes.map(|a| a.members()).unwrap_or_default() {
        fields.insert(name.into(), Value::Text(as_text(value)));
    }
    let uid = action.uid.to_string();
    put(&mut fields, "task_id", uid.clone());
    put(&mut fields, "action_uid", uid);
    put(&mut fields, "name", &*action.name);
    put(&mut fields, "status", Phase::of(action).word());
    put(&mut fields, "progress", action.progress.to_string());
    if let Some(object) = &action.object {
        let (field, text) = match (object.kind(), object.id()) {
            ("node", Some(id)) => ("node_uid", id),
            ("bdb", Some(id)) => ("bdb_uid", id),
            _ => ("object_name", object.as_str()),
        };
        put(&mut fields, field, text);
    }
    if let Some((code, message)) = error(action) {
        put(&mut fields, "error_code", code);
        put(&mut fields, "error_message", message);
        // Published clients read this one only.
        put(&mut fields, "error", message);
    }
    fields
}

fn state_machine(action: &Action) -> Fields<'_> {
    let mut fields = Fields::new();
    put(&mut fields, "action_uid", action.uid.to_string());
    put(&mut fields, "name", &*action.name);
    put(&mut fields, "status", Phase::of(action).word());
    let object = action.object.as_ref().map_or("", ObjectRef::as_str);
    put(&mut fields, "object_name", object);
    fields.insert("progress".into(), Value::Json(progress(action)));
    let heartbeat = Value::Integer(action.last_seen_at.as_seconds());
    fields.insert("heartbeat".into(), heartbeat);
    if action.is_unfinished() {
        if let Some(step) = action.step.as_deref() {
            put(&mut fields, "state", step);
        }
        fields.insert(PENDING_OPS.into(), Value::Json(pending_ops(action)));
    }
    if let Some((_, message)) = error(action) {
        put(&mut fields, "error", message);
    }
    fields
}

fn put<'a>(fields: &mut Fields<'a>, name: &'static str, text: impl Into<Cow<'a, str>>) {
    fields.insert(name.into(), Value::Text(text.into()));
}

/// A recorded value as a string: a string's own text, anything else as the JSON it is.
fn as_text(json: &str) -> Cow<'_, str> {
    if json.starts_with('"')
        && let Ok(text) = serde_json::from_str::<String>(json)
    {
        return text.into();
    }
    json.into()
}

fn pending_ops(action: &Action) -> Cow<'_, str> {
    let members = action.attributes.as_ref().map(|a| a.members());
    members
        .unwrap_or_default()
        .into_iter()
        .find_map(|(name, value)| (name == PENDING_OPS && value.starts_with('{')).then_some(value))
        .unwrap_or("{}")
        .into()
}

/// `100` when complete, otherwise at least one and at most two decimals.
fn progress(action: &Action) -> Cow<'static, str> {
    let text = action.progress.to_string();
    let complete = action.progress == Progress::DONE && !action.is_unfinished();
    if complete || text.contains('.') {
        return text.into();
    }
    format!("{text}.0").into()
}

/// The code and the public message of an action that reads `failed`; never the operators' detail.
fn error(action: &Action) -> Option<(&str, &str)> {
    if !Phase::of(action).is_failed() {
        return None;
    }
    // Every store sees to it that a failed action has an error; a client must find one anyway.
    let word = action.outcome.unwrap_or(Outcome::Failed).as_str();
    let said = action.error.as_ref().map(|e| (&*e.code, &*e.message));
    Some(said.unwrap_or((word, word)))
}
