//! On SQLite and PostgreSQL: alone, and between two who share one store.

use std::sync::Arc;
use std::time::Duration;

use action_store::watch::Waited;
use action_store::{ActionStore, Cursor, SqliteOptions, Watcher};

use crate::spy::{cancelled, created, in_time, owner, started, step, wait_for};

#[cfg(all(unix, feature = "postgres"))]
#[path = "../support/postgres.rs"]
#[allow(dead_code)]
mod server;

/// Where the store of a test is: it can be opened again, and twice at the same time if `shared`.
enum Place {
    Sqlite {
        dir: tempfile::TempDir,
        shared: bool,
    },
    #[cfg(all(unix, feature = "postgres"))]
    Postgres { url: String, schema: String },
}

impl Place {
    /// Returns one place for each kind of store.
    fn each(shared: bool) -> Vec<Place> {
        let dir = tempfile::tempdir().unwrap();
        #[allow(unused_mut)]
        let mut places = vec![Place::Sqlite { dir, shared }];
        #[cfg(all(unix, feature = "postgres"))]
        {
            let test = std::thread::current().name().unwrap_or("?").to_owned();
            let server = server::Server::shared(&format!("{test} on PostgreSQL"));
            places.extend(server.map(|server| Place::Postgres {
                url: server.url(),
                schema: server::new_schema(),
            }));
        }
        places
    }

    async fn open(&self) -> Arc<dyn ActionStore> {
        match self {
            Place::Sqlite { dir, shared } => {
                let options = SqliteOptions::new();
                let options = if *shared { options.shared() } else { options };
                let store = options.open(dir.path().join("plane.db")).await;
                Arc::new(store.unwrap())
            }
            #[cfg(all(unix, feature = "postgres"))]
            Place::Postgres { url, schema } => {
                let options = action_store::PostgresOptions::new().with_schema(schema);
                Arc::new(options.connect(url).await.unwrap())
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_wakes_who_waits_in_the_same_process() {
    for place in Place::each(false) {
        wakes_in_the_same_process(place.open().await).await;
    }
}

async fn wakes_in_the_same_process(store: Arc<dyn ActionStore>) {
    let watcher = Watcher::new(store.clone());
    for _ in 0..50 {
        let uid = created(&*store).await;
        let waiting = wait_for(&watcher, uid);
        let ended = cancelled(&*store, uid).await;
        assert_eq!(in_time(waiting).await.unwrap().unwrap(), ended);
    }
    assert_eq!(watcher.watched(), 0);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_by_one_wakes_who_waits_with_another() {
    for place in Place::each(true) {
        wakes_with_another(place.open().await, place.open().await).await;
    }
}

async fn wakes_with_another(here: Arc<dyn ActionStore>, there: Arc<dyn ActionStore>) {
    let watcher = Watcher::new(there);
    let mut uids = Vec::new();
    for _ in 0..20 {
        uids.push(created(&*here).await);
    }
    let mut feed = watcher.watch_all(None).await.unwrap();
    let mut waiting = Vec::new();
    for uid in uids.iter().copied() {
        let watcher = watcher.clone();
        waiting.push(tokio::spawn(async move { watcher.wait(uid).await }));
    }
    let waited = watcher.wait_for(uids[0], Duration::from_millis(100)).await;
    assert!(matches!(waited.unwrap(), Waited::Unfinished(_)));
    for (uid, waiting) in uids.iter().zip(waiting) {
        let ended = cancelled(&*here, *uid).await;
        assert_eq!(in_time(waiting).await.unwrap().unwrap(), ended);
        assert_eq!(in_time(feed.next()).await.unwrap(), ended);
    }
    let owner = owner(&*here).await;
    let uid = started(&*here, &owner).await;
    let mut watch = watcher.watch(uid);
    in_time(watch.next()).await.unwrap();
    for word in ["a", "b"] {
        step(&*here, uid, &owner, word).await;
        let seen = in_time(watch.next()).await.unwrap().unwrap();
        assert_eq!(seen.step.as_deref(), Some(word));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_goes_on_after_the_store_was_opened_again() {
    for place in Place::each(false) {
        goes_on_after_opening_again(place).await;
    }
}

async fn goes_on_after_opening_again(place: Place) {
    let mut cursor: Option<Cursor> = None;
    for store_id in 0..3 {
        let store = place.open().await;
        let watcher = Watcher::new(store.clone());
        let mut feed = match cursor {
            None => watcher.watch_from_beginning(),
            Some(cursor) => {
                let text = cursor.to_string();
                watcher
                    .watch_all(Some(text.parse().unwrap()))
                    .await
                    .unwrap()
            }
        };
        if store_id > 0 {
            // Changes after the cursor, made before the reopening.
            let left = in_time(feed.next()).await.unwrap();
            assert!(!left.is_unfinished());
        }
        let uid = created(&*store).await;
        let shown = in_time(feed.next()).await.unwrap();
        assert_eq!((shown.uid, shown.is_unfinished()), (uid, true));
        cursor = feed.cursor();
        cancelled(&*store, uid).await;
        drop((feed, watcher));
        store.close().await.unwrap();
    }
}
