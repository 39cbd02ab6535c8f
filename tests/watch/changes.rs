//! Watching one action.

use std::pin::Pin;

use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, Command, ErrorKind, NewAction, Status,
};
use futures_core::Stream;
use tokio::time::sleep;

use crate::spy::*;

#[tokio::test(start_paused = true)]
async fn a_watch_shows_each_change_and_then_the_end() {
    let store = Spy::new();
    let owner = owner(&*store).await;
    let uid = created(&*store).await;
    let mut watch = watcher(&store).watch(uid);
    let seen = in_time(watch.next()).await.unwrap().unwrap();
    assert_eq!(seen.status, Status::Queued);
    let early = tokio::time::timeout(seconds(30), watch.next()).await;
    assert!(early.is_err(), "nothing has changed");

    store.start(uid, &owner).await.unwrap();
    let seen = in_time(watch.next()).await.unwrap().unwrap();
    assert_eq!(seen.status, Status::Executing);
    for word in ["a", "b", "c"] {
        step(&*store, uid, &owner, word).await;
        let seen = in_time(watch.next()).await.unwrap().unwrap();
        assert_eq!(seen.step.as_deref(), Some(word));
    }
    let finish = action_store::Finish::new(action_store::Outcome::Succeeded);
    let ended = store.finish(uid, finish, Some(&owner)).await.unwrap();
    assert_eq!(in_time(watch.next()).await.unwrap(), Some(ended));
    for _ in 0..3 {
        assert_eq!(in_time(watch.next()).await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_latest_only_and_versions_rise() {
    let store = Spy::new();
    let owner = owner(&*store).await;
    let uid = started(&*store, &owner).await;
    let mut watch = watcher(&store).watch(uid);
    in_time(watch.next()).await.unwrap();
    for round in 0..1000 {
        step(&*store, uid, &owner, &round.to_string()).await;
        sleep(millis(20)).await;
    }
    let seen = in_time(watch.next()).await.unwrap().unwrap();
    assert_eq!(seen.step.as_deref(), Some("999"));

    // One that reads all the time, beside one that writes all the time.
    let writer = tokio::spawn({
        let (store, owner) = (store.clone(), owner.clone());
        async move {
            for round in 0..2000 {
                step(&*store, uid, &owner, &round.to_string()).await;
                sleep(millis(1)).await;
            }
            let finish = action_store::Finish::new(action_store::Outcome::Succeeded);
            store.finish(uid, finish, Some(&owner)).await.unwrap()
        }
    });
    let (mut last, mut shown) = (seen, 0);
    while let Some(seen) = in_time(watch.next()).await.unwrap() {
        assert!(seen.version > last.version, "{seen:?} after {last:?}");
        (last, shown) = (seen, shown + 1);
    }
    assert_eq!(last, writer.await.unwrap());
    assert!(
        (20..=202).contains(&shown),
        "{shown} in 2 s, at most one in 10 ms"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_an_action_that_goes() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let error = in_time(watcher.watch(ActionUid::new()).next()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);

    // Once for good, once with another of the same uid in its place.
    for replaced in [false, true] {
        let uid = created(&*store).await;
        let mut watch = watcher.watch(uid);
        in_time(watch.next()).await.unwrap();
        sleep(seconds(1)).await;
        let mut commands = vec![cancel(uid), remove(uid)];
        if replaced {
            let new = NewAction::task("other").with_uid(uid);
            commands.push(Command::create(new));
            commands.push(cancel(uid));
        }
        for answer in store.write(Batch::all(commands)).await.unwrap() {
            answer.unwrap();
        }
        if replaced {
            // Its second version is new to the watch, so it is shown as the end of it.
            let ended = in_time(watch.next()).await.unwrap().unwrap();
            assert_eq!(&*ended.name, "other");
        } else {
            let error = in_time(watch.next()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
        assert_eq!(in_time(watch.next()).await.unwrap(), None);
    }
    // One that is behind what was shown is another one.
    let owner = owner(&*store).await;
    let uid = started(&*store, &owner).await;
    let mut watch = watcher.watch(uid);
    let shown = in_time(watch.next()).await.unwrap().unwrap();
    let finish = Command::apply(
        uid,
        action_store::Change::Finish(action_store::Finish::new(action_store::Outcome::Succeeded)),
    )
    .by(owner);
    let new = NewAction::task("other").with_uid(uid);
    let commands = vec![
        finish,
        Command::remove(uid, shown.version.next()),
        Command::create(new),
    ];
    for answer in store.write(Batch::all(commands)).await.unwrap() {
        answer.unwrap();
    }
    let error = in_time(watch.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(watcher.watched(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_a_stream() {
    let store = Spy::new();
    let uid = created(&*store).await;
    let mut watch = watcher(&store).watch(uid);
    let mut statuses = Vec::new();
    while let Some(seen) = in_time(std::future::poll_fn(|context| {
        Pin::new(&mut watch).poll_next(context)
    }))
    .await
    {
        statuses.push(seen.unwrap().status);
        if statuses.len() == 1 {
            cancelled(&*store, uid).await;
        }
    }
    assert_eq!(statuses, [Status::Queued, Status::Completed]);
}
