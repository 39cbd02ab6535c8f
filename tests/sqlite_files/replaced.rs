//! Files that are removed, replaced or moved while a store has them open.

use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::task::Poll;

use action_store::owner::OwnerQuery;
use action_store::sqlite::SqliteFile;
use action_store::{
    ActionStore, ActionStoreExt, NewAction, Query, SqliteStore, StoreError, StoreErrorKind,
};

use super::{Place, beside, ends, place, pool, raw, run, shared};

/// How a store opened the file.
const WAYS: [&str; 3] = ["alone", "shared", "pool"];

async fn open(way: &str, path: &Path) -> SqliteStore {
    match way {
        "alone" => SqliteStore::open(path).await.unwrap(),
        "shared" => shared(path).await,
        _ => SqliteStore::on_pool(pool(path).await).await.unwrap(),
    }
}

/// Makes another program's database, in one file.
async fn foreign(path: &Path) -> Vec<u8> {
    drop(std::fs::File::create_new(path).unwrap());
    let mut connection = raw(path).await;
    run(&mut connection, "CREATE TABLE theirs (value)").await;
    run(
        &mut connection,
        "INSERT INTO theirs VALUES (randomblob(9000))",
    )
    .await;
    sqlx::Connection::close(connection).await.unwrap();
    std::fs::read(path).unwrap()
}

async fn write(store: &SqliteStore) -> Result<(), StoreError> {
    let batch = super::attack::creating(NewAction::task("a"));
    store.write(batch).await.map(drop)
}

/// Every method says so, and the store never comes back.
async fn is_refused(store: &SqliteStore, case: &str, what: SqliteFile) {
    let path = store.path().display().to_string();
    let says = |error: StoreError| {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{case}: {error}");
        assert!(error.to_string().contains(&path), "{case}: {error}");
    };
    for _ in 0..20 {
        says(ends(write(store)).await.unwrap_err());
    }
    says(ends(store.list(&Query::new())).await.unwrap_err());
    says(ends(store.get(&[])).await.unwrap_err());
    says(ends(store.owners(&OwnerQuery::new())).await.unwrap_err());
    says(ends(store.changed(None)).await.unwrap_err());
    let copy = store.path().with_file_name("copy.db");
    says(ends(store.backup_to(&copy)).await.unwrap_err());
    assert!(!copy.exists(), "{case}");
    let said = ends(store.diagnostics()).await.unwrap();
    assert_eq!(said.file, what, "{case}");
}

/// A store that has acknowledged something, which is still in its log file.
async fn written(way: &str) -> (Place, SqliteStore) {
    let place = place();
    let store = open(way, &place.path).await;
    for _ in 0..20 {
        store.create(NewAction::task("a")).await.unwrap();
    }
    let said = store.diagnostics().await.unwrap();
    assert_eq!(said.file, SqliteFile::Same);
    (place, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_renamed_over_an_open_store_is_noticed_and_left_as_it_is() {
    for way in WAYS {
        let (place, store) = written(way).await;
        let restored = place.dir.path().join("restored.db");
        let bytes = foreign(&restored).await;
        std::fs::rename(&restored, &place.path).unwrap();
        is_refused(&store, way, SqliteFile::Replaced).await;
        ends(store.close()).await.unwrap();
        assert!(std::fs::read(&place.path).unwrap() == bytes, "{way}");
        if way == "pool" {
            continue;
        }
        // Nothing lies beside it that SQLite would replay into it.
        assert!(!beside(&place.path, "-wal").exists(), "{way}");
        assert!(!beside(&place.path, "-shm").exists(), "{way}");
        let mut theirs = raw(&place.path).await;
        let sound: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(&mut theirs)
            .await
            .unwrap();
        assert_eq!(sound, "ok", "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_files_are_noticed() {
    for way in WAYS {
        for suffixes in [&[""][..], &["", "-wal", "-shm", ".lock"]] {
            let (place, store) = written(way).await;
            for suffix in suffixes {
                std::fs::remove_file(beside(&place.path, suffix)).unwrap();
            }
            is_refused(&store, way, SqliteFile::Removed).await;
            ends(store.close()).await.unwrap();
            assert!(!place.path.exists(), "{way}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_moved_away_keeps_all_that_was_acknowledged() {
    for way in ["alone", "shared"] {
        let (place, store) = written(way).await;
        let moved = place.dir.path().join("moved.db");
        std::fs::rename(&place.path, &moved).unwrap();
        is_refused(&store, way, SqliteFile::Removed).await;
        ends(store.close()).await.unwrap();
        assert!(!beside(&place.path, "-wal").exists(), "{way}");
        let store = SqliteStore::open(&moved).await.unwrap();
        let page = store.list(&Query::new()).await.unwrap();
        assert_eq!(page.items.len(), 20, "{way}");
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_made_in_an_emptied_directory_is_left_alone_by_the_one_before() {
    for way in ["alone", "shared"] {
        let (place, store) = written(way).await;
        for file in place.files() {
            std::fs::remove_file(place.dir.path().join(file)).unwrap();
        }
        let second = open(way, &place.path).await;
        second.create(NewAction::task("second")).await.unwrap();
        is_refused(&store, way, SqliteFile::Replaced).await;
        let log = std::fs::metadata(beside(&place.path, "-wal")).unwrap();
        ends(store.close()).await.unwrap();
        let after = std::fs::metadata(beside(&place.path, "-wal")).unwrap();
        assert_eq!((log.ino(), log.len()), (after.ino(), after.len()), "{way}");
        second.create(NewAction::task("second")).await.unwrap();
        second.close().await.unwrap();
        let again = SqliteStore::open(&place.path).await.unwrap();
        let page = again.list(&Query::new()).await.unwrap();
        assert_eq!(page.items.len(), 2, "{way}");
        again.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_folded_is_put_aside() {
    let (place, store) = written("shared").await;
    // A reader keeps the log from being folded whole.
    let mut reader = raw(&place.path).await;
    run(&mut reader, "BEGIN").await;
    let count = "SELECT count(*) FROM actions_action";
    let _: i64 = sqlx::query_scalar(count)
        .fetch_one(&mut reader)
        .await
        .unwrap();
    store.create(NewAction::task("a")).await.unwrap();
    let restored = place.dir.path().join("restored.db");
    let bytes = foreign(&restored).await;
    let log = std::fs::metadata(beside(&place.path, "-wal"))
        .unwrap()
        .ino();
    std::fs::rename(&restored, &place.path).unwrap();
    is_refused(&store, "reader", SqliteFile::Replaced).await;
    ends(store.close()).await.unwrap();
    assert!(!beside(&place.path, "-wal").exists());
    let aside: Vec<PathBuf> = place
        .files()
        .iter()
        .map(|f| place.dir.path().join(f))
        .collect();
    let kept = aside
        .iter()
        .any(|f| std::fs::metadata(f).unwrap().ino() == log);
    assert!(kept, "{aside:?}");
    sqlx::Connection::close(reader).await.unwrap();
    assert!(std::fs::read(&place.path).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_for_a_change_is_told_that_the_file_is_gone() {
    for notices in ["writer", "reader"] {
        let (place, store) = written("alone").await;
        let at = store.changed(None).await.unwrap().revision;
        let mut waiting = Box::pin(store.changed(Some(at)));
        let first = std::future::poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context)));
        assert!(first.await.is_pending());
        std::fs::remove_file(&place.path).unwrap();
        match notices {
            "writer" => drop(write(&store).await.unwrap_err()),
            _ => drop(store.owners(&OwnerQuery::new()).await.unwrap_err()),
        }
        let error = ends(waiting).await.unwrap_err();
        assert_eq!(
            error.kind(),
            StoreErrorKind::Unavailable,
            "{notices}: {error}"
        );
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_to_a_file_that_was_moved_meanwhile_is_of_unknown_outcome() {
    let mut unknown = 0;
    for round in 0..20 {
        let (place, store) = written("alone").await;
        // Another writer holds the lock, so that the transaction waits in SQLite. The test cannot
        // see when it has come that far.
        let mut other = raw(&place.path).await;
        run(&mut other, "BEGIN IMMEDIATE").await;
        let mut writing = Box::pin(write(&store));
        let pause = std::time::Duration::from_millis(20 * (round + 1));
        assert!(tokio::time::timeout(pause, &mut writing).await.is_err());
        let moved = place.dir.path().join("moved.db");
        std::fs::rename(&place.path, &moved).unwrap();
        run(&mut other, "ROLLBACK").await;
        sqlx::Connection::close(other).await.unwrap();
        let error = ends(writing).await.unwrap_err();
        let mut expected = 20;
        match error.kind() {
            StoreErrorKind::OutcomeUnknown => (unknown, expected) = (unknown + 1, 21),
            kind => assert_eq!(kind, StoreErrorKind::Unavailable, "{error}"),
        }
        is_refused(&store, "afterwards", SqliteFile::Removed).await;
        ends(store.close()).await.unwrap();
        let store = SqliteStore::open(&moved).await.unwrap();
        let page = store.list(&Query::new()).await.unwrap();
        assert_eq!(page.items.len(), expected);
        store.close().await.unwrap();
        if unknown > 0 {
            return;
        }
    }
    panic!("no transaction was under way in 20 rounds");
}
