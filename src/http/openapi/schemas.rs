//! The schemas, derived from the serialized types.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::super::changes::Changes;
use super::super::counts::Counts;
use super::super::error::ErrorBody;
use super::super::full::Full;
use super::super::history::History;
use super::super::status_vocabulary::{self, StatusVocabulary};
use super::super::{fields, record, v1, v2};
use crate::model::{LogEntryKind, Outcome, Source};

/// Returns all schemas by name.
pub(super) fn all(words: StatusVocabulary) -> Map<String, Value> {
    let mut all = Vec::new();
    add::<v1::Task<'_>>(&mut all);
    add::<v1::StateMachine<'_>>(&mut all);
    add::<v2::Entry<'_>>(&mut all);
    add::<History<'_>>(&mut all);
    add::<Changes<'_>>(&mut all);
    add::<Counts>(&mut all);
    add::<Full<'_>>(&mut all);
    add::<ErrorBody>(&mut all);
    let written = |(name, schema): (String, RefOr<Schema>)| {
        let mut schema = serde_json::to_value(schema).unwrap_or_default();
        never_null(&mut schema);
        (name, schema)
    };
    let mut all: Map<String, Value> = all.into_iter().map(written).collect();
    // Recorded attributes appear as additional string fields.
    if let Some(task) = all.get_mut("V1Task") {
        task["additionalProperties"] = json!({ "type": "string" });
    }
    let [task, machine] = ["V1Task", "V1StateMachine"]
        .map(|name| json!({ "$ref": format!("#/components/schemas/{name}") }));
    let list = json!({
        "type": "object",
        "description": "The two arrays of `GET /v1/actions`.",
        "required": ["actions", "state-machines"],
        "properties": {
            "actions": { "type": "array", "items": task },
            "state-machines": { "type": "array", "items": machine },
        },
    });
    let entry = json!({
        "oneOf": [task, machine],
        "description": "A task or a state machine, as a bare object.",
    });
    all.insert("V1List".to_owned(), list);
    all.insert("V1Entry".to_owned(), entry);
    let [task, machine, v2] = status_vocabulary::all(words);
    for (name, words) in [
        ("V1TaskStatus", task),
        ("V1StateMachineStatus", machine),
        ("V2Status", v2),
    ] {
        all.insert(name.to_owned(), json!({ "type": "string", "enum": words }));
    }
    all
}

fn add<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    T::schemas(all);
    all.push((T::name().into_owned(), T::schema()));
}

/// Removes `null` from all schemas: an absent value is omitted, never null.
fn never_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = &types[..] {
                    let one = one.clone();
                    fields.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("oneOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [only] = &choices[..] {
                    let only = only.as_object().cloned().unwrap_or_default();
                    fields.remove("oneOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(never_null);
        }
        Value::Array(all) => all.iter_mut().for_each(never_null),
        _ => {}
    }
}

fn text(words: impl IntoIterator<Item = &'static str>) -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.enum_values(Some(words)).build()
}

pub(in super::super) fn source() -> Object {
    text(Source::ALL.iter().map(|source| source.as_str()))
}

pub(in super::super) fn outcome() -> Object {
    text(Outcome::ALL.iter().map(|outcome| outcome.as_str()))
}

pub(in super::super) fn remaining() -> Object {
    text(["typical", "slow", "beyond"])
}

/// Any JSON value.
pub(in super::super) fn any() -> Object {
    let types = [
        Type::Object,
        Type::Array,
        Type::String,
        Type::Number,
        Type::Boolean,
    ];
    let any = ObjectBuilder::new().schema_type(SchemaType::Array(types.into()));
    any.description(Some("The result, as the host has recorded it"))
        .build()
}

pub(in super::super) fn kind() -> Object {
    text(LogEntryKind::ALL.iter().map(|kind| kind.as_str()))
}

/// The status of a record. It uses the lifecycle words, whatever the vocabulary of version 1.
pub(in super::super) fn lifecycle() -> Object {
    text(
        status_vocabulary::all(StatusVocabulary::Lifecycle)[0]
            .iter()
            .copied(),
    )
}

pub(in super::super) fn percent() -> Object {
    let percent = ObjectBuilder::new().schema_type(Type::Number);
    percent.minimum(Some(0)).maximum(Some(100)).build()
}

/// Assigns a schema to a type that has its own serialization.
macro_rules! shaped {
    ($($type:ty = $name:literal: $schema:expr;)+) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }
        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    )+};
}

shaped! {
    fields::Uid = "Uid": formatted("uuid", "The uid of an action");
    fields::PendingOps<'_> = "PendingOps": object();
    record::Percent = "Percent": percent();
    v1::Percent = "Percent": percent();
    record::Seconds = "Seconds": seconds();
}

fn formatted(format: &str, about: &str) -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let format = SchemaFormat::Custom(format.to_owned());
    text.format(Some(format)).description(Some(about)).build()
}

fn seconds() -> Object {
    let about = "Unix seconds, with six decimals";
    let number = ObjectBuilder::new().schema_type(Type::Number);
    number.description(Some(about)).build()
}

fn object() -> Object {
    let about = "The remaining operations, as the host has recorded them";
    let object = ObjectBuilder::new().schema_type(Type::Object);
    object.description(Some(about)).build()
}

/// Refers to a named schema.
fn named(name: &'static str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

pub(in super::super) fn v1_task_status() -> RefOr<Schema> {
    named("V1TaskStatus")
}

pub(in super::super) fn v1_state_machine_status() -> RefOr<Schema> {
    named("V1StateMachineStatus")
}

pub(in super::super) fn v2_status() -> RefOr<Schema> {
    named("V2Status")
}
