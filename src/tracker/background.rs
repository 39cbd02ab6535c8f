//! Background tasks of a tracker: renewing the lease, and writing progress and ends that no caller
//! waits for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::health::Task;
use super::in_flight::Entry;
use super::ownership::Ownership;
use super::recovery::{self, Recovery, Whose};
use super::run::unless_it_panics;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, StoreError, StoreErrorKind};
use crate::model::{Batch, Command, Rejection};
use crate::store::ActionStoreExt;

/// Maximum number of commands in one background write. Other writes wait for at most that many.
pub(super) const CHUNK: usize = 256;
/// Longest pause before a failed write is retried.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest time for which the shutdown waits for the calls of `on_settled`.
const HOOK_PATIENCE: Duration = Duration::from_secs(5);
/// Number of tries for the remaining entries when the tracker ends.
const LAST_TRIES: u32 = 3;

/// Aborts a task when this is dropped.
#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Number of tries per renewal interval after a failure.
const TRIES: u32 = 5;

/// Renews once per interval, until the owner is fenced or the task is aborted.
///
/// A renewal counts from the time it was sent, as the claim does. The store sees it at that time or
/// later.
pub(super) async fn renew(shared: Arc<Shared>) {
    let interval = shared.options.renewal_interval();
    let mut due = shared.last_renewal() + interval;
    loop {
        watched(&shared, sleep_until(due)).await;
        let sent = Instant::now();
        due = sent + interval / TRIES;
        // One try, awaited to its end: if the store hangs, only one renewal waits.
        let renewal = Batch::each(vec![Command::renew(shared.owner.clone())]);
        let renewal = unless_it_panics("renew", shared.store.write(renewal));
        match watched(&shared, renewal).await {
            Ok(answers) => match answers.first() {
                Some(Ok(_)) => {
                    due = sent + interval;
                    shared.renewed(sent);
                }
                Some(Err(Rejection::Fenced { .. })) => {
                    return shared.set_ownership(Ownership::Lost);
                }
                Some(Err(refused)) => {
                    let message = "the store refused the renewal";
                    let error = StoreError::new(StoreErrorKind::Corrupt, "renew", message);
                    let error = error.with_source(refused.clone());
                    shared.note_task(Task::Renew, Some(error));
                }
                None => {
                    let message = "the store did not answer the renewal";
                    let error = StoreError::new(StoreErrorKind::Corrupt, "renew", message);
                    shared.note_task(Task::Renew, Some(error));
                }
            },
            Err(error) => {
                let closed = error.kind() == StoreErrorKind::Closed;
                shared.note_task(Task::Renew, Some(error));
                if closed {
                    return shared.set_ownership(Ownership::StoreClosed);
                }
            }
        }
        due = due.max(Instant::now());
    }
}

/// Awaits some work. Marks the ownership as doubtful if it takes too long.
async fn watched<T>(shared: &Shared, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let doubtful_at = shared.last_renewal() + shared.options.trust();
    if let Ok(done) = timeout_at(doubtful_at, work.as_mut()).await {
        return done;
    }
    shared.set_ownership(Ownership::Doubtful);
    work.await
}

/// Writes the waiting entries, at most once per flush interval, until the tracker closes. Then
/// completes the owner's actions and releases the name.
pub(super) async fn keep(
    shared: Arc<Shared>,
    others: Vec<AbortOnDrop>,
    deliver: JoinHandle<()>,
) -> Result<(), Error> {
    let deliver_guard = AbortOnDrop(deliver.abort_handle());
    let mut next = Instant::now();
    let mut failures = 0;
    loop {
        shared.wake.notified().await;
        // Collects more entries until the interval has passed. Closing does not wait for it.
        while !shared.is_closing() && timeout_at(next, shared.wake.notified()).await.is_ok() {}
        if shared.is_closing() {
            let ended = end(&shared).await;
            drop(others);
            shared.settled.close();
            // A hook that is slower loses the remaining calls.
            let _in_time = timeout(HOOK_PATIENCE, deliver).await;
            drop(deliver_guard);
            return ended;
        }
        let (left, failed) = flush(&shared, shared.take_board()).await;
        shared.note_task(Task::Write, failed);
        failures = if left.is_empty() { 0 } else { failures + 1 };
        shared.put_back(left);
        let pause = shared.options.flush_interval * 2_u32.pow(failures.min(16));
        next = Instant::now() + pause.min(LONGEST_PAUSE.max(shared.options.flush_interval));
    }
}

/// Writes entries. Returns those that the store could not take now, and the error.
async fn flush(
    shared: &Shared,
    mut entries: VecDeque<Entry>,
) -> (VecDeque<Entry>, Option<StoreError>) {
    let mut size = CHUNK;
    let mut spoilt_by = None;
    while !entries.is_empty() {
        let (batch, count) = next_batch(shared, &entries, size);
        match unless_it_panics("write", shared.store.write_repeating(batch)).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                for entry in entries.drain(..count) {
                    let answers = answers.by_ref().take(entry.len());
                    // `settled` records a refusal, and no caller waits for it.
                    if let Err(Error::Store(error)) = shared.settled(&entry, entry.answer(answers))
                    {
                        give_up(shared, [&entry], &error);
                        spoilt_by = Some(error);
                    }
                }
            }
            Err(error) if error.is_retryable() => {
                // The first entry may be the cause if it is written alone. Try the others first.
                if entries.front().is_some_and(Entry::is_whole) {
                    entries.rotate_left(1);
                }
                return (entries, Some(error));
            }
            Err(error) => match error.kind() {
                StoreErrorKind::Closed => {
                    shared.set_ownership(Ownership::StoreClosed);
                    give_up(shared, &entries, &error);
                    return (VecDeque::new(), Some(error));
                }
                // One entry makes the batch fail. Write each entry alone, and give up the one that
                // fails.
                _ if count > 1 => size = 1,
                _ => {
                    let spoilt = entries.pop_front();
                    give_up(shared, spoilt.as_slice(), &error);
                    spoilt_by = Some(error);
                }
            },
        }
    }
    (entries, spoilt_by)
}

/// Returns the next batch and the number of entries in it.
fn next_batch(shared: &Shared, entries: &VecDeque<Entry>, size: usize) -> (Batch, usize) {
    let commands = |entry: &Entry| entry.commands(&shared.owner);
    if let Some(first) = entries.front().filter(|entry| entry.is_whole()) {
        return (Batch::all(commands(first)), 1);
    }
    let each = entries.iter().take_while(|entry| !entry.is_whole());
    let limits = shared.store.capabilities();
    limits.fill(each.map(commands).take(size), CHUNK)
}

/// Records entries that will not be written.
fn give_up<'e>(shared: &Shared, entries: impl IntoIterator<Item = &'e Entry>, error: &StoreError) {
    let ends = entries.into_iter().filter(|entry| entry.ends());
    shared.give_up(ends.count(), error.clone());
}

/// Writes the last entries, settles the owner's actions and releases the name.
async fn end(shared: &Shared) -> Result<(), Error> {
    let written = last_writes(shared).await;
    let stood = shared.ownership();
    // No task renews any more, so remaining handles must not report ownership.
    shared.set_ownership(Ownership::Ended);
    written?;
    match stood {
        // The process that fenced this owner settles its actions.
        Ownership::Lost => return Ok(()),
        Ownership::StoreClosed => {
            let message =
                "the store is closed: actions were not settled, and the name was not released";
            return Err(StoreError::new(StoreErrorKind::Closed, "shutdown", message).into());
        }
        Ownership::Held | Ownership::Doubtful | Ownership::Ended => {}
    }
    recovery::settle(shared, Whose::Own, &mut Recovery::default()).await?;
    match shared
        .store
        .command(Command::release(shared.owner.clone()))
        .await
    {
        // Another process owns the name; there is nothing to release.
        Err(error) if error.kind() == ErrorKind::Fenced => Ok(()),
        answer => answer.map(|_| ()),
    }
}

/// Writes the remaining entries.
async fn last_writes(shared: &Shared) -> Result<(), StoreError> {
    for _ in 0..LAST_TRIES {
        let (left, failed) = flush(shared, shared.take_board()).await;
        shared.put_back(left);
        shared.note_task(Task::Write, failed.clone());
        match failed {
            Some(error) if error.kind() == StoreErrorKind::Closed => return Err(error),
            Some(_) => sleep(shared.options.flush_interval).await,
            None => break,
        }
    }
    let (left, failed) = flush(shared, shared.close_board()).await;
    shared.note_task(Task::Write, failed.clone());
    match failed {
        Some(error) => {
            give_up(shared, &left, &error);
            Err(error)
        }
        None => Ok(()),
    }
}
