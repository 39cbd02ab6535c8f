//! Records as programs read them: the names of the fields of `Action` and `LogEntry`, times in RFC
//! 3339, progress in percent, JSON as JSON. A field without a value is left out.

use std::collections::BTreeMap;

use action_store::{Action, Json, LogEntry, OwnerRef, RelatedObject, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::time::rfc3339;

pub(crate) fn time<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*time))
}

/// Takes a reference because serde does.
#[allow(clippy::ref_option)]
pub(crate) fn maybe_time<S: Serializer>(
    time: &Option<Timestamp>,
    to: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(to)
}

/// Stored JSON, embedded as it is.
fn raw(json: Option<&Json>) -> Option<Box<RawValue>> {
    json.and_then(|json| RawValue::from_string(json.as_str().to_owned()).ok())
}

#[derive(Debug, Serialize)]
struct Owner<'a> {
    name: &'a str,
    incarnation: String,
}

fn owner(owner: Option<&OwnerRef>) -> Option<Owner<'_>> {
    owner.map(|owner| Owner {
        name: &owner.name,
        incarnation: owner.incarnation.to_string(),
    })
}

#[derive(Debug, Serialize)]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Cancel<'a> {
    #[serde(serialize_with = "time")]
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Evidence<'a> {
    owner: Option<Owner<'a>>,
    end: &'static str,
    #[serde(serialize_with = "time")]
    last_seen_at: Timestamp,
    decided_by: &'a str,
}

/// An action.
#[derive(Debug, Serialize)]
pub(crate) struct ActionJson<'a> {
    uid: String,
    source: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    related: &'a [RelatedObject],
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclusive: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<Cancel<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence<'a>>,
    #[serde(serialize_with = "time")]
    created_at: Timestamp,
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    #[serde(serialize_with = "time")]
    last_seen_at: Timestamp,
    version: u64,
    log_entries: u32,
}

/// Returns an action as programs read it.
pub(crate) fn action(action: &Action) -> ActionJson<'_> {
    ActionJson {
        uid: action.uid.to_string(),
        source: action.source.as_str(),
        name: &action.name,
        object: action.object.as_ref().map(|object| object.as_str()),
        related: &action.related,
        tenant: &action.tenant,
        actor: action.actor.as_deref(),
        parent: action.parent.map(|parent| parent.to_string()),
        retry_of: action.retry_of.map(|retried| retried.to_string()),
        correlation: action.correlation.as_deref(),
        labels: action.labels.iter().collect(),
        exclusive: action.exclusive.iter().map(|key| &**key).collect(),
        idempotency_key: action.idempotency_key.as_deref(),
        status: action.status.as_str(),
        outcome: action.outcome.map(|outcome| outcome.as_str()),
        progress: action.progress.as_percent(),
        step: action.step.as_deref(),
        description: action.description.as_deref(),
        attributes: raw(action.attributes.as_ref()),
        result: raw(action.result.as_ref()),
        error: action.error.as_ref().map(|error| Error {
            code: &error.code,
            message: &error.message,
            detail: error.detail.as_deref(),
        }),
        warnings: action.warnings.iter().map(|warning| &**warning).collect(),
        owner: owner(action.owner.as_ref()),
        cancel: action.cancel.as_ref().map(|cancel| Cancel {
            at: cancel.at,
            by: cancel.by.as_deref(),
            reason: cancel.reason.as_deref(),
        }),
        evidence: action.evidence.as_ref().map(|evidence| Evidence {
            owner: owner(Some(&evidence.owner)),
            end: evidence.end.as_str(),
            last_seen_at: evidence.last_seen_at,
            decided_by: &evidence.decided_by,
        }),
        created_at: action.created_at,
        started_at: action.started_at,
        finished_at: action.finished_at,
        last_seen_at: action.last_seen_at,
        version: action.version.get(),
        log_entries: action.log_entries,
    }
}

/// An entry of a log.
#[derive(Debug, Serialize)]
pub(crate) struct EntryJson<'a> {
    uid: String,
    kind: &'static str,
    version: u64,
    #[serde(serialize_with = "time")]
    at: Timestamp,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// Returns an entry as programs read it.
pub(crate) fn entry(entry: &LogEntry) -> EntryJson<'_> {
    EntryJson {
        uid: entry.uid.to_string(),
        kind: entry.kind.as_str(),
        version: entry.version.get(),
        at: entry.at,
        status: entry.status.as_str(),
        outcome: entry.outcome.map(|outcome| outcome.as_str()),
        progress: entry.progress.as_percent(),
        step: entry.step.as_deref(),
        owner: owner(entry.owner.as_ref()),
        by: entry.by.as_deref(),
        note: entry.note.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use action_store::{ActionStore, ActionStoreExt, LogQuery, MemoryStore, NewAction};

    use super::*;

    /// Returns the names of the fields of a struct, without nested ones.
    fn fields(value: &impl std::fmt::Debug) -> Vec<String> {
        let text = format!("{value:#?}");
        let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
        let names = lines.filter_map(|line| line.split_once(": "));
        let names = names.filter(|(name, _)| !name.starts_with([' ', '"']));
        names.map(|(name, _)| name.to_owned()).collect()
    }

    #[track_caller]
    fn assert_same_fields(
        stored: &impl std::fmt::Debug,
        shown: &impl std::fmt::Debug,
        internal: &[&str],
    ) {
        let mut stored = fields(stored);
        assert!(stored.len() > internal.len(), "{stored:?}");
        stored.retain(|name| !internal.contains(&name.as_str()));
        assert_eq!(fields(shown), stored);
    }

    #[tokio::test]
    async fn programs_read_every_field() {
        let store = MemoryStore::new();
        let new = NewAction::task("a").with_label("region", "eu-1");
        let stored = store.create(new).await.unwrap();
        let internal = ["last_op", "digest", "extra"];
        assert_same_fields(&*stored, &action(&stored), &internal);
        let log = store.log(&LogQuery::of(stored.uid)).await.unwrap();
        assert_same_fields(&log.items[0], &entry(&log.items[0]), &["op", "extra"]);
    }
}
