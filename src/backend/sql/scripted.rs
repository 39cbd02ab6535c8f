//! An engine that does what a test says, and tests of the writer on it.
#![cfg(test)]

mod tests;

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
