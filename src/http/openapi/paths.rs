//! The operations: one for each endpoint.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::options::Bounds;
use super::super::query::{COUNTED, MOST_COUNTED};
use super::answers::{FAILURES, framed, header, schema};
use crate::model::{Limits, Outcome, Status};

/// A label: no control characters, and not empty.
const LABEL: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
/// A time with an offset. The 29th of February is read as well: no pattern knows leap years.
const MOMENT: &str = concat!(
    "^[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|",
    "02-(0[1-9]|1[0-9]|2[0-8]))[Tt ]([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\\.[0-9]{1,9})?",
    "([Zz]|[+ -]([01][0-9]|2[0-3])(:?[0-5][0-9])?)$"
);

/// A key, or a key and a value.
const LABEL_PAIR: &str =
    r"^[^=\u0000-\u001f\u007f-\u009f]{1,63}(=[^\u0000-\u001f\u007f-\u009f]{1,127})?$";
const OBJECT: &str = r"^(cluster|[^:\u0000-\u001f\u007f-\u009f]+:[^\u0000-\u001f\u007f-\u009f]+)$";

/// An operation, and the parts in which operations differ.
struct Operation {
    id: &'static str,
    about: &'static str,
    parameters: Vec<Value>,
    shown: Value,
    /// Headers of a success in addition to the common ones.
    headers: &'static [(&'static str, &'static str)],
    /// Statuses in addition to 200, 400, 401, 403, 405, 500 and 503.
    statuses: &'static [&'static str],
}

impl Operation {
    fn item(self) -> Value {
        let mut shown = json!({
            "description": "The recorded data",
            "headers": framed(),
            "content": { "application/json": { "schema": self.shown } },
        });
        for (name, component) in self.headers {
            shown["headers"][*name] = header(component);
        }
        let mut responses = Map::new();
        responses.insert("200".to_owned(), shown);
        for (status, name, _) in FAILURES {
            if !matches!(status, "404" | "410") || self.statuses.contains(&status) {
                responses.insert(status.to_owned(), response(name));
            }
        }
        if self.statuses.contains(&"304") {
            responses.insert("304".to_owned(), response("NotModified"));
        }
        json!({ "get": {
            "operationId": self.id, "summary": self.about, "tags": [&self.id[..2]],
            "parameters": self.parameters, "responses": responses,
            "security": [{ "basic": [] }, { "bearer": [] }],
        } })
    }
}

fn response(name: &str) -> Value {
    json!({ "$ref": format!("#/components/responses/{name}") })
}

fn paths<const N: usize>(all: [(&str, Operation); N]) -> Map<String, Value> {
    let item = |(path, operation): (&str, Operation)| (path.to_owned(), operation.item());
    all.into_iter().map(item).collect()
}

pub(super) fn v1(bounds: &Bounds) -> Map<String, Value> {
    let mut of_bdb = list(
        "v1ActionsOfBdb",
        "Actions that touch a database, newest first",
        bounds,
    );
    of_bdb
        .parameters
        .retain(|parameter| parameter["name"] != "object");
    of_bdb.parameters.insert(0, bdb());
    of_bdb.shown = listed(&json!({ "type": "array", "items": schema("V1Entry") }));
    of_bdb.statuses = &["404", "410"];
    let mut all = list(
        "v1Actions",
        "All actions: unfinished before finished ones, each newest first",
        bounds,
    );
    all.shown = listed(&schema("V1List"));
    let mut paths = paths([
        ("/v1/actions", all),
        ("/v1/actions/{uid}", one("v1Action", "V1Entry", bounds)),
        ("/v1/actions/counts", counts("v1Counts")),
        ("/v1/actions/bdb/{bdb_uid}", of_bdb),
        ("/v1/actions/{uid}/history", history()),
    ]);
    let changes = streamed(changes(bounds).item(), bounds);
    paths.insert("/v1/actions/changes".to_owned(), changes);
    paths
}

pub(super) fn v2(bounds: &Bounds) -> Map<String, Value> {
    let about = "All actions: unfinished before finished ones, each newest first";
    paths([
        ("/v2/actions", list("v2Actions", about, bounds)),
        ("/v2/actions/{uid}", one("v2Action", "V2Entry", bounds)),
        ("/v2/actions/counts", counts("v2Counts")),
    ])
}

/// The shape of a list, and the one of `view=records`.
fn listed(list: &Value) -> Value {
    let records = json!({ "type": "array", "items": schema("Record") });
    json!({ "anyOf": [list, records] })
}

fn list(id: &'static str, about: &'static str, bounds: &Bounds) -> Operation {
    Operation {
        id,
        about,
        parameters: list_parameters(bounds),
        shown: listed(&json!({ "type": "array", "items": schema("V2Entry") })),
        headers: &[("Link", "Link")],
        statuses: &["410"],
    }
}

fn one(id: &'static str, shape: &str, bounds: &Bounds) -> Operation {
    let known = parameter(
        "header",
        "If-None-Match",
        json!({ "type": "string" }),
        "Entity tags that the client has, or `*`. Answered 304 if the action is unchanged",
    );
    let view = parameter(
        "query",
        "view",
        json!({ "type": "string", "enum": ["full"] }),
        "`full` answers with all that the caller may see (`FullAction`), without an `ETag`",
    );
    Operation {
        id,
        about: "One action",
        parameters: vec![
            uid(),
            wait("until the action is completed", bounds),
            view,
            known,
        ],
        shown: json!({ "anyOf": [schema(shape), schema("FullAction")] }),
        headers: &[
            ("ETag", "ETag"),
            ("Retry-After", "Unfinished"),
            ("Content-Location", "Content-Location"),
        ],
        statuses: &["304", "404", "410"],
    }
}

fn history() -> Operation {
    Operation {
        id: "v1History",
        about: "An action and its log, earliest entry first",
        parameters: vec![uid(), limit(Limits::PAGE, Limits::PAGE), cursor()],
        shown: schema("History"),
        headers: &[("Link", "Link"), ("Content-Location", "Content-Location")],
        statuses: &["404", "410"],
    }
}

fn changes(bounds: &Bounds) -> Operation {
    let after = json!({ "type": "string", "pattern": r"^(0|[1-9][0-9]{0,17}|1f\.[0-9a-f]{32}(-[1-9a-f][0-9a-f]{0,14})?(\.(0|[1-9][0-9]{0,17})){3})$" });
    let last = "The id of the last event that the client has seen. It takes precedence over `after`. For streams only";
    Operation {
        id: "v1Changes",
        about: "Each action once, at its latest change, earliest change first; as a page or as a stream",
        parameters: vec![
            parameter(
                "query",
                "after",
                after,
                "A `position` or a revision; 0 is the beginning. Default: now",
            ),
            limit(Limits::DEFAULT_PAGE, bounds.cap),
            wait(
                "until there is a change. Not for streams, which always wait",
                bounds,
            ),
            parameter("header", "Last-Event-ID", json!({ "type": "string" }), last),
        ],
        shown: schema("Changes"),
        headers: &[],
        statuses: &["410"],
    }
}

/// Adds the answer to a request that accepts events.
fn streamed(mut item: Value, bounds: &Bounds) -> Value {
    let ends = seconds(bounds.stream_time);
    item["get"]["responses"]["200"]["content"]["text/event-stream"] = json!({ "schema": {
        "type": "string",
        "description": format!("With `Accept: text/event-stream`. Events named `changes`: the data is a page \
            of this endpoint (`Changes`), the id is its position. An event named `error` has the body of an \
            error, and is the last. Comments keep the connection open. A line `id:` alone advances the position. \
            The stream ends after {ends}, and when the server stops. Then the client reconnects"),
    } });
    item
}

/// The parameters of a list.
fn list_parameters(bounds: &Bounds) -> Vec<Value> {
    let order = parameter(
        "query",
        "order",
        json!({ "type": "string", "enum": ["newest", "oldest", "finished"] }),
        "By time of creation, or by completion with the last completed first. With an order or a \
         filter, unfinished actions no longer come first",
    );
    let view = parameter(
        "query",
        "view",
        json!({ "type": "string", "enum": ["records"] }),
        "`records` answers with an array of actions as in the feed (`Record`), without operator detail",
    );
    let mut all = vec![limit(Limits::PAGE, bounds.cap), cursor()];
    all.extend(filters());
    all.extend([order, view]);
    all
}

fn filters() -> Vec<Value> {
    let text = |pattern: &str| json!({ "type": "string", "minLength": 1, "maxLength": Limits::LABEL, "pattern": pattern });
    let words =
        |words: Vec<&str>| json!({ "type": "array", "items": { "type": "string", "enum": words } });
    let statuses = Status::ALL.iter().map(|status| status.as_str()).collect();
    let outcomes = Outcome::ALL
        .iter()
        .map(|outcome| outcome.as_str())
        .collect();
    let label = json!({ "type": "string", "pattern": LABEL_PAIR });
    let labels = json!({ "type": "array", "maxItems": Limits::LABELS, "items": label });
    let time = json!({ "anyOf": [
        { "type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$" },
        { "type": "string", "pattern": MOMENT },
        { "type": "string", "format": "date", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" },
    ] });
    let all = [
        (
            "status",
            words(statuses),
            "One of these lifecycle statuses, repeated or with commas. `completed` includes failed, cancelled, interrupted and lost actions",
        ),
        (
            "outcome",
            words(outcomes),
            "Ended in one of these ways; repeated or with commas",
        ),
        (
            "name",
            text(LABEL),
            "Exactly this name; with a `*` at the end, names that begin with the rest. At most 255 bytes",
        ),
        (
            "object",
            text(OBJECT),
            "Exactly this object: `kind:id`, or `cluster`; at most 255 bytes",
        ),
        ("tenant", text(LABEL), "Of this tenant; at most 255 bytes"),
        (
            "since",
            time.clone(),
            "Created at this time or later: Unix seconds, a time with an offset (RFC 3339), or a date (midnight in UTC)",
        ),
        ("until", time.clone(), "Created before this time"),
        (
            "label",
            labels,
            "Has a label with this key (`region`), or with this key and value (`region=eu-1`). At most 63 bytes in a key and 127 in a value. Repeated, all must match",
        ),
        (
            "parent",
            json!({ "type": "string", "format": "uuid" }),
            "A part of this action",
        ),
        (
            "owner",
            text(LABEL),
            "Owned by this name, at most 255 bytes. Answered 403 to callers who may not see operator detail",
        ),
        (
            "finished_since",
            time.clone(),
            "Completed at this time or later",
        ),
        ("finished_until", time, "Completed before this time"),
    ];
    let filters = all.into_iter();
    filters
        .map(|(name, schema, about)| parameter("query", name, schema, about))
        .collect()
}

/// The numbers of actions in each state.
fn counts(id: &'static str) -> Operation {
    let bound = json!({ "type": "integer", "minimum": 1, "default": COUNTED });
    let about = format!(
        "Each state is counted up to this number, at most {MOST_COUNTED}. Beyond it, `exact` is false"
    );
    let mut parameters = filters();
    parameters.push(parameter("query", "bound", bound, &about));
    Operation {
        id,
        about: "Numbers of actions by status and outcome",
        parameters,
        shown: schema("Counts"),
        headers: &[],
        statuses: &[],
    }
}

fn parameter(place: &str, name: &str, schema: Value, about: &str) -> Value {
    let required = place == "path";
    json!({ "in": place, "name": name, "required": required, "schema": schema, "description": about })
}

fn uid() -> Value {
    let schema = json!({ "type": "string", "format": "uuid" });
    parameter(
        "path",
        "uid",
        schema,
        "The `action_uid`. Upper case and a uid without hyphens are accepted, too",
    )
}

fn bdb() -> Value {
    let schema =
        json!({ "type": "string", "minLength": 1, "maxLength": Limits::LABEL - "bdb:".len() });
    parameter(
        "path",
        "bdb_uid",
        schema,
        "The uid of the database, at most 251 bytes",
    )
}

fn limit(otherwise: u16, most: u16) -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "default": otherwise.min(most) });
    let about = format!("Maximum number of items, up to {most}. The server may return fewer");
    parameter("query", "limit", schema, &about)
}

fn cursor() -> Value {
    let schema = json!({ "type": "string", "maxLength": 128, "pattern": r"^[0-9a-z.-]+$" });
    parameter(
        "query",
        "cursor",
        schema,
        "The cursor of the `Link` header, with the other parameters unchanged",
    )
}

fn wait(until: &str, bounds: &Bounds) -> Value {
    let schema = json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)?$" });
    let most = seconds(bounds.longest_wait);
    let about = format!(
        "Maximum time to wait {until}: `500ms`, `30s`, `5m`, `1h`; a bare number is seconds. \
         More than {most} is cut to it"
    );
    parameter("query", "wait", schema, &about)
}

fn seconds(time: Duration) -> String {
    format!("{} seconds", time.as_secs_f64())
}
