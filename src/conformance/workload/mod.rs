//! Workloads for any store: what a management plane does all day, at any concurrency and size of
//! the store, measured, and verified afterwards. A store that loses a row, a log entry or its
//! order while it is measured has not been measured: the workload fails.
//!
//! ```
//! use std::time::Duration;
//!
//! use action_store::conformance::{Subject, workload::{Work, Workload}};
//! use action_store::MemoryStore;
//!
//! # async fn example() -> Result<(), action_store::conformance::Failure> {
//! let measured = Workload::new(Work::Life)
//!     .with_callers(64)
//!     .with_stock(1000)
//!     .with_time(Duration::from_millis(100))
//!     .run(Subject::new(MemoryStore::new()))
//!     .await?;
//! println!("{measured}");
//! # assert!(measured.calls() > 0);
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! Rounds of several stores are to be interleaved and each to begin with a fresh store: a disk and
//! a machine have moods. `benches/compare` does that, on [`closed_loop`], beside stores written by
//! hand.

mod callers;
mod latencies;
mod ledger;
mod measured;
mod reading;
mod stock;
mod work;
mod writing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use callers::{Caller, closed_loop};
pub use latencies::Latencies;
pub use measured::Measured;
pub use work::{ListBy, Work};

use self::reading::Crowd;
use self::stock::Stock;
use super::failure::{Failure, Proof, Stop};
use super::subject::Subject;

/// How long anything may take beside the time that is measured: to write the stock, to verify.
const BESIDE: Duration = Duration::from_secs(600);

/// How much longer for each action of the stock.
const BESIDE_A_ROW: Duration = Duration::from_millis(2);

type Probe = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// A workload: what is done, by how many at once, how long, in a store of which size.
#[derive(Clone)]
#[must_use]
pub struct Workload {
    work: Work,
    callers: usize,
    time: Duration,
    stock: usize,
    bytes: Option<Probe>,
}

impl Workload {
    /// This work by 8 callers for a second, in a store that has 1000 actions.
    pub fn new(work: Work) -> Workload {
        Workload {
            work,
            callers: 8,
            time: Duration::from_secs(1),
            stock: 1000,
            bytes: None,
        }
    }

    /// How many call at once, each when its last call was answered; at least 1.
    pub fn with_callers(mut self, callers: usize) -> Workload {
        self.callers = callers.max(1);
        self
    }

    /// How long it is measured. What is under way then is finished.
    pub fn with_time(mut self, time: Duration) -> Workload {
        self.time = time;
        self
    }

    /// How many actions of all kinds are written before, through the store's own `write`. 0
    /// begins with an empty store, where nothing can be looked up or removed. While a workload
    /// runs about 200 bytes for each of them are kept to verify it.
    pub fn with_stock(mut self, actions: usize) -> Workload {
        self.stock = actions;
        self
    }

    /// How many bytes the store occupies, asked once it was verified and closed; none if that is
    /// not known.
    pub fn with_bytes(mut self, bytes: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        self.bytes = Some(Arc::new(bytes));
        self
    }

    /// Runs it on a fresh and empty store and closes that, within a tokio runtime with time
    /// enabled. All callers are tasks of that runtime.
    ///
    /// # Errors
    /// [`Failure`], with the name of the work, if a call fails or is answered wrongly, if what was
    /// acknowledged is not there afterwards or more is there, if nothing moves for ten minutes;
    /// also for [`Work::Reopen`] of a subject that cannot be reopened and for a stock too small.
    pub async fn run(&self, subject: Subject) -> Result<Measured, Failure> {
        let rows = u32::try_from(self.stock).unwrap_or(u32::MAX);
        let limit = BESIDE + self.time + BESIDE_A_ROW.saturating_mul(rows);
        let stop = match tokio::time::timeout(limit, self.run_on(subject)).await {
            Ok(Ok(measured)) => return Ok(measured),
            Ok(Err(stop)) => stop,
            Err(_) => Failure::new("an end", format!("none within {limit:?}")).into(),
        };
        let mut failure = match stop {
            Stop::Failed(failure) => *failure,
            Stop::NotApplicable(why) => Failure::new("a subject fit for it", why),
        };
        failure.case = self.work.name();
        Err(failure)
    }

    async fn run_on(&self, mut subject: Subject) -> Proof<Measured> {
        let crowd = Crowd {
            callers: self.callers,
            time: self.time,
        };
        let mut stock = Stock::fill(subject.store.clone(), self.stock).await?;
        // Before anything is measured: a store that lost its stock would be fast.
        stock.ledger.verify(&*subject.store).await?;
        let (mut measured, ledger) = if self.work == Work::Reopen {
            let Stock { uids, ledger, .. } = stock;
            let first = uids.first().copied();
            let (reopened, measured) = reading::reopen(subject, first, self.time).await?;
            subject = reopened;
            (measured, ledger)
        } else {
            let measured = self.measure(&mut stock, crowd).await?;
            (measured, stock.ledger)
        };
        ledger.verify(&*subject.store).await?;
        measured.rows = ledger.rows();
        measured.removed = ledger.removed();
        subject.store.close().await?;
        measured.bytes = self.bytes.as_ref().and_then(|bytes| bytes());
        Ok(measured)
    }

    async fn measure(&self, stock: &mut Stock, crowd: Crowd) -> Proof<Measured> {
        match self.work {
            Work::Create => writing::create(stock, crowd).await,
            Work::Life => writing::lives(stock, crowd).await,
            Work::Prune => writing::prune(stock, crowd).await,
            Work::Get => reading::get(stock, crowd).await,
            Work::List(by) => reading::list(stock, crowd, by).await,
            Work::Feed => reading::feed(stock, crowd).await,
            Work::Wait => reading::wait(stock, crowd).await,
            // Needs the whole subject, see above.
            Work::Reopen => Err(Stop::NotApplicable("it is reopened elsewhere")),
        }
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload")
            .field("work", &self.work)
            .field("callers", &self.callers)
            .field("time", &self.time)
            .field("stock", &self.stock)
            .field("bytes", &self.bytes.is_some())
            .finish()
    }
}
