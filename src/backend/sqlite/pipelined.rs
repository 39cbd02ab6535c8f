//! Tests of transactions that are planned while another one is under way.

use std::sync::Arc;

use crate::model::{Batch, CancelRequest, Change, Command, Finish, NewAction, OpId, Outcome};
use crate::store::{ActionStore, ActionStoreExt};
use crate::{Action, SqliteOptions, SqliteStore, StoreErrorKind as ErrorKind};

/// A store that plans one transaction during another whenever two batches wait.
async fn open(dir: &tempfile::TempDir, mut options: SqliteOptions) -> SqliteStore {
    options.sql.always_parts = true;
    options.open(dir.path().join("actions.db")).await.unwrap()
}

fn create(new: Arc<NewAction>) -> Command {
    Command::Create { new, by: None }
}

fn request_cancel(action: &Action) -> Command {
    Command::apply(action.uid, Change::RequestCancel(CancelRequest::default()))
}

/// Many actions, then one that exists but that the cache assumes to be new.
async fn refused_in_the_end(store: &SqliteStore, first: Command) -> Batch {
    let there = store.create(NewAction::task("there")).await.unwrap();
    let end = Finish::new(Outcome::Cancelled);
    store.finish(there.uid, end, None).await.unwrap();
    let mut commands = vec![first];
    commands.extend((0..400).map(|_| create(NewAction::task("new").into())));
    commands.push(create(NewAction::task("other").with_uid(there.uid).into()));
    Batch::all(commands)
}

#[tokio::test]
async fn what_was_planned_on_a_transaction_that_fails_is_planned_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, SqliteOptions::new()).await;
    let action = store.create(NewAction::task("a")).await.unwrap();
    let refused = refused_in_the_end(&store, request_cancel(&action)).await;
    // Sent in sequence, before the writer runs.
    let meanwhile = Batch::each(vec![request_cancel(&action)]);
    let (refused, meanwhile) = tokio::join!(store.write(refused), store.write(meanwhile));
    assert!(refused.unwrap().iter().all(Result::is_err));
    let requested = meanwhile.unwrap().pop().unwrap().unwrap().action.unwrap();
    // The first request was not applied: this one is the second version, not a repeat.
    assert_eq!(requested.version.get(), 2);
    assert_eq!(store.action(action.uid).await.unwrap(), Some(requested));
    let end = Finish::new(Outcome::Cancelled);
    let ended = store.finish(action.uid, end, None).await.unwrap();
    assert_eq!(ended.version.get(), 3);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_fails_for_want_of_room_leaves_what_was_planned_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, SqliteOptions::new().with_max_bytes(600 * 1024)).await;
    let action = store.create(NewAction::task("a")).await.unwrap();
    let long = || NewAction::task("long").with_description("x".repeat(4000));
    let large = Batch::all((0..400).map(|_| create(long().into())).collect());
    let meanwhile = Batch::each(vec![request_cancel(&action)]);
    let (large, meanwhile) = tokio::join!(store.write(large), store.write(meanwhile));
    assert_eq!(large.unwrap_err().kind(), ErrorKind::Unavailable);
    let requested = meanwhile.unwrap().pop().unwrap().unwrap().action.unwrap();
    assert_eq!(requested.version.get(), 2);
    assert_eq!(store.action(action.uid).await.unwrap(), Some(requested));
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_was_removed_meanwhile_is_told_by_the_next_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, SqliteOptions::new()).await;
    let action = store.create(NewAction::task("a")).await.unwrap();
    let gone = store.create(NewAction::task("gone")).await.unwrap();
    let end = Command::Apply {
        uid: gone.uid,
        op: OpId::new(),
        change: Change::Finish(Finish::new(Outcome::Cancelled)),
        by: None,
        if_version: None,
    };
    let remove = Command::Remove {
        uid: gone.uid,
        if_version: gone.version.next(),
    };
    let removed = Batch::all(vec![end, remove]);
    let meanwhile = Batch::each(vec![request_cancel(&action)]);
    let (removed, meanwhile) = tokio::join!(store.write(removed), store.write(meanwhile));
    assert!(removed.unwrap().iter().all(Result::is_ok));
    meanwhile.unwrap().pop().unwrap().unwrap();
    let at = store.changed(None).await.unwrap();
    assert!(at.pruned_through.get() > 0, "{at:?}");
    let page = store.list(&crate::Query::new()).await.unwrap();
    assert_eq!(page.at, at);
    store.close().await.unwrap();
}
