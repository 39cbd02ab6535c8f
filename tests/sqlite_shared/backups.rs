//! Copies made while the store is in use, and what the store says of itself.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use action_store::conformance::check_store;
use action_store::sqlite::SqliteAccess;
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, NewAction, SqliteOptions, SqliteStore, StoreErrorKind,
};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::{beside, ends, place, poll_times, pool, raw, reopened_and_checked, shared};

/// Eight that write, and what was acknowledged to them.
struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<ActionUid>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    fn start(store: &Arc<SqliteStore>) -> Writers {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let tasks = (0..8).map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            let acknowledged: Arc<Mutex<Vec<_>>> = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                while !stop.load(Ordering::Acquire) {
                    let new = NewAction::task("copied").with_description("d".repeat(500));
                    let uid = store.create(new).await.unwrap().uid;
                    acknowledged.lock().unwrap().push(uid);
                }
            })
        });
        let tasks = tasks.collect();
        Writers {
            stop,
            acknowledged,
            tasks,
        }
    }

    fn acknowledged(&self) -> Vec<ActionUid> {
        self.acknowledged.lock().unwrap().clone()
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Release);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn stores(path: &std::path::Path) -> [Arc<SqliteStore>; 3] {
    let alone = super::place();
    let exclusive = SqliteStore::open(alone.dir.keep().join("alone.db"))
        .await
        .unwrap();
    let on_pool = SqliteOptions::new()
        .on_pool(pool(path, 2).await)
        .await
        .unwrap();
    [exclusive, on_pool, shared(path).await].map(Arc::new)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_while_eight_write_has_all_that_was_acknowledged_before() {
    let place = place();
    for (round, store) in stores(&place.path).await.into_iter().enumerate() {
        let writers = Writers::start(&store);
        while writers.acknowledged().len() < 100 {
            tokio::task::yield_now().await;
        }
        for copy in 0..3 {
            let path = place.dir.path().join(format!("{round}-{copy}.db"));
            let before = writers.acknowledged();
            store.backup_to(&path).await.unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let again = store.backup_to(&path).await.unwrap_err();
            assert_eq!(again.kind(), StoreErrorKind::Unavailable, "{again}");
            let (copied, checked) = reopened_and_checked(&path).await;
            for some in before.chunks(500) {
                let found = copied.get(some).await.unwrap();
                assert!(found.iter().all(Option::is_some), "{round}, {copy}");
            }
            assert!(checked.actions >= before.len());
            // A store like any other.
            copied.create(NewAction::task("after")).await.unwrap();
            copied.close().await.unwrap();
        }
        writers.end().await;
        check_store(&*store).await.unwrap();
        store.close().await.unwrap();
    }
    let left: Vec<String> = place.files();
    assert!(!left.iter().any(|file| file.contains(".new")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_to_one_place_are_one_whole_copy() {
    let place = place();
    let store = Arc::new(shared(&place.path).await);
    let writers = Writers::start(&store);
    while writers.acknowledged().len() < 300 {
        tokio::task::yield_now().await;
    }
    let acknowledged = writers.acknowledged().len();
    writers.end().await;
    for round in 0..10 {
        let path = place.dir.path().join(format!("{round}.copy"));
        // A cancelled call goes on in the background, so the next calls meet it.
        let given_up = poll_times(store.backup_to(&path), 1).await;
        assert!(given_up.is_none());
        let answers = tokio::join!(store.backup_to(&path), store.backup_to(&path));
        for answer in [answers.0, answers.1] {
            if let Err(error) = answer {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            }
        }
        // The later calls were refused, but one of the calls makes the copy and releases it.
        let made = async {
            let options = SqliteOptions::new().must_exist().verify_schema();
            loop {
                match options.clone().open(&path).await {
                    Ok(copied) => break copied,
                    Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let copied = ends(made).await;
        let checked = check_store(&copied).await.unwrap();
        assert!(checked.actions >= acknowledged, "round {round}");
        copied.close().await.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_log_that_is_left_where_a_copy_is_made_is_not_taken_into_it() {
    let place = place();
    let store = shared(&place.path).await;
    store.create(NewAction::task("a")).await.unwrap();
    let path = place.dir.path().join("copy.db");
    // The WAL of another store whose database was moved away.
    let other = super::place();
    let theirs = SqliteStore::open(&other.path).await.unwrap();
    theirs.create(NewAction::task("theirs")).await.unwrap();
    std::fs::copy(beside(&other.path, "-wal"), beside(&path, "-wal")).unwrap();
    theirs.close().await.unwrap();
    let refused = store.backup_to(&path).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "{refused}");
    assert!(!path.exists());
    store.close().await.unwrap();
}

async fn pragma(connection: &mut SqliteConnection, name: &str) -> u64 {
    let sql = sqlx::AssertSqlSafe(format!("PRAGMA {name}"));
    let value: i64 = sqlx::query_scalar(sql).fetch_one(connection).await.unwrap();
    u64::try_from(value).unwrap()
}

#[tokio::test]
async fn the_diagnostics_are_correct() {
    let place = place();
    let alone = super::place();
    let exclusive = SqliteStore::open(&alone.path).await.unwrap();
    let sharing = shared(&place.path).await;
    let on_pool = SqliteStore::on_pool(pool(&place.path, 1).await)
        .await
        .unwrap();
    for (store, access) in [
        (exclusive, SqliteAccess::Exclusive),
        (sharing, SqliteAccess::Shared),
        (on_pool, SqliteAccess::HostPool),
    ] {
        for _ in 0..20 {
            let long = NewAction::task("a").with_description("d".repeat(4000));
            store.create(long).await.unwrap();
        }
        let said = store.diagnostics().await.unwrap();
        let mut other = raw(store.path()).await;
        assert_eq!((said.access, &*said.path), (access, store.path()));
        let page = pragma(&mut other, "page_size").await;
        let pages = pragma(&mut other, "page_count").await;
        assert_eq!(said.database_bytes, page * pages);
        assert!(said.database_bytes > 80_000);
        let free = pragma(&mut other, "freelist_count").await;
        assert_eq!(said.free_bytes, page * free);
        let log = std::fs::metadata(beside(store.path(), "-wal"))
            .unwrap()
            .len();
        assert!(said.log_bytes == log && log > 0, "{} {log}", said.log_bytes);
        assert_eq!((&*said.journal_mode, said.synchronous), ("wal", 2));
        assert_eq!(said.busy_timeout.as_secs(), 5);
        let version: String = sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&mut other)
            .await
            .unwrap();
        assert_eq!(said.sqlite_version, version);
        assert!(!said.wal_reset_bug, "the bundled one");
        assert_eq!(said.schema_version as usize, SqliteStore::schema().len());
        assert_eq!(said.position, store.changed(None).await.unwrap());
        assert_eq!(said.queued_bytes, 0);
        other.close().await.unwrap();
        store.close().await.unwrap();
        let late = store.diagnostics().await.unwrap_err();
        assert_eq!(late.kind(), StoreErrorKind::Closed);
    }
}
