//! Group commit: one task takes the batches of all callers, and commits those that wait together.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::position_watch::PositionWatch;
use super::write_queue::WriteQueue;
use super::write_request::{Answers, WriteRequest, answer_all, answer_each};
use super::write_sender::WriteSender;
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{
    Batch, Done, Position, ReadSet, Rejection, Timestamp, TxnState, plan, read_set,
};
use crate::runtime;
use crate::store::Capabilities;

/// Memory for waiting batches, in bytes.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The batches of one commit, in the order in which they take effect.
#[derive(Debug)]
pub struct Group {
    requests: Vec<WriteRequest>,
}

impl Group {
    /// Returns what each batch needs. A row may be needed by several batches.
    #[must_use]
    pub fn read_sets(&self) -> impl ExactSizeIterator<Item = &ReadSet> {
        self.requests.iter().map(|request| &request.read_set)
    }

    /// Plans the batches one after another on a state with the rows that they need. Returns the
    /// answers to each. `now` is the time of the store's clock.
    ///
    /// [`TxnState::into_write_set`] then has the changes of all batches.
    pub fn plan(&self, txn: &mut TxnState, now: Timestamp) -> Answers {
        let requests = self.requests.iter();
        requests
            .map(|request| plan(&request.batch, &request.read_set, txn, now))
            .collect()
    }
}

/// Result of a commit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Committed {
    /// The answers of [`Group::plan`].
    pub answers: Answers,
    /// Position of the store after the commit.
    pub at: Position,
}

impl Committed {
    /// Creates the result of a commit that is durable and readable.
    #[must_use]
    pub fn new(answers: Answers, at: Position) -> Committed {
        Committed { answers, at }
    }
}

/// A commit that failed.
///
/// With `?`, a [`StoreError`] becomes `OneBatch` if its kind is `Corrupt`, `Incompatible`, `Invalid`
/// or `Unsupported`, and `AllBatches` otherwise.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Nothing was applied. One of the batches may be the cause, for example because a row that it
    /// needs is damaged. The writer commits each batch alone.
    #[error(transparent)]
    OneBatch(StoreError),
    /// The failure has nothing to do with a single batch. All callers get the error.
    ///
    /// If the commit may have been applied, the kind of the error must be `OutcomeUnknown`. Any other
    /// kind says that nothing was applied and nothing will be.
    #[error(transparent)]
    AllBatches(StoreError),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> CommitError {
        match error.kind() {
            StoreErrorKind::Corrupt
            | StoreErrorKind::Incompatible
            | StoreErrorKind::Invalid
            | StoreErrorKind::Unsupported => CommitError::OneBatch(error),
            _ => CommitError::AllBatches(error),
        }
    }
}

/// Writes the batches of all callers: [`write`](crate::ActionStore::write) and
/// [`close`](crate::ActionStore::close) for a store whose commit is one call.
///
/// A task takes the batches that wait, and gives them to the store's commit function as one
/// [`Group`]. So callers that write at the same time share one disk sync. While a commit runs, the
/// next batches wait. A group takes no further batch at 2000 commands or 16 MiB.
///
/// - Batches that only have commands about owners pass all others, so that a full queue never lets
///   the lease of a living owner expire.
///
/// - A batch that was taken is carried out, also if its caller drops the future or the store is
///   closed. A batch whose caller has gone away before it was taken may be carried out.
///
/// - If a commit fails because of [one batch](CommitError::OneBatch), each batch is tried alone.
///
/// - A call that takes longer than the timeout fails. If its batch still waits, it is withdrawn and
///   the error is `Unavailable`. Otherwise the error is `OutcomeUnknown`.
///
/// The waiting batches take at most 64 MiB; further ones wait for room. The same queue serves the
/// SQL stores of this crate.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use action_store::query::Position;
/// use action_store::spi::{Committed, CommitError, Group, GroupWriter, PositionWatch, TxnState};
/// use action_store::{Capabilities, Clock, Durability, StoreError};
///
/// # struct Db;
/// # impl Db {
/// #     fn load(&self, _: &Group) -> Result<(TxnState, Position), StoreError> { unimplemented!() }
/// #     fn save(&self, _: &action_store::spi::WriteSet, at: Position) -> Result<Position, StoreError> { Ok(at) }
/// # }
/// /// Call this inside the tokio runtime that will run the store.
/// fn writer(db: Db, at: Position) -> Result<GroupWriter, StoreError> {
///     let watch = Arc::new(PositionWatch::new(at));
///     let capabilities = Capabilities::new(Durability::Disk);
///     GroupWriter::spawn(capabilities, watch, Duration::from_secs(30), move |group: &Group| {
///         let (mut txn, at) = db.load(group)?;
///         let answers = group.plan(&mut txn, Clock::system().now());
///         let write_set = txn.into_write_set();
///         let at = if write_set.is_empty() { at } else { db.save(&write_set, at)? };
///         Ok::<_, CommitError>(Committed::new(answers, at))
///     })
/// }
/// ```
#[derive(Debug)]
pub struct GroupWriter {
    sender: WriteSender,
    capabilities: Capabilities,
    watch: Arc<PositionWatch>,
    timeout: Duration,
    /// Once the task has ended: true if it had finished its work.
    ended: watch::Receiver<Option<bool>>,
}

impl GroupWriter {
    /// Starts the task of the writer on the runtime of the caller. `watch` is the store's.
    ///
    /// `commit` is called on a thread that may block. It must load what [`Group::read_sets`] lists,
    /// plan, save, commit and sync, all in one transaction. It returns once the changes are as
    /// durable as `capabilities` says, and readable. The writer then announces the position, and
    /// answers the callers. `commit` is dropped when the store is closed, or when the writer is
    /// dropped and no batch waits.
    ///
    /// # Errors
    /// `Closed` outside a tokio runtime.
    ///
    /// # Panics
    /// [`write`](GroupWriter::write) panics if its runtime has no timer
    /// ([`enable_time`](tokio::runtime::Builder::enable_time)). A panic of `commit` closes the store,
    /// and the callers of its group get `OutcomeUnknown`.
    pub fn spawn<C>(
        capabilities: Capabilities,
        watch: Arc<PositionWatch>,
        timeout: Duration,
        commit: C,
    ) -> Result<GroupWriter, StoreError>
    where
        C: FnMut(&Group) -> Result<Committed, CommitError> + Send + 'static,
    {
        let runtime = runtime::current("open")?;
        let (sender, queue) = WriteSender::new(QUEUE_BYTES.max(capabilities.max_bytes));
        let (ended, end) = watch::channel(None);
        let task = Task {
            commit,
            end: End {
                watch: watch.clone(),
                ended,
                whole: false,
            },
        };
        runtime.spawn(task.run(queue));
        Ok(GroupWriter {
            sender,
            capabilities,
            watch,
            timeout,
            ended: end,
        })
    }

    /// Writes a batch; see [`ActionStore::write`](crate::ActionStore::write). Checks it against the
    /// capabilities first.
    ///
    /// # Errors
    /// `Invalid`, `Unsupported`, `Unavailable`, `OutcomeUnknown`, `Closed`, and the errors of the
    /// commit function.
    pub async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.watch.check_open("write")?;
        let bytes = self.capabilities.check(&batch)?;
        let read_set = read_set(&batch).map_err(|e| StoreError::from_check("write", e))?;
        let sender = &self.sender;
        sender.write(batch, read_set, bytes, self.timeout).await
    }

    /// Closes the position watch, finishes the batches that were taken, and waits for the end of the
    /// task. A second call waits for the same end.
    ///
    /// # Errors
    /// `Unavailable` if the task ended early, because the commit function panicked.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.watch.close();
        self.sender.close();
        let mut ended = self.ended.clone();
        let ended = ended.wait_for(Option::is_some).await;
        if ended.is_ok_and(|whole| *whole == Some(true)) {
            return Ok(());
        }
        let message = "the task of the writer ended early";
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "close",
            message,
        ))
    }
}

/// Ends all waits when the writer ends for any reason, also with its runtime: no position is
/// announced after that.
struct End {
    watch: Arc<PositionWatch>,
    ended: watch::Sender<Option<bool>>,
    whole: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        self.watch.close();
        self.ended.send_replace(Some(self.whole));
    }
}

struct Task<C> {
    commit: C,
    end: End,
}

impl<C> Task<C>
where
    C: FnMut(&Group) -> Result<Committed, CommitError> + Send + 'static,
{
    /// Works until the store is closed and no batch waits, or until a commit panics.
    async fn run(self, mut queue: WriteQueue) {
        let Task { commit, mut end } = self;
        let mut writer = Some(commit);
        while queue.wait().await {
            queue.settle().await;
            let group = queue.next_group(usize::MAX);
            for request in together(&mut writer, &end.watch, group).await {
                // Commands about owners do not wait until each batch was tried alone.
                let owners = queue.next_owners();
                for request in together(&mut writer, &end.watch, owners).await {
                    together(&mut writer, &end.watch, vec![request]).await;
                }
                together(&mut writer, &end.watch, vec![request]).await;
            }
            if writer.is_none() {
                return;
            }
        }
        // Released before anybody hears of the end.
        drop(writer);
        end.whole = true;
    }
}

/// Commits batches together and answers them. Returns them unanswered if one of several may be the
/// cause of a failure. `commit` is `None` after a panic.
async fn together<C>(
    commit: &mut Option<C>,
    watch: &PositionWatch,
    mut requests: Vec<WriteRequest>,
) -> Vec<WriteRequest>
where
    C: FnMut(&Group) -> Result<Committed, CommitError> + Send + 'static,
{
    requests.retain(|request| request.claim.take());
    if requests.is_empty() {
        return requests;
    }
    let Some(mut work) = commit.take() else {
        answer_all(requests, &StoreError::closed("write"));
        return Vec::new();
    };
    // If the runtime ends during the commit, its outcome remains unknown.
    requests.iter().for_each(|request| request.claim.send());
    let group = Group { requests };
    let done = tokio::task::spawn_blocking(move || {
        let result = work(&group);
        (work, group, result)
    });
    let Ok((work, group, result)) = done.await else {
        return Vec::new();
    };
    *commit = Some(work);
    let requests = group.requests;
    match result {
        Ok(Committed { answers, at }) => {
            watch.publish(at);
            answer_each(requests, answers);
        }
        Err(CommitError::OneBatch(_)) if requests.len() > 1 => {
            requests.iter().for_each(|request| request.claim.refused());
            return requests;
        }
        Err(CommitError::OneBatch(error) | CommitError::AllBatches(error)) => {
            answer_all(requests, &error);
        }
    }
    Vec::new()
}
