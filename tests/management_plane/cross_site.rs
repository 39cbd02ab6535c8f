//! A page of another site cannot use what a browser sends by itself: the password.

use std::io::{Read as _, Write as _};

use super::{Plane, history};

const NEW: &str = r#"{"name":"a","rows":1}"#;
const JSON: &str = "Content-Type: application/json\r\n";

/// Sends a request with these headers and the password, and returns status and body.
fn send(plane: &Plane, line: &str, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}");
    let mut stream = plane.begin(&head).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn a_form_on_another_site_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    // A form can send these three types, or none.
    let form = |kind: &str| format!("Content-Type: {kind}\r\n");
    let types = [
        form("text/plain"),
        form("application/x-www-form-urlencoded"),
        form("multipart/form-data; boundary=application/json"),
        form("text/plain; application/json"),
        String::new(),
        // Two of them: a reader could take either.
        format!("{JSON}Content-Type: text/plain\r\n"),
    ];
    for headers in &types {
        for (line, body) in [
            ("POST /v1/bdbs", NEW),
            ("POST /v1/nodes/1/actions/check", ""),
            ("PUT /v1/bdbs/1/actions/backup", ""),
            ("DELETE /v1/bdbs/1", ""),
        ] {
            let (status, answer) = send(&plane, line, headers, body);
            assert_eq!(status, 415, "{line} {headers:?}: {answer}");
            assert!(answer.contains("unsupported_media_type"), "{answer}");
        }
    }
    // A script could send these if a preflight allowed it, and a wrong proxy could pass them on.
    for headers in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: http://plane.evil.example\r\n",
        "Origin: http://evil.example/plane\r\n",
        "Origin: http://plane:8080\r\n",
        "Origin: null\r\n",
        "Origin: plane\r\n",
        "Origin: \r\n",
        "Origin: http://plane\r\nOrigin: http://evil.example\r\n",
        "Origin: http://plane\r\nSec-Fetch-Site: cross-site\r\n",
        "Origin: http://evil.example\r\nSec-Fetch-Site: same-origin\r\n",
    ] {
        let headers = format!("{JSON}{headers}");
        let (status, answer) = send(&plane, "POST /v1/bdbs", &headers, NEW);
        assert_eq!(status, 403, "{headers:?}: {answer}");
        assert!(answer.contains("cross_site"), "{answer}");
    }
    drop(plane);
    let history = history(directory.path()).await;
    // The plane's own scenario may have begun.
    let asked_for = |action: &&_| {
        let action: &action_store::Action = AsRef::as_ref(*action);
        action.actor.as_deref() == Some("ada")
    };
    assert_eq!(history.values().filter(asked_for).count(), 0);
}

#[test]
fn the_planes_own_pages_and_programs_go_on_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    for headers in [
        "",
        "Sec-Fetch-Site: same-origin\r\n",
        "Origin: http://plane\r\n",
        "Origin: https://PLANE\r\nSec-Fetch-Site: same-origin\r\n",
    ] {
        let headers = format!("Content-Type: Application/JSON; charset=utf-8\r\n{headers}");
        let (status, answer) = send(&plane, "POST /v1/bdbs", &headers, NEW);
        assert_eq!(status, 202, "{headers:?}: {answer}");
    }
    // A browser asks for the console so, and the console for the actions.
    let (status, page) = send(&plane, "GET /console", "Sec-Fetch-Site: none\r\n", "");
    assert_eq!(status, 200);
    assert!(page.contains("<title>"), "{page}");
    for path in ["/v1/actions", "/v1/actions/changes?wait=1ms"] {
        let headers = "Accept: application/json\r\nSec-Fetch-Site: same-origin\r\n";
        let (status, answer) = send(&plane, &format!("GET {path}"), headers, "");
        assert_eq!(status, 200, "{path}: {answer}");
    }
    // Only changes are kept from others: a link to the console may stand anywhere.
    let (status, _) = send(&plane, "GET /console", "Sec-Fetch-Site: cross-site\r\n", "");
    assert_eq!(status, 200);
}
