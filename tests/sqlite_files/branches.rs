//! Copies of a store: each is another branch of it.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use action_store::query::Position;
use action_store::{
    ActionStore, ActionStoreExt, Cursor, ErrorKind, LogQuery, NewAction, Order, Query,
    SqliteOptions, SqliteStore, StoreErrorKind, Watcher,
};

use sqlx::sqlite::SqlitePool;

use super::{Place, ends, place, pool, shared};

async fn create(store: &SqliteStore, count: usize) {
    for _ in 0..count {
        store.create(NewAction::task("a")).await.unwrap();
    }
}

async fn position(store: &SqliteStore) -> Position {
    store.changed(None).await.unwrap()
}

/// Everything that a follower of a store may hold: where it is in the feed, in the log, in a list.
struct Held {
    feed: Cursor,
    in_feed: Cursor,
    log: Cursor,
    oldest: Cursor,
    newest: Cursor,
}

impl Held {
    /// After the last of what is there, but for one.
    async fn of(store: &SqliteStore) -> Held {
        let at = position(store).await;
        let most = u16::try_from(at.revision.get() - 1).unwrap();
        let page = |order| Query::new().with_order(order).with_limit(most);
        let next = async |order| store.list(&page(order)).await.unwrap().next.unwrap();
        let log = store.log(&LogQuery::all().with_limit(most)).await.unwrap();
        let newest = store.list(&Query::new().with_limit(1)).await.unwrap();
        Held {
            feed: Cursor::feed(at, at.revision),
            in_feed: next(Order::Feed).await,
            log: log.next.unwrap(),
            oldest: next(Order::Oldest).await,
            newest: newest.next.unwrap(),
        }
    }

    /// Returns true if a store goes on after all of them. The newest-first one is always good.
    async fn is_understood(&self, store: &SqliteStore) -> bool {
        let list = async |order, after| {
            let query = Query::new().with_order(order).with_after(Some(after));
            store.list(&query).await.map(|page| page.items.len())
        };
        list(Order::Newest, self.newest).await.unwrap();
        let log = LogQuery::all().with_after(Some(self.log));
        let answers = [
            list(Order::Feed, self.feed).await,
            list(Order::Feed, self.in_feed).await,
            list(Order::Oldest, self.oldest).await,
            store.log(&log).await.map(|page| page.items.len()),
        ];
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(error.kind(), StoreErrorKind::CursorExpired, "{error}");
        }
        let understood = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!([0, 4].contains(&understood), "{answers:?}");
        understood == 4
    }
}

/// A store, and the pool that it is on if it is on one: that is what keeps the file open.
struct Opened(SqliteStore, Option<SqlitePool>);

impl Deref for Opened {
    type Target = SqliteStore;

    fn deref(&self) -> &SqliteStore {
        &self.0
    }
}

impl Opened {
    async fn close(self) {
        self.0.close().await.unwrap();
        if let Some(pool) = self.1 {
            pool.close().await;
        }
    }
}

async fn open(way: &str, path: &Path) -> Opened {
    match way {
        "alone" => Opened(SqliteStore::open(path).await.unwrap(), None),
        "shared" => Opened(shared(path).await, None),
        _ => {
            let pool = pool(path).await;
            Opened(
                SqliteStore::on_pool(pool.clone()).await.unwrap(),
                Some(pool),
            )
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_refuses_the_positions_of_what_it_has_not_seen() {
    for way in ["alone", "shared", "pool"] {
        let place = place();
        let original = open(way, &place.path).await;
        create(&original, 10).await;
        let before = Held::of(&original).await;
        let copy = place.dir.path().join("copy.db");
        original.backup_to(&copy).await.unwrap();
        create(&original, 10).await;
        let after = Held::of(&original).await;
        assert!(before.is_understood(&original).await && after.is_understood(&original).await);

        let copy = open(way, &copy).await;
        assert!(before.is_understood(&copy).await, "{way}");
        // The copy's revision is behind, equal to, and ahead of the original's.
        for count in [0, 10, 50] {
            create(&copy, count).await;
            assert!(!after.is_understood(&copy).await, "{way}: {count} more");
        }
        let own = Held::of(&copy).await;
        assert!(own.is_understood(&copy).await);
        assert!(!own.is_understood(&original).await, "{way}");
        let (one, other) = (position(&original).await, position(&copy).await);
        assert!(one.store_id == other.store_id && one.branch != other.branch);

        // A copy of the copy.
        let third = place.dir.path().join("third.db");
        copy.backup_to(&third).await.unwrap();
        create(&copy, 10).await;
        let late = Held::of(&copy).await;
        copy.close().await;
        let third = open(way, &third).await;
        create(&third, 5).await;
        assert!(before.is_understood(&third).await && own.is_understood(&third).await);
        assert!(!after.is_understood(&third).await && !late.is_understood(&third).await);
        third.close().await;
        original.close().await;
    }
}

/// A backup, and the cursor of a follower that read on in the original.
async fn followed() -> (Place, Cursor, SqliteStore) {
    let place = place();
    let original = SqliteStore::open(&place.path).await.unwrap();
    create(&original, 10).await;
    let copy = place.dir.path().join("copy.db");
    original.backup_to(&copy).await.unwrap();
    create(&original, 10).await;
    let at = position(&original).await;
    original.close().await.unwrap();
    let copy = SqliteStore::open(&copy).await.unwrap();
    (place, Cursor::feed(at, at.revision), copy)
}

#[cfg(feature = "tracker")]
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_a_backup_is_told_and_sees_all_once_it_restarts() {
    for more in [0, 10, 50] {
        let (_place, cursor, copy) = followed().await;
        create(&copy, more).await;
        let copy = Arc::new(copy);
        let watcher = Watcher::new(copy.clone());
        let mut feed = watcher.watch_all(Some(cursor)).await.unwrap();
        for _ in 0..2 {
            let error = ends(feed.next()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CursorExpired, "{more}: {error}");
        }
        feed.restart().await.unwrap();
        for _ in 0..10 + more {
            ends(feed.next()).await.unwrap();
        }
        let resumed = feed.cursor().unwrap();
        create(&copy, 1).await;
        let shown = ends(feed.next()).await.unwrap();
        let mut again = watcher.watch_all(Some(resumed)).await.unwrap();
        assert_eq!(ends(again.next()).await.unwrap().uid, shown.uid);
        copy.close().await.unwrap();
    }
}

#[cfg(feature = "http")]
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_a_backup_is_told_over_http() {
    use action_store::http::{AllowAll, router};
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    for more in [0, 10, 50] {
        let (_place, cursor, copy) = followed().await;
        create(&copy, more).await;
        let copy = Arc::new(copy);
        let app = router(copy.clone(), AllowAll);
        let path = "/v1/actions/changes";
        let asked = [
            Request::get(format!("{path}?after={cursor}")),
            Request::get(path)
                .header("Accept", "text/event-stream")
                .header("Last-Event-ID", cursor.to_string()),
        ];
        for request in asked {
            let request = request.body(Body::empty()).unwrap();
            let answer = ends(app.clone().oneshot(request)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::GONE, "{more} more");
        }
        let fresh = Request::get(format!("{path}?after=0"));
        let fresh = fresh.body(Body::empty()).unwrap();
        let answer = ends(app.oneshot(fresh)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        copy.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_copied_while_closed_is_another_branch_and_a_renamed_one_is_not() {
    for way in ["alone", "shared", "pool"] {
        let place = place();
        let store = open(way, &place.path).await;
        create(&store, 10).await;
        let before = Held::of(&store).await;
        let branch = position(&store).await.branch;
        store.close().await;
        let copied = place.dir.path().join("copied.db");
        std::fs::copy(&place.path, &copied).unwrap();

        let store = open(way, &place.path).await;
        assert_eq!(position(&store).await.branch, branch, "{way}");
        create(&store, 10).await;
        let after = Held::of(&store).await;
        store.close().await;
        let renamed = place.dir.path().join("renamed.db");
        std::fs::rename(&place.path, &renamed).unwrap();
        let store = open(way, &renamed).await;
        assert_eq!(position(&store).await.branch, branch, "{way}");
        assert!(before.is_understood(&store).await && after.is_understood(&store).await);
        store.close().await;

        if way != "pool" {
            // A read-only store is another branch, too, though it cannot record it.
            let read_only = SqliteOptions::new().read_only();
            let reader = read_only.open(&copied).await.unwrap();
            assert_ne!(position(&reader).await.branch, branch, "{way}");
            assert!(before.is_understood(&reader).await);
            assert!(!after.is_understood(&reader).await);
            reader.close().await.unwrap();
        }
        let copy = open(way, &copied).await;
        let copied_branch = position(&copy).await.branch;
        assert_ne!(copied_branch, branch, "{way}");
        create(&copy, 50).await;
        assert!(before.is_understood(&copy).await, "{way}");
        assert!(!after.is_understood(&copy).await, "{way}");
        let own = Held::of(&copy).await;
        copy.close().await;
        let copy = open(way, &copied).await;
        assert_eq!(position(&copy).await.branch, copied_branch, "{way}");
        assert!(own.is_understood(&copy).await, "{way}");
        copy.close().await;
    }
}

/// Two who each put a copy of one backup in place must not share a branch.
#[tokio::test(flavor = "multi_thread")]
async fn two_copies_of_one_backup_are_two_branches() {
    let (place, _, copy) = followed().await;
    let first = position(&copy).await.branch;
    copy.close().await.unwrap();
    let (backup, again) = (
        place.dir.path().join("copy.db"),
        place.dir.path().join("again.db"),
    );
    std::fs::copy(&backup, &again).unwrap();
    let second = SqliteStore::open(&again).await.unwrap();
    assert_ne!(position(&second).await.branch, first);
    second.close().await.unwrap();
}
