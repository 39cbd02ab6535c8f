//! A store in memory that counts its calls, and does extra work on request.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::action::Version;
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Capabilities, Command, Done, Finish,
    LogEntry, LogQuery, MemoryStore, NewAction, Outcome, OwnerRef, Page, Query, Rejection, Report,
    StoreError, StoreErrorKind, Watcher,
};
use async_trait::async_trait;

/// The result of a call.
#[derive(Debug)]
pub(crate) enum Fate {
    Unavailable,
    Hangs,
    /// Another caller writes before the call is answered.
    Before(Batch),
    /// Another caller writes after the call is answered, before the answer arrives.
    After(Batch),
}

type Rule = Box<dyn FnMut() -> Option<Fate> + Send>;

#[derive(Default)]
pub(crate) struct Spy {
    pub(crate) inner: MemoryStore,
    pub(crate) gets: AtomicUsize,
    pub(crate) lists: AtomicUsize,
    pub(crate) changes: AtomicUsize,
    damaged: Mutex<HashSet<ActionUid>>,
    on_get: Mutex<Option<Rule>>,
    on_changed: Mutex<Option<Rule>>,
    on_list: Mutex<Option<Rule>>,
}

impl std::fmt::Debug for Spy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spy")
    }
}

fn count(counter: &AtomicUsize) {
    // On a paused clock a loop that does not wait would never end.
    let before = counter.fetch_add(1, Ordering::Relaxed);
    assert!(before < 200_000, "somebody asks without a pause");
}

impl Spy {
    pub(crate) fn new() -> Arc<Spy> {
        Arc::default()
    }

    pub(crate) fn on_get(&self, rule: impl FnMut() -> Option<Fate> + Send + 'static) {
        *self.on_get.lock().unwrap() = Some(Box::new(rule));
    }

    pub(crate) fn on_changed(&self, rule: impl FnMut() -> Option<Fate> + Send + 'static) {
        *self.on_changed.lock().unwrap() = Some(Box::new(rule));
    }

    pub(crate) fn on_list(&self, rule: impl FnMut() -> Option<Fate> + Send + 'static) {
        *self.on_list.lock().unwrap() = Some(Box::new(rule));
    }

    pub(crate) fn heal(&self) {
        for rule in [&self.on_get, &self.on_changed, &self.on_list] {
            *rule.lock().unwrap() = None;
        }
    }

    /// Makes this action unreadable from now on.
    pub(crate) fn damage(&self, uid: ActionUid) {
        self.damaged.lock().unwrap().insert(uid);
    }

    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.gets), count(&self.changes), count(&self.lists))
    }

    async fn met<T, F>(
        &self,
        rule: &Mutex<Option<Rule>>,
        operation: &'static str,
        call: F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        // Like any store that asks a disk, it has not answered when it is first asked.
        tokio::task::yield_now().await;
        let fate = match &mut *rule.lock().unwrap() {
            Some(rule) => rule(),
            None => None,
        };
        match fate {
            None => call.await,
            Some(Fate::Unavailable) => {
                let message = "as it was told";
                Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    operation,
                    message,
                ))
            }
            Some(Fate::Hangs) => std::future::pending().await,
            Some(Fate::Before(batch)) => {
                write(&self.inner, batch).await;
                call.await
            }
            Some(Fate::After(batch)) => {
                let answer = call.await;
                write(&self.inner, batch).await;
                answer
            }
        }
    }
}

async fn write(store: &MemoryStore, batch: Batch) {
    for answer in store.write(batch).await.unwrap() {
        answer.unwrap();
    }
}

#[async_trait]
impl ActionStore for Spy {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.inner.write(batch).await
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        count(&self.gets);
        let damaged = uids
            .iter()
            .any(|uid| self.damaged.lock().unwrap().contains(uid));
        if damaged {
            return Err(StoreError::new(StoreErrorKind::Corrupt, "get", "a bad row"));
        }
        self.met(&self.on_get, "get", self.inner.get(uids)).await
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        count(&self.lists);
        self.met(&self.on_list, "list", self.inner.list(query))
            .await
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.inner.log(query).await
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.inner.owners(query).await
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        count(&self.changes);
        self.met(&self.on_changed, "changed", self.inner.changed(after))
            .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The future must finish within 20 s, of a paused or a real clock.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let real = std::time::Instant::now();
    let answer = tokio::time::timeout(seconds(20), future).await;
    answer.unwrap_or_else(|_| panic!("no answer, after {:?}", real.elapsed()))
}

pub(crate) fn watcher(store: &Arc<Spy>) -> Watcher {
    Watcher::new(store.clone())
}

/// Waits for an action in a task of its own.
pub(crate) fn wait_for(
    watcher: &Watcher,
    uid: ActionUid,
) -> tokio::task::JoinHandle<Result<Arc<Action>, action_store::Error>> {
    let watcher = watcher.clone();
    tokio::spawn(async move { watcher.wait(uid).await })
}

/// A living owner.
pub(crate) async fn owner(store: &dyn ActionStore) -> OwnerRef {
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    owner
}

/// A new action that is executing.
pub(crate) async fn started(store: &dyn ActionStore, owner: &OwnerRef) -> ActionUid {
    let uid = created(store).await;
    store.start(uid, owner).await.unwrap();
    uid
}

pub(crate) async fn created(store: &dyn ActionStore) -> ActionUid {
    store.create(NewAction::task("backup")).await.unwrap().uid
}

pub(crate) async fn step(store: &dyn ActionStore, uid: ActionUid, owner: &OwnerRef, step: &str) {
    let report = Report::new().with_step(step);
    store.report(uid, report, owner).await.unwrap();
}

/// Ends an action that has no owner.
pub(crate) async fn cancelled(store: &dyn ActionStore, uid: ActionUid) -> Arc<Action> {
    let finish = Finish::new(Outcome::Cancelled);
    store.finish(uid, finish, None).await.unwrap()
}

/// Returns the command that ends an action without an owner.
pub(crate) fn cancel(uid: ActionUid) -> Command {
    Command::apply(
        uid,
        action_store::Change::Finish(Finish::new(Outcome::Cancelled)),
    )
}

/// Returns the command that removes an action that was created and then cancelled.
pub(crate) fn remove(uid: ActionUid) -> Command {
    let if_version = Version::FIRST.next();
    Command::remove(uid, if_version)
}

impl Spy {
    /// Ends an action that has no owner, and lets others run.
    pub(crate) async fn inner_cancel(&self, uid: ActionUid) {
        cancelled(&self.inner, uid).await;
        tokio::task::yield_now().await;
    }
}
