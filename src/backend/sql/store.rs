//! The part of every SQL store in front of its database: queues, deadlines, caches and tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::commit_timer::CommitTimer;
use super::deadline::deadline;
use super::engine::{Engine, ReadEngine};
use super::lineage::Lineage;
use super::poll::{Poll, PollHint};
use super::read_cache::ReadCache;
use super::reader::{Questions, Read, Reader, Reply};
use super::write_request::Answer;
use super::write_sender::WriteSender;
use super::writer::{CloseOnDrop, Writer};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{
    Action, ActionUid, Batch, CheckError, Cursor, LogEntry, LogQuery, Owner, OwnerQuery, Page,
    Position, Query, ReadSet, Revision, read_set,
};
use crate::spi::PositionWatch;
use crate::store::Capabilities;

/// Maximum number of requests that wait for a reader.
const QUESTIONS: usize = 1024;

/// Settings of a store that do not depend on its database.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) capabilities: Capabilities,
    /// Maximum duration of a call.
    pub(crate) timeout: Duration,
    /// Maximum size of the batches in each queue, in bytes.
    pub(crate) queue_bytes: usize,
    /// Interval between polls for commits of other writers; `None` if there are none.
    pub(crate) poll_interval: Option<Duration>,
    #[cfg(test)]
    pub(crate) always_parts: bool,
}

/// The running part of a store.
#[derive(Debug)]
pub(crate) struct SqlStore {
    pub(crate) lineage: Arc<Lineage>,
    pub(crate) capabilities: Capabilities,
    pub(crate) position_watch: Arc<PositionWatch>,
    /// Cache that answers `get` without the database; empty unless plans are made from memory.
    pub(crate) read_cache: Arc<ReadCache>,
    timeout: Duration,
    /// Its close ends all tasks once they have finished the waiting work.
    sender: WriteSender,
    questions: mpsc::Sender<Read>,
    /// Polls for commits of other processes; `None` if there are no other writers.
    poll: Option<Poll>,
    /// The writer task, which is the last task to end. `None` once `close` has seen it end.
    writer: Mutex<Option<JoinHandle<bool>>>,
}

impl SqlStore {
    /// Starts the tasks of a store.
    pub(crate) fn start<E: Engine, R: ReadEngine>(
        settings: &Settings,
        lineage: Arc<Lineage>,
        position_watch: Arc<PositionWatch>,
        engine: E,
        readers: Vec<R>,
    ) -> SqlStore {
        let read_cache = Arc::new(ReadCache::default());
        let (sender, write_queue) = WriteSender::new(settings.queue_bytes);
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let asked = Arc::new(Mutex::new(Questions::new(asked)));
        let readers = readers.into_iter().map(|engine| {
            let reader = Reader {
                engine,
                questions: asked.clone(),
                closing: sender.closing(),
                position_watch: position_watch.clone(),
            };
            tokio::spawn(reader.run())
        });
        let writer = Writer {
            engine,
            lineage: lineage.clone(),
            position_watch: CloseOnDrop(position_watch.clone()),
            write_cache: None,
            read_cache: read_cache.clone(),
            readers: readers.collect(),
            #[cfg(not(test))]
            timer: CommitTimer::default(),
            #[cfg(test)]
            timer: CommitTimer::always(settings.always_parts),
            blocked: Vec::new(),
        };
        let writer = tokio::spawn(writer.run(write_queue));
        let poll = settings.poll_interval.map(|interval| {
            let poll = Poll::new(interval);
            tokio::spawn(poll.clone().run(
                questions.clone(),
                position_watch.clone(),
                sender.closing(),
            ));
            poll
        });
        SqlStore {
            lineage,
            capabilities: settings.capabilities,
            position_watch,
            read_cache,
            timeout: settings.timeout,
            sender,
            questions,
            poll,
            writer: Mutex::new(Some(writer)),
        }
    }

    /// Returns what makes the next poll come early, and what ends with the store. `None` if the
    /// store does not poll.
    #[allow(dead_code, reason = "not every database gives hints")]
    pub(crate) fn poll_hint(&self) -> Option<(PollHint, watch::Receiver<bool>)> {
        let poll = self.poll.as_ref()?;
        Some((poll.hint(), self.sender.closing()))
    }

    /// Returns the memory of the waiting batches, in bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.sender.queued_bytes()
    }

    /// Checks that a batch may be tried. Returns what it needs and its size in bytes.
    pub(crate) fn check_batch(
        &self,
        operation: &'static str,
        batch: &Batch,
    ) -> Result<(ReadSet, usize), StoreError> {
        let bytes = self.capabilities.check(batch)?;
        let read_set = read_set(batch).map_err(|e| StoreError::from_check(operation, e))?;
        Ok((read_set, bytes))
    }

    /// Sends a checked batch to the writer and waits for its answer.
    pub(crate) async fn write(&self, batch: Batch, read_set: ReadSet, bytes: usize) -> Answer {
        let sender = &self.sender;
        sender.write(batch, read_set, bytes, self.timeout).await
    }

    /// Sends a request to the readers and waits for the answer.
    async fn ask<T>(
        &self,
        operation: &'static str,
        question: impl FnOnce(Reply<T>) -> Read,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let gone = || StoreError::closed(operation);
            let question = question(reply);
            self.questions.send(question).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        let answer = deadline(self.timeout, asked).await;
        answer.unwrap_or_else(|| {
            let message = "the call timed out";
            Err(StoreError::new(ErrorKind::Unavailable, operation, message))
        })
    }

    /// Returns actions without the database, if all of them are cached.
    pub(crate) async fn cached(&self, uids: &[ActionUid]) -> Option<Vec<Option<Arc<Action>>>> {
        let found = self.read_cache.get(uids)?;
        // Lets the writer run: a caller that polls in a loop may share its thread.
        tokio::task::consume_budget().await;
        Some(found)
    }

    pub(crate) async fn get(
        &self,
        uids: &[ActionUid],
    ) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.ask("get", |reply| Read::Get(uids.to_vec(), reply))
            .await
    }

    /// Checks that a query is valid and its cursor belongs to this store.
    pub(crate) fn check_query(
        &self,
        operation: &'static str,
        checked: Result<(), CheckError>,
        after: Option<Cursor>,
    ) -> Result<(), StoreError> {
        checked.map_err(|error| StoreError::from_check(operation, error))?;
        match after {
            Some(cursor) if cursor.store_id() != self.lineage.store_id => Err(StoreError::new(
                ErrorKind::Invalid,
                operation,
                "after: is a cursor of another store",
            )),
            _ => Ok(()),
        }
    }

    pub(crate) async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.ask("list", |reply| Read::List(query.clone(), reply))
            .await
    }

    pub(crate) async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.ask("log", |reply| Read::Log(query.clone(), reply))
            .await
    }

    pub(crate) async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.ask("owners", |reply| Read::Owners(query.clone(), reply))
            .await
    }

    /// Reads the position of the store.
    pub(crate) async fn position(&self, operation: &'static str) -> Result<Position, StoreError> {
        self.ask(operation, Read::Position).await
    }

    /// Reads the commits that other processes made since the last poll, before
    /// [`changed`](SqlStore::changed) waits for more.
    pub(crate) async fn read_behind(&self, after: Option<Revision>) -> Result<(), StoreError> {
        let is_behind = |after| self.position_watch.is_behind(after);
        if self.poll.is_some() && after.is_none_or(is_behind) {
            self.position("changed").await?;
        }
        Ok(())
    }

    pub(crate) async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        let poll = self.poll.as_ref().filter(|_| after.is_some());
        let _waiting = poll.map(Poll::wait);
        self.position_watch.changed(after).await
    }

    /// Ends the tasks once they have done the waiting work.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        self.position_watch.close();
        self.sender.close();
        let mut writer = self.writer.lock().await;
        let Some(task) = writer.as_mut() else {
            return Ok(());
        };
        let ended = task.await;
        // Cleared only now: if this future is dropped earlier, the next `close` still waits for the
        // task.
        *writer = None;
        if let Ok(true) = ended {
            return Ok(());
        }
        let message = "a task of the store ended early";
        Err(StoreError::new(ErrorKind::Unavailable, "close", message))
    }
}
