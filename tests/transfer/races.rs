//! Transfers while others write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Capabilities, Command, Done, Finish,
    Limits, LogEntry, LogQuery, MemoryStore, NewAction, Outcome, OwnerRef, Page, Query, Rejection,
    StoreError, StoreErrorKind, transfer,
};
use async_trait::async_trait;

use crate::plant::{action_lines, all, claim, long, plant, step, write};

/// A store in which something happens between an action's head and its log being read.
#[derive(Debug)]
struct Busy {
    inner: MemoryStore,
    owner: OwnerRef,
    uid: ActionUid,
    /// Before how many reads of a log it goes on to another step.
    steps: AtomicUsize,
    /// True if the action is removed instead.
    removes: bool,
}

#[async_trait]
impl ActionStore for Busy {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.inner.write(batch).await
    }
    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.inner.get(uids).await
    }
    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.inner.list(query).await
    }
    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        let left = self.steps.load(Ordering::Relaxed);
        if query.uid == Some(self.uid) && left > 0 {
            self.steps.store(left - 1, Ordering::Relaxed);
            if self.removes {
                let end = Finish::succeeded();
                let ended = self.inner.finish(self.uid, end, Some(&self.owner)).await;
                let if_version = ended.unwrap().version;
                let uid = self.uid;
                write(&self.inner, vec![Command::remove(uid, if_version)]).await;
            } else {
                let more = (0..3).map(|i| step(self.uid, left * 10 + i, &self.owner));
                write(&self.inner, more.collect()).await;
            }
        }
        self.inner.log(query).await
    }
    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.inner.owners(query).await
    }
    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.inner.changed(after).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

async fn busy(steps_before: usize, steps: usize, removes: bool) -> Busy {
    let inner = MemoryStore::new();
    let owner = claim(&inner, "plane").await;
    inner.create(NewAction::task("first")).await.unwrap();
    let uid = long(&inner, &owner, steps_before).await;
    inner.create(NewAction::task("last")).await.unwrap();
    Busy {
        inner,
        owner,
        uid,
        steps: AtomicUsize::new(steps),
        removes,
    }
}

/// Exports a store and imports it into a new one, which refuses an action and a log that disagree.
async fn moved(store: &Busy) -> Result<MemoryStore, StoreError> {
    let mut text = String::new();
    let mut exporter = transfer::Exporter::new(store);
    while let Some(line) = exporter.next().await? {
        text.push_str(&line);
        text.push('\n');
    }
    let to = MemoryStore::new();
    let report = transfer::import(&to, &mut text.as_bytes()).await.unwrap();
    assert_eq!(report.refused, 0);
    Ok(to)
}

#[tokio::test]
async fn an_action_is_exported_as_it_was_when_it_was_read() {
    let store = busy(5, 1, false).await;
    let before = store.inner.action(store.uid).await.unwrap().unwrap();
    let to = moved(&store).await.unwrap();
    assert_eq!(store.steps.load(Ordering::Relaxed), 0);
    assert_ne!(
        store.inner.action(store.uid).await.unwrap().unwrap(),
        before
    );
    let all = all(&to).await;
    assert_eq!((all.len(), &all[1].0), (3, &before));
    assert_eq!(all[1].1.len(), before.log_entries as usize);
}

#[tokio::test]
async fn an_action_whose_full_log_moves_on_is_read_again() {
    let steps = Limits::LOG_ENTRIES as usize + 10;
    let store = busy(steps, 30, false).await;
    let to = moved(&store).await.unwrap();
    let now = store.inner.action(store.uid).await.unwrap().unwrap();
    let all = all(&to).await;
    assert_eq!(all[1].0, now);
    assert_eq!(all[1].1.len(), Limits::LOG_ENTRIES as usize);
    // The store never stops changing: the export reports that, and can be retried.
    let store = busy(steps, 40, false).await;
    let mut exporter = transfer::Exporter::new(&store);
    exporter.next().await.unwrap().unwrap();
    exporter.next().await.unwrap().unwrap();
    let error = exporter.next().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(
        error.to_string().contains(&store.uid.to_string()),
        "{error}"
    );
    let line = exporter.next().await.unwrap().unwrap();
    assert!(line.contains(&store.uid.to_string()), "{line}");
}

#[tokio::test]
async fn an_action_removed_before_its_turn_is_left_out() {
    let store = busy(3, 1, true).await;
    let to = moved(&store).await.unwrap();
    let names: Vec<_> = all(&to).await.iter().map(|(a, _)| a.name.clone()).collect();
    assert_eq!(names, ["first".into(), "last".into()]);
}

#[tokio::test]
async fn an_export_ends_with_the_newest_action_there_was() {
    let store = MemoryStore::new();
    plant(&store, 20).await;
    let mut exporter = transfer::Exporter::new(&store).with_page(4);
    let mut text = String::new();
    let mut created = 0;
    while let Some(line) = exporter.next().await.unwrap() {
        // More come than it reads.
        for _ in 0..2 {
            store.create(NewAction::task("new")).await.unwrap();
            created += 1;
        }
        text.push_str(&line);
        text.push('\n');
        assert!(created < 1000, "the export does not end");
    }
    assert_eq!(action_lines(&text).len(), 21);
    let to = MemoryStore::new();
    let report = transfer::import(&to, &mut text.as_bytes()).await.unwrap();
    assert_eq!(report.imported, 21);
}

/// Steps, ends, begins and removes actions until it is stopped.
async fn writes(
    store: Arc<dyn ActionStore>,
    uids: Vec<ActionUid>,
    by: OwnerRef,
    stop: Arc<AtomicBool>,
) {
    for round in 0..200_000 {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let uid = uids[round % uids.len()];
        store.command(step(uid, round, &by)).await.unwrap();
        if round % 3 == 0 {
            let uid = store.create(NewAction::task("brief")).await.unwrap().uid;
            store.start(uid, &by).await.unwrap();
            let end = Finish::new(Outcome::Cancelled);
            let ended = store.finish(uid, end, Some(&by)).await.unwrap();
            // From then on all of them: exports of a store that grows as fast as it is written to
            // take longer and longer.
            if round % 6 == 0 || round > 2000 {
                let if_version = ended.version;
                store
                    .command(Command::remove(uid, if_version))
                    .await
                    .unwrap();
            }
        }
        tokio::task::yield_now().await;
    }
    panic!("nobody stopped the writers");
}

async fn under_writers(store: Arc<dyn ActionStore>) {
    plant(&*store, 60).await;
    let owner = claim(&*store, "writer").await;
    let mut uids = Vec::new();
    for steps in [1, 20, Limits::LOG_ENTRIES as usize + 5] {
        uids.push(long(&*store, &owner, steps).await);
    }
    let there: BTreeSet<_> = all(&*store).await.iter().map(|(a, _)| a.uid).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn(writes(
                store.clone(),
                uids.clone(),
                owner.clone(),
                stop.clone(),
            ))
        })
        .collect();
    for round in 0..10 {
        let mut text = Vec::new();
        let mut exporter = transfer::Exporter::new(&*store).with_page(7);
        exporter.write_to(&mut text).await.unwrap();
        let to = MemoryStore::new();
        let report = transfer::import(&to, &mut text.as_slice()).await.unwrap();
        assert_eq!((report.already, report.refused), (0, 0), "{report:?}");
        let found = all(&to).await;
        let uids: BTreeSet<_> = found.iter().map(|(a, _)| a.uid).collect();
        assert_eq!(uids.len(), found.len(), "an action came twice");
        assert!(there.is_subset(&uids), "round {round} lost an action");
        for (action, log) in &found {
            let counted = log.iter().filter(|entry| !entry.is_late()).count();
            let kept = action.log_entries.min(Limits::LOG_ENTRIES) as usize;
            assert_eq!(counted, kept, "the log of {}", action.uid);
        }
        #[cfg(feature = "conformance")]
        action_store::conformance::check_store(&to).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_of_a_busy_memory_store_are_whole() {
    under_writers(Arc::new(MemoryStore::new())).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_of_a_busy_sqlite_store_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
    let store = action_store::SqliteStore::open(path).await.unwrap();
    under_writers(Arc::new(store)).await;
}
