//! `settle`: what its dry run shows and leaves alone, and the owners that it ends.

use crate::support::Place;

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
