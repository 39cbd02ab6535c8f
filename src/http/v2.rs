//! The JSON of version 2: one shape for all actions. Keys are in alphabetical order.

use super::fields::{PendingOps, Uid, pending_ops};
use super::json_writer::{JsonWriter, Written};
use super::status_vocabulary::{self, Shape};
use crate::model::{Action, ObjectRef, Progress};

/// An action.
#[derive(Debug)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V2Entry))]
pub(super) struct Entry<'a> {
    /// `task`, `state-machine` or `other`.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::source))]
    action_type: &'static str,
    action_uid: Uid,
    #[cfg_attr(feature = "openapi", schema(required = false))]
    additional_info: Info<'a>,
    /// Unix seconds.
    creation_time: i64,
    name: &'a str,
    /// Percent, with at least one decimal.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::percent))]
    progress: Progress,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::v2_status))]
    status: &'static str,
}

impl Written for Entry<'_> {
    fn write(&self, to: &mut JsonWriter) {
        let mut fields = to.object();
        fields.member("action_type", self.action_type, JsonWriter::word);
        fields.member("action_uid", self.action_uid.0, JsonWriter::uid);
        if !self.additional_info.is_empty() {
            self.additional_info.write(fields.named("additional_info"));
        }
        fields.member("creation_time", self.creation_time, JsonWriter::integer);
        fields.member("name", self.name, JsonWriter::string);
        fields.member("progress", self.progress, JsonWriter::percent);
        fields.member("status", self.status, JsonWriter::word);
        fields.end();
    }
}

/// Fields that only some actions have.
#[derive(Debug)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V2Info))]
struct Info<'a> {
    description: Option<&'a str>,
    error: Option<&'a str>,
    /// Operator detail; only for callers who may see it.
    error_detail: Option<&'a str>,
    object_type: Option<&'a str>,
    object_uid: Option<&'a str>,
    /// Only while the action is unfinished.
    pending_ops: Option<PendingOps<'a>>,
}

impl Info<'_> {
    fn is_empty(&self) -> bool {
        let Info {
            description,
            error,
            error_detail,
            object_type,
            object_uid,
            pending_ops,
        } = self;
        let texts = [description, error, error_detail, object_type, object_uid];
        texts.iter().all(|text| text.is_none()) && pending_ops.is_none()
    }
}

impl Written for Info<'_> {
    fn write(&self, to: &mut JsonWriter) {
        let mut fields = to.object();
        fields.maybe("description", self.description, JsonWriter::string);
        fields.maybe("error", self.error, JsonWriter::string);
        fields.maybe("error_detail", self.error_detail, JsonWriter::string);
        fields.maybe("object_type", self.object_type, JsonWriter::string);
        fields.maybe("object_uid", self.object_uid, JsonWriter::string);
        fields.maybe("pending_ops", self.pending_ops, PendingOps::write);
        fields.end();
    }
}

impl Entry<'_> {
    pub(super) fn of(action: &Action) -> Entry<'_> {
        let status = status_vocabulary::status(action, Shape::V2);
        let error = status_vocabulary::error(action, status);
        let object = action.object.as_ref().map(ObjectRef::parts);
        Entry {
            action_type: action.source.as_str(),
            action_uid: Uid(action.uid),
            additional_info: Info {
                description: action.description.as_deref(),
                error: error.message,
                error_detail: error.detail,
                object_type: object.map(|(kind, _)| kind),
                object_uid: object.and_then(|(_, id)| id),
                pending_ops: if action.is_unfinished() {
                    pending_ops(action)
                } else {
                    None
                },
            },
            creation_time: action.created_at.as_seconds(),
            name: &action.name,
            progress: action.progress,
            status,
        }
    }
}
