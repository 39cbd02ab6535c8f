//! Tells the host which actions the tracker has settled.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::in_flight::lock;
use super::run::unless_it_panics;
use super::shared::Shared;
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Action, ActionUid};

/// Number of actions in one read.
const CHUNK: usize = 100;
/// Pause before a failed read is retried.
const PAUSE: Duration = Duration::from_secs(1);
/// Number of failed reads after which one record may be the cause.
const TRIES: u32 = 3;

type Hook = dyn Fn(Arc<Action>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// The callback that learns of settled actions. The default is none. See
/// [`TrackerOptions::with_on_settled`](crate::TrackerOptions::with_on_settled).
#[derive(Clone, Default)]
pub struct OnSettled(Option<Arc<Hook>>);

impl OnSettled {
    pub(super) fn new<F>(hook: impl Fn(Arc<Action>) -> F + Send + Sync + 'static) -> OnSettled
    where
        F: Future<Output = ()> + Send + 'static,
    {
        OnSettled(Some(Arc::new(move |action| Box::pin(hook(action)))))
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for OnSettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "OnSettled(host)"
        } else {
            "OnSettled(none)"
        })
    }
}

/// Settled actions that the hook has not been called for. Holds uids only, because a recovery may
/// settle many actions while the hook is slow.
#[derive(Debug, Default)]
pub(super) struct SettledQueue {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Calls that panicked, and actions that could not be read for a call.
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    uids: VecDeque<ActionUid>,
    closed: bool,
}

impl SettledQueue {
    pub(super) fn push(&self, uid: ActionUid) {
        lock(&self.waiting).uids.push_back(uid);
        self.wake.notify_one();
    }

    /// No more actions will be added.
    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.wake.notify_one();
    }

    /// Returns the number of actions that the hook has not returned for, and of failed calls.
    pub(super) fn counts(&self) -> (usize, u64) {
        let waiting = lock(&self.waiting).uids.len();
        (waiting, self.failed.load(Ordering::Acquire))
    }

    /// Returns the oldest uids, which stay in the queue; none once the queue is closed and empty.
    async fn next(&self) -> Option<Vec<ActionUid>> {
        loop {
            {
                let waiting = lock(&self.waiting);
                if !waiting.uids.is_empty() {
                    return Some(waiting.uids.iter().take(CHUNK).copied().collect());
                }
                if waiting.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Removes the oldest uid.
    fn done(&self, failed: bool) {
        lock(&self.waiting).uids.pop_front();
        self.failed.fetch_add(u64::from(failed), Ordering::AcqRel);
    }
}

/// Returns true if a failed read of one record says something about that record. A store that is not
/// available says nothing. A read with an unknown outcome is a panic of the store.
fn is_of_record(error: &StoreError) -> bool {
    !error.is_retryable() || error.kind() == StoreErrorKind::OutcomeUnknown
}

/// Calls the hook for each settled action, one after the other, until the queue is closed and empty.
pub(super) async fn deliver(shared: Arc<Shared>) {
    let Some(hook) = shared.options.on_settled.0.clone() else {
        return;
    };
    // Number of the oldest actions that are each read alone.
    let mut alone = 0_usize;
    let mut failures = 0;
    while let Some(mut uids) = shared.settled.next().await {
        if alone > 0 {
            uids.truncate(1);
        }
        let actions = match unless_it_panics("settled", shared.store.get(&uids)).await {
            Ok(actions) => actions,
            Err(error) => {
                failures += 1;
                let again = error.is_retryable() && failures < TRIES;
                if !again && alone == 0 {
                    // One record may make the read fail.
                    (alone, failures) = (uids.len(), 0);
                } else if !again && is_of_record(&error) {
                    shared.settled.done(true);
                    (alone, failures) = (alone - 1, 0);
                }
                if error.is_retryable() {
                    sleep(PAUSE).await;
                }
                continue;
            }
        };
        alone = alone.saturating_sub(1);
        failures = 0;
        let mut actions = actions.into_iter();
        for _ in uids {
            // Retention may have removed it already.
            let Some(action) = actions.next().flatten() else {
                shared.settled.done(true);
                continue;
            };
            let hook = hook.clone();
            // A task of its own, so that a panic is caught.
            let called = tokio::spawn(async move { hook(action).await });
            shared.settled.done(called.await.is_err());
        }
    }
}
