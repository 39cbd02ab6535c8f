//! Stores and runtimes that fail.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use action_store::watch::Waited;
use action_store::{ActionStore, ErrorKind};
use tokio::time::{Instant, sleep};

use crate::spy::*;

#[tokio::test(start_paused = true)]
async fn a_store_that_is_unavailable_is_asked_again_later_each_time() {
    for at_get in [true, false] {
        let store = Spy::new();
        let watcher = watcher(&store);
        let uid = created(&*store).await;
        match at_get {
            true => store.on_get(|| Some(Fate::Unavailable)),
            false => store.on_changed(|| Some(Fate::Unavailable)),
        }
        let waiting = wait_for(&watcher, uid);
        // A waiter with a deadline returns in time, with the reason.
        let begun = Instant::now();
        let error = watcher.wait_for(uid, seconds(60)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("as it was told"), "{error}");
        assert!(begun.elapsed() < millis(60_200), "{:?}", begun.elapsed());
        let (gets, changes, _) = store.counts();
        let asked = if at_get { gets } else { changes };
        assert!((60..=70).contains(&asked), "{asked}: one a second");

        store.heal();
        cancelled(&*store, uid).await;
        let begun = Instant::now();
        in_time(waiting).await.unwrap().unwrap();
        assert!(begun.elapsed() <= millis(1010), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_goes_on_after_a_changed_that_fails() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let uid = created(&*store).await;
    let mut calls = 0;
    store.on_changed(move || {
        calls += 1;
        (2..100).contains(&calls).then_some(Fate::Unavailable)
    });
    let waiting = wait_for(&watcher, uid);
    sleep(seconds(30)).await;
    let (gets, changes, _) = store.counts();
    assert_eq!(gets, 1, "nothing was known to have changed");
    assert!((30..45).contains(&changes), "{changes}");
    cancelled(&*store, uid).await;
    let ended = tokio::time::timeout(seconds(120), waiting).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn news_that_could_not_be_looked_at_are_not_forgotten() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let uid = created(&*store).await;
    let waiting = wait_for(&watcher, uid);
    sleep(seconds(1)).await;
    // The look after the last change there will be.
    let mut failures = 2;
    store.on_get(move || {
        failures -= 1;
        (failures >= 0).then_some(Fate::Unavailable)
    });
    let ended = cancelled(&*store, uid).await;
    assert_eq!(in_time(waiting).await.unwrap().unwrap(), ended);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_holds_nobody_who_has_an_end() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let uid = created(&*store).await;
    store.on_get(|| Some(Fate::Hangs));
    let begun = Instant::now();
    let error = watcher.wait_for(uid, seconds(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() < millis(5200), "{:?}", begun.elapsed());
    // The hung task ends with its last waiter, and a new task polls again.
    store.heal();
    sleep(millis(1)).await;
    let waited = watcher.wait_for(uid, millis(50)).await.unwrap();
    assert!(matches!(waited, Waited::Unfinished(_)));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_harms_nobody_else() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let mut waiting = Vec::new();
    let mut uids = Vec::new();
    for _ in 0..200 {
        let uid = created(&*store).await;
        uids.push(uid);
        let watcher = watcher.clone();
        waiting.push(tokio::spawn(async move { watcher.wait(uid).await }));
    }
    sleep(seconds(1)).await;
    let bad = [17, 18, 150];
    for index in bad {
        store.damage(uids[index]);
    }
    let (before, ..) = store.counts();
    for uid in &uids {
        // One that wakes the hub is enough; the others end while it looks.
        store.inner_cancel(*uid).await;
    }
    for (index, waiting) in waiting.into_iter().enumerate() {
        let waited = in_time(waiting).await.unwrap();
        match bad.contains(&index) {
            true => assert_eq!(waited.unwrap_err().kind(), ErrorKind::Corrupt),
            false => drop(waited.unwrap()),
        }
    }
    let (gets, ..) = store.counts();
    assert!(gets - before < 60, "{} for three bad rows", gets - before);
    // A further read of an unreadable action returns the same error.
    let error = in_time(watcher.wait(uids[17])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_closed_lets_everybody_go() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let uid = created(&*store).await;
    let waiting = wait_for(&watcher, uid);
    let mut watch = watcher.watch(uid);
    in_time(watch.next()).await.unwrap();
    let mut feed = watcher.watch_all(None).await.unwrap();
    sleep(seconds(1)).await;
    store.close().await.unwrap();
    let closed = |error: action_store::Error| assert_eq!(error.kind(), ErrorKind::Closed);
    closed(in_time(waiting).await.unwrap().unwrap_err());
    closed(in_time(watch.next()).await.unwrap_err());
    assert_eq!(in_time(watch.next()).await.unwrap(), None);
    closed(in_time(feed.next()).await.unwrap_err());
    closed(in_time(watcher.wait(uid)).await.unwrap_err());
    closed(watcher.watch_all(None).await.unwrap_err());
    drop(watch);
    assert_eq!(watcher.watched(), 0);
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_runtime_that_ends_lets_everybody_go() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let (first, second) = (runtime(), runtime());
    let (uid, other) = first.block_on(async { (created(&*store).await, created(&*store).await) });
    // The task is on the first runtime; the second has a waiter, too.
    let mut beside = watcher.watch(other);
    first.block_on(in_time(beside.next())).unwrap();
    let waiting = second.spawn({
        let watcher = watcher.clone();
        async move { watcher.wait(uid).await }
    });
    while watcher.watched() < 2 {
        std::thread::yield_now();
    }
    first.shutdown_background();
    let error = second.block_on(in_time(waiting)).unwrap();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Closed);
    // The next waiter starts a new task.
    let waited = second.block_on(watcher.wait_for(uid, Duration::from_millis(50)));
    assert!(matches!(waited.unwrap(), Waited::Unfinished(_)));
    let ended = second.block_on(cancelled(&*store, uid));
    assert_eq!(second.block_on(in_time(watcher.wait(uid))).unwrap(), ended);
}

#[test]
fn without_a_runtime_it_is_closed() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let uid = runtime().block_on(created(&*store));
    let mut waiting = Box::pin(watcher.wait(uid));
    let Poll::Ready(answer) = waiting
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("there is nothing to wait for")
    };
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);

    // Nor is there a timer here: the task cannot work, and says so.
    let bare = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    store.on_get(|| Some(Fate::Unavailable));
    let (said, hear) = std::sync::mpsc::channel();
    // In a thread that can be left alone: without a timer nothing here could give it up.
    let waiting = watcher.clone();
    std::thread::spawn(move || said.send(bare.block_on(waiting.wait(uid))));
    let error = hear.recv_timeout(seconds(60)).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(watcher.watched(), 0);
}
