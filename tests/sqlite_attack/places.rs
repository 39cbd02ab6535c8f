//! Files and directories that may be at a store's path or beside it.

use std::path::Path;

use action_store::{
    ActionStore, ActionStoreExt, ErrorKind, NewAction, SqliteOptions, SqliteStore, StoreErrorKind,
};

use super::{beside, place, reopened_and_checked};

/// Writes something and keeps what the log file holds of it, as a crash would.
async fn log_of_a_crash(path: &Path) -> Vec<u8> {
    let store = SqliteStore::open(path).await.unwrap();
    for _ in 0..20 {
        store.create(NewAction::task("old")).await.unwrap();
    }
    let log = std::fs::read(beside(path, "-wal")).unwrap();
    store.close().await.unwrap();
    assert!(!log.is_empty());
    log
}

#[tokio::test]
async fn a_log_without_its_database_is_not_replayed_into_a_new_store() {
    let place = place();
    let log = log_of_a_crash(&place.path).await;
    for suffix in ["-wal", "-journal"] {
        // The database was moved away, but the files beside it were left.
        if place.path.exists() {
            std::fs::remove_file(&place.path).unwrap();
        }
        let left = beside(&place.path, suffix);
        std::fs::write(&left, &log).unwrap();
        let error = SqliteStore::open(&place.path).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        // It may hold the last writes of the one that was moved: nothing is thrown away.
        assert_eq!(std::fs::read(&left).unwrap(), log);
        assert!(!place.path.exists());
        std::fs::remove_file(&left).unwrap();
    }
    let (store, checked) = reopened_and_checked(&place.path).await;
    assert_eq!(checked.actions, 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_wal_left_by_a_killed_opener_is_not_part_of_the_new_store() {
    let place = place();
    let log = log_of_a_crash(&place.path).await;
    std::fs::remove_file(&place.path).unwrap();
    for suffix in [".new-wal", ".new-shm", ".new-journal"] {
        std::fs::write(beside(&place.path, suffix), &log).unwrap();
    }
    let (store, checked) = reopened_and_checked(&place.path).await;
    assert_eq!(checked.actions, 0);
    store.close().await.unwrap();
    assert_eq!(place.files(), ["actions.db", "actions.db.lock"]);
}

#[tokio::test]
async fn a_link_that_leads_nowhere_yet_is_not_replaced_by_a_store() {
    let place = place();
    std::fs::create_dir(place.dir.path().join("volume")).unwrap();
    let target = place.dir.path().join("volume/actions.db");
    std::os::unix::fs::symlink(&target, &place.path).unwrap();
    match SqliteStore::open(&place.path).await {
        // Told, or followed; never a store where the link was.
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}"),
        Ok(store) => {
            assert_eq!(store.path(), target.canonicalize().unwrap());
            store.close().await.unwrap();
        }
    }
    assert!(place.path.symlink_metadata().unwrap().is_symlink());
}

#[tokio::test]
async fn no_room_at_all_is_not_all_the_room_there_is() {
    for bytes in [0, 1, 4095] {
        let place = place();
        let options = SqliteOptions::new().with_max_bytes(bytes);
        let store = options.open(&place.path).await.unwrap();
        let mut refused = 0;
        for _ in 0..40 {
            let long = NewAction::task("a").with_description("x".repeat(4000));
            match store.create(long).await {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 30, "{bytes} bytes: {refused} of 40 were refused");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_is_one_file_that_can_be_copied() {
    let place = place();
    for round in 1..=30 {
        let options = SqliteOptions::new().with_readers(8);
        let store = options.open(&place.path).await.unwrap();
        store.create(NewAction::task("a")).await.unwrap();
        store.close().await.unwrap();
        let expected = ["actions.db", "actions.db.lock"];
        assert_eq!(place.files(), expected, "round {round}");
        let copy = super::place();
        std::fs::copy(&place.path, &copy.path).unwrap();
        let (store, checked) = reopened_and_checked(&copy.path).await;
        assert_eq!(checked.actions, round);
        store.close().await.unwrap();
    }
}
