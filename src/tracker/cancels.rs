//! Polls the store for cancel requests, from any process.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::health::Task;
use super::run::unless_it_panics;
use super::shared::Shared;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{Action, Detail, Filter, Order, Query, Revision, Status};
use crate::store::ActionStoreExt;
use crate::store::cancel_all::end_of;

/// The pause between two polls is `PATIENCE` times the duration of the last poll, within these
/// bounds. So a slow store is not kept busy by polling, and the upper bound limits the delay of a
/// request.
const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Minimum pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Polls while this process has unfinished actions, until the task is aborted or the store is
/// closed.
pub(super) async fn listen(shared: Arc<Shared>) {
    let mut known: Option<Revision> = None;
    loop {
        shared.has_work().await;
        let begun = Instant::now();
        let heard = async {
            let at = tokio::select! {
                at = shared.store.changed(known) => Some(at?.revision),
                // The request may have been made before this process had a handle to pass it to.
                () = shared.taken_on() => known,
            };
            let begun = Instant::now();
            look(&shared).await?;
            check_queued(&shared).await?;
            Ok::<_, StoreError>((at, begun.elapsed()))
        };
        match unless_it_panics("listen", heard).await {
            Ok((revision, took)) => {
                shared.note_task(Task::Listen, None);
                known = revision;
                sleep((took * PATIENCE).clamp(PAUSE, LONGEST_PAUSE)).await;
            }
            Err(error) => {
                let closed = error.kind() == StoreErrorKind::Closed;
                shared.note_task(Task::Listen, Some(error));
                if closed {
                    return;
                }
                known = None;
                sleep(AFTER_FAILURE.max(begun.elapsed())).await;
            }
        }
    }
}

/// Passes requests to the handles of executing actions, and ends queued actions.
async fn look(shared: &Shared) -> Result<(), StoreError> {
    let query = Query::new()
        .with_filter(Filter::OwnerName(shared.owner.name.clone()))
        .with_filter(Filter::Unfinished)
        .with_filter(Filter::CancelRequested)
        .with_order(Order::Oldest)
        .with_detail(Detail::Summary);
    let mut pages = shared.store.pages(query);
    while let Some(page) = pages.next().await? {
        for action in page.items {
            if action.owner.as_ref() != Some(&shared.owner) {
                continue;
            }
            match action.status {
                Status::Queued => end_queued(shared, &action).await?,
                _ => shared.tell_cancel(&action),
            }
        }
    }
    Ok(())
}

/// Stops polling when this owner has no queued action left and no handle, so that a tracker without
/// work costs as little as a new one.
async fn check_queued(shared: &Shared) -> Result<(), StoreError> {
    let Some(before) = shared.maybe_none_queued() else {
        return Ok(());
    };
    // Earlier incarnations may have left any number of queued actions.
    let query = Query::new()
        .with_filter(Filter::Owner(shared.owner.clone()))
        .with_filter(Filter::Status(Status::Queued))
        .with_detail(Detail::Summary)
        .with_limit(1);
    let mut pages = shared.store.pages(query);
    // A page may be empty and not the last one.
    while let Some(page) = pages.next().await? {
        if !page.items.is_empty() {
            return Ok(());
        }
    }
    shared.none_queued(before);
    Ok(())
}

/// Ends a queued action with a cancel request: it has no work to ask. Does nothing if the action
/// has changed, since it may have been started.
async fn end_queued(shared: &Shared, action: &Action) -> Result<(), StoreError> {
    let end = end_of(Some(&shared.owner), action);
    match shared.store.command(end).await {
        Err(Error::Rejected(refused)) => {
            shared.note(&refused);
            Ok(())
        }
        Err(Error::Store(error)) => Err(error),
        Ok(_) | Err(Error::Found(_)) => Ok(()),
    }
}
