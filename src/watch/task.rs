//! The one task that looks for all waiters of a store.
//!
//! # Why no change is missed
//!
//! `after` is always a revision that was readable *before* the last look-up of each action began.
//! So what that look-up did not show has a revision above it, and `changed(after)` resolves:
//!
//! - Who comes to wait is on the board first and looked up then (`due`), by a look that begins
//!   later. A change before that look is shown by it, one after it is above `after`, which is older
//!   than the look.
//! - When `changed` resolves, its revision becomes `after`, and then everything is looked up. A
//!   change in between is shown; one after it is above `after`.
//! - A look that fails leaves `news` and `due` as they are: it is made again before anything is
//!   waited for.
//!
//! An action goes only once it is completed, which has a revision of its own, in the same
//! transaction or an earlier one: a removal wakes who waits, too.

use tokio::time::Instant;

use super::hub::{Hub, Running, State};
use super::pace::Pace;
use crate::error::{ErrorKind, StoreError};
use crate::model::{ActionUid, Revision};

/// Looks until nobody waits, or the store fails for good.
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
                // Whatever the work is at: a store that hangs holds no task.
                () = hub.left.notified() => if hub.is_deserted() {
                    break;
                }
            }
        }
    }
    running.end();
}

async fn work(hub: &Hub) -> StoreError {
    let mut pace = Pace::new();
    let mut after: Option<Revision> = None;
    // Whether what was shown may be out of date.
    let mut news = true;
    let mut waiting = None;
    loop {
        pace.pause().await;
        if after.is_none() {
            match hub.store.changed(None).await {
                Ok(position) => after = Some(position.revision),
                Err(error) if is_passing(&error) => {
                    hub.set_trouble(error);
                    pace.failed();
                    continue;
                }
                Err(error) => return error,
            }
        }
        let begun = Instant::now();
        match look(hub, news).await {
            Ok(asked) => {
                news = false;
                // What was not asked has not been answered.
                if asked {
                    pace.answered(begun);
                }
            }
            Err(error) if is_passing(&error) => {
                hub.set_trouble(error);
                pace.failed();
                continue;
            }
            Err(error) => return error,
        }
        // Kept while newcomers are looked up: they cost no further one.
        let mut changed = waiting.take().unwrap_or_else(|| hub.store.changed(after));
        tokio::select! {
            biased;
            answer = &mut changed => match answer {
                Ok(position) => {
                    hub.end_trouble();
                    after = Some(position.revision);
                    news = true;
                }
                Err(error) if is_passing(&error) => {
                    hub.set_trouble(error);
                    pace.failed();
                }
                // The store is behind what it was: an older copy was put in its place.
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    hub.set_trouble(error);
                    (after, news) = (None, true);
                    pace.failed();
                }
                Err(error) => return error,
            },
            () = hub.came.notified() => waiting = Some(changed),
        }
    }
}

/// Whether the same question may be answered later.
pub(super) fn is_passing(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::OutcomeUnknown
    )
}

/// Looks up what is due. Says whether anything was.
async fn look(hub: &Hub, news: bool) -> Result<bool, StoreError> {
    let (number, uids) = hub.begin_look(news);
    let most = hub.store.capabilities().max_commands.max(1);
    let mut parts: Vec<&[ActionUid]> = uids.chunks(most).collect();
    while let Some(part) = parts.pop() {
        let answer = match hub.store.get(part).await {
            Ok(found) if found.len() != part.len() => {
                let message = "the store did not answer for every action";
                Err(StoreError::new(ErrorKind::Corrupt, "get", message))
            }
            answer => answer,
        };
        match (answer, part) {
            (Ok(found), _) => {
                let state = |found: Option<_>| found.map_or(State::Gone, State::There);
                let shown = part.iter().copied().zip(found.into_iter().map(state));
                hub.show(number, shown);
            }
            (Err(error), _) if is_passing(&error) || error.kind() == ErrorKind::Closed => {
                return Err(error);
            }
            (Err(error), [uid]) => hub.show(number, [(*uid, State::Failed(error))]),
            // One of them spoils it for the others: halves, until that one stands alone.
            (Err(_), _) => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([left, right]);
            }
        }
    }
    Ok(!uids.is_empty())
}
