//! Actions as the history and the feed show them, and log entries. No published API documents these
//! shapes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::status_vocabulary::lifecycle;
use crate::model::{Action, LogEntry, LogEntryKind, Progress, Timestamp};

/// Unix seconds with six decimals, as a JSON number.
pub(super) struct Seconds(pub(super) Timestamp);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(self.0.to_string(), serializer)
    }
}

/// A percentage with at most two decimals.
pub(super) struct Percent(Progress);

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(self.0.to_string(), serializer)
    }
}

/// Writes the digits unchanged. A float would lose some of them.
fn number<S: Serializer>(digits: String, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::Error as _;
    let number = RawValue::from_string(digits).map_err(S::Error::custom)?;
    number.serialize(serializer)
}

/// An action.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Record<'a> {
    #[cfg_attr(feature = "openapi", schema(value_type = super::fields::Uid))]
    action_uid: String,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::source))]
    source: &'static str,
    name: &'a str,
    tenant: &'a str,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::lifecycle))]
    status: &'static str,
    progress: Percent,
    version: u64,
    created_at: Seconds,
    last_seen_at: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested_at: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::outcome, required = false))]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<super::fields::Uid>))]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<super::fields::Uid>))]
    retry_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    warnings: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorOf<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RecordError))]
struct ErrorOf<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// Builds a record. `inside` includes the fields that only operators may see.
    pub(super) fn new(action: &'a Action, inside: bool) -> Record<'a> {
        let error = action.error.as_ref().map(|error| ErrorOf {
            code: &error.code,
            message: &error.message,
            detail: error.detail.as_deref().filter(|_| inside),
        });
        let owner = action.owner.as_ref().filter(|_| inside);
        Record {
            action_uid: action.uid.to_string(),
            source: action.source.as_str(),
            name: &action.name,
            tenant: &action.tenant,
            status: lifecycle(action.status, action.outcome),
            progress: Percent(action.progress),
            version: action.version.get(),
            created_at: Seconds(action.created_at),
            last_seen_at: Seconds(action.last_seen_at),
            started_at: action.started_at.map(Seconds),
            finished_at: action.finished_at.map(Seconds),
            cancel_requested_at: action.cancel.as_ref().map(|cancel| Seconds(cancel.at)),
            outcome: action.outcome.map(|outcome| outcome.as_str()),
            object: action.object.as_ref().map(|object| object.as_str()),
            step: action.step.as_deref(),
            description: action.description.as_deref(),
            actor: action.actor.as_deref(),
            parent: action.parent.map(|uid| uid.to_string()),
            retry_of: action.retry_of.map(|uid| uid.to_string()),
            correlation: action.correlation.as_deref(),
            labels: action.labels.iter().collect(),
            warnings: &action.warnings,
            error,
            owner: owner.map(|owner| &*owner.name),
        }
    }
}

/// An entry of an action's log.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = HistoryEntry))]
pub(super) struct Entry<'a> {
    at: Seconds,
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::kind))]
    kind: &'static str,
    version: u64,
    progress: Percent,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::lifecycle, required = false))]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = super::openapi::schemas::outcome, required = false))]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(transition: &'a LogEntry, inside: bool) -> Entry<'a> {
        let owner = transition.owner.as_ref().filter(|_| inside);
        // The requester of a cancel is public. Other names are internal.
        let public = transition.kind == LogEntryKind::CancelRequested;
        let word = lifecycle(transition.status, transition.outcome);
        Entry {
            at: Seconds(transition.at),
            kind: transition.kind.as_str(),
            version: transition.version.get(),
            progress: Percent(transition.progress),
            // A late report changed no status, so it shows none.
            status: (!transition.is_late()).then_some(word),
            outcome: transition.outcome.map(|outcome| outcome.as_str()),
            step: transition.step.as_deref(),
            by: transition.by.as_deref().filter(|_| public || inside),
            note: transition.note.as_deref(),
            owner: owner.map(|owner| &*owner.name),
        }
    }
}
