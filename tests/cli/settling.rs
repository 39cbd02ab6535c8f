//! `settle`: what its dry run shows and leaves alone, and the owners that it ends.

use crate::support::{Place, action};

fn state(place: &Place) -> serde_json::Value {
    place.json(&["diagnostics"])[0]["owners"][0]["state"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_and_dry_runs_end_no_owner_whatever_the_mode() {
    let place = Place::new();
    let filled = place.filled().await;
    let alone = format!("{}?mode=exclusive", place.address());
    for arguments in [
        &["settle", "--unfinished"][..],
        &["settle", &filled.executing.to_string(), "--dry-run"],
        &["erase", "--tenant", "acme"],
        &["list"],
    ] {
        place
            .run(&[&["--store", &alone], arguments].concat())
            .ends(0);
        assert_eq!(state(&place), "alive", "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_is_for_operators_and_is_never_dropped() {
    let place = Place::new();
    let filled = place.filled().await;
    let uid = filled.queued.to_string();
    let settle = ["settle", &uid, "--reason", "host 7 burnt down", "--as"];
    let ran = place.run(&[&settle[..], &["succeeded"]].concat()).ends(2);
    assert!(ran.err.contains("has no error to keep"), "{}", ran.err);
    place.run(&[&settle[..], &["failed"]].concat()).ends(0);
    let store = place.open().await;
    let error = action(&*store, filled.queued).await.error.clone().unwrap();
    assert_eq!(&*error.code, "failed");
    assert!(error.message.contains("an operator settled it"));
    assert_eq!(error.detail.as_deref(), Some("host 7 burnt down"));
}
