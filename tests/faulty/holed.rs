//! A store with one of the faults that a store over a key-value database is prone to.

mod writes;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use action_store::action::Version;
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionUid, Batch, Capabilities, Command, Cursor, Done, Filter, LogEntry,
    LogQuery, MemoryStore, Order, Page, Progress, Query, Rejection, StoreError, StoreErrorKind,
    Timestamp,
};
use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use super::Hole;
use super::key_rows::KeyRows;

/// So many turns of the other tasks pass between a commit and its announcement.
const TURNS: usize = 5;

async fn turns() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// The content of a store. It outlives a close.
#[derive(Debug)]
pub(crate) struct Kept {
    inner: MemoryStore,
    removed: Mutex<Removed>,
    progress: Mutex<HashSet<ActionUid>>,
}

/// The last removal, as the faults see it.
#[derive(Debug, Default)]
struct Removed {
    /// Last revision of the last removed action.
    last: Revision,
    /// Revision of the store at the last removal.
    at: Revision,
    created: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// `pruned_through` before an end that was missed.
    before: Option<Revision>,
}

#[derive(Debug)]
pub(crate) struct Holed {
    hole: Hole,
    kept: Arc<Kept>,
    /// True if it was opened for the second time.
    reopened: bool,
    /// True if its content outlives its close.
    lasting: bool,
    closed: AtomicBool,
    announced: AtomicU64,
    announcing: Notify,
    early: watch::Sender<u64>,
    keys: Mutex<KeyRows>,
    late: Mutex<HashSet<ActionUid>>,
}

impl Kept {
    pub(crate) fn new(inner: MemoryStore) -> Arc<Kept> {
        let (removed, progress) = (Mutex::default(), Mutex::default());
        Arc::new(Kept {
            inner,
            removed,
            progress,
        })
    }
}

type Answer = Result<Done, Rejection>;

impl Holed {
    /// A store that is closed for good.
    pub(crate) fn new(hole: Hole, kept: Arc<Kept>) -> Holed {
        Holed {
            hole,
            kept,
            reopened: false,
            lasting: false,
            closed: AtomicBool::new(false),
            announced: AtomicU64::new(0),
            announcing: Notify::new(),
            early: watch::Sender::new(0),
            keys: Mutex::default(),
            late: Mutex::default(),
        }
    }

    /// A store that can be opened again.
    pub(crate) fn lasting(hole: Hole, kept: Arc<Kept>, reopened: bool) -> Holed {
        Holed {
            reopened,
            lasting: true,
            ..Holed::new(hole, kept)
        }
    }

    fn inner(&self) -> &MemoryStore {
        &self.kept.inner
    }

    fn is(&self, hole: Hole) -> bool {
        self.hole == hole
    }

    fn position(&self, mut at: Position) -> Position {
        let through = at.pruned_through.get();
        let removed = self.kept.removed.lock().unwrap();
        let new = Revision::new;
        at.pruned_through = match self.hole {
            Hole::PrunesOneTooFar if through > 0 => new(through + 1),
            Hole::PrunesOneTooLittle => new(through.saturating_sub(1)),
            Hole::PrunesThroughTheLast => removed.last,
            Hole::PrunesThroughTheStore if through > 0 => removed.at,
            Hole::ForgetsPrunedThroughAtReopening if self.reopened => Revision::ZERO,
            Hole::MissesAnEndThatIsRemoved => removed.before.unwrap_or(at.pruned_through),
            _ => at.pruned_through,
        };
        at.pruned_created = match self.hole {
            Hole::PrunesCreatedOfTheLast => removed.created,
            Hole::PrunesCreatedAtTheEnd => removed.ended,
            Hole::ForgetsPrunedCreatedAtReopening if self.reopened => None,
            _ => at.pruned_created,
        };
        at
    }

    async fn find(&self, uid: ActionUid) -> Result<Option<Arc<Action>>, StoreError> {
        Ok(self.inner().get(&[uid]).await?.pop().flatten())
    }

    fn spoil(&self, action: &mut Arc<Action>) {
        let hundredths = action.progress.hundredths();
        let progress = match self.hole {
            Hole::KeepsProgressAsAFloat => (f32::from(hundredths) / 100.0 * 100.0) as u16,
            Hole::ForgetsProgressAtReopening if self.reopened => {
                let alone = self.kept.progress.lock().unwrap().contains(&action.uid);
                if alone { 0 } else { hundredths }
            }
            _ => return,
        };
        if progress != hundredths {
            Arc::make_mut(action).progress = Progress::from_hundredths(progress).unwrap();
        }
    }
}

#[async_trait]
impl ActionStore for Holed {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner().capabilities();
        capabilities.shared |= self.is(Hole::WaitsForItsOwnCommits);
        capabilities
    }

    async fn write(&self, mut batch: Batch) -> Result<Vec<Answer>, StoreError> {
        if let Some(answer) = self.acknowledged(&batch).await? {
            return Ok(vec![answer]);
        }
        self.before(&mut batch).await?;
        let commands = batch.commands.clone();
        let answers = self.written(batch).await?;
        for (command, answer) in commands.iter().zip(&answers) {
            if let (Command::Apply { uid, .. }, Err(Rejection::Fenced { .. })) = (command, answer) {
                self.late.lock().unwrap().insert(*uid);
            }
        }
        Ok(answers)
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        let mut found = self.inner().get(uids).await?;
        found
            .iter_mut()
            .flatten()
            .for_each(|action| self.spoil(action));
        Ok(found)
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        let mut query = query.clone();
        let forgets = match self.hole {
            Hole::MissesAnEndThatIsRemoved => self.kept.removed.lock().unwrap().before.is_some(),
            Hole::ForgetsPrunedThroughAtReopening => self.reopened,
            _ => false,
        };
        if forgets
            && let Err(error) = self.inner().list(&query).await
            && error.kind() == StoreErrorKind::CursorExpired
        {
            let at = self.inner().changed(None).await?;
            query.after = Some(Cursor::feed(at, at.revision));
        }
        let limit = usize::from(query.limit);
        let mut page = self.inner().list(&query).await?;
        if self.is(Hole::ReadsListPositionsLater) {
            turns().await;
            page.at = self.inner().changed(None).await?;
        }
        let merges = |filter: &Filter| matches!(filter, Filter::TouchesAny(_));
        let has_no_limit = match self.hole {
            Hole::ScansWithoutLimit => true,
            Hole::ScansMergedListsWithoutLimit => query.filters.iter().any(merges),
            _ => false,
        };
        while has_no_limit && page.items.len() < limit && page.next.is_some() {
            query.after = page.next;
            query.limit = u16::try_from(limit - page.items.len()).unwrap();
            let more = self.inner().list(&query).await?;
            page.items.extend(more.items);
            page.next = more.next;
        }
        let ends = match self.hole {
            Hole::EndsNewestAtTheScanLimit => query.order == Order::Newest,
            Hole::EndsOldestAtTheScanLimit => query.order == Order::Oldest,
            Hole::EndsTheFeedAtTheScanLimit => query.order == Order::Feed,
            _ => false,
        };
        if ends && page.items.len() < limit {
            page.next = None;
        }
        page.at = self.position(page.at);
        for action in &mut page.items {
            self.spoil(action);
            let alone = || self.kept.progress.lock().unwrap().contains(&action.uid);
            if self.is(Hole::HidesProgressAloneFromTheFeed) && query.order == Order::Feed && alone()
            {
                Arc::make_mut(action).progress = Progress::ZERO;
            }
        }
        Ok(page)
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        let mut page = self.inner().log(query).await?;
        if self.is(Hole::ReadsLogPositionsLater) {
            turns().await;
            page.at = self.inner().changed(None).await?;
        }
        page.at = self.position(page.at);
        for entry in &mut page.items {
            let version = entry.version.get();
            let version = match self.hole {
                Hole::LogsVersionsIn32Bits => u64::from(version as u32).max(1),
                Hole::LogsVersionsAsFloats => version as f64 as u64,
                _ => continue,
            };
            entry.version = Version::new(version).unwrap();
        }
        if self.is(Hole::ForgetsLateReportsAtReopening) && self.reopened {
            let late = self.late.lock().unwrap();
            let again = page.items.iter().filter(|entry| entry.is_late());
            let again: Vec<LogEntry> = again.filter(|e| late.contains(&e.uid)).cloned().collect();
            page.items.extend(again);
        }
        Ok(page)
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        let mut page = self.inner().owners(query).await?;
        page.at = self.position(page.at);
        let forgets = match self.hole {
            Hole::ForgetsClaimTimes => true,
            Hole::ForgetsClaimTimesAtReopening => self.reopened,
            _ => false,
        };
        for owner in page.items.iter_mut().filter(|_| forgets) {
            owner.claimed_at = owner.renewed_at;
        }
        Ok(page)
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        let now = self.inner().changed(None).await?;
        let Some(after) = after else {
            return Ok(self.position(now));
        };
        if after > now.revision {
            // It is beyond the store.
            return self.inner().changed(Some(after)).await;
        }
        let announced = || self.announced.load(Ordering::SeqCst);
        match self.hole {
            Hole::AnnouncesBeforeTheCommit => {
                let mut early = self.early.subscribe();
                let woken = early.wait_for(|revision| *revision > after.get());
                let revision = *woken.await.unwrap();
                let revision = Revision::new(revision);
                {
                    let mut now = now;
                    now.revision = revision;
                    Ok(now)
                }
            }
            Hole::AnnouncesLongAfterTheCommit if after.get() > announced() => Err(StoreError::new(
                StoreErrorKind::Invalid,
                "changed",
                "after: is beyond the store",
            )),
            Hole::WaitsForItsOwnCommits if now.revision == after => {
                self.announcing.notified().await;
                self.inner().changed(Some(after)).await
            }
            Hole::MissesWhatIsAnnouncedMeanwhile => {
                if announced() <= after.get() {
                    tokio::task::yield_now().await;
                    self.announcing.notified().await;
                }
                self.inner().changed(Some(after)).await
            }
            _ => self
                .inner()
                .changed(Some(after))
                .await
                .map(|at| self.position(at)),
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::SeqCst);
        match self.lasting {
            true => Ok(()),
            false => self.inner().close().await,
        }
    }
}
