//! Answers and headers that several operations share.

use serde_json::{Map, Value, json};

use super::super::options::Bounds;

/// Every error status: the status, the name of its component, and its description.
pub(super) const FAILURES: [(&str, &str, &str); 8] = [
    (
        "400",
        "BadRequest",
        "A query parameter or header is unknown, repeated, empty or malformed (`invalid_parameter`, `invalid_header`); the description names it",
    ),
    (
        "401",
        "Unauthorized",
        "Credentials are missing or wrong (`unauthorized`)",
    ),
    (
        "403",
        "Forbidden",
        "The caller is known and lacks the permission",
    ),
    (
        "404",
        "NotFound",
        "The action does not exist, or the caller may not see it (`action_not_found`)",
    ),
    (
        "405",
        "MethodNotAllowed",
        "Any method other than GET and HEAD",
    ),
    (
        "410",
        "Gone",
        "`action_gone`: the action may have been removed by retention. `cursor_expired`: changes after the position were removed, or the store was restored or replaced",
    ),
    (
        "500",
        "InternalError",
        "The actions cannot be read. The `reference` is also in the server's log",
    ),
    (
        "503",
        "Unavailable",
        "Temporary. The store cannot be read (`unavailable`), or the server is overloaded (`busy`, `too_many_watchers`, `timed_out`)",
    ),
];

pub(super) fn all(bounds: &Bounds) -> Map<String, Value> {
    let watchers = format!(
        ". At most {} requests wait or stream at once, {} of one client",
        bounds.watchers,
        bounds.watchers_of_a_client()
    );
    let answer = |(status, name, about): (&str, &str, &str)| {
        let more = if status == "503" { &*watchers } else { "" };
        let mut answer = json!({
            "description": format!("{about}{more}"),
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
        "description": "The action is unchanged (`If-None-Match`), after the wait if there was one",
        "headers": {
            "Cache-Control": header("Cache-Control"),
            "X-Content-Type-Options": header("X-Content-Type-Options"),
            "Content-Location": header("Content-Location"),
            "ETag": header("ETag"),
            "Retry-After": header("Unfinished"),
        },
    });
    all.insert("NotModified".to_owned(), unchanged);
    all
}

/// Returns a header. It is not a component: merging two documents leaves those out.
pub(super) fn header(name: &str) -> Value {
    let text = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    let seconds = |about: &str| json!({ "description": about, "schema": { "type": "integer", "minimum": 1 } });
    let word = |word: &str| json!({ "schema": { "type": "string", "enum": [word] } });
    match name {
        "Allow" => text("GET, HEAD, and the methods that the host adds"),
        "Cache-Control" => word("no-store"),
        "Content-Location" => text(
            "The canonical address of the action, relative to the request's own path. Only if the path spells the uid in another way",
        ),
        "ETag" => text("Changes whenever the answer changes"),
        "Link" => text(
            "`<?...&cursor=...>; rel=\"next\"`: the next page, relative to the request's own path. Absent on the last page. A short or even empty page may have one",
        ),
        "Retry-After" => seconds("Seconds to wait before the next try"),
        "Unfinished" => seconds("For an unfinished action: seconds to wait before the next poll"),
        "WWW-Authenticate" => text("How to authenticate"),
        _ => word("nosniff"),
    }
}

pub(super) fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Returns the headers of every answer.
pub(super) fn framed() -> Value {
    json!({
        "Cache-Control": header("Cache-Control"),
        "X-Content-Type-Options": header("X-Content-Type-Options"),
    })
}
