//! A store that fails as it is told, for tests of whatever is built on a store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;

use super::fault_plan::{Call, Fault, FaultPlan, Method};
use crate::error::{ErrorKind, StoreError};
use crate::model::{
    Action, ActionUid, Batch, Done, LogQuery, Owner, OwnerQuery, Page, Position, Query, Refused,
    Revision, Transition,
};
use crate::store::{ActionStore, Capabilities};

/// Any store, and the faults that a [`FaultPlan`] says: so that you can see what your own code
/// does when its store fails.
///
/// Guarantees: without a plan it is the store it wraps; with one it still keeps the contract of
/// [`ActionStore`], faults included. `Unavailable` was not applied, `OutcomeUnknown` was or was
/// not, and what is never answered is neither. So code that loses or doubles something under it
/// would lose or double it with any store.
///
/// Calls of each method are counted from 1, and by `(seed, method, number)` alone it is drawn
/// which of them fail: the same plan does the same to the same calls, however the tasks that make
/// them interleave. Each error names the seed and the call, and so does `Debug`.
///
/// Delays go by tokio's clock, so that a test may pause it.
///
/// # Examples
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use action_store::conformance::{Fault, FaultPlan, FaultyStore, Method};
/// use action_store::{ActionStore, ActionStoreExt, ErrorKind, MemoryStore, NewAction, Query};
///
/// let plan = FaultPlan::new()
///     .with_call(Method::Write, 1, Fault::UnknownButDone)
///     .with_call(Method::List, 1, Fault::Unavailable);
/// let store = FaultyStore::new(MemoryStore::new(), plan);
///
/// // The first write is done, but its answer is lost: it is repeated, and found done.
/// store.create(NewAction::task("backup_bdb")).await?;
/// assert_eq!((store.calls(Method::Write), store.faults(Method::Write)), (2, 1));
///
/// let error = store.list(&Query::new()).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// assert_eq!(store.list(&Query::new()).await?.items.len(), 1);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
pub struct FaultyStore<S> {
    inner: S,
    plan: RwLock<Arc<FaultPlan>>,
    counts: Mutex<HashMap<Method, Count>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    calls: u64,
    faults: u64,
}

/// What a call is to do before and after it asks the store that is wrapped.
struct Fate {
    method: Method,
    number: u64,
    seed: u64,
    fault: Option<Fault>,
}

impl<S: ActionStore> FaultyStore<S> {
    /// Wraps a store, which may be an `Arc` of one that is used without faults as well.
    #[must_use]
    pub fn new(inner: S, plan: FaultPlan) -> FaultyStore<S> {
        FaultyStore {
            inner,
            plan: RwLock::new(Arc::new(plan)),
            counts: Mutex::default(),
        }
    }

    /// The store that is wrapped, to be looked at without faults.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Replaces the plan, for calls made from now on. Their numbers go on.
    pub fn set_plan(&self, plan: FaultPlan) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }

    /// No faults from now on. What is never to be answered stays so.
    pub fn heal(&self) {
        self.set_plan(FaultPlan::new());
    }

    /// How often a method was called.
    #[must_use]
    pub fn calls(&self, method: Method) -> u64 {
        self.counted(method).calls
    }

    /// How many calls of a method met a fault.
    #[must_use]
    pub fn faults(&self, method: Method) -> u64 {
        self.counted(method).faults
    }

    fn counted(&self, method: Method) -> Count {
        self.counts().get(&method).copied().unwrap_or_default()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Method, Count>> {
        // Only a panic while counting could poison it, and what it left is a count.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> Arc<FaultPlan> {
        let plan = self.plan.read().unwrap_or_else(PoisonError::into_inner);
        plan.clone()
    }

    fn fate(&self, method: Method, batch: Option<&Batch>) -> Fate {
        let number = {
            let mut counts = self.counts();
            let count = counts.entry(method).or_default();
            count.calls += 1;
            count.calls
        };
        let plan = self.plan();
        // Without the lock: a rule is somebody else's code, and may look at this store.
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
    /// What happens before the store that is wrapped is asked.
    async fn before(&self) -> Result<(), StoreError> {
        match self.fault {
            Some(Fault::Unavailable) => Err(self.error(ErrorKind::Unavailable)),
            Some(Fault::UnknownNotDone) => Err(self.lost()),
            Some(Fault::SilentNotDone) => std::future::pending().await,
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Some(Fault::UnknownButDone | Fault::SilentButDone) | None => Ok(()),
        }
    }

    /// What becomes of its answer.
    async fn after<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match self.fault {
            Some(Fault::SilentButDone) => std::future::pending().await,
            // What certainly failed was not done: there is nothing to be unsure of.
            Some(Fault::UnknownButDone) => {
                answer?;
                Err(self.lost())
            }
            _ => answer,
        }
    }

    /// Only of a write can it be unknown whether it happened.
    fn lost(&self) -> StoreError {
        match self.method {
            Method::Write => self.error(ErrorKind::OutcomeUnknown),
            _ => self.error(ErrorKind::Unavailable),
        }
    }

    fn error(&self, kind: ErrorKind) -> StoreError {
        let (number, seed) = (self.number, self.seed);
        let message = format!("call {number} fails by the fault plan of seed {seed}");
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

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Refused>>, StoreError> {
        faulty!(self, Write, Some(&batch), self.inner.write(batch))
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        faulty!(self, Get, None, self.inner.get(uids))
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        faulty!(self, List, None, self.inner.list(query))
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<Transition>, StoreError> {
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
        // A store whose close fails is closed nevertheless: it is asked whatever is said.
        let before = fate.before().await;
        let closed = self.inner.close().await;
        before?;
        fate.after(closed).await
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("FaultyStore")
            .field("inner", &self.inner)
            .field("plan", &**plan)
            .finish_non_exhaustive()
    }
}
