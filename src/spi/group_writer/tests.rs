//! Tests of group commit, with a store that keeps only the names of the actions.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::model::{
    ActionUid, BranchId, Command, Effect, NewAction, OwnerRef, Revision, StoreId, WriteSet,
};
use crate::store::Durability;

/// A store that keeps nothing but the groups of its commits. Each commit waits for a permit.
struct Commits {
    writer: Arc<GroupWriter>,
    watch: Arc<PositionWatch>,
    groups: Arc<Mutex<Vec<Vec<String>>>>,
    permits: mpsc::Sender<()>,
}

/// Returns the names of a group's actions, and "owner" for a batch about an owner.
fn names(group: &Group) -> Vec<String> {
    let name = |request: &WriteRequest| match &request.batch.commands[..] {
        [Command::Create { new, .. }] => new.name.to_string(),
        _ => "owner".to_owned(),
    };
    group.requests.iter().map(name).collect()
}

/// `fail` returns the failure of a group with these names.
fn commits(
    timeout: Duration,
    fail: impl Fn(&[String]) -> Option<CommitError> + Send + 'static,
) -> Commits {
    let at = Position::new(StoreId::new(), BranchId::FIRST, Revision::ZERO);
    let watch = Arc::new(PositionWatch::new(at));
    let groups: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let (permits, waiting) = mpsc::channel();
    let (seen, mut position) = (groups.clone(), at);
    let commit = move |group: &Group| {
        let names = names(group);
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(names.clone());
        waiting.recv().unwrap();
        if let Some(error) = fail(&names) {
            return Err(error);
        }
        let mut txn = TxnState::new();
        let answers = group.plan(&mut txn, Timestamp::from_seconds(1));
        let write_set: WriteSet = txn.into_write_set();
        position = position.apply(&write_set, |_| None);
        Ok(Committed::new(answers, position))
    };
    let capabilities = Capabilities::new(Durability::Volatile);
    let writer = GroupWriter::spawn(capabilities, watch.clone(), timeout, commit).unwrap();
    Commits {
        writer: Arc::new(writer),
        watch,
        groups,
        permits,
    }
}

const LONG: Duration = Duration::from_secs(60);

type Written = tokio::task::JoinHandle<Result<Vec<Result<Done, Rejection>>, StoreError>>;

impl Commits {
    fn send(&self, batch: Batch) -> Written {
        let writer = self.writer.clone();
        tokio::spawn(async move { writer.write(batch).await })
    }

    fn create(&self, name: &str) -> Written {
        self.send(Batch::each(vec![Command::create(NewAction::task(name))]))
    }

    fn permit(&self, count: usize) {
        (0..count).for_each(|_| self.permits.send(()).unwrap());
    }

    fn groups(&self) -> Vec<Vec<String>> {
        self.groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until so many commits have begun.
    async fn begun(&self, count: usize) {
        while self.groups().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Begins a commit of "first", and lets other batches wait behind it.
    async fn busy(&self) -> Written {
        let first = self.create("first");
        self.begun(1).await;
        first
    }
}

/// Lets the spawned callers send their batches.
async fn turns() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn effect(answers: &Result<Vec<Result<Done, Rejection>>, StoreError>) -> Effect {
    answers.as_ref().unwrap()[0].as_ref().unwrap().effect
}

#[tokio::test]
async fn batches_that_wait_are_committed_together_and_owners_first() {
    let store = commits(LONG, |_| None);
    let first = store.busy().await;
    let (a, b) = (store.create("a"), store.create("b"));
    turns().await;
    let claim = Command::claim(OwnerRef::new("plane"));
    let owner = store.send(Batch::each(vec![claim]));
    turns().await;
    store.permit(2);
    for write in [first, a, b, owner] {
        assert_eq!(effect(&write.await.unwrap()), Effect::Applied);
    }
    let together = ["owner", "a", "b"].map(str::to_owned).to_vec();
    assert_eq!(store.groups(), [vec!["first".to_owned()], together]);
    // Each create takes a revision.
    assert_eq!(store.watch.position().revision, Revision::new(3));
}

#[tokio::test]
async fn a_batch_that_fails_does_not_fail_those_beside_it() {
    let damaged = |names: &[String]| {
        let error = StoreError::new(StoreErrorKind::Corrupt, "write", "damaged");
        names.iter().any(|name| name == "bad").then(|| error.into())
    };
    let store = commits(LONG, damaged);
    let first = store.busy().await;
    let writes = ["a", "bad", "b"].map(|name| store.create(name));
    turns().await;
    store.permit(5);
    let [a, bad, b] = writes;
    for write in [first, a, b] {
        assert_eq!(effect(&write.await.unwrap()), Effect::Applied);
    }
    let error = bad.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    let sizes: Vec<usize> = store.groups().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 3, 1, 1, 1]);
}

#[tokio::test]
async fn a_failure_of_the_store_is_not_tried_again() {
    let full = |names: &[String]| {
        let error = StoreError::new(StoreErrorKind::OutcomeUnknown, "write", "lost");
        (names.len() > 1).then(|| error.into())
    };
    let store = commits(LONG, full);
    let first = store.busy().await;
    let writes = ["a", "b"].map(|name| store.create(name));
    turns().await;
    store.permit(2);
    assert_eq!(effect(&first.await.unwrap()), Effect::Applied);
    for write in writes {
        let error = write.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
    }
    assert_eq!(store.groups().len(), 2);
}

#[tokio::test]
async fn a_late_batch_is_withdrawn_unless_its_commit_has_begun() {
    let store = commits(Duration::from_millis(50), |_| None);
    let first = store.busy().await;
    let waiting = store.create("waiting");
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    store.permit(2);
    store.writer.close().await.unwrap();
    assert_eq!(store.groups(), [["first"]]);
}

#[tokio::test]
async fn a_close_carries_out_what_was_taken_and_refuses_the_rest() {
    let store = commits(LONG, |_| None);
    let first = store.busy().await;
    let taken = store.create("taken");
    turns().await;
    // A dropped future does not cancel its batch.
    store.create("dropped").abort();
    let dropped = {
        let (writer, uid) = (store.writer.clone(), ActionUid::new());
        let new = NewAction::task("kept").with_uid(uid);
        let mut write =
            Box::pin(async move { writer.write(Batch::each(vec![Command::create(new)])).await });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        write.as_mut().poll(&mut context).is_pending()
    };
    assert!(dropped);
    let closing = {
        let writer = store.writer.clone();
        tokio::spawn(async move { writer.close().await })
    };
    turns().await;
    let late = store.create("late").await.unwrap().unwrap_err();
    assert_eq!(late.kind(), StoreErrorKind::Closed);
    store.permit(2);
    closing.await.unwrap().unwrap();
    for write in [first, taken] {
        assert_eq!(effect(&write.await.unwrap()), Effect::Applied);
    }
    let last = store.groups().pop().unwrap();
    assert!(last.contains(&"taken".to_owned()) && last.contains(&"kept".to_owned()));
    store.writer.close().await.unwrap();
}

#[tokio::test]
async fn a_panic_of_a_commit_closes_the_store() {
    let store = commits(LONG, |_| panic!("on purpose"));
    let first = store.busy().await;
    store.permit(1);
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
    let closed = store.watch.changed(Some(Revision::ZERO)).await;
    assert_eq!(closed.unwrap_err().kind(), StoreErrorKind::Closed);
    let next = store.create("a").await.unwrap().unwrap_err();
    assert_eq!(next.kind(), StoreErrorKind::Closed);
    let error = store.writer.close().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn a_batch_is_withdrawn_while_another_one_is_tried_alone() {
    let damaged = |names: &[String]| {
        let error = StoreError::new(StoreErrorKind::Corrupt, "write", "damaged");
        (names.len() > 1).then(|| error.into())
    };
    let store = commits(Duration::from_millis(300), damaged);
    let first = store.busy().await;
    let (tried, waiting) = (store.create("tried"), store.create("waiting"));
    turns().await;
    // The first one, and the two together. Then one waits alone for its commit.
    store.permit(2);
    assert_eq!(effect(&first.await.unwrap()), Effect::Applied);
    store.begun(3).await;
    let error = tried.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    store.permit(1);
    store.writer.close().await.unwrap();
    assert_eq!(store.groups().len(), 3);
}
