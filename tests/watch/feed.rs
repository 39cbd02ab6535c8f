//! Watching all actions.

use std::collections::HashMap;
use std::sync::Arc;

use action_store::watch::Feed;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Cursor, ErrorKind, MemoryStore, NewAction,
    Query, Watcher,
};

use crate::spy::*;

/// Returns the items of a feed until it is idle for a while.
async fn drained(feed: &mut Feed) -> Vec<Arc<Action>> {
    let mut shown = Vec::new();
    while let Ok(action) = tokio::time::timeout(seconds(5), feed.next()).await {
        shown.push(action.unwrap());
    }
    shown
}

fn uids(actions: &[Arc<Action>]) -> Vec<ActionUid> {
    actions.iter().map(|action| action.uid).collect()
}

#[tokio::test(start_paused = true)]
async fn a_feed_begins_now_or_at_the_beginning() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let mut before = Vec::new();
    for _ in 0..250 {
        before.push(created(&*store).await);
    }
    let mut now = watcher.watch_all(None).await.unwrap();
    let mut all = watcher.watch_from_beginning();
    assert_eq!(all.cursor(), None);
    let after = created(&*store).await;
    cancelled(&*store, before[0]).await;
    assert_eq!(uids(&drained(&mut now).await), [after, before[0]]);
    let mut expected = before[1..].to_vec();
    expected.extend([after, before[0]]);
    assert_eq!(uids(&drained(&mut all).await), expected);
    // Several changes since are one.
    let owner = owner(&*store).await;
    let uid = started(&*store, &owner).await;
    step(&*store, uid, &owner, "copy").await;
    for feed in [&mut now, &mut all] {
        let shown = drained(feed).await;
        assert_eq!(uids(&shown), [uid]);
        assert_eq!(shown[0].step.as_deref(), Some("copy"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_goes_on_from_its_cursor() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let mut expected = Vec::new();
    for _ in 0..350 {
        expected.push(created(&*store).await);
    }
    // Given up after every number of actions: nothing is left out, less than a page shown again.
    for taken in [0, 1, 99, 100, 101, 250, 349, 350] {
        let mut feed = watcher.watch_from_beginning();
        let mut shown = Vec::new();
        for _ in 0..taken {
            shown.push(in_time(feed.next()).await.unwrap().uid);
        }
        let text = feed.cursor().map(|cursor| cursor.to_string());
        drop(feed);
        let mut feed = match text {
            None => watcher.watch_from_beginning(),
            Some(text) => {
                let cursor: Cursor = text.parse().unwrap();
                watcher.watch_all(Some(cursor)).await.unwrap()
            }
        };
        let rest = uids(&drained(&mut feed).await);
        let again = taken + rest.len() - expected.len();
        assert!(again < 100, "{again} again after {taken}");
        assert_eq!(shown, expected[..taken]);
        assert_eq!(rest, expected[taken - again..]);
    }
    let other = MemoryStore::new();
    let at = other.changed(None).await.unwrap();
    let cursor = Cursor::feed(at, at.revision);
    let mut feed = watcher.watch_all(Some(cursor)).await.unwrap();
    for _ in 0..3 {
        let error = in_time(feed.next()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_loses_nothing_that_is_still_there() {
    let store = Spy::new();
    let watcher = watcher(&store);
    for held in [0, 1, 150] {
        let mut feed = watcher.watch_all(None).await.unwrap();
        let mut before = Vec::new();
        for _ in 0..300 {
            before.push(created(&*store).await);
        }
        for _ in 0..held {
            in_time(feed.next()).await.unwrap();
        }
        let (gone, ended, queued) = (before[299], before[298], before[297]);
        for uid in [gone, ended] {
            cancelled(&*store, uid).await;
        }
        store.command(remove(gone)).await.unwrap();
        // Actions that the feed has already read are shown first.
        let mut shown = before[..held].to_vec();
        let error = loop {
            match in_time(feed.next()).await {
                Ok(action) => shown.push(action.uid),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::CursorExpired, "{held} held");
        let again = in_time(feed.next()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::CursorExpired);
        feed.restart().await.unwrap();
        shown.extend(uids(&drained(&mut feed).await));
        let mut expected = before[..298].to_vec();
        expected.push(ended);
        assert!(shown.contains(&queued) && shown.contains(&ended));
        assert_eq!(shown, expected, "{held} held");
        // It goes on, and expires again only when something else is removed unseen.
        let uid = created(&*store).await;
        assert_eq!(uids(&drained(&mut feed).await), [uid]);
        let cursor = feed.cursor().unwrap();
        cancelled(&*store, uid).await;
        store.command(remove(uid)).await.unwrap();
        let mut late = watcher.watch_all(Some(cursor)).await.unwrap();
        let error = in_time(late.next()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CursorExpired);
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_waits_while_the_store_is_unavailable() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let mut feed = watcher.watch_all(None).await.unwrap();
    let uid = created(&*store).await;
    store.on_list(|| Some(Fate::Unavailable));
    assert!(
        tokio::time::timeout(seconds(30), feed.next())
            .await
            .is_err()
    );
    let (.., lists) = store.counts();
    assert!((30..40).contains(&lists), "{lists}: one a second");
    store.heal();
    assert_eq!(in_time(feed.next()).await.unwrap().uid, uid);
    // A quiet store is not asked.
    let (_, changes, lists) = store.counts();
    assert!(
        tokio::time::timeout(seconds(600), feed.next())
            .await
            .is_err()
    );
    let (_, after, pages) = store.counts();
    assert!(after <= changes + 1 && pages <= lists + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_beside_writers_shows_the_last_state_of_each() {
    let store = Arc::new(MemoryStore::new());
    let watcher = Watcher::new(store.clone());
    let mut feed = watcher.watch_all(None).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            let owner = action_store::OwnerRef::new(ActionUid::new().to_string());
            let claim = action_store::Command::claim(owner.clone());
            store.command(claim).await.unwrap();
            for round in 0..200 {
                let uid = store.create(NewAction::task("a")).await.unwrap().uid;
                store.start(uid, &owner).await.unwrap();
                step(&*store, uid, &owner, "copy").await;
                if round % 2 == 0 {
                    let finish = action_store::Finish::new(action_store::Outcome::Succeeded);
                    store.finish(uid, finish, Some(&owner)).await.unwrap();
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let reader = async {
        let mut last: HashMap<ActionUid, Arc<Action>> = HashMap::new();
        let mut settled = 0;
        while settled < 1600 {
            let action = feed.next().await.unwrap();
            let is_last = |a: &Action| !a.is_unfinished() || a.step.is_some();
            if let Some(before) = last.insert(action.uid, action.clone()) {
                assert!(action.version > before.version);
            }
            settled = last.values().filter(|action| is_last(action)).count();
            let now = store.pages(Query::new());
            if settled == 1600 {
                // Actions of an odd round keep executing; the others may have one more change.
                for stored in now.collect().await.unwrap() {
                    if last[&stored.uid] != stored {
                        settled = 0;
                    }
                }
            }
        }
        last.len()
    };
    assert_eq!(in_time(reader).await, 1600);
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}
