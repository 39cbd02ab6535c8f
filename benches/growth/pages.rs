//! Measures reads from a large store and a small one, in turn.

use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::workload::{Caller, Measured, closed_loop};
use action_store::query::{Position, Revision};
use action_store::retention::{self, Retention};
use action_store::{
    ActionStore, ActionStoreExt, Cursor, Filter, LogQuery, ObjectRef, Order, Outcome, Query, Status,
};

use crate::dataset::{Dataset, LONG_LOG, Plan, mix};
use crate::footprint::from_disk;
use crate::middle::middle;

/// Actions per page.
const PAGE: u16 = 100;

/// Number of callers when throughput is measured. Latency is measured with one.
pub const MANY: usize = 8;

/// A kind of call. Calls with parameters choose them at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    Newest,
    NewestFrom,
    Object,
    Node,
    Unfinished,
    Failed,
    Completed,
    Created,
    Finished,
    LastFinished,
    Feed,
    Get,
    Log,
    Counts,
    CountsOfNode,
    Retention,
}

impl Read {
    pub const ALL: [Read; 16] = [
        Read::Newest,
        Read::NewestFrom,
        Read::Object,
        Read::Node,
        Read::Unfinished,
        Read::Failed,
        Read::Completed,
        Read::Created,
        Read::Finished,
        Read::LastFinished,
        Read::Feed,
        Read::Get,
        Read::Log,
        Read::Counts,
        Read::CountsOfNode,
        Read::Retention,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Read::Newest => "newest first",
            Read::NewestFrom => "newest first, from anywhere",
            Read::Object => "by object",
            Read::Node => "by object, all over the store",
            Read::Unfinished => "unfinished",
            Read::Failed => "failed",
            Read::Completed => "completed",
            Read::Created => "created in a range in the middle",
            Read::Finished => "completed in a range in the middle",
            Read::LastFinished => "last completed first, in a range in the middle",
            Read::Feed => "feed, from anywhere",
            Read::Get => "one action by uid",
            Read::Log => "the log of one action",
            Read::Counts => "counts by state, up to a hundred of each",
            Read::CountsOfNode => "counts by state, of an object all over the store",
            Read::Retention => "retention with nothing due",
        }
    }

    fn query(self, plan: Plan, at: Position, chance: u64) -> Query {
        // Leave room for a full page.
        let place = u64::from(PAGE) + chance % (plan.rows - 2 * u64::from(PAGE));
        let query = Query::new().with_limit(PAGE);
        // One second has a thousand rows. Batches are written in any order, so not all are at hand.
        let middle = plan.rows / 4 + chance % (plan.rows / 2);
        let range = [middle, middle + 1000].map(|row| plan.time(row));
        match self {
            Read::NewestFrom => query.with_after(Some(Cursor::newest(at, place))),
            Read::Object => {
                query.with_filter(Filter::Touches(ObjectRef::bdb(chance % plan.objects())))
            }
            Read::Node | Read::CountsOfNode => {
                query.with_filter(Filter::Touches(ObjectRef::node(chance % plan.nodes())))
            }
            Read::Unfinished => query.with_filter(Filter::Unfinished),
            Read::Failed => query.with_filter(Filter::Outcome(Outcome::Failed)),
            Read::Completed => query.with_filter(Filter::Status(Status::Completed)),
            Read::Feed => query
                .with_order(Order::Feed)
                .with_after(Some(Cursor::feed(at, Revision::new(place)))),
            Read::Created => query
                .with_filter(Filter::CreatedFrom(range[0]))
                .with_filter(Filter::CreatedBefore(range[1])),
            Read::Finished | Read::LastFinished => {
                let query = query
                    .with_filter(Filter::FinishedFrom(range[0]))
                    .with_filter(Filter::FinishedBefore(range[1]));
                match self {
                    Read::LastFinished => query.with_order(Order::Finished),
                    _ => query,
                }
            }
            Read::Newest | Read::Get | Read::Log | Read::Counts | Read::Retention => query,
        }
    }

    /// Makes one call. Anything but a full page of the right actions is an error.
    async fn call(self, store: &dyn ActionStore, plan: Plan, at: Position, chance: u64) {
        match self {
            Read::Get => {
                let uid = plan.uid(chance % plan.rows);
                let found = store.action(uid).await.unwrap();
                assert_eq!(found.map(|action| action.uid), Some(uid));
            }
            Read::Log => {
                let uid = plan.uid(plan.long(chance));
                let query = LogQuery::of(uid).with_limit(PAGE);
                let found = store.log(&query).await.unwrap().items;
                assert_eq!(found.len(), LONG_LOG);
                assert!(found.iter().all(|entry| entry.uid == uid));
            }
            Read::Counts => {
                let counts = store.count(&[], PAGE.into()).await.unwrap();
                for found in [counts.executing, counts.failed, counts.succeeded] {
                    assert_eq!((found.number, found.exact), (PAGE.into(), false));
                }
            }
            Read::CountsOfNode => {
                let filters = self.query(plan, at, chance).filters;
                let counts = store.count(&filters, 1000).await.unwrap();
                assert_eq!((counts.total(), counts.is_exact()), (100, true));
            }
            Read::Retention => {
                // An hour after the last action.
                let now = plan.time(plan.rows + 3_600_000);
                let pruned = retention::prune(store, &Retention::new(), now).await;
                assert_eq!(pruned.unwrap().removed.total(), 0);
            }
            _ => {
                let query = self.query(plan, at, chance);
                let found = store.list(&query).await.unwrap().items;
                assert_eq!(found.len(), usize::from(PAGE), "{}", self.name());
                assert!(found.iter().all(|action| query.matches(action)));
            }
        }
    }

    async fn measure(
        self,
        dataset: &Dataset,
        callers: usize,
        time: Duration,
        seed: u64,
    ) -> Measured {
        let (plan, at) = (dataset.plan, position(dataset).await);
        let caller = |mut caller: Caller| {
            let store: Arc<dyn ActionStore> = dataset.store.clone();
            async move {
                let mut chance = mix(seed + caller.number() as u64);
                while caller.goes_on().await {
                    chance = mix(chance);
                    self.call(&*store, plan, at, chance).await;
                    caller.lap();
                }
                (caller, ())
            }
        };
        closed_loop(callers, time, caller).await.unwrap().0
    }
}

async fn position(dataset: &Dataset) -> Position {
    dataset.store.changed(None).await.unwrap()
}

/// Results of one kind of read, by round: one figure for each store, the small one first.
#[derive(Debug)]
pub struct Compared {
    pub read: Read,
    /// Median latency with one caller.
    pub time: Vec<[Duration; 2]>,
    /// Calls per second with many callers.
    pub rate: Vec<[f64; 2]>,
    /// Bytes read from the disk per call with one caller, because the page cache did not hold them.
    pub from_disk: Vec<[Option<f64>; 2]>,
}

impl Compared {
    /// Returns the latency in the large store as a multiple of that in the small one, compared
    /// within each round.
    pub fn time_ratio(&self) -> f64 {
        middle(
            self.time
                .iter()
                .map(|[small, large]| large.as_secs_f64() / small.as_secs_f64().max(1e-9)),
        )
    }

    /// Returns the throughput of the small store as a multiple of the large one's.
    pub fn rate_ratio(&self) -> f64 {
        middle(self.rate.iter().map(|[small, large]| small / large))
    }

    pub fn median_time(&self, of: usize) -> Duration {
        let seconds = self.time.iter().map(|both| both[of].as_secs_f64());
        Duration::from_secs_f64(middle(seconds))
    }

    pub fn median_from_disk(&self, of: usize) -> Option<f64> {
        let bytes: Option<Vec<f64>> = self.from_disk.iter().map(|both| both[of]).collect();
        Some(middle(bytes?.into_iter()))
    }

    pub fn median_rate(&self, of: usize) -> f64 {
        middle(self.rate.iter().map(|both| both[of]))
    }
}

/// Measures every kind of read from both stores, in interleaved rounds.
///
/// Only those whose names contain `named`.
pub async fn compare(
    both: [&Dataset; 2],
    rounds: usize,
    time: Duration,
    named: &str,
) -> Vec<Compared> {
    for dataset in both {
        check_spread(dataset).await;
        // Warm up: load as much of both stores into memory as fits.
        let mut file = std::fs::File::open(&dataset.path).unwrap();
        std::io::copy(&mut file, &mut std::io::sink()).unwrap();
    }
    let mut compared = Vec::new();
    let reads = Read::ALL.into_iter();
    for read in reads.filter(|read| read.name().contains(named)) {
        for dataset in both {
            read.measure(dataset, 1, time / 4, 0).await;
        }
        let mut figures = Compared {
            read,
            time: Vec::new(),
            rate: Vec::new(),
            from_disk: Vec::new(),
        };
        for round in 0..rounds {
            let (mut times, mut rates) = ([Duration::ZERO; 2], [0.0; 2]);
            let mut disk = [None; 2];
            for turn in 0..2 {
                let which = (round + turn) % 2;
                let seed = 1000 * (round as u64 + 1);
                let before = from_disk();
                let one = read.measure(both[which], 1, time, seed).await;
                let bytes = before.zip(from_disk());
                disk[which] =
                    bytes.map(|(before, after)| (after - before) as f64 / one.calls() as f64);
                times[which] = one.latencies.quantile(0.5);
                let many = read.measure(both[which], MANY, time, seed + 100).await;
                rates[which] = many.throughput();
            }
            figures.time.push(times);
            figures.rate.push(rates);
            figures.from_disk.push(disk);
        }
        compared.push(figures);
    }
    compared
}

/// Verifies the data that the reads rely on: the unfinished actions are few among many, and the
/// actions of a node are spread over the store.
async fn check_spread(dataset: &Dataset) {
    let at = position(dataset).await;
    let list = async |read: Read| {
        let query = read.query(dataset.plan, at, 0);
        dataset.store.list(&query).await.unwrap()
    };
    let unfinished = list(Read::Unfinished).await;
    assert!(unfinished.next.is_some(), "more than a page is unfinished");
    let executing = |status| status == Status::Executing;
    assert!(unfinished.items.iter().all(|a| executing(a.status)));
    let node = list(Read::Node).await;
    assert!(node.next.is_none(), "a node has a hundred actions");
    // Concurrent batches may arrive in any order, so neither end is exactly the oldest.
    let created = || {
        node.items
            .iter()
            .map(|action| action.created_at.as_micros())
    };
    let apart = created().max().unwrap() - created().min().unwrap();
    // There is one row per millisecond.
    let rows = i64::try_from(dataset.plan.rows).unwrap();
    assert!(apart / 1000 > rows * 9 / 10, "all over the store");
}
