//! The reader tasks.
//!
//! Callers wait for an answer, never for a statement, so a dropped future leaves no transaction
//! open. Every page is read completely before it is returned. So a slow caller cannot hold a
//! snapshot.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::engine::{FoundOne, ReadEngine};
use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, LogEntry, LogQuery, Owner, OwnerQuery, Page, Position, Query,
};
use crate::spi::PositionWatch;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The result of a look-up, in the order of its uids.
type Found = Vec<Option<Arc<Action>>>;

/// One caller's look-up.
type LookUp = (Vec<ActionUid>, Reply<Found>);

/// Maximum number of uids that are looked up together, unless one caller alone asks for more.
const GATHERED: usize = 256;

/// A request and the channel for its answer.
pub(super) enum Read {
    Get(Vec<ActionUid>, Reply<Found>),
    List(Query, Reply<Page<Arc<Action>>>),
    Log(LogQuery, Reply<Page<LogEntry>>),
    Owners(OwnerQuery, Reply<Page<Owner>>),
    /// Reads the position of the store and announces it.
    Position(Reply<Position>),
}

pub(super) struct Reader<R> {
    pub(super) engine: R,
    /// Shared by all readers: the next free reader takes the next request.
    pub(super) questions: Arc<Mutex<mpsc::Receiver<Read>>>,
    /// A request that was taken from the queue while look-ups were collected.
    pub(super) put_off: Option<Read>,
    pub(super) closing: watch::Receiver<bool>,
    /// Announces the positions that pages show. The writer may announce that commit later, or
    /// never: a commit can report a failure and still be applied.
    pub(super) position_watch: Arc<PositionWatch>,
}

impl<R: ReadEngine> Reader<R> {
    /// Answers requests until the store is closed and no request waits.
    pub(super) async fn run(mut self) {
        while let Some(question) = self.next_question().await {
            match question {
                Read::Get(uids, reply) => {
                    let looked_up = self.gather(uids, reply);
                    self.look_up(looked_up).await;
                }
                // Where no caller waits any more, no query is needed.
                Read::List(query, reply) if !reply.is_closed() => {
                    let page = self.engine.list(&query).await;
                    self.answer(reply, page, |page| page.at);
                }
                Read::Log(query, reply) if !reply.is_closed() => {
                    let page = self.log(&query).await;
                    self.answer(reply, page, |page| page.at);
                }
                Read::Owners(query, reply) if !reply.is_closed() => {
                    let page = self.engine.owners(&query).await;
                    self.answer(reply, page, |page| page.at);
                }
                Read::Position(reply) if !reply.is_closed() => {
                    let position = self.engine.position().await;
                    self.answer(reply, position, |position| *position);
                }
                _ => {}
            }
        }
        self.engine.close().await;
    }

    /// Returns `None` once the store is closed or dropped, and no request waits.
    async fn next_question(&mut self) -> Option<Read> {
        if let Some(question) = self.put_off.take() {
            return Some(question);
        }
        // Waits with the lock held, so that the readers take turns.
        let mut questions = self.questions.lock().await;
        tokio::select! {
            biased;
            question = questions.recv() => return question,
            _ = self.closing.wait_for(|closing| *closing) => questions.close(),
        }
        // Requests that came before the close are still answered.
        questions.recv().await
    }

    /// Collects other waiting look-ups: one round trip to the database serves all of them.
    fn gather(&mut self, uids: Vec<ActionUid>, reply: Reply<Found>) -> Vec<LookUp> {
        let mut count = uids.len();
        let mut looked_up = vec![(uids, reply)];
        // If another reader waits for its turn, it has the lock and takes them.
        let Ok(mut questions) = self.questions.try_lock() else {
            return looked_up;
        };
        while count < GATHERED {
            match questions.try_recv() {
                Ok(Read::Get(uids, reply)) => {
                    count += uids.len();
                    looked_up.push((uids, reply));
                }
                Ok(other) => {
                    self.put_off = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        looked_up
    }

    async fn look_up(&mut self, mut looked_up: Vec<LookUp>) {
        looked_up.retain(|(_, reply)| !reply.is_closed());
        let mut uids: Vec<ActionUid> = looked_up
            .iter()
            .flat_map(|(uids, _)| uids.clone())
            .collect();
        uids.sort_unstable();
        uids.dedup();
        let mut found = self.engine.get(&uids).await;
        if let Ok(found) = &mut found {
            self.check_absence(&uids, found).await;
        }
        for (uids_of_one, reply) in looked_up {
            let found = found.as_ref().map_err(StoreError::clone).and_then(|found| {
                let one = |uid| match uids.binary_search(uid) {
                    Ok(at) => found[at].clone(),
                    Err(_) => Ok(None),
                };
                uids_of_one.iter().map(one).collect()
            });
            let _gone = reply.send(found);
        }
    }

    /// Looks again for uids that were not found: damage of an index must not hide an action.
    async fn check_absence(&mut self, uids: &[ActionUid], found: &mut [FoundOne]) {
        let absent = uids.iter().zip(&*found);
        let absent = absent.filter(|(_, found)| matches!(found, Ok(None)));
        let absent: Vec<ActionUid> = absent.map(|(uid, _)| *uid).collect();
        if absent.is_empty() {
            return;
        }
        if let Err(error) = self.engine.check_absent(&absent).await {
            for found in found.iter_mut().filter(|found| matches!(found, Ok(None))) {
                *found = Err(error.clone());
            }
        }
    }

    /// Reads a page of a log. An action without any entry may be one that damage hides.
    async fn log(&mut self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        let page = self.engine.log(query).await?;
        if let Some(uid) = query.uid
            && page.items.is_empty()
            && query.after.is_none()
        {
            self.engine.check_absent(&[uid]).await?;
        }
        Ok(page)
    }

    /// Announces the position of an answer, and sends the answer.
    fn answer<T>(
        &self,
        reply: Reply<T>,
        answer: Result<T, StoreError>,
        at: impl FnOnce(&T) -> Position,
    ) {
        if let Ok(answer) = &answer {
            self.position_watch.publish(at(answer));
        }
        let _gone = reply.send(answer);
    }
}
