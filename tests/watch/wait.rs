//! Waiting for the end of an action.

use std::sync::Arc;

use action_store::watch::Waited;
use action_store::{ActionStore, ActionUid, Batch, ErrorKind, Outcome, Status};
use tokio::time::{Instant, sleep};

use crate::spy::*;

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_action() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let uid = created(&*store).await;
    let waiting = wait_for(&watcher, uid);
    sleep(seconds(30)).await;
    assert!(!waiting.is_finished());
    let ended = cancelled(&*store, uid).await;
    assert_eq!(in_time(waiting).await.unwrap().unwrap(), ended);
    // And at once when it is over already.
    assert_eq!(in_time(watcher.wait(uid)).await.unwrap(), ended);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_missing_or_removed_action_returns_not_found() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let uid = created(&*store).await;
    let nowhere = ActionUid::new();
    let error = in_time(watcher.wait(nowhere)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&nowhere.to_string()), "{error}");

    // The action is ended and removed in one transaction: no reader ever sees it completed.
    let waiting = wait_for(&watcher, uid);
    sleep(seconds(1)).await;
    let gone = Batch::all(vec![cancel(uid), remove(uid)]);
    for answer in store.write(gone).await.unwrap() {
        answer.unwrap();
    }
    let error = in_time(waiting).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_wait_with_an_end_shows_the_action_as_it_is() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let owner = owner(&*store).await;
    let uid = started(&*store, &owner).await;
    let waiting = tokio::spawn({
        let watcher = watcher.clone();
        async move {
            let begun = Instant::now();
            (watcher.wait_for(uid, seconds(10)).await, begun.elapsed())
        }
    });
    sleep(seconds(5)).await;
    step(&*store, uid, &owner, "copy").await;
    let (waited, took) = waiting.await.unwrap();
    let Waited::Unfinished(action) = waited.unwrap() else {
        panic!("it is not completed")
    };
    assert_eq!(action.step.as_deref(), Some("copy"));
    assert!(seconds(10) <= took && took < millis(10_010), "{took:?}");

    let queued = created(&*store).await;
    cancelled(&*store, queued).await;
    let waited = in_time(watcher.wait_for(queued, seconds(10)))
        .await
        .unwrap();
    assert!(matches!(&waited, Waited::Completed(a) if a.outcome == Some(Outcome::Cancelled)));
    // However long: no arithmetic goes over.
    let forever = in_time(watcher.wait_for(queued, std::time::Duration::MAX)).await;
    assert_eq!(forever.unwrap(), waited);
}

#[tokio::test(start_paused = true)]
async fn the_first_result_is_not_older_than_the_call() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let owner = owner(&*store).await;
    let uid = started(&*store, &owner).await;
    let mut beside = watcher.watch(uid);
    in_time(beside.next()).await.unwrap();
    // The hub has the action as it was; who comes after a change must not be shown that.
    for round in 0..50 {
        let word = format!("round {round}");
        step(&*store, uid, &owner, &word).await;
        let waited = watcher.wait_for(uid, millis(0)).await.unwrap();
        assert_eq!(waited.into_action().step.as_deref(), Some(word.as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_of_several_ends_the_wait() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let mut uids = Vec::new();
    for _ in 0..1000 {
        uids.push(created(&*store).await);
    }
    let waiting = tokio::spawn({
        let (watcher, uids) = (watcher.clone(), uids.clone());
        async move { watcher.wait_any(&uids).await }
    });
    sleep(seconds(1)).await;
    assert_eq!(watcher.watched(), 1000);
    let ended = cancelled(&*store, uids[700]).await;
    assert_eq!(in_time(waiting).await.unwrap().unwrap(), ended);
    // Of several the one named first, also when it is named twice.
    let other = cancelled(&*store, uids[3]).await;
    let named = [uids[5], uids[700], uids[3], uids[700]];
    assert_eq!(in_time(watcher.wait_any(&named)).await.unwrap(), ended);
    let named = [uids[5], uids[3], uids[700]];
    assert_eq!(in_time(watcher.wait_any(&named)).await.unwrap(), other);
    let neither = [uids[5], ActionUid::new()];
    let error = in_time(watcher.wait_any(&neither)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    let error = watcher.wait_any(&[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    uids.push(ActionUid::new());
    let error = watcher.wait_any(&uids).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(watcher.watched(), 0);
}

/// A change right before and right after the first look-up, and right before and after the answer
/// of the first `changed` that waits.
#[tokio::test(start_paused = true)]
async fn no_change_is_missed_between_two_steps() {
    for moment in 0..6 {
        let store = Spy::new();
        let watcher = watcher(&store);
        let uid = created(&*store).await;
        let mut end = Some(Batch::each(vec![cancel(uid)]));
        let mut calls = 0;
        let rule = move |on: i32, before: bool| {
            calls += 1;
            let now = if calls == on { end.take() } else { None };
            now.map(|end| match before {
                true => Fate::Before(end),
                false => Fate::After(end),
            })
        };
        let mut rule = rule;
        match moment {
            0 => store.on_get(move || rule(1, true)),
            1 => store.on_get(move || rule(1, false)),
            // The first only asks where the store stands, the second waits.
            2 => store.on_changed(move || rule(1, true)),
            3 => store.on_changed(move || rule(1, false)),
            4 => store.on_changed(move || rule(2, true)),
            _ => store.on_changed(move || rule(2, false)),
        }
        let waiting = wait_for(&watcher, uid);
        if moment == 5 {
            // Something else wakes it; the end comes between that and the look.
            sleep(seconds(1)).await;
            created(&*store).await;
        }
        let ended = in_time(waiting).await.unwrap().unwrap();
        assert_eq!(ended.status, Status::Completed, "moment {moment}");
    }
    // The same for who comes when the task waits already.
    for before in [true, false] {
        let store = Spy::new();
        let watcher = watcher(&store);
        let (first, uid) = (created(&*store).await, created(&*store).await);
        let mut beside = watcher.watch(first);
        in_time(beside.next()).await.unwrap();
        sleep(seconds(1)).await;
        let mut end = Some(Batch::each(vec![cancel(uid)]));
        store.on_get(move || {
            end.take().map(|end| match before {
                true => Fate::Before(end),
                false => Fate::After(end),
            })
        });
        let ended = in_time(watcher.wait(uid)).await.unwrap();
        assert_eq!(ended.status, Status::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_leaves_nothing_behind() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let mut uids = Vec::new();
    for _ in 0..100 {
        uids.push(created(&*store).await);
    }
    let mut waiting = Vec::new();
    for (index, uid) in uids.iter().copied().enumerate() {
        let (watcher, uids) = (watcher.clone(), uids.clone());
        waiting.push(tokio::spawn(async move {
            match index % 3 {
                0 => drop(watcher.wait(uid).await),
                1 => drop(watcher.wait_any(&uids).await),
                _ => {
                    let mut watch = watcher.watch(uid);
                    while watch.next().await.is_ok() {}
                }
            }
        }));
    }
    sleep(seconds(1)).await;
    assert_eq!(watcher.watched(), 100);
    for (stopped, waiting) in waiting.into_iter().enumerate() {
        assert!(watcher.watched() > 0, "{stopped} have stopped");
        waiting.abort();
        let _aborted = waiting.await;
    }
    assert_eq!(watcher.watched(), 0);
    // The task has ended, too: it neither holds nor queries the store.
    drop(watcher);
    sleep(seconds(1)).await;
    assert_eq!(Arc::strong_count(&store), 1);
}
