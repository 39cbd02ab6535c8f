//! The answers that many operations share, and the headers of answers.

use serde_json::{Map, Value, json};

/// Every status that is no success, by the name of its answer.
pub(super) const FAILURES: [(&str, &str, &str); 8] = [
    (
        "400",
        "BadRequest",
        "A query parameter or header is unknown, repeated, empty or malformed (`invalid_parameter`, `invalid_header`); the description names it",
    ),
    ("401", "Unauthenticated", "Credentials are missing or wrong"),
    ("403", "Forbidden", "It is known who asks, and they may not"),
    (
        "404",
        "NotFound",
        "It does not exist, or not for who asks, which reads the same (`action_not_found`)",
    ),
    (
        "405",
        "MethodNotAllowed",
        "Of every method but GET and HEAD",
    ),
    (
        "410",
        "Gone",
        "Of a uid: actions of its time were removed (`action_gone`). Of a position: what it has yet to see was removed, or the store was restored or replaced (`cursor_expired`)",
    ),
    (
        "500",
        "InternalError",
        "It cannot be read; `reference` is also in the server's log",
    ),
    (
        "503",
        "Unavailable",
        "Not now: the store cannot be read (`unavailable`), or too much is asked at once (`busy`, `too_many_watchers`, `timed_out`)",
    ),
];

pub(super) fn all() -> Map<String, Value> {
    let answer = |(status, name, about): (&str, &str, &str)| {
        let mut answer = json!({
            "description": about,
            "headers": framed(),
            "content": { "application/json": { "schema": schema("Error") } },
        });
        let own = match status {
            "401" => Some("WWW-Authenticate"),
            "405" => Some("Allow"),
            "503" => Some("Retry-After"),
            _ => None,
        };
        if let Some(own) = own {
            answer["headers"][own] = header(own);
        }
        (name.to_owned(), answer)
    };
    let mut all: Map<String, Value> = FAILURES.into_iter().map(answer).collect();
    let unchanged = json!({
        "description": "It is as the client has it (`If-None-Match`), after the wait if there was one",
        "headers": {
            "Cache-Control": header("Cache-Control"),
            "X-Content-Type-Options": header("X-Content-Type-Options"),
            "ETag": header("ETag"),
            "Retry-After": header("Unfinished"),
        },
    });
    all.insert("NotModified".to_owned(), unchanged);
    all
}

pub(super) fn headers() -> Value {
    let text = |about: &str, required: bool| json!({ "description": about, "required": required, "schema": { "type": "string" } });
    let seconds = |about: &str, required: bool| json!({ "description": about, "required": required, "schema": { "type": "integer", "minimum": 1 } });
    let word = |word: &str| json!({ "required": true, "schema": { "const": word } });
    json!({
        "Allow": { "description": "GET, HEAD, and what the host serves there itself", "required": true, "schema": { "type": "string" } },
        "Cache-Control": word("no-store"),
        "ETag": text("Changes whenever the answer does", true),
        "Link": text("`<?...&cursor=...>; rel=\"next\"`: the next page, relative to the request's own path. None at the end. A page may be short, even empty, and have one", false),
        "Retry-After": seconds("Seconds after which to try again", true),
        "Unfinished": seconds("Of an unfinished action: seconds after which to look again", false),
        "WWW-Authenticate": text("How to say who one is", true),
        "X-Content-Type-Options": word("nosniff"),
    })
}

pub(super) fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub(super) fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// The headers of every answer.
pub(super) fn framed() -> Value {
    json!({
        "Cache-Control": header("Cache-Control"),
        "X-Content-Type-Options": header("X-Content-Type-Options"),
    })
}
