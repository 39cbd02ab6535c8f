//! `cancel`, `settle`, `pin`.

use std::time::Duration;

use action_store::owner::OwnerEnd;
use action_store::tracker::TrackerOptions;
use action_store::{ActionStore, ActionStoreExt, NewAction, Outcome, Status, Tracker};
use serde_json::{Value, json};

use crate::support::{Place, action};

#[tokio::test(flavor = "multi_thread")]
async fn cancel_asks_for_one_action_with_a_reason_and_a_name() {
    let place = Place::new();
    let filled = place.filled().await;
    let uid = filled.executing.to_string();
    let dry = place.run(&["cancel", &uid, "--dry-run"]).ends(0);
    assert!(
        dry.err.contains("nothing was changed: 1 action matches"),
        "{}",
        dry.err
    );
    let asked = place.json(&["cancel", &uid, "--reason", "wrong database"]);
    assert_eq!(
        asked,
        [json!({"uid": uid, "name": "SMCreateBDB", "result": "requested"})]
    );
    let again = place.json(&["cancel", &uid]);
    assert_eq!(again[0]["result"], "already");
    let store = place.open().await;
    let cancel = action(&*store, filled.executing)
        .await
        .cancel
        .clone()
        .unwrap();
    assert_eq!(cancel.reason.as_deref(), Some("wrong database"));
    assert_eq!(cancel.by.as_deref(), Some("ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_shows_first_and_changes_only_with_yes() {
    let place = Place::new();
    let filled = place.filled().await;
    let arguments = ["cancel", "--object", "bdb:1", "--by", "night shift"];
    let shown = place.run(&arguments).ends(0);
    assert_eq!(shown.rows()[0].last(), Some(&"would be changed"));
    assert!(
        shown.err.contains("add --yes to change it"),
        "{}",
        shown.err
    );
    let store = place.open().await;
    assert_eq!(action(&*store, filled.executing).await.cancel, None);
    store.close().await.unwrap();

    let done = place.json(&[&arguments[..], &["--yes"]].concat());
    // Only the unfinished one of the two actions of the object.
    assert_eq!(
        (&done[0]["matched"], &done[0]["requested"]),
        (&json!(1), &json!(1))
    );
    let store = place.open().await;
    let cancel = action(&*store, filled.executing)
        .await
        .cancel
        .clone()
        .unwrap();
    assert_eq!(cancel.by.as_deref(), Some("night shift"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_reaches_every_page() {
    let place = Place::new();
    let store = place.open().await;
    let new = (0..500).map(|_| action_store::Command::create(NewAction::task("many")));
    store
        .write_repeating(action_store::Batch::each(new.collect()))
        .await
        .unwrap();
    store.close().await.unwrap();
    let done = place.json(&["cancel", "--name", "many", "--yes"]);
    assert_eq!(
        (&done[0]["requested"], &done[0]["cancelled"]),
        (&json!(500), &json!(500))
    );
    let left = place.json(&["counts", "--cancel-requested"]);
    assert_eq!(left[0]["total"]["number"], 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_ends_with_4_and_says_why() {
    let place = Place::new();
    let filled = place.filled().await;
    let ran = place
        .run(&["cancel", &filled.failed.to_string(), "--json"])
        .ends(4);
    let row = ran.one();
    assert_eq!(row["result"], "refused");
    let reason = "a cancel request is not possible while it is completed";
    assert_eq!(row["reason"], reason);
    assert_eq!(ran.err, "0 requested, 0 already, 1 refused\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn settle_is_refused_while_the_owner_is_alive_and_says_what_to_do() {
    let place = Place::new();
    let filled = place.filled().await;
    let ran = place
        .run(&["settle", &filled.executing.to_string()])
        .ends(4);
    assert!(
        ran.out.contains("refused: its owner plane@host-1 is alive"),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("?mode=exclusive"), "{}", ran.err);

    // The hint is right: no other process has the store, so its owners have ended.
    let alone = format!("{}?mode=exclusive", place.address());
    let settle = [
        "--store",
        &alone,
        "settle",
        "--unfinished",
        "--yes",
        "--reason",
        "host died",
    ];
    let ran = place.run(&settle).ends(0);
    assert_eq!(ran.err, "3 settled, 0 already, 0 refused\n");
    let store = place.open().await;
    let lost = action(&*store, filled.executing).await;
    assert_eq!(lost.outcome, Some(Outcome::Lost));
    let error = lost.error.clone().unwrap();
    let message = "its owner is no longer alive; an operator settled it";
    assert_eq!((&*error.code, &*error.message), ("lost", message));
    assert_eq!(error.detail.as_deref(), Some("host died"));
    assert_eq!(&*lost.evidence.clone().unwrap().decided_by, "ada");
    let queued = action(&*store, filled.queued).await;
    assert_eq!(queued.outcome, Some(Outcome::Interrupted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_action_is_settled_as_asked() {
    for (word, outcome) in [
        ("cancelled", Outcome::Cancelled),
        ("failed", Outcome::Failed),
    ] {
        let place = Place::new();
        let filled = place.filled().await;
        place
            .run(&["settle", &filled.queued.to_string(), "--as", word])
            .ends(0);
        let store = place.open().await;
        assert_eq!(action(&*store, filled.queued).await.outcome, Some(outcome));
    }
    let place = Place::new();
    let filled = place.filled().await;
    place
        .run(&["settle", &filled.queued.to_string(), "--as", "succeeded"])
        .ends(4);
    let store = place.open().await;
    assert_eq!(action(&*store, filled.queued).await.status, Status::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_uid_leaves_the_others_alone() {
    let place = Place::new();
    let filled = place.filled().await;
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    place
        .run(&["cancel", &filled.executing.to_string(), unknown])
        .ends(3);
    let store = place.open().await;
    assert_eq!(action(&*store, filled.executing).await.cancel, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_action_is_not_removed_until_it_is_unpinned() {
    let place = Place::new();
    let filled = place.filled().await;
    let uid = filled.succeeded.to_string();
    let pinned = place.json(&["pin", &uid]);
    assert_eq!(
        pinned,
        [json!({"uid": uid, "name": "backup_bdb", "result": "pinned"})]
    );
    let ran = place
        .run(&["erase", "--tenant", "acme", "--yes", "--json"])
        .ends(4);
    assert_eq!(ran.one()["left"], json!([{"uid": uid, "why": "pinned"}]));
    assert!(ran.err.contains("hint:"), "{}", ran.err);
    let unpinned = place.run(&["pin", "--unpin", &uid]).ends(0);
    assert_eq!(unpinned.rows()[0], [&*uid, "backup_bdb", "unpinned"]);
    place.run(&["erase", "--tenant", "acme", "--yes"]).ends(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn settle_ends_an_owner_that_does_not_renew_beside_a_plane_that_does() {
    let place = Place::new();
    let filled = place.filled().await;
    let store = place.open_shared().await;
    let options = TrackerOptions::new().with_lease(Duration::from_secs(1));
    let options = options.with_sweep(false);
    let tracker = Tracker::start_with(store.clone(), "plane@host-2", options)
        .await
        .unwrap();
    let work = tracker.begin(NewAction::task("living")).await.unwrap();
    let [dead, living] = [filled.executing, work.uid()].map(|uid| uid.to_string());
    let settle = ["settle", &dead, &living, "--fence-after", "3s", "--json"];
    // No plane has a longer lease.
    let settle = [&settle[..], &["--lease", "3s", "--yes"]].concat();
    let ran = place.run(&settle).ends(4);
    let results: Vec<Value> = ran.json().iter().map(|row| row["result"].clone()).collect();
    assert_eq!(results, ["settled", "refused"], "{ran:?}");
    assert!(
        ran.err.contains("ended plane@host-1: it did not renew"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("plane@host-2 is alive: it has renewed"),
        "{}",
        ran.err
    );
    let lost = action(&*store, filled.executing).await;
    assert_eq!(lost.evidence.clone().unwrap().end, OwnerEnd::Fenced);
    work.succeed().await.unwrap();
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_uid_pins_nothing() {
    let place = Place::new();
    let filled = place.filled().await;
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    place
        .run(&["pin", &filled.succeeded.to_string(), unknown])
        .ends(3);
    place.run(&["erase", "--tenant", "acme", "--yes"]).ends(0);
}
