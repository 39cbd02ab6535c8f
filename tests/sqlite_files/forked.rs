//! A forked process uses the store of its parent.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use action_store::owner::OwnerQuery;
use action_store::{
    ActionStore, ActionStoreExt, NewAction, Query, SqliteStore, StoreError, StoreErrorKind,
};
use fork::Fork;

use super::children::{Child, say};
use super::{ends, place};

/// The error of a call at its first poll. A forked process has no threads that could drive it.
fn at_once<T>(call: impl Future<Output = Result<T, StoreError>>) -> Option<StoreErrorKind> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => Some(error.kind()),
        Poll::Ready(Ok(_)) | Poll::Pending => None,
    }
}

/// Names the calls that do not say `Closed` in a forked process.
fn not_refused(store: SqliteStore) -> Vec<&'static str> {
    let batch = super::attack::creating(NewAction::task("a"));
    let query = Query::new();
    let log = action_store::LogQuery::all();
    let copy = store.path().with_file_name("copy.db");
    let answers = [
        ("write", at_once(store.write(batch))),
        ("get", at_once(store.get(&[]))),
        ("list", at_once(store.list(&query))),
        ("log", at_once(store.log(&log))),
        ("owners", at_once(store.owners(&OwnerQuery::new()))),
        ("changed", at_once(store.changed(None))),
        ("diagnostics", at_once(store.diagnostics())),
        ("backup_to", at_once(store.backup_to(&copy))),
        ("close", at_once(store.close())),
    ];
    drop(store);
    let closed = Some(StoreErrorKind::Closed);
    let others = answers.into_iter().filter(|(_, kind)| *kind != closed);
    others.map(|(name, _)| name).collect()
}

pub(crate) async fn fork_and_use(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    store.create(NewAction::task("a")).await.unwrap();
    match fork::fork().unwrap() {
        Fork::Child => {
            let wrong = not_refused(store);
            say(&format!("not refused: {wrong:?}"));
            std::process::exit(0);
        }
        Fork::Parent(child) => {
            fork::waitpid(child).unwrap();
            // The parent's lock is its own.
            let second = SqliteStore::open(path).await.map(drop);
            assert_eq!(second.unwrap_err().kind(), StoreErrorKind::Unavailable);
            store.create(NewAction::task("a")).await.unwrap();
            store.close().await.unwrap();
            say("the parent goes on");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forked_process_that_uses_the_store_is_told_that_it_is_closed() {
    let place = place();
    let path = place.path.clone();
    let forker = tokio::task::spawn_blocking(move || {
        let mut forker = Child::start("forker", &path, "");
        assert_eq!(forker.heard().as_deref(), Some("not refused: []"));
        assert_eq!(forker.heard().as_deref(), Some("the parent goes on"));
        assert!(forker.ended().success());
    });
    ends(forker).await.unwrap();
}
