//! The shape of version 2: one for all actions. Keys stand in alphabetical order.

use std::sync::Arc;

use serde::Serialize;

use super::fields::{PendingOps, Uid, pending_ops};
use super::words::{self, Shape};
use crate::model::{Action, ObjectRef};

/// An action.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V2Entry))]
pub(super) struct Entry<'a> {
    /// `task`, `state-machine` or `other`.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::source))]
    action_type: &'static str,
    action_uid: Uid,
    #[serde(skip_serializing_if = "Info::is_empty")]
    additional_info: Info<'a>,
    /// Unix seconds.
    creation_time: i64,
    name: &'a str,
    /// Percent, always with a decimal.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::percent))]
    progress: f64,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::v2_status))]
    status: &'static str,
}

/// What only some actions have.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = V2Info))]
struct Info<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// For who may see what operators see.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_uid: Option<&'a str>,
    /// While it is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// Actions, in the order they come in.
pub(super) fn list(items: &[Arc<Action>]) -> Vec<Entry<'_>> {
    items.iter().map(|action| Entry::of(action)).collect()
}

impl Entry<'_> {
    pub(super) fn of(action: &Action) -> Entry<'_> {
        let status = words::status(action, Shape::V2);
        let error = words::error(action, status);
        let object = action.object.as_ref();
        Entry {
            action_type: action.source.as_str(),
            action_uid: Uid(action.uid),
            additional_info: Info {
                description: action.description.as_deref(),
                error: error.message,
                error_detail: error.detail,
                object_type: object.map(ObjectRef::kind),
                object_uid: object.and_then(ObjectRef::id),
                pending_ops: if action.is_unfinished() {
                    pending_ops(action)
                } else {
                    None
                },
            },
            creation_time: action.created_at.as_seconds(),
            name: &action.name,
            progress: action.progress.as_percent(),
            status,
        }
    }
}
