//! The reader tasks.
//!
//! Callers wait for an answer, never for a statement, so a dropped future leaves no transaction
//! open. Every page is read completely before it is returned. So a slow caller cannot hold a
//! snapshot.

use std::collections::VecDeque;
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

/// Maximum number of uids that are looked up together, unless one caller alone asks for more. Also
/// the maximum number of callers that share a page.
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

/// The requests that wait for a reader.
pub(super) struct Questions {
    queue: mpsc::Receiver<Read>,
    /// The oldest requests: they were taken from the queue while others were collected.
    put_off: VecDeque<Read>,
}

impl Questions {
    pub(super) fn new(queue: mpsc::Receiver<Read>) -> Questions {
        Questions {
            queue,
            put_off: VecDeque::new(),
        }
    }

    /// Offers each waiting request to `collect`, the oldest first. A request that it returns keeps
    /// its place.
    fn collect(&mut self, collect: impl FnMut(Read) -> Option<Read>) {
        while self.put_off.len() < GATHERED
            && let Ok(question) = self.queue.try_recv()
        {
            self.put_off.push_back(question);
        }
        let waiting = std::mem::take(&mut self.put_off);
        self.put_off = waiting.into_iter().filter_map(collect).collect();
    }
}

pub(super) struct Reader<R> {
    pub(super) engine: R,
    /// Shared by all readers: the next free reader takes the next request.
    pub(super) questions: Arc<Mutex<Questions>>,
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
                    let also = self.callers_of(&query);
                    let page = self.engine.list(&query).await;
                    for reply in also {
                        self.answer(reply, page.clone(), |page| page.at);
                    }
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
        // Waits with the lock held, so that the readers take turns.
        let Questions { queue, put_off } = &mut *self.questions.lock().await;
        if let Some(question) = put_off.pop_front() {
            return Some(question);
        }
        tokio::select! {
            biased;
            question = queue.recv() => return question,
            _ = self.closing.wait_for(|closing| *closing) => queue.close(),
        }
        // Requests that came before the close are still answered.
        queue.recv().await
    }

    /// Collects other waiting look-ups: one round trip to the database serves all of them.
    fn gather(&mut self, uids: Vec<ActionUid>, reply: Reply<Found>) -> Vec<LookUp> {
        let mut count = uids.len();
        let mut looked_up = vec![(uids, reply)];
        self.collect(|question| match question {
            Read::Get(uids, reply) if count < GATHERED => {
                count += uids.len();
                looked_up.push((uids, reply));
                None
            }
            other => Some(other),
        });
        looked_up
    }

    /// Collects the other callers that wait for this page: many clients poll the same list. All of
    /// them asked before the page is read, so none of them misses a change.
    fn callers_of(&mut self, query: &Query) -> Vec<Reply<Page<Arc<Action>>>> {
        let mut callers = Vec::new();
        self.collect(|question| match question {
            Read::List(other, reply) if callers.len() < GATHERED && other == *query => {
                callers.push(reply);
                None
            }
            other => Some(other),
        });
        callers
    }

    /// Offers each waiting request to `collect`. If another reader is free, no request waits, and
    /// that reader has the lock.
    fn collect(&mut self, collect: impl FnMut(Read) -> Option<Read>) {
        if let Ok(mut questions) = self.questions.try_lock() {
            questions.collect(collect);
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use super::*;
    use crate::model::{BranchId, Order, Revision, StoreId};

    /// An empty database that remembers what it was asked.
    struct Empty {
        at: Position,
        asked: Arc<StdMutex<Vec<&'static str>>>,
    }

    impl Empty {
        fn note(&self, what: &'static str) {
            self.asked.lock().unwrap().push(what);
        }
    }

    impl ReadEngine for Empty {
        async fn get(&mut self, uids: &[ActionUid]) -> Result<Vec<FoundOne>, StoreError> {
            self.note("get");
            Ok(vec![Ok(None); uids.len()])
        }

        async fn check_absent(&mut self, _: &[ActionUid]) -> Result<(), StoreError> {
            Ok(())
        }

        async fn list(&mut self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
            self.note(match query.order {
                Order::Oldest => "oldest",
                _ => "newest",
            });
            Ok(Page::new(Vec::new(), None, self.at))
        }

        async fn log(&mut self, _: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
            self.note("log");
            Ok(Page::new(Vec::new(), None, self.at))
        }

        async fn owners(&mut self, _: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
            self.note("owners");
            Ok(Page::new(Vec::new(), None, self.at))
        }

        async fn position(&mut self) -> Result<Position, StoreError> {
            self.note("position");
            Ok(self.at)
        }

        async fn close(self) {}
    }

    #[tokio::test]
    async fn callers_that_wait_for_the_same_page_share_one_query() {
        let at = Position::new(StoreId::new(), BranchId::FIRST, Revision::ZERO);
        let (questions, queue) = mpsc::channel(64);
        let (newest, oldest) = (Query::new(), Query::new().with_order(Order::Oldest));
        let (mut pages, mut look_ups) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            for query in [&newest, &oldest] {
                let (reply, page) = oneshot::channel();
                questions
                    .try_send(Read::List(query.clone(), reply))
                    .ok()
                    .unwrap();
                pages.push(page);
            }
            let (reply, found) = oneshot::channel();
            let uids = vec![ActionUid::new()];
            questions.try_send(Read::Get(uids, reply)).ok().unwrap();
            look_ups.push(found);
        }
        let (reply, position) = oneshot::channel();
        questions.try_send(Read::Position(reply)).ok().unwrap();
        let asked = Arc::default();
        // The store is closed already: the reader answers what waits, and ends.
        let (_open, closing) = watch::channel(true);
        let reader = Reader {
            engine: Empty {
                at,
                asked: Arc::clone(&asked),
            },
            questions: Arc::new(Mutex::new(Questions::new(queue))),
            closing,
            position_watch: Arc::new(PositionWatch::new(at)),
        };
        reader.run().await;
        for page in pages {
            assert_eq!(page.await.unwrap().unwrap().at, at);
        }
        for found in look_ups {
            assert_eq!(found.await.unwrap().unwrap(), [None]);
        }
        assert_eq!(position.await.unwrap().unwrap(), at);
        assert_eq!(
            *asked.lock().unwrap(),
            ["newest", "oldest", "get", "position"]
        );
    }
}
