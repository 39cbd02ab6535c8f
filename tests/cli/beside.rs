//! Beside a living plane: one that has the store for itself alone, and one that shares it.

use std::time::Duration;

use action_store::address::StoreAddress;
use action_store::{ActionStore, ActionStoreExt, NewAction, Tracker};
use serde_json::json;

use crate::support::{Place, action, fill, uids};

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_read_work_beside_an_exclusive_plane() {
    let place = Place::new();
    let plane = place.open().await;
    let filled = fill(&*plane).await;
    let failed = filled.failed.to_string();
    assert_eq!(place.json(&["list"]).len(), 5);
    assert_eq!(place.json(&["show", &failed])[0]["uid"], json!(failed));
    assert_eq!(place.json(&["history", &failed]).len(), 3);
    assert_eq!(place.json(&["counts"])[0]["total"]["number"], 5);
    assert_eq!(
        place.json(&["diagnostics"])[0]["owners"][0]["name"],
        "plane@host-1"
    );
    assert_eq!(place.json(&["tail", "--from-beginning", "--once"]).len(), 5);
    assert_eq!(place.json(&["check"])[0]["damaged"], 0);
    assert_eq!(place.json(&["export", "a.ndjson"])[0]["actions"], 5);
    assert_eq!(place.json(&["copy", "sqlite:other.db"])[0]["verified"], 5);
    place.run(&["backup", "copy.db"]).ends(0);
    place.run(&["prune"]).ends(0);
    place.run(&["erase", "--tenant", "acme"]).ends(0);
    place.run(&["cancel", "--unfinished"]).ends(0);

    // A new action is seen at once, and the plane was not disturbed.
    let new = plane.create(NewAction::task("new")).await.unwrap().uid;
    assert_eq!(
        uids(&place.json(&["list", "--limit", "1"])),
        [new.to_string()]
    );
    plane
        .report(filled.executing, action_store::Report::new(), &filled.owner)
        .await
        .unwrap();
    plane.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_write_say_who_has_the_store_and_what_to_do() {
    let place = Place::new();
    let plane = place.open().await;
    let filled = fill(&*plane).await;
    let ran = place
        .run(&["cancel", &filled.executing.to_string()])
        .ends(5);
    let process = format!("process {} (", std::process::id());
    #[cfg(target_os = "linux")]
    assert!(ran.err.contains(&process), "{process}: {}", ran.err);
    for part in [
        "plane.db is in use: ",
        "has it open for itself alone",
        "plane@host-1 (renewed ",
        "stop it first",
    ] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert_eq!(action(&*plane, filled.executing).await.cancel, None);
    // An exclusive opening cannot take the store from the plane either.
    let alone = format!("{}?mode=exclusive", place.address());
    let ran = place
        .run(&["--store", &alone, "settle", "--unfinished", "--yes"])
        .ends(5);
    assert!(ran.err.contains("stop it first"), "{}", ran.err);
    plane.close().await.unwrap();
    place
        .run(&["cancel", &filled.executing.to_string()])
        .ends(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plane_that_shares_its_store_hears_a_cancel_request() {
    let place = Place::new();
    let store = place.open_shared().await;
    let tracker = Tracker::start(store.clone(), "plane@host-1").await.unwrap();
    let work = tracker.begin(NewAction::task("backup_bdb")).await.unwrap();
    let uid = work.uid().to_string();
    place
        .run(&["cancel", &uid, "--reason", "maintenance"])
        .ends(0);
    let heard = tokio::time::timeout(Duration::from_secs(20), work.cancel_requested()).await;
    assert!(heard.is_ok(), "the plane did not hear the request");
    // A living owner's action is not settled by others.
    place.run(&["settle", &uid]).ends(4);
    work.succeed().await.unwrap();
    place.run(&["pin", &uid]).ends(0);
    assert_eq!(place.json(&["show", &uid])[0]["outcome"], "succeeded");
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_writes_ends_no_owner() {
    let place = Place::new();
    let filled = place.filled().await;
    place.run(&["pin", &filled.failed.to_string()]).ends(0);
    let state = || place.json(&["diagnostics"])[0]["owners"][0]["state"].clone();
    assert_eq!(state(), "alive");
    let address: StoreAddress = place.address().parse().unwrap();
    let alone = address.open().await.unwrap();
    alone.close().await.unwrap();
    assert_eq!(state(), "disconnected");
}

#[test]
fn an_error_that_is_no_conflict_blames_no_other_process() {
    let place = Place::new();
    let address = format!("sqlite:{}", place.dir.path().display());
    let uid = "01890a5d-ac96-774b-bcce-b302099a8057";
    let ran = place.run(&["--store", &address, "pin", uid]);
    assert!([1, 5].contains(&ran.code), "{ran:?}");
    assert!(!ran.err.contains("in use"), "{}", ran.err);
}
