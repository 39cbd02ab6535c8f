//! Prometheus scrapes the plane with the password of the other endpoints.

use std::io::Read as _;

use super::{Plane, begin_large};

fn scrape(plane: &Plane) -> (String, String) {
    let request = "GET /metrics HTTP/1.1\r\nConnection: close\r\n";
    let mut stream = plane.begin(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn metrics_are_served_to_users_only() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    plane.refuses_without_password("GET /metrics HTTP/1.1\r\n");
    let (uid, _) = begin_large(&plane);
    plane.order("POST", &format!("/v1/actions/{uid}/cancel"), "");
    plane.ended(uid);
    let (head, text) = scrape(&plane);
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    for line in [
        "# HELP action_store_action_ends_total Completed actions by outcome",
        "# TYPE action_store_commit_duration_seconds histogram",
        "action_store_action_count{action_status=\"completed\"} ",
        "action_store_action_duration_seconds_count{action_name=\"SMCreateBDB\"} ",
        "action_store_action_ends_total{action_outcome=\"cancelled\"} ",
        "action_store_lease_age_seconds ",
        "action_store_sqlite_wal_size_bytes ",
    ] {
        assert!(
            text.contains(&format!("\n{line}")) || text.starts_with(line),
            "{line}: {text}"
        );
    }
    // The scenario's databases and actors have names; none is reported.
    assert!(
        !text.contains("orders") && !text.contains("\"ada\""),
        "{text}"
    );
}
