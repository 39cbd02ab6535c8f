//! Tests of the writer on an engine that does what a test says.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::engine::{
    Doubt, Encoded, Engine, FoundOne, Frame, Loaded, Phase, ReadEngine, Stored, Verdict,
};
use super::lineage::Lineage;
use super::store::{Settings, SqlStore};
use super::write_request::Answer;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{
    Action, ActionUid, Batch, BranchId, Branches, Command, Effect, LogEntry, LogQuery, NewAction,
    Owner, OwnerQuery, Page, Position, Query, ReadSet, StoreId, Timestamp, TxnState, WriteSet,
};
use crate::spi::PositionWatch;
use crate::store::{Capabilities, Durability};

/// The results of the coming steps of the engine. A step without one succeeds.
#[derive(Debug, Default)]
struct Script {
    /// The blocked batches of each load.
    blocked: VecDeque<Vec<usize>>,
    /// Blocks all batches of all further loads.
    blocks_all: bool,
    /// The failure of each commit.
    failures: VecDeque<(Phase, Failure)>,
    verdicts: VecDeque<Verdict>,
    /// The errors of the coming connections.
    connections: VecDeque<Option<StoreError>>,
    /// The time that each load takes.
    pauses: VecDeque<Duration>,
    /// Number of batches of each load so far.
    loads: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Another transaction was in the way.
    Again,
    /// One of the batches is the cause.
    OfOne,
    Broken,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

struct Changes {
    expected: Stored,
    numbers: HashMap<ActionUid, i64>,
}

impl Encoded for Changes {
    fn expected(&self) -> Stored {
        self.expected
    }

    fn numbers(&self) -> &HashMap<ActionUid, i64> {
        &self.numbers
    }
}

const AGAIN: &str = "again";
const OF_ONE: &str = "of one";

impl Engine for Scripted {
    type Connection = ();
    type Save = Changes;
    type Error = Failure;

    const PATIENCE: Duration = Duration::ZERO;

    fn plans_from_memory(&self) -> bool {
        false
    }

    fn now(&self) -> Timestamp {
        unreachable!("no plan is made from memory")
    }

    fn is_in_doubt(&self) -> bool {
        false
    }

    async fn ready(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn rest(&mut self) {}

    async fn give_way(&mut self) {}

    async fn connection(&mut self) -> Result<(), StoreError> {
        let refused = self.0.lock().unwrap().connections.pop_front();
        refused.flatten().map_or(Ok(()), Err)
    }

    fn hand_back(&mut self, (): ()) {}

    async fn give_up(&mut self, (): (), _: &StoreError) {}

    async fn roll_back(&mut self, (): &mut ()) -> bool {
        true
    }

    async fn read_owners(&mut self, (): &mut ()) -> Result<(Stored, Vec<Owner>), StoreError> {
        unreachable!("no plan is made from memory")
    }

    async fn load(&mut self, (): &mut (), sets: &[&ReadSet]) -> Result<Loaded, StoreError> {
        let pause = self.0.lock().unwrap().pauses.pop_front();
        tokio::time::sleep(pause.unwrap_or_default()).await;
        let mut script = self.0.lock().unwrap();
        script.loads.push(sets.len());
        let blocked = match script.blocked.pop_front() {
            Some(blocked) => blocked,
            None if script.blocks_all => (0..sets.len()).collect(),
            None => Vec::new(),
        };
        Ok(Loaded {
            txn: TxnState::new(),
            stored: Stored::default(),
            numbers: HashMap::new(),
            now: Timestamp::from_seconds(1),
            blocked,
        })
    }

    fn encode(
        &self,
        _: &WriteSet,
        stored: Stored,
        numbers: HashMap<ActionUid, i64>,
        _: Frame,
    ) -> Result<Changes, StoreError> {
        let expected = stored;
        Ok(Changes { expected, numbers })
    }

    async fn commit(&self, (): &mut (), save: &mut Changes) -> Result<Stored, (Phase, Failure)> {
        match self.0.lock().unwrap().failures.pop_front() {
            Some(failure) => Err(failure),
            None => Ok(save.expected),
        }
    }

    async fn end_unchanged(&mut self, (): &mut (), _: bool) -> Result<(), StoreError> {
        Ok(())
    }

    async fn examine(&mut self, (): (), _: &Doubt<Self>) -> Option<Verdict> {
        None
    }

    async fn look_up(&mut self, _: &Doubt<Self>) -> Option<Verdict> {
        self.0.lock().unwrap().verdicts.pop_front()
    }

    async fn close(self) {}

    fn error(phase: Phase, error: Failure) -> StoreError {
        let kind = match phase {
            Phase::Before => ErrorKind::Unavailable,
            Phase::Commit => ErrorKind::OutcomeUnknown,
        };
        let message = match error {
            Failure::Again => AGAIN,
            Failure::OfOne => OF_ONE,
            Failure::Broken => "broken",
        };
        StoreError::new(kind, "write", message)
    }

    fn may_lie_with_one(error: &StoreError) -> bool {
        error.to_string().contains(OF_ONE)
    }

    fn may_succeed_again(error: &StoreError) -> bool {
        error.to_string().contains(AGAIN)
    }

    fn contradicts(_: &Failure) -> bool {
        unreachable!("no plan is made from memory")
    }
}

/// No store of these tests reads.
enum NoReader {}

impl ReadEngine for NoReader {
    async fn get(&mut self, _: &[ActionUid]) -> Result<Vec<FoundOne>, StoreError> {
        match *self {}
    }

    async fn check_absent(&mut self, _: &[ActionUid]) -> Result<(), StoreError> {
        match *self {}
    }

    async fn list(&mut self, _: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        match *self {}
    }

    async fn log(&mut self, _: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        match *self {}
    }

    async fn owners(&mut self, _: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        match *self {}
    }

    async fn position(&mut self) -> Result<Position, StoreError> {
        match *self {}
    }

    async fn close(self) {
        match self {}
    }
}

/// A store on this engine, whose calls time out soon.
fn start(engine: &Scripted) -> SqlStore {
    start_with(engine, Duration::from_millis(60))
}

fn start_with(engine: &Scripted, timeout: Duration) -> SqlStore {
    let settings = Settings {
        capabilities: Capabilities::new(Durability::Process),
        timeout,
        queue_bytes: 1024 * 1024,
        poll_interval: None,
        always_parts: false,
    };
    let lineage = Arc::new(Lineage {
        store_id: StoreId::new(),
        branches: Branches {
            current: BranchId::new(),
            forks: Vec::new(),
        },
    });
    let watch = Arc::new(PositionWatch::new(lineage.position()));
    let readers = Vec::<NoReader>::new();
    SqlStore::start(&settings, lineage, watch, engine.clone(), readers)
}

async fn create(store: &SqlStore) -> Answer {
    let new = NewAction::task("a").into();
    let batch = Batch::each(vec![Command::Create { new, by: None }]);
    let (read_set, bytes) = store.check_batch("write", &batch).unwrap();
    store.write(batch, read_set, bytes).await
}

fn is_applied(answer: &Answer) -> bool {
    let done = answer.as_ref().unwrap()[0].as_ref().unwrap();
    done.effect == Effect::Applied
}

#[tokio::test]
async fn a_blocked_batch_is_tried_again_and_holds_nobody_up() {
    let engine = Scripted::default();
    engine.0.lock().unwrap().blocked = [vec![0], vec![0], vec![]].into();
    let store = start(&engine);
    let order = Mutex::new(Vec::new());
    let write = async |name| {
        let answer = create(&store).await;
        order.lock().unwrap().push(name);
        answer
    };
    // Sent in sequence, before the writer runs.
    let (blocked, other) = tokio::join!(write("blocked"), write("other"));
    assert!(is_applied(&blocked) && is_applied(&other));
    assert_eq!(*order.lock().unwrap(), ["other", "blocked"]);
    assert_eq!(engine.0.lock().unwrap().loads, [2, 1, 1]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_stays_blocked_is_withdrawn() {
    let engine = Scripted::default();
    engine.0.lock().unwrap().blocks_all = true;
    let store = start(&engine);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(engine.0.lock().unwrap().loads.len() > 1);
    // Its caller is gone, so the store can end.
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_another_one_disturbed_is_tried_again() {
    let engine = Scripted::default();
    let again = (Phase::Before, Failure::Again);
    engine.0.lock().unwrap().failures = [again, again].into();
    let store = start(&engine);
    assert!(is_applied(&create(&store).await));
    assert_eq!(engine.0.lock().unwrap().loads.len(), 3);
    engine.0.lock().unwrap().failures = [again, again, again].into();
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    engine.0.lock().unwrap().failures = [(Phase::Before, Failure::Broken)].into();
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(engine.0.lock().unwrap().loads.len(), 7);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_may_have_been_applied_is_not_withdrawn_when_it_is_blocked() {
    let engine = Scripted::default();
    {
        let mut script = engine.0.lock().unwrap();
        script.failures.push_back((Phase::Commit, Failure::Broken));
        script.verdicts.push_back(Verdict::Overtaken);
        // The first load finds it free, and all others find it blocked.
        script.blocked.push_back(Vec::new());
        script.blocks_all = true;
    }
    let store = start(&engine);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert!(engine.0.lock().unwrap().loads.len() > 2);
    engine.0.lock().unwrap().blocks_all = false;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_outcome_cannot_be_found_out_is_unknown() {
    let engine = Scripted::default();
    let commit = (Phase::Commit, Failure::Broken);
    engine.0.lock().unwrap().failures = [commit, commit].into();
    let store = start(&engine);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    engine.0.lock().unwrap().verdicts = [Verdict::NotApplied].into();
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    store.close().await.unwrap();
}

/// A time-out that no test reaches.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_error_after_a_doubtful_commit_does_not_say_that_nothing_was_applied() {
    let engine = Scripted::default();
    {
        let mut script = engine.0.lock().unwrap();
        script.failures.push_back((Phase::Commit, Failure::Broken));
        script.verdicts.push_back(Verdict::Overtaken);
        let gone = StoreError::new(ErrorKind::Unavailable, "write", "the database is gone");
        let gone = gone.with_source(std::io::Error::other("the cable is cut"));
        script.connections = [None, Some(gone)].into();
    }
    let store = start_with(&engine, LONG);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert_eq!(error.to_string(), "write: the database is gone");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the cable is cut");
    // The next batch has nothing to do with it.
    let gone = StoreError::new(ErrorKind::Unavailable, "write", "the database is gone");
    engine.0.lock().unwrap().connections = [Some(gone)].into();
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_batch_whose_commit_was_refused_can_be_withdrawn() {
    // Of two batches, the first is tried alone for a long time.
    let engine = Scripted::default();
    {
        let mut script = engine.0.lock().unwrap();
        script.failures.push_back((Phase::Before, Failure::OfOne));
        script.pauses = [Duration::ZERO, Duration::from_millis(300)].into();
    }
    let store = start(&engine);
    let (first, second) = tokio::join!(create(&store), create(&store));
    assert_eq!(first.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Unavailable);
    store.close().await.unwrap();
    assert_eq!(engine.0.lock().unwrap().loads, [2, 1]);

    // One that is tried again, and then found blocked.
    let engine = Scripted::default();
    {
        let mut script = engine.0.lock().unwrap();
        script.failures.push_back((Phase::Before, Failure::Again));
        script.blocked.push_back(Vec::new());
        script.blocks_all = true;
    }
    let store = start(&engine);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_blocked_batch_is_dropped_once_its_caller_has_gone() {
    let engine = Scripted::default();
    engine.0.lock().unwrap().blocks_all = true;
    let store = Arc::new(start_with(&engine, LONG));
    let caller = {
        let store = store.clone();
        tokio::spawn(async move { create(&store).await })
    };
    let loads = || engine.0.lock().unwrap().loads.len();
    while loads() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    caller.abort();
    let dropped = async {
        while store.queued_bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let dropped = tokio::time::timeout(Duration::from_secs(5), dropped).await;
    assert!(dropped.is_ok(), "still tried after {} loads", loads());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_close_does_not_wait_for_a_transaction_of_the_host() {
    for in_doubt in [false, true] {
        let engine = Scripted::default();
        {
            let mut script = engine.0.lock().unwrap();
            script.blocks_all = true;
            if in_doubt {
                script.failures.push_back((Phase::Commit, Failure::Broken));
                script.verdicts.push_back(Verdict::Overtaken);
                script.blocked.push_back(Vec::new());
            }
        }
        let store = start_with(&engine, LONG);
        let close = async {
            while engine.0.lock().unwrap().loads.len() < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let closed = tokio::time::timeout(Duration::from_secs(5), store.close()).await;
            closed.expect("the close waits for the host").unwrap();
        };
        let (answer, ()) = tokio::join!(create(&store), close);
        let expected = match in_doubt {
            true => ErrorKind::OutcomeUnknown,
            false => ErrorKind::Closed,
        };
        assert_eq!(answer.unwrap_err().kind(), expected);
    }
}

#[tokio::test]
async fn a_close_tries_a_blocked_batch_once_more() {
    let engine = Scripted::default();
    engine.0.lock().unwrap().blocks_all = true;
    let store = start_with(&engine, LONG);
    let close = async {
        while engine.0.lock().unwrap().loads.len() < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        engine.0.lock().unwrap().blocks_all = false;
        store.close().await.unwrap();
    };
    let (answer, ()) = tokio::join!(create(&store), close);
    assert!(is_applied(&answer));
}
