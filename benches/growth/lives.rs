//! Whole lives: create, start, three progress reports, complete. Each call is awaited, and all
//! actions are verified afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::workload::{Caller, Measured, closed_loop};
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Command, Finish, LogQuery, NewAction, ObjectRef,
    Outcome, OwnerRef, Progress, Report, SqliteStore,
};

use crate::dataset::Dataset;
use crate::footprint::wal;
use crate::middle::middle;

/// Number of concurrent callers.
pub const CALLERS: usize = 64;

const CALLS: u64 = 6;
const ENTRIES: usize = 3;

/// Store with an owner for its executing actions.
pub struct Owned {
    pub store: Arc<SqliteStore>,
    owner: OwnerRef,
}

impl Owned {
    pub async fn open(path: &Path) -> Owned {
        let store = Arc::new(SqliteStore::open(path).await.unwrap());
        Owned::of(store).await
    }

    pub async fn of(store: Arc<SqliteStore>) -> Owned {
        let owner = OwnerRef::new("bench");
        let claim = Command::claim(owner.clone());
        store.command(claim).await.unwrap();
        Owned { store, owner }
    }

    /// Runs lives until the time is up or the given number is reached.
    pub async fn live(&self, time: Duration, most: usize) -> Measured {
        let caller = |mut caller: Caller| {
            let (store, owner) = (self.store.clone(), self.owner.clone());
            async move {
                let mut lived = Vec::new();
                while caller.goes_on().await && lived.len() < most.div_ceil(CALLERS) {
                    lived.push(live(&*store, &owner, &mut caller).await);
                }
                (caller, lived)
            }
        };
        let (measured, lived) = closed_loop(CALLERS, time, caller).await.unwrap();
        let lived: Vec<ActionUid> = lived.into_iter().flatten().collect();
        assert_eq!(measured.calls(), lived.len() as u64 * CALLS);
        verify(&*self.store, &lived).await;
        measured
    }
}

async fn live(store: &dyn ActionStore, owner: &OwnerRef, caller: &mut Caller) -> ActionUid {
    let object = ObjectRef::bdb(caller.number() as u64);
    let new = NewAction::state_machine("SMUpdateBDB", object)
        .with_description("resize to 3 shards of 4 GB, replicated");
    let uid = store.create(new).await.unwrap().uid;
    caller.lap();
    store.start(uid, owner).await.unwrap();
    caller.lap();
    for quarter in 1..=3 {
        let report = Report::new().with_progress(Progress::ratio(quarter, 4));
        store.report(uid, report, owner).await.unwrap();
        caller.lap();
    }
    let finish = Finish::succeeded();
    store.finish(uid, finish, Some(owner)).await.unwrap();
    caller.lap();
    uid
}

/// Verifies that all acknowledged actions are present and completed, with their logs.
async fn verify(store: &dyn ActionStore, lived: &[ActionUid]) {
    let most = store.capabilities().max_commands;
    for some in lived.chunks(most) {
        let found = store.get(some).await.unwrap();
        assert_eq!(found.len(), some.len());
        for (uid, action) in some.iter().zip(found) {
            let action = action.expect("an acknowledged action");
            let stands = (action.uid, action.outcome, action.version.get());
            assert_eq!(stands, (*uid, Some(Outcome::Succeeded), CALLS));
            let log = store.log(&LogQuery::of(*uid)).await.unwrap();
            assert_eq!(log.items.len(), ENTRIES);
        }
    }
}

/// Calls per second in an empty store and in a filled one, by round.
#[derive(Debug)]
pub struct Compared {
    pub rate: Vec<[f64; 2]>,
    /// Size of each write-ahead log at the end of the last round.
    pub wal: [u64; 2],
}

impl Compared {
    /// Returns the throughput of the large store as a multiple of the empty one's.
    pub fn ratio(&self) -> f64 {
        middle(self.rate.iter().map(|[fresh, large]| large / fresh))
    }

    pub fn median(&self, of: usize) -> f64 {
        middle(self.rate.iter().map(|both| both[of]))
    }
}

/// Measures lives in a fresh store and in a filled one, in interleaved rounds.
pub async fn compare(dataset: &Dataset, scratch: &Path, rounds: usize, time: Duration) -> Compared {
    let large = Owned::of(dataset.store.clone()).await;
    large.live(time / 4, usize::MAX).await;
    let mut compared = Compared {
        rate: Vec::new(),
        wal: [0; 2],
    };
    for round in 0..rounds {
        let mut rates = [0.0; 2];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            if which == 1 {
                rates[1] = large.live(time, usize::MAX).await.throughput();
                compared.wal[1] = wal(&dataset.path);
                continue;
            }
            let directory = tempfile::tempdir_in(scratch).unwrap();
            let path = directory.path().join("fresh.db");
            let fresh = Owned::open(&path).await;
            rates[0] = fresh.live(time, usize::MAX).await.throughput();
            compared.wal[0] = wal(&path);
            fresh.store.close().await.unwrap();
        }
        compared.rate.push(rates);
    }
    compared
}
