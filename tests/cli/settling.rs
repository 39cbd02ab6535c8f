//! `settle`: what its dry run shows and leaves alone, and the owners that it ends.

use std::time::{Duration, Instant};

use action_store::Status;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_below_the_lease_of_the_planes_is_refused() {
    let place = Place::new();
    let uid = place.filled().await.executing.to_string();
    for (options, words) in [
        (&["--fence-after", "0s"][..], "less than the lease, 30s"),
        (&["--fence-after", "29s"], "less than the lease, 30s"),
        (
            &["--fence-after", "1m", "--lease", "2m"],
            "less than the lease, 2m",
        ),
        (
            &["--fence-after", "0s", "--lease", "0s"],
            "must not be zero",
        ),
        (&["--lease", "3s"], "--fence-after"),
    ] {
        let settle = [&["settle", &uid, "--yes"], options].concat();
        let ran = place.run(&settle).ends(2);
        assert!(ran.err.contains(words), "{options:?}: {}", ran.err);
    }
    assert_eq!(state(&place), "alive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_the_owners_that_would_end_and_their_other_actions() {
    let place = Place::new();
    let filled = place.filled().await;
    let uid = filled.executing.to_string();
    for (options, again) in [
        (&[&*uid][..], "add --yes to change it"),
        (&[&*uid, "--dry-run"], "nothing was changed"),
        (&["--object", "bdb:1"], "add --yes to change it"),
    ] {
        let begun = Instant::now();
        let settle = [&["settle", "--fence-after", "30s"], options].concat();
        let ran = place.run(&settle).ends(0);
        assert!(begun.elapsed() < Duration::from_secs(25), "it has waited");
        assert_eq!(ran.rows()[0].last(), Some(&"would be changed"));
        assert!(ran.err.contains(again), "{}", ran.err);
        let owner = "ends plane@host-1 if it does not renew within 30s; it has 1 other unfinished \
                     action";
        assert!(ran.err.contains(owner), "{}", ran.err);
        assert_eq!(state(&place), "alive");
    }
    let all = ["settle", "--unfinished", "--fence-after", "30s"];
    let ran = place.run(&all).ends(0);
    let others = "it has no other unfinished actions\n";
    assert!(ran.err.contains(others), "{}", ran.err);
    let store = place.open().await;
    let left = action(&*store, filled.executing).await;
    assert_eq!(left.status, Status::Executing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_be_refused() {
    let place = Place::new();
    let filled = place.filled().await;
    let settle = ["settle", "--unfinished"];
    let ran = place.run(&settle).ends(0);
    let text = format!("would be refused: its owner {} is alive", filled.owner.name);
    assert_eq!(ran.out.matches(&text).count(), 2, "{}", ran.out);
    let said =
        "nothing was changed: 1 action would be changed, 2 refused; add --yes to change it\n";
    assert_eq!(ran.err, said);
    // These end the owner first.
    let alone = format!("{}?mode=exclusive", place.address());
    for arguments in [
        &["settle", "--unfinished", "--fence-after", "30s"][..],
        &["--store", &alone, "settle", "--unfinished"],
    ] {
        let ran = place.run(arguments).ends(0);
        assert_eq!(
            ran.out.matches("would be changed").count(),
            3,
            "{}",
            ran.out
        );
        assert!(ran.err.contains("3 actions match;"), "{}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_change_is_said_in_words() {
    let place = Place::new();
    let failed = place.filled().await.failed.to_string();
    for arguments in [
        &["settle", "--name", "none"][..],
        &["settle", "--name", "none", "--yes"],
        &["cancel", "--name", "none"],
        &["cancel", "--name", "none", "--yes"],
        &["cancel", &failed, "--dry-run"],
    ] {
        let ran = place.run(arguments).ends(0);
        let said = "nothing was changed: no unfinished action matches\n";
        assert_eq!((&*ran.out, &*ran.err), ("", said), "{arguments:?}");
    }
}
