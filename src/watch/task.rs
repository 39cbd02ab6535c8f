//! The task that polls the store for all waiters.
//!
//! # Why no change is missed
//!
//! `after` is always a revision that was readable *before* the last read of each action began. So a
//! change that this read did not return has a higher revision, and `changed(after)` resolves:
//!
//! - A new waiter registers first. A poll that begins later reads its actions (`due`). The poll
//!   returns changes made before it. Changes made after it are above `after`, which is older.
//!
//! - When `changed` resolves, its revision becomes `after`, and then all actions are read. The read
//!   returns changes made in between. Later changes are above `after`.
//!
//! - A failed poll leaves `news` and `due` unchanged. It is repeated before the task waits again.
//!
//! An action is removed only after its completion. The completion has its own revision, in the same
//! transaction or an earlier one, so a removal wakes the waiters too.

use tokio::time::Instant;

use super::backoff::Backoff;
use super::hub::{Hub, Running, State};
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{ActionUid, Revision};

/// Polls until there are no waiters, or the store fails for good.
pub(super) async fn run(running: Running) {
    {
        let hub = &*running.hub;
        let mut work = std::pin::pin!(work(hub));
        loop {
            tokio::select! {
                error = &mut work => {
                    hub.fail(&error);
                    break;
                }
                // Checked at any time, so that a hanging store does not keep the task alive.
                () = hub.left.notified() => if hub.is_deserted() {
                    break;
                }
            }
        }
    }
    running.end();
}

async fn work(hub: &Hub) -> StoreError {
    let mut backoff = Backoff::new();
    let mut after: Option<Revision> = None;
    // True if the last results may be out of date.
    let mut news = true;
    let mut waiting = None;
    loop {
        backoff.pause().await;
        if after.is_none() {
            match hub.store.changed(None).await {
                Ok(position) => after = Some(position.revision),
                Err(error) if error.is_retryable() => {
                    hub.set_trouble(error);
                    backoff.failed();
                    continue;
                }
                Err(error) => return error,
            }
        }
        let begun = Instant::now();
        match poll(hub, news).await {
            Ok(asked) => {
                news = false;
                // Without a request there is no answer to record.
                if asked {
                    backoff.answered(begun);
                }
            }
            Err(error) if error.is_retryable() => {
                hub.set_trouble(error);
                backoff.failed();
                continue;
            }
            Err(error) => return error,
        }
        // Kept while new waiters are served, so that they need no second `changed` call.
        let mut changed = waiting.take().unwrap_or_else(|| hub.store.changed(after));
        tokio::select! {
            biased;
            answer = &mut changed => match answer {
                Ok(position) => {
                    hub.end_trouble();
                    after = Some(position.revision);
                    news = true;
                }
                Err(error) if error.is_retryable() => {
                    hub.set_trouble(error);
                    backoff.failed();
                }
                // The store's revision went back: it was replaced by an older copy.
                Err(error) if error.kind() == StoreErrorKind::Invalid => {
                    hub.set_trouble(error);
                    (after, news) = (None, true);
                    backoff.failed();
                }
                Err(error) => return error,
            },
            () = hub.came.notified() => waiting = Some(changed),
        }
    }
}

/// Reads the actions that are due. Returns true if there were any.
async fn poll(hub: &Hub, news: bool) -> Result<bool, StoreError> {
    let (number, uids) = hub.begin_look(news);
    let most = hub.store.capabilities().max_commands.max(1);
    let mut parts: Vec<&[ActionUid]> = uids.chunks(most).collect();
    while let Some(part) = parts.pop() {
        let answer = match hub.store.get(part).await {
            Ok(found) if found.len() != part.len() => {
                let message = "the store did not answer for every action";
                Err(StoreError::new(StoreErrorKind::Corrupt, "get", message))
            }
            answer => answer,
        };
        match (answer, part) {
            (Ok(found), _) => {
                let state = |found: Option<_>| found.map_or(State::Gone, State::There);
                let shown = part.iter().copied().zip(found.into_iter().map(state));
                hub.show(number, shown);
            }
            (Err(error), _) if error.is_retryable() || error.kind() == StoreErrorKind::Closed => {
                return Err(error);
            }
            (Err(error), [uid]) => hub.show(number, [(*uid, State::Failed(error))]),
            // One action makes the batch fail. Split it in halves until that action is alone.
            (Err(_), _) => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([left, right]);
            }
        }
    }
    Ok(!uids.is_empty())
}
