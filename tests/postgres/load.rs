//! A load of writers that keep a ledger of what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use action_store::command::OpId;
use action_store::{
    ActionStore, ActionUid, Batch, CancelRequest, Change, Command, NewAction, PostgresStore, Query,
    StoreError, StoreErrorKind as ErrorKind,
};

/// The answers that the callers of a store got.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Actions whose creation was acknowledged, and those whose cancel request was.
    pub(crate) created: Vec<ActionUid>,
    pub(crate) cancelled: Vec<ActionUid>,
    /// Actions whose every answer was "not applied".
    pub(crate) refused: Vec<ActionUid>,
    /// Answers of each kind.
    pub(crate) unavailable: u64,
    pub(crate) unknown: u64,
}

impl Ledger {
    fn add(&mut self, other: Ledger) {
        self.created.extend(other.created);
        self.cancelled.extend(other.cancelled);
        self.refused.extend(other.refused);
        self.unavailable += other.unavailable;
        self.unknown += other.unknown;
    }
}

/// Tasks that write until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    /// Acknowledged writes so far.
    pub(crate) acknowledged: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Ledger>>,
}

async fn write(store: &PostgresStore, command: &Command) -> Result<(), StoreError> {
    let answers = store.write(Batch::each(vec![command.clone()])).await?;
    for answer in answers {
        answer.unwrap();
    }
    Ok(())
}

/// Creates actions and requests their cancellation, and repeats what may have been applied.
async fn work(store: Arc<PostgresStore>, stop: Arc<AtomicBool>, count: Arc<AtomicU64>) -> Ledger {
    let mut ledger = Ledger::default();
    while !stop.load(Ordering::Relaxed) {
        let new = NewAction::task("load");
        let uid = new.uid;
        let cancel = Change::RequestCancel(CancelRequest::new().with_reason("load"));
        let cancel = Command::apply(uid, cancel).with_op(OpId::new());
        let mut maybe = false;
        for (is_create, command) in [(true, Command::create(new)), (false, cancel)] {
            let mut told = false;
            for _ in 0..3 {
                match write(&store, &command).await {
                    Ok(()) => {
                        told = true;
                        break;
                    }
                    Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                        ledger.unknown += 1;
                        maybe = true;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                        ledger.unavailable += 1;
                    }
                }
            }
            match (told, is_create) {
                (true, true) => ledger.created.push(uid),
                (true, false) => ledger.cancelled.push(uid),
                (false, true) if !maybe => ledger.refused.push(uid),
                (false, _) => {}
            }
            if !told {
                break;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
    ledger
}

impl Load {
    /// Starts writers on each of the stores.
    pub(crate) fn start(stores: &[Arc<PostgresStore>], writers: usize) -> Load {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut tasks = Vec::new();
        for store in stores {
            for _ in 0..writers {
                let work = work(store.clone(), stop.clone(), acknowledged.clone());
                tasks.push(tokio::spawn(work));
            }
        }
        Load {
            stop,
            acknowledged,
            tasks,
        }
    }

    /// Waits until this many more writes were acknowledged.
    pub(crate) async fn go_on(&self, writes: u64) {
        let from = self.acknowledged.load(Ordering::Relaxed);
        let more = async {
            while self.acknowledged.load(Ordering::Relaxed) < from + writes {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, more)
            .await
            .expect("the writers go on");
    }

    pub(crate) async fn stop(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut ledger = Ledger::default();
        for task in self.tasks {
            ledger.add(task.await.unwrap());
        }
        ledger
    }
}

/// How a store differs from what its callers were told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Writes that were acknowledged, and are not there.
    pub(crate) lost: u64,
    /// Actions whose creation was refused, and that are there.
    pub(crate) present: u64,
    /// Actions with a change that was applied twice.
    pub(crate) duplicates: u64,
}

/// Compares a store with what its callers were told.
pub(crate) async fn compare(store: &PostgresStore, ledger: &Ledger) -> Difference {
    let mut found = Difference::default();
    for uids in ledger.created.chunks(500) {
        let actions = store.get(uids).await.unwrap();
        found.lost += actions.iter().filter(|action| action.is_none()).count() as u64;
    }
    for uids in ledger.cancelled.chunks(500) {
        for action in store.get(uids).await.unwrap() {
            let Some(action) = action else {
                found.lost += 1;
                continue;
            };
            found.lost += u64::from(action.cancel.is_none());
            // Created, cancel requested: a repeat adds nothing.
            let versions = 1 + u64::from(action.cancel.is_some());
            found.duplicates += u64::from(action.version.get() != versions);
        }
    }
    for uids in ledger.refused.chunks(500) {
        let actions = store.get(uids).await.unwrap();
        found.present += actions.iter().flatten().count() as u64;
    }
    println!(
        "acknowledged {} + {}, {found:?}, unavailable {}, unknown {}",
        ledger.created.len(),
        ledger.cancelled.len(),
        ledger.unavailable,
        ledger.unknown
    );
    found
}

/// Requires that a store is as its callers were told.
pub(crate) async fn verify(store: &PostgresStore, ledger: &Ledger) {
    assert_eq!(compare(store, ledger).await, Difference::default());
    let counted = store.list(&Query::new().with_limit(1)).await.unwrap().at;
    assert!(counted.actions >= ledger.created.len() as u64);
    assert!(!ledger.created.is_empty());
}
