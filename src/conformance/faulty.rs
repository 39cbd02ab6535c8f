//! A store that fails on purpose, for tests of the code that calls a store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::fault_plan::{Call, Fault, FaultPlan, Method};
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{
    Action, ActionUid, Batch, Done, LogEntry, LogQuery, Owner, OwnerQuery, Page, Position, Query,
    Rejection, Revision,
};
use crate::store::{ActionStore, Capabilities};

/// Wraps a store and makes its calls fail according to a [`FaultPlan`]. Use it to test
/// how your code handles the errors of a store.
///
/// # Guarantees
///
/// Without faults it behaves like the wrapped store. With faults it still follows the
/// contract of [`ActionStore`]:
///
/// - `Unavailable`: the call was not applied.
///
/// - `OutcomeUnknown`: the call may or may not have been applied.
///
/// - A future that never resolves: the call may or may not have been applied.
///
/// So code that loses or duplicates data with this store can do so with any store.
///
/// The calls of each method are counted from 1, from when the plan was set. Random faults depend only on `(seed,
/// method, number)`. So a plan causes the same faults in any interleaving of the calling
/// tasks. Each error contains the seed and the number of the call, and so does `Debug`.
///
/// Delays use tokio's clock, which a test can pause.
///
/// # Examples
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use action_store::conformance::{Fault, FaultPlan, FaultyStore, Method};
/// use action_store::{ActionStore, ActionStoreExt, StoreErrorKind, MemoryStore, NewAction, Query};
///
/// let plan = FaultPlan::new()
///     .with_call(Method::Write, 1, Fault::UnknownButDone)
///     .with_call(Method::List, 1, Fault::Unavailable);
/// let store = FaultyStore::new(MemoryStore::new(), plan);
///
/// // The first write is executed but its answer is lost. The repeat is recognised as done.
/// store.create(NewAction::task("backup_bdb")).await?;
/// assert_eq!((store.calls(Method::Write), store.faults(Method::Write)), (2, 1));
///
/// let error = store.list(&Query::new()).await.unwrap_err();
/// assert_eq!(error.kind(), StoreErrorKind::Unavailable);
/// assert_eq!(store.list(&Query::new()).await?.items.len(), 1);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
pub struct FaultyStore<S> {
    inner: S,
    armed: Mutex<Armed>,
    counts: Mutex<HashMap<Method, Count>>,
}

/// The current plan, and the calls of each method since it was set.
#[derive(Default)]
struct Armed {
    plan: Arc<FaultPlan>,
    numbers: HashMap<Method, u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    calls: u64,
    faults: u64,
}

/// The fault of one call, applied before and after the call to the wrapped store.
struct Fate {
    method: Method,
    number: u64,
    seed: u64,
    fault: Option<Fault>,
}

impl<S: ActionStore> FaultyStore<S> {
    /// Wraps a store. It may be an `Arc` of a store that is also used without faults.
    #[must_use]
    pub fn new(inner: S, plan: FaultPlan) -> FaultyStore<S> {
        FaultyStore {
            inner,
            armed: Mutex::new(Armed {
                plan: Arc::new(plan),
                numbers: HashMap::new(),
            }),
            counts: Mutex::default(),
        }
    }

    /// Returns the wrapped store, for calls without faults.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Replaces the plan for later calls. The new plan counts the calls of each method from 1
    /// again, so `with_call(Method::Write, 1, ..)` is the next write.
    ///
    /// [`calls`](FaultyStore::calls) and [`faults`](FaultyStore::faults) continue.
    pub fn set_plan(&self, plan: FaultPlan) {
        let mut armed = self.armed();
        armed.plan = Arc::new(plan);
        armed.numbers.clear();
    }

    /// Removes all faults for later calls. Calls that never resolve stay pending.
    pub fn heal(&self) {
        self.set_plan(FaultPlan::new());
    }

    /// Returns the number of calls of a method.
    #[must_use]
    pub fn calls(&self, method: Method) -> u64 {
        self.counted(method).calls
    }

    /// Returns the number of calls of a method that had a fault.
    #[must_use]
    pub fn faults(&self, method: Method) -> u64 {
        self.counted(method).faults
    }

    fn counted(&self, method: Method) -> Count {
        self.counts().get(&method).copied().unwrap_or_default()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Method, Count>> {
        // A panic during counting is the only way to poison the lock, and the counts stay
        // valid.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn armed(&self) -> MutexGuard<'_, Armed> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self, method: Method, batch: Option<&Batch>) -> Fate {
        self.counts().entry(method).or_default().calls += 1;
        // Numbered together with the plan, so that a plan sees every number from 1.
        let (plan, number) = {
            let mut armed = self.armed();
            let number = armed.numbers.entry(method).or_default();
            *number += 1;
            let number = *number;
            (armed.plan.clone(), number)
        };
        // The lock is not held here, because a rule is user code and may call this store.
        let fault = plan.fault(&Call::new(method, number, batch));
        if fault.is_some() {
            self.counts().entry(method).or_default().faults += 1;
        }
        Fate {
            method,
            number,
            seed: plan.seed(),
            fault,
        }
    }
}

impl Fate {
    /// Applies the fault before the call to the wrapped store.
    async fn before(&self) -> Result<(), StoreError> {
        match self.fault {
            Some(Fault::Unavailable) => Err(self.error(StoreErrorKind::Unavailable)),
            Some(Fault::UnknownNotDone) => Err(self.lost()),
            Some(Fault::SilentNotDone) => std::future::pending().await,
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Some(Fault::UnknownButDone | Fault::SilentButDone) | None => Ok(()),
        }
    }

    /// Applies the fault to the answer of the wrapped store.
    async fn after<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match self.fault {
            Some(Fault::SilentButDone) => std::future::pending().await,
            // If the store returned an error, the write was not applied and its outcome
            // is known.
            Some(Fault::UnknownButDone) => {
                answer?;
                Err(self.lost())
            }
            _ => answer,
        }
    }

    /// `OutcomeUnknown` is an error of writes only.
    fn lost(&self) -> StoreError {
        match self.method {
            Method::Write => self.error(StoreErrorKind::OutcomeUnknown),
            _ => self.error(StoreErrorKind::Unavailable),
        }
    }

    fn error(&self, kind: StoreErrorKind) -> StoreError {
        let (number, seed) = (self.number, self.seed);
        let message = format!("injected fault: call {number}, seed {seed}");
        StoreError::new(kind, self.method.as_str(), message)
    }
}

macro_rules! faulty {
    ($self:ident, $method:ident, $batch:expr, $call:expr) => {{
        let fate = $self.fate(Method::$method, $batch);
        fate.before().await?;
        let answer = $call.await;
        fate.after(answer).await
    }};
}

#[async_trait]
impl<S: ActionStore> ActionStore for FaultyStore<S> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        faulty!(self, Write, Some(&batch), self.inner.write(batch))
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        faulty!(self, Get, None, self.inner.get(uids))
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        faulty!(self, List, None, self.inner.list(query))
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        faulty!(self, Log, None, self.inner.log(query))
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        faulty!(self, Owners, None, self.inner.owners(query))
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        faulty!(self, Changed, None, self.inner.changed(after))
    }

    async fn close(&self) -> Result<(), StoreError> {
        let fate = self.fate(Method::Close, None);
        // The wrapped store is always closed, because a store is closed even if its
        // `close` fails.
        let before = fate.before().await;
        let closed = self.inner.close().await;
        before?;
        fate.after(closed).await
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = armed.plan.clone();
        drop(armed);
        f.debug_struct("FaultyStore")
            .field("inner", &self.inner)
            .field("plan", &*plan)
            .finish_non_exhaustive()
    }
}
