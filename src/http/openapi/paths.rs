//! The operations: one for each endpoint, by its path.

use serde_json::{Map, Value, json};

use super::answers::{FAILURES, framed, header, schema};
use crate::model::{Limits, Outcome, Status};

/// No control character; of the least length there is.
const LABEL: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
const OBJECT: &str = r"^(cluster|[^:\u0000-\u001f\u007f-\u009f]+:[^\u0000-\u001f\u007f-\u009f]+)$";

/// An endpoint, and what only some have.
struct Operation {
    id: &'static str,
    about: &'static str,
    parameters: Vec<Value>,
    shown: Value,
    /// The headers of a success beside those of every answer.
    headers: &'static [(&'static str, &'static str)],
    /// The statuses that it has beside 200, 400, 401, 403, 405, 500 and 503.
    statuses: &'static [&'static str],
}

impl Operation {
    fn item(self) -> Value {
        let mut shown = json!({
            "description": "As recorded",
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

pub(super) fn v1() -> Map<String, Value> {
    let mut of_bdb = list(
        "v1ActionsOfBdb",
        "The actions that touch a database, newest first",
    );
    of_bdb
        .parameters
        .retain(|parameter| parameter["name"] != "object");
    of_bdb.parameters.insert(0, bdb());
    of_bdb.shown = json!({ "type": "array", "items": schema("V1Entry") });
    of_bdb.statuses = &["404", "410"];
    let mut all = list(
        "v1Actions",
        "All actions: the unfinished ones first, each kind newest first",
    );
    all.shown = schema("V1List");
    let mut paths = paths([
        ("/v1/actions", all),
        ("/v1/actions/{uid}", one("v1Action", "V1Entry")),
        ("/v1/actions/bdb/{bdb_uid}", of_bdb),
        ("/v1/actions/{uid}/history", history()),
    ]);
    let changes = streamed(changes().item());
    paths.insert("/v1/actions/changes".to_owned(), changes);
    paths
}

pub(super) fn v2() -> Map<String, Value> {
    let about = "All actions: the unfinished ones first, each kind newest first";
    paths([
        ("/v2/actions", list("v2Actions", about)),
        ("/v2/actions/{uid}", one("v2Action", "V2Entry")),
    ])
}

fn list(id: &'static str, about: &'static str) -> Operation {
    Operation {
        id,
        about,
        parameters: filters(),
        shown: json!({ "type": "array", "items": schema("V2Entry") }),
        headers: &[("Link", "Link")],
        statuses: &["410"],
    }
}

fn one(id: &'static str, shape: &str) -> Operation {
    let known = parameter(
        "header",
        "If-None-Match",
        json!({ "type": "string" }),
        "Entity tags of what the client has, or `*`: answered 304 if it is still so",
    );
    Operation {
        id,
        about: "One action",
        parameters: vec![uid(), wait("until it is completed"), known],
        shown: schema(shape),
        headers: &[("ETag", "ETag"), ("Retry-After", "Unfinished")],
        statuses: &["304", "404", "410"],
    }
}

fn history() -> Operation {
    Operation {
        id: "v1History",
        about: "An action and what has happened to it, the earliest first",
        parameters: vec![uid(), limit(Limits::PAGE), cursor()],
        shown: schema("History"),
        headers: &[("Link", "Link")],
        statuses: &["404", "410"],
    }
}

fn changes() -> Operation {
    let after = json!({ "type": "string", "pattern": r"^(0|[1-9][0-9]{0,17}|1f\.[0-9a-f]{32}(\.(0|[1-9][0-9]{0,17})){2})$" });
    let last = "The id of the last event that the client has seen, which wins over `after`. Read for a stream only";
    Operation {
        id: "v1Changes",
        about: "Each action once, at its latest change, the earliest change first; as a page, or as a stream",
        parameters: vec![
            parameter(
                "query",
                "after",
                after,
                "A `position`, or a revision; 0 is the beginning of all. Without it: from now on",
            ),
            limit(Limits::DEFAULT_PAGE),
            wait("until there is something to show. Not with a stream, which waits anyway"),
            parameter("header", "Last-Event-ID", json!({ "type": "string" }), last),
        ],
        shown: schema("Changes"),
        headers: &[],
        statuses: &["410"],
    }
}

/// Adds what is answered to who accepts events.
fn streamed(mut item: Value) -> Value {
    item["get"]["responses"]["200"]["content"]["text/event-stream"] = json!({ "schema": {
        "type": "string",
        "description": "With `Accept: text/event-stream`. Events named `changes`: the data is a page \
            of this endpoint (`Changes`), the id its position. An event named `error` has the body of an \
            error, and is the last. Comments keep the connection; a line `id:` alone moves the position. \
            The stream ends by itself after some minutes, for the client to come again",
    } });
    item
}

fn filters() -> Vec<Value> {
    let text = |pattern: &str| json!({ "type": "string", "minLength": 1, "maxLength": Limits::LABEL, "pattern": pattern });
    let word = |words: Vec<&str>| json!({ "type": "string", "enum": words });
    let statuses = Status::ALL.iter().map(|status| status.as_str()).collect();
    let outcomes = Outcome::ALL
        .iter()
        .map(|outcome| outcome.as_str())
        .collect();
    let time = json!({ "type": "string", "anyOf": [
        { "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$" },
        { "format": "date-time", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$" },
    ] });
    let all = [
        (
            "status",
            word(statuses),
            "Where it is; `completed` is also what failed, was cancelled, interrupted or lost",
        ),
        ("outcome", word(outcomes), "How it ended"),
        ("name", text(LABEL), "Exactly this name; at most 255 bytes"),
        (
            "object",
            text(OBJECT),
            "Exactly this object: `kind:id`, or `cluster`; at most 255 bytes",
        ),
        ("tenant", text(LABEL), "Of this tenant; at most 255 bytes"),
        (
            "since",
            time.clone(),
            "Created at this time or later: Unix seconds, or a time of RFC 3339",
        ),
        ("until", time, "Created before this time"),
        (
            "order",
            word(vec!["newest", "oldest"]),
            "By creation. Like every filter it makes the list one plain walk, in place of the unfinished before the finished",
        ),
    ];
    let filters = all
        .into_iter()
        .map(|(name, schema, about)| parameter("query", name, schema, about));
    [limit(Limits::PAGE), cursor()]
        .into_iter()
        .chain(filters)
        .collect()
}

fn parameter(place: &str, name: &str, schema: Value, about: &str) -> Value {
    let required = place == "path";
    json!({ "in": place, "name": name, "required": required, "schema": schema, "description": about })
}

fn uid() -> Value {
    let schema = json!({ "type": "string", "format": "uuid" });
    parameter("path", "uid", schema, "The `action_uid`")
}

fn bdb() -> Value {
    let schema =
        json!({ "type": "string", "minLength": 1, "maxLength": Limits::LABEL - "bdb:".len() });
    parameter("path", "bdb_uid", schema, "The uid of the database")
}

fn limit(otherwise: u16) -> Value {
    let schema =
        json!({ "type": "integer", "minimum": 1, "maximum": Limits::PAGE, "default": otherwise });
    parameter(
        "query",
        "limit",
        schema,
        "At most so many; the server may answer fewer",
    )
}

fn cursor() -> Value {
    let schema = json!({ "type": "string", "maxLength": 128, "pattern": r"^[0-9a-z.]+$" });
    parameter(
        "query",
        "cursor",
        schema,
        "As the `Link` header has it, with the same other parameters",
    )
}

fn wait(until: &str) -> Value {
    let schema = json!({ "type": "string", "pattern": "^[0-9]{1,9}(s|ms)$" });
    let about = format!(
        "How long to wait (`30s`, `500ms`) {until}. The server waits no longer than it is set to"
    );
    parameter("query", "wait", schema, &about)
}
