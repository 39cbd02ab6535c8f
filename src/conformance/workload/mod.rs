//! Workloads that measure any store and verify it afterwards.
//!
//! A workload sends the calls of a management plane, at any concurrency and store size.
//! It fails if the store loses an action or a log entry, or returns them in the wrong
//! order.
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
//!     .with_dataset(1000)
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
//! To compare stores, interleave their runs and open an empty store for each run, because
//! the speed of a disk and a machine varies. `benches/compare` does that with
//! [`closed_loop`], and compares with hand-written stores.

mod callers;
mod dataset;
mod latencies;
mod ledger;
mod measured;
mod reading;
mod work;
mod writing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use callers::{Caller, closed_loop};
pub use latencies::Latencies;
pub use measured::Measured;
pub use work::{ListBy, Work};

use self::dataset::Dataset;
use self::reading::Crowd;
use super::failure::{Failure, Proof, Stop};
use super::subject::Subject;

/// Timeout for the work outside the measured time: writing the initial actions and
/// verifying the store.
const BESIDE: Duration = Duration::from_secs(600);

/// Additional time in that timeout for each initial action.
const BESIDE_A_ROW: Duration = Duration::from_millis(2);

type Probe = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// A workload: the kind of work, the number of callers, the duration and the initial size
/// of the store.
#[derive(Clone)]
#[must_use]
pub struct Workload {
    work: Work,
    callers: usize,
    time: Duration,
    dataset: usize,
    bytes: Option<Probe>,
}

impl Workload {
    /// Creates a workload with 8 callers, a duration of one second and 1000 initial
    /// actions.
    pub fn new(work: Work) -> Workload {
        Workload {
            work,
            callers: 8,
            time: Duration::from_secs(1),
            dataset: 1000,
            bytes: None,
        }
    }

    /// Sets the number of concurrent callers. Each sends its next call after the answer
    /// to the last one. At least 1; the default is 8.
    pub fn with_callers(mut self, callers: usize) -> Workload {
        self.callers = callers.max(1);
        self
    }

    /// Sets the measured duration. Calls that are in progress at its end are finished.
    /// The default is one second.
    pub fn with_time(mut self, time: Duration) -> Workload {
        self.time = time;
        self
    }

    /// Sets the number of actions that are written before the measurement, through the
    /// store's own `write`. The default is 1000. With 0 the store starts empty, and works
    /// that look up or remove actions fail. Verification needs about 200 bytes of memory
    /// for each action.
    pub fn with_dataset(mut self, actions: usize) -> Workload {
        self.dataset = actions;
        self
    }

    /// Sets a function that returns the size of the store in bytes, or `None` if it is
    /// unknown. It is called after the store was verified and closed.
    pub fn with_bytes(mut self, bytes: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        self.bytes = Some(Arc::new(bytes));
        self
    }

    /// Runs the workload on an empty store and closes the store. Needs a tokio runtime
    /// with time enabled. All callers are tasks of that runtime.
    ///
    /// # Errors
    /// Returns [`Failure`], with the name of the work, in these cases:
    ///
    /// - A call fails or returns a wrong answer.
    ///
    /// - An acknowledged write is missing afterwards, or the store has data that was not
    ///   written.
    ///
    /// - The run exceeds its duration by more than ten minutes plus 2 ms for each initial
    ///   action.
    ///
    /// - The work is [`Work::Reopen`] and the subject cannot be reopened.
    ///
    /// - The store has too few initial actions for the work.
    pub async fn run(&self, subject: Subject) -> Result<Measured, Failure> {
        let rows = u32::try_from(self.dataset).unwrap_or(u32::MAX);
        let limit = BESIDE + self.time + BESIDE_A_ROW.saturating_mul(rows);
        let stop = match tokio::time::timeout(limit, self.run_on(subject)).await {
            Ok(Ok(measured)) => return Ok(measured),
            Ok(Err(stop)) => stop,
            Err(_) => {
                Failure::new("the end of the workload", format!("none within {limit:?}")).into()
            }
        };
        let mut failure = match stop {
            Stop::Failed(failure) => *failure,
            Stop::NotApplicable(why) => Failure::new("a subject that supports this work", why),
        };
        failure.case = self.work.name();
        Err(failure)
    }

    async fn run_on(&self, mut subject: Subject) -> Proof<Measured> {
        let crowd = Crowd {
            callers: self.callers,
            time: self.time,
        };
        let mut dataset = Dataset::fill(subject.store.clone(), self.dataset).await?;
        // Verified before the measurement, because a store that lost its initial actions
        // would be fast.
        dataset.ledger.verify(&*subject.store).await?;
        let (mut measured, ledger) = if self.work == Work::Reopen {
            let Dataset { uids, ledger, .. } = dataset;
            let first = uids.first().copied();
            let (reopened, measured) = reading::reopen(subject, first, self.time).await?;
            subject = reopened;
            (measured, ledger)
        } else {
            let measured = self.measure(&mut dataset, crowd).await?;
            (measured, dataset.ledger)
        };
        ledger.verify(&*subject.store).await?;
        measured.rows = ledger.rows();
        measured.removed = ledger.removed();
        subject.store.close().await?;
        measured.bytes = self.bytes.as_ref().and_then(|bytes| bytes());
        Ok(measured)
    }

    async fn measure(&self, dataset: &mut Dataset, crowd: Crowd) -> Proof<Measured> {
        match self.work {
            Work::Create => writing::create(dataset, crowd).await,
            Work::Life => writing::lives(dataset, crowd).await,
            Work::Prune => writing::prune(dataset, crowd).await,
            Work::Get => reading::get(dataset, crowd).await,
            Work::List(by) => reading::list(dataset, crowd, by).await,
            Work::Feed => reading::feed(dataset, crowd).await,
            Work::Wait => reading::wait(dataset, crowd).await,
            // `run_on` handles this work, because it needs the whole subject.
            Work::Reopen => Err(Stop::NotApplicable("`Reopen` runs without callers")),
        }
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload")
            .field("work", &self.work)
            .field("callers", &self.callers)
            .field("time", &self.time)
            .field("dataset", &self.dataset)
            .field("bytes", &self.bytes.is_some())
            .finish()
    }
}
