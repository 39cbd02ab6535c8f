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
    /// Number of batches of each load so far.
    loads: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Another transaction was in the way.
    Again,
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

impl Engine for Scripted {
    type Connection = ();
    type Save = Changes;
    type Error = Failure;

    const PATIENCE: Duration = Duration::ZERO;

    fn plans_from_memory(&self) -> bool {
        false
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1)
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
        Ok(())
    }

    fn hand_back(&mut self, (): ()) {}

    async fn give_up(&mut self, (): (), _: &StoreError) {}

    async fn roll_back(&mut self, (): &mut ()) -> bool {
        true
    }

    async fn read_owners(&mut self, (): &mut ()) -> Result<(Stored, Vec<Owner>), StoreError> {
        Ok((Stored::default(), Vec::new()))
    }

    async fn load(&mut self, (): &mut (), sets: &[&ReadSet]) -> Result<Loaded, StoreError> {
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
            now: self.now(),
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
        let message = if error == Failure::Again {
            AGAIN
        } else {
            "broken"
        };
        StoreError::new(kind, "write", message)
    }

    fn may_lie_with_one(_: &StoreError) -> bool {
        false
    }

    fn may_succeed_again(error: &StoreError) -> bool {
        error.to_string().contains(AGAIN)
    }

    fn contradicts(_: &Failure) -> bool {
        false
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
    let settings = Settings {
        capabilities: Capabilities::new(Durability::Process),
        timeout: Duration::from_millis(60),
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
async fn a_batch_that_may_have_been_applied_is_unknown_if_its_next_attempt_fails() {
    let engine = Scripted::default();
    {
        let mut script = engine.0.lock().unwrap();
        let commit = (Phase::Commit, Failure::Broken);
        script.failures = [commit, (Phase::Before, Failure::Broken)].into();
        script.verdicts.push_back(Verdict::Overtaken);
    }
    let store = start(&engine);
    let error = create(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
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
