//! A store in memory that records writes and fails as configured.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Capabilities, Change,
    Command, Done, Finish, LogEntry, LogQuery, MemoryStore, Order, OwnerRef, Page, Query,
    Rejection, Status, StoreError, StoreErrorKind, Tracker,
};
use async_trait::async_trait;

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not applied, and that is said.
    Unavailable,
    /// The write is applied, but the answer is unknown.
    UnknownButDone,
    /// The write is not applied, and the answer is unknown.
    UnknownAndNot,
    /// The store is closed.
    Closed,
    /// It is never answered.
    Hangs,
    /// It panics.
    Panics,
    /// After the write and before its answer, another caller requests the cancellation of its
    /// action.
    CancelledAtOnce,
    /// It is refused as a whole because of what is stored.
    Corrupt,
    /// Before the write, another caller takes over the name `plane`.
    TakenOver,
    /// Before it, its owner starts the action it is about.
    Started,
}

type Rule = Box<dyn FnMut(&Batch) -> Option<Fault> + Send>;
type ReadRule = Box<dyn FnMut(&[ActionUid]) -> Option<Fault> + Send>;

#[derive(Default)]
pub(crate) struct Spy {
    inner: MemoryStore,
    batches: Mutex<Vec<Batch>>,
    rule: Mutex<Option<Rule>>,
    read_rule: Mutex<Option<ReadRule>>,
    unreadable: Mutex<Option<ActionUid>>,
    /// How long a list takes.
    slow: Mutex<Duration>,
    /// True if a list from the newest action makes the unreadable action readable again.
    only_from_the_oldest: AtomicBool,
    /// How many owners each page of them had.
    pages_of_owners: Mutex<Vec<usize>>,
    /// How often the store was read or waited for, and how many wait now.
    reads: AtomicUsize,
    waits: Arc<AtomicUsize>,
}

/// Counts a wait until it ends or is dropped.
struct Waits(Arc<AtomicUsize>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Spy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spy")
    }
}

impl Spy {
    pub(crate) fn new() -> Arc<Spy> {
        Arc::default()
    }

    pub(crate) fn on_write(&self, rule: impl FnMut(&Batch) -> Option<Fault> + Send + 'static) {
        *self.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// Sets the results of reads by uid.
    pub(crate) fn on_get(&self, rule: impl FnMut(&[ActionUid]) -> Option<Fault> + Send + 'static) {
        *self.read_rule.lock().unwrap() = Some(Box::new(rule));
    }

    pub(crate) fn heal(&self) {
        *self.rule.lock().unwrap() = None;
    }

    /// No page with this action can be read from here on.
    pub(crate) fn damage(&self, uid: ActionUid) {
        *self.unreadable.lock().unwrap() = Some(uid);
    }

    /// A list takes so long from here on.
    pub(crate) fn list_slowly(&self, time: Duration) {
        *self.slow.lock().unwrap() = time;
    }

    /// After a read that starts at the newest action, all actions can be read again.
    pub(crate) fn heal_from_the_newest(&self) {
        self.only_from_the_oldest.store(true, Ordering::Relaxed);
    }

    /// Returns the writes since the last call, without renewals.
    pub(crate) fn writes(&self) -> Vec<Batch> {
        let mut batches = std::mem::take(&mut *self.batches.lock().unwrap());
        batches.retain(|batch| !batch.commands.iter().any(is_renewal));
        batches
    }

    /// How many owners were read since the last call, page by page.
    pub(crate) fn pages_of_owners(&self) -> Vec<usize> {
        std::mem::take(&mut *self.pages_of_owners.lock().unwrap())
    }

    /// How many renewals there were since the last call.
    pub(crate) fn renewals(&self) -> usize {
        let batches = std::mem::take(&mut *self.batches.lock().unwrap());
        let commands = batches.iter().flat_map(|batch| &batch.commands);
        commands.filter(|command| is_renewal(command)).count()
    }

    /// How often the store was called since the last call, writes included.
    pub(crate) fn calls(&self) -> usize {
        let writes = std::mem::take(&mut *self.batches.lock().unwrap()).len();
        writes + self.reads.swap(0, Ordering::Relaxed)
    }

    /// How many calls wait for a change now.
    pub(crate) fn waits(&self) -> usize {
        self.waits.load(Ordering::Relaxed)
    }

    pub(crate) async fn now(&self, uid: ActionUid) -> Arc<Action> {
        self.inner.action(uid).await.unwrap().unwrap()
    }

    pub(crate) async fn now_or_none(&self, uid: ActionUid) -> Option<Arc<Action>> {
        self.inner.action(uid).await.unwrap()
    }

    /// The action once it is completed; it must be within 20 s.
    pub(crate) async fn completed(&self, uid: ActionUid) -> Arc<Action> {
        let completed = async {
            let mut revision = self.changed(None).await.unwrap().revision;
            loop {
                let now = self.now(uid).await;
                if now.status == Status::Completed {
                    return now;
                }
                revision = self.changed(Some(revision)).await.unwrap().revision;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), completed)
            .await
            .unwrap()
    }

    pub(crate) async fn log_of(&self, uid: ActionUid) -> Vec<LogEntry> {
        self.log(&LogQuery::of(uid)).await.unwrap().items
    }
}

pub(crate) fn is_renewal(command: &Command) -> bool {
    matches!(command, Command::Renew(_))
}

/// How a command would end an action, if that is what it does.
pub(crate) fn finish_of(command: &Command) -> Option<&Finish> {
    match command {
        Command::Apply {
            change: Change::Finish(finish),
            ..
        } => Some(finish),
        _ => None,
    }
}

pub(crate) async fn tracker(store: &Arc<Spy>) -> Tracker {
    Tracker::start(store.clone(), "plane").await.unwrap()
}

#[async_trait]
impl ActionStore for Spy {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        // Like any store that writes to a disk, it has not answered when it is first asked.
        tokio::task::yield_now().await;
        let written = {
            let mut batches = self.batches.lock().unwrap();
            batches.push(batch.clone());
            batches.len()
        };
        // On a paused clock a loop that does not wait would never end.
        assert!(written < 20_000, "somebody writes without a pause");
        let fault = match &mut *self.rule.lock().unwrap() {
            Some(rule) => rule(&batch),
            None => None,
        };
        let failed = |kind| StoreError::new(kind, "write", "as it was told");
        match fault {
            None => self.inner.write(batch).await,
            Some(Fault::Unavailable) => Err(failed(StoreErrorKind::Unavailable)),
            Some(Fault::Corrupt) => Err(failed(StoreErrorKind::Corrupt)),
            Some(Fault::Closed) => Err(failed(StoreErrorKind::Closed)),
            Some(Fault::UnknownAndNot) => Err(failed(StoreErrorKind::OutcomeUnknown)),
            Some(Fault::UnknownButDone) => {
                self.inner.write(batch).await?;
                Err(failed(StoreErrorKind::OutcomeUnknown))
            }
            Some(Fault::TakenOver) => {
                let owner = OwnerRef::new("plane");
                let take_over = true;
                let claim = Command::claim(owner).with_take_over(take_over);
                self.inner.write(Batch::each(vec![claim])).await?;
                self.inner.write(batch).await
            }
            Some(Fault::Started) => {
                if let Some(Command::Apply { uid, by, .. }) = batch.commands.first() {
                    self.inner.start(*uid, by.as_ref().unwrap()).await.unwrap();
                }
                self.inner.write(batch).await
            }
            Some(Fault::Panics) => panic!("as it was told"),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::CancelledAtOnce) => {
                let answers = self.inner.write(batch).await?;
                if let Some(Ok(Done {
                    action: Some(action),
                    ..
                })) = answers.first()
                {
                    let please = CancelRequest::new().with_by("ann");
                    self.inner.request_cancel(action.uid, please).await.unwrap();
                }
                // Long enough for others to look.
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(answers)
            }
        }
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        // Like a store that reads a disk, it has not answered when it is first asked.
        tokio::task::yield_now().await;
        let fault = match &mut *self.read_rule.lock().unwrap() {
            Some(rule) => rule(uids),
            None => None,
        };
        let failed = |kind| StoreError::new(kind, "get", "as it was told");
        match fault {
            Some(Fault::Panics) => panic!("as it was told"),
            Some(Fault::Corrupt) => Err(failed(StoreErrorKind::Corrupt)),
            Some(Fault::Unavailable) => Err(failed(StoreErrorKind::Unavailable)),
            Some(other) => unreachable!("{other:?} is not a fault of a read"),
            None => self.inner.get(uids).await,
        }
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let page = self.inner.list(query).await?;
        let slow = *self.slow.lock().unwrap();
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        if query.order == Order::Newest && self.only_from_the_oldest.load(Ordering::Relaxed) {
            *self.unreadable.lock().unwrap() = None;
        }
        let damaged = *self.unreadable.lock().unwrap();
        if page.items.iter().any(|action| Some(action.uid) == damaged) {
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                "list",
                "a bad row",
            ));
        }
        Ok(page)
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.inner.log(query).await
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let page = self.inner.owners(query).await?;
        self.pages_of_owners.lock().unwrap().push(page.items.len());
        Ok(page)
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.waits.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(self.waits.clone());
        self.inner.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
