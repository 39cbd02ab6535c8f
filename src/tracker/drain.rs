//! How a tracker ends: the drain, which waits for the work in progress, and the shutdown.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::Tracker;
use super::in_flight::{key_of, lock};
use super::outbox::Place;
use super::recovery::MOST_NAMED;
use super::shared::Shared;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{ActionUid, Key, NewAction};

/// Work that was left when [`Tracker::drain`] returned.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Drained {
    /// Number of actions that still have a handle.
    pub in_work: usize,
    /// The first 100 of these, oldest first.
    pub in_work_actions: Vec<ActionUid>,
    /// Number of prepared actions that the host may still commit and begin. One counts until it is
    /// begun, or until the last clone of its [`Prepared`](crate::tracker::Prepared) is dropped. The
    /// shutdown interrupts those that are committed.
    pub prepared: usize,
    /// Number of calls that are still beginning or queueing an action.
    pub beginning: usize,
    /// Number of ends that are not recorded yet. The shutdown writes them. It includes begins, starts
    /// and adoptions with an unknown outcome, until they are repeated or their action is interrupted.
    pub unrecorded_ends: usize,
}

impl Drained {
    /// Returns true if nothing was left.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.in_work == 0 && self.prepared == 0 && self.beginning == 0 && self.unrecorded_ends == 0
    }
}

/// The action that a call records or begins. It says if the call continues old work.
#[derive(Debug)]
pub(super) struct Asked {
    uid: ActionUid,
    key: Option<Key>,
    parent: Option<ActionUid>,
}

impl Asked {
    pub(super) fn new(new: &NewAction) -> Asked {
        Asked {
            uid: new.uid,
            key: key_of(new),
            parent: new.parent,
        }
    }

    pub(super) fn of(uid: ActionUid, parent: Option<ActionUid>) -> Asked {
        let key = None;
        Asked { uid, key, parent }
    }
}

impl Shared {
    /// Waits until no action has a handle or is prepared, no call is beginning one, and no end waits.
    pub(super) async fn idle(&self) {
        loop {
            self.prepared.idle().await;
            self.beginning.idle().await;
            let no_works = self.no_works.notified();
            if !lock(&self.works).is_empty() {
                no_works.await;
                continue;
            }
            self.outbox.idle().await;
            if self.left().is_complete() {
                return;
            }
        }
    }

    /// Returns the work that has not ended.
    pub(super) fn left(&self) -> Drained {
        loop {
            let taken = (self.prepared.taken(), self.beginning.taken());
            let left = self.count_left();
            // A call that came meanwhile may have moved work to a count that was read before.
            let same = taken == (self.prepared.taken(), self.beginning.taken());
            if same || !left.is_complete() {
                return left;
            }
        }
    }

    /// Reads the counts in the order in which work passes through them: prepared, beginning, in work,
    /// ending.
    fn count_left(&self) -> Drained {
        let prepared = self.prepared.count();
        let beginning = self.beginning.count();
        let mut in_work: Vec<ActionUid> = lock(&self.works).keys().copied().collect();
        in_work.sort_unstable();
        Drained {
            in_work: in_work.len(),
            prepared,
            beginning,
            // An end that the store did not take moves from the calls to the outbox.
            unrecorded_ends: self.outbox.in_flight() + self.outbox.ends().0,
            in_work_actions: {
                in_work.truncate(MOST_NAMED);
                in_work
            },
        }
    }

    /// Refuses new work from here on.
    pub(super) fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Counts a call that records an action. Refuses it while the tracker drains, unless the action
    /// is a part of one in work.
    pub(super) fn admit_enqueue(&self, parent: Option<ActionUid>) -> Result<Place, StoreError> {
        // Counted before the check, so that a drain waits for a call that it did not refuse.
        let place = self.admit_prepared();
        self.refuse_new_work("enqueue", parent)?;
        Ok(place)
    }

    /// Counts a call that begins an action. Refuses it while the tracker drains, unless it repeats a
    /// call with an unknown outcome, or the action is a part of one in work.
    pub(super) fn admit(
        &self,
        operation: &'static str,
        asked: &Asked,
    ) -> Result<Place, StoreError> {
        // Counted before the check, as above.
        let place = self.admit_prepared();
        if self.is_draining() && !self.outbox.has_doubtful(asked.uid, asked.key.as_ref()) {
            self.refuse_new_work(operation, asked.parent)?;
        }
        Ok(place)
    }

    /// Counts a call that begins a prepared action. A drain does not refuse it, because the host may
    /// have committed the action.
    pub(super) fn admit_prepared(&self) -> Place {
        Place::take(&self.beginning, 0)
    }

    /// Counts a prepared action until the result is dropped. The host may commit it until then.
    /// Refuses it while the tracker drains, unless it is a part of an action in work.
    pub(super) fn prepared(&self, parent: Option<ActionUid>) -> Result<Place, StoreError> {
        // Counted before the check, so that a drain waits for what it did not refuse.
        let place = Place::take(&self.prepared, 0);
        self.refuse_new_work("prepare", parent)?;
        self.has_queued();
        Ok(place)
    }

    fn refuse_new_work(
        &self,
        operation: &'static str,
        parent: Option<ActionUid>,
    ) -> Result<(), StoreError> {
        let is_part = || parent.is_some_and(|parent| lock(&self.works).contains_key(&parent));
        if self.is_draining() && !is_part() {
            let message = "the tracker is draining: it takes no new work";
            return Err(StoreError::new(StoreErrorKind::Closed, operation, message));
        }
        Ok(())
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

impl Tracker {
    /// Takes no new work, and waits until all actions with a handle have ended and their ends are
    /// recorded, for at most `timeout`. Returns what is left then. Call
    /// [`shutdown`](Tracker::shutdown) afterwards: it interrupts what is left.
    ///
    /// From the first poll on, for all clones of this tracker, a call that begins, queues, prepares
    /// or adopts an action returns `Closed`: "the tracker is draining". The tracker keeps its name,
    /// so reports and ends are accepted. Draining cannot be undone. A second call waits again.
    ///
    /// These calls are still accepted, and waited for:
    ///
    /// - Parts of an action that has a handle here may be recorded and begun, because its work may
    ///   need them.
    ///
    /// - An action that was [prepared](Tracker::prepare) before may be begun, because the host may
    ///   have committed it.
    ///
    /// - A begin, start or adoption that returned
    ///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) may be repeated for 5 s, as
    ///   [`begin`](Tracker::begin) says. The drain waits for the repeat. Without one, it waits until
    ///   the action is interrupted.
    ///
    /// Queued actions are not waited for. The shutdown handles them as
    /// [`left_queued`](crate::TrackerOptions::left_queued) says. A
    /// dropped future only stops waiting.
    ///
    /// ```
    /// # async fn example(tracker: action_store::Tracker) -> Result<(), action_store::Error> {
    /// let left = tracker.drain(std::time::Duration::from_secs(20)).await;
    /// for uid in &left.in_work_actions {
    ///     eprintln!("{uid} is interrupted by the shutdown");
    /// }
    /// tracker.shutdown().await
    /// # }
    /// ```
    pub async fn drain(&self, timeout_after: Duration) -> Drained {
        let shared = &self.core.shared;
        shared.start_draining();
        let waited = {
            // The timer belongs to the tracker's runtime; the caller may be on another one.
            let _entered = self.core.runtime().enter();
            timeout(timeout_after, shared.idle())
        };
        // The report says if the time was up.
        let _ = waited.await;
        shared.left()
    }

    /// Shuts the tracker down, for all its clones.
    ///
    /// - Waits for calls that are in progress.
    ///
    /// - Writes everything that waits in the background.
    ///
    /// - Completes executing actions as interrupted, and queued ones too unless
    ///   [`LeftQueued::Leave`](crate::tracker::LeftQueued::Leave) is set.
    ///
    /// - Releases the owner name.
    ///
    /// Let work finish first if it should. After the shutdown all calls on this tracker and on
    /// handles that still exist return `Closed`: "the tracker was shut down". The store stays open.
    ///
    /// Once first polled, the shutdown runs to its end even if the future is dropped. A second call
    /// waits for the first and succeeds.
    ///
    /// # Errors
    /// The store's errors, and `Closed` if the store was closed before. Some actions are then left
    /// for the next start to settle.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let core = self.core.clone();
        let work = async move {
            *core.gate.write().await = true;
            core.shared.close();
            let mut background = core.background.lock().await;
            let Some(task) = background.take() else {
                return Ok(());
            };
            task.await.unwrap_or_else(|gone| {
                let message = "the tracker's task ended before the shutdown completed";
                let error = StoreError::new(StoreErrorKind::OutcomeUnknown, "shutdown", message);
                Err(error.with_source(gone).into())
            })
        };
        self.core.drive("shutdown", work).await
    }
}
