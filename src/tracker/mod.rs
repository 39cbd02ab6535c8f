//! The ergonomic face: begin, report, finish, recover.

mod begin;
mod board;
mod cancels;
mod children;
mod end;
mod failure;
mod handle;
mod health;
mod keeper;
mod open;
mod options;
mod parts;
mod prepared;
mod recovery;
mod run;
mod shared;
mod sweep;

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

pub use end::Settlement;
pub use handle::{ActionHandle, Reporter};
pub use health::{Failing, Health};
pub use options::{Correlation, Decide, LeftQueued, Orphan, TrackerOptions};
pub use parts::CancelOptions;
pub use prepared::{Prepared, ToBegin};
pub use recovery::{Recovery, Unsettled};
pub use run::{RunError, Spawned};

use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{Action, ActionError, ActionUid, Change, Command, NewAction, OwnerRef};
use crate::store::{ActionStore, ActionStoreExt};
use crate::watch::Watcher;
use keeper::AbortOnDrop;
use shared::{Core, Shared, drive};

/// Records what this process does, in the name of one owner. Cheap to clone.
///
/// Starting one claims the owner name and settles what an earlier incarnation of it left. From
/// then on one task renews the claim, once in a sixth of the lease whatever the number of
/// actions, and another writes in the background what nobody waits for.
///
/// End it with [`shutdown`](Tracker::shutdown). When the last clone and the last handle are
/// dropped instead, the same happens in the background, if the runtime lives long enough;
/// otherwise the next start settles it. The store is not closed by either.
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use std::sync::Arc;
///
/// use action_store::{MemoryStore, NewAction, Progress, Tracker};
///
/// let store = Arc::new(MemoryStore::new());
/// let tracker = Tracker::start(store, "plane@host-1").await?;
/// let action = tracker.begin(NewAction::task("backup_bdb")).await?;
/// action.step("copy").await?;
/// action.progress(Progress::ratio(1, 2));
/// action.succeed().await?;
/// tracker.shutdown().await
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
///
/// # A rolling restart
///
/// The old process drains: it takes no new work, lets what it has begun come to its end, and
/// calls [`shutdown`](Tracker::shutdown), then the store's
/// [`close`](crate::ActionStore::close). When the new one may start depends on the store and the
/// name:
///
/// - A store for one process: the new one is refused (`Unavailable`) until the old one has closed
///   it. Try again, with a bound and a pause; the name can stay the same.
/// - A shared store and a name for each process (`plane@a1`, `plane@a2`): both live and work side
///   by side, and neither touches the other's. The recommended way. Should the old one die while
///   it drains, the new one's [sweep](TrackerOptions::sweep) settles what it left a lease later.
/// - A shared store and the same name: the new one [takes over](TrackerOptions::take_over) at
///   once, which fences the old one; what that is still working on is lost, and its handles
///   [hear](crate::Reporter::ownership_lost) of it. With `take_over: false` the new one is
///   `OwnerAlive` until the old one has shut down; after a crash until somebody with another name
///   has swept it.
///
/// What the old one leaves queued is interrupted by its shutdown. With
/// [`LeftQueued::Leave`], in both processes (whoever settles decides), it stays, and the new one
/// lists it and calls [`start_queued`](Tracker::start_queued) for each.
#[derive(Debug, Clone)]
pub struct Tracker {
    core: Arc<Core>,
    recovery: watch::Receiver<Option<Arc<Recovery>>>,
}

impl Tracker {
    /// Claims an owner name, with the default options. See [`start_with`](Tracker::start_with).
    ///
    /// # Errors
    /// As [`start_with`](Tracker::start_with).
    pub async fn start(
        store: Arc<dyn ActionStore>,
        name: impl Into<Arc<str>>,
    ) -> Result<Tracker, Error> {
        Tracker::start_with(store, name, TrackerOptions::default()).await
    }

    /// Claims an owner name for a new incarnation, which fences earlier ones at once, and goes on to
    /// settle in the background what those left: what was executing is completed as lost, with
    /// evidence, what was queued as [`left_queued`](TrackerOptions::left_queued) says.
    /// [`recovery`](Tracker::recovery) waits for that; new work need not.
    ///
    /// From then on it also looks after other names, unless [`sweep`](TrackerOptions::sweep) is
    /// off: an owner that shows no life for a whole lease is fenced, and what it left is settled.
    /// A time in which this tracker could not renew either (a host's long transaction, a full
    /// disk) does not count; a runtime that does not run for a lease, its threads blocked by the
    /// host, looks dead to others.
    ///
    /// The name, a label, must be unique per live process that shares the store:
    /// `plane@host-1`, not `plane` on every host. Call this within a tokio runtime that has its
    /// timer enabled; the tracker's tasks live there.
    ///
    /// # Errors
    /// `Invalid` for a bad name or option, `OwnerAlive` with `take_over: false`, `Closed` outside a
    /// runtime, and what the store may say.
    pub async fn start_with(
        store: Arc<dyn ActionStore>,
        name: impl Into<Arc<str>>,
        options: TrackerOptions,
    ) -> Result<Tracker, Error> {
        options.check()?;
        let owner = OwnerRef::new(name);
        let runtime = Handle::try_current().map_err(|error| {
            let message = "there is no tokio runtime";
            StoreError::new(ErrorKind::Closed, "start", message).with_source(error)
        })?;
        let work = Tracker::claim(store, owner, options, runtime.clone());
        drive(&runtime, "start", work).await
    }

    async fn claim(
        store: Arc<dyn ActionStore>,
        owner: OwnerRef,
        options: TrackerOptions,
        runtime: Handle,
    ) -> Result<Tracker, Error> {
        let claimed = Instant::now();
        let claim = Command::Claim {
            owner: owner.clone(),
            take_over: options.take_over,
        };
        store.command(claim).await?;
        let shared = Arc::new(Shared::new(store, owner, options, claimed));
        let renewer = runtime.spawn(keeper::renew(shared.clone()));
        let (first, recovery) = watch::channel(None);
        let sweeper = runtime.spawn(sweep::sweep(shared.clone(), first));
        let listener = runtime.spawn(cancels::listen(shared.clone()));
        let others = [
            renewer.abort_handle(),
            sweeper.abort_handle(),
            listener.abort_handle(),
        ];
        let others = others.into_iter().map(AbortOnDrop).collect();
        let keeper = runtime.spawn(keeper::keep(shared.clone(), others));
        let core = Arc::new(Core::new(shared, keeper, runtime));
        Ok(Tracker { core, recovery })
    }

    /// Who this tracker is.
    #[must_use]
    pub fn owner(&self) -> &OwnerRef {
        &self.core.shared.owner
    }

    /// Where it records.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ActionStore> {
        &self.core.shared.store
    }

    /// Waits for actions of the store and watches them, in this process or another: the one
    /// [`Watcher`] of all clones of this tracker.
    ///
    /// ```
    /// # async fn example() -> Result<(), action_store::Error> {
    /// use std::sync::Arc;
    ///
    /// use action_store::{MemoryStore, NewAction, Outcome, Tracker};
    ///
    /// let tracker = Tracker::start(Arc::new(MemoryStore::new()), "plane@host-1").await?;
    /// let backup = NewAction::task("backup_bdb");
    /// let work = tracker.spawn(backup, async |action| Ok(action.step("copy").await?)).await?;
    ///
    /// let ended = tracker.watcher().wait(work.uid()).await?;
    /// assert_eq!(ended.outcome, Some(Outcome::Succeeded));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    #[must_use]
    pub fn watcher(&self) -> &Watcher {
        &self.core.watcher
    }

    /// Waits until what earlier incarnations of the name had left is settled, and says what became
    /// of it. New work need not wait for it, unless it takes an exclusive key that an action of an
    /// earlier incarnation may hold. What could not be settled is tried again, several times in a
    /// lease: a later call tells what it has come to. For all names together, see
    /// [`Health::swept`].
    pub async fn recovery(&self) -> Arc<Recovery> {
        let mut recovery = self.recovery.clone();
        match recovery.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(recovery)) => recovery.clone(),
            _ => Arc::new(Recovery::none()),
        }
    }

    /// How the tracker stands.
    #[must_use]
    pub fn health(&self) -> Health {
        self.core.shared.health()
    }

    /// Resolves once this tracker no longer owns its actions, as far as it knows: the opposite of
    /// [`is_owner`](Tracker::is_owner).
    pub async fn ownership_lost(&self) {
        self.core.shared.ownership_lost().await;
    }

    /// Whether this tracker owns its actions, as far as it knows: it has renewed within two
    /// thirds of the lease, and the store has not said otherwise. A store out of reach for that
    /// long makes it false until a renewal succeeds again; a fence, a closed store or the shutdown
    /// makes it false for good, and a new tracker is needed.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.core.shared.is_owner()
    }

    /// Records a new action, queued, in this owner's name. Start it with
    /// [`start_queued`](Tracker::start_queued). A repeat, by uid or idempotency key, answers with
    /// the action there is; the uid tells.
    ///
    /// # Errors
    /// `Invalid` for a broken limit, `Conflict` for a key that is taken, `Fenced` if this tracker
    /// is no longer the owner, `Closed` after the shutdown, and what the store may say.
    pub async fn enqueue(&self, new: NewAction) -> Result<Arc<Action>, Error> {
        let core = self.core.clone();
        let new = core.shared.options.correlation.fill(new);
        let work = async move {
            let _gate = core.enter("enqueue").await?;
            core.shared.has_queued();
            let create = begin::create_of(new, &core);
            let queued = core.shared.store.command_on_action(create).await;
            let queued = begin::noted(&core, queued)?;
            Ok(parts::ask_late(&core, &queued).await?.unwrap_or(queued))
        };
        self.core.drive("enqueue", work).await
    }

    /// Makes an action ready to be created in the host's own transaction, so that both are there
    /// or neither is. It writes nothing. Hand [`Prepared::batch`] to the store inside the
    /// transaction, commit, and then [`begin`](Tracker::begin), [`run`](Tracker::run) or
    /// [`spawn`](Tracker::spawn) it. In between it is queued in this owner's name: if the process
    /// dies there, it is settled as what was never started.
    ///
    /// # Errors
    /// `Invalid` for a broken limit.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite-unbundled")]
    /// # async fn example(pool: sqlx::sqlite::SqlitePool) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use action_store::{NewAction, SqliteStore, Tracker, sqlx};
    ///
    /// let store = Arc::new(SqliteStore::on_pool(pool.clone()).await?);
    /// let tracker = Tracker::start(store.clone(), "plane@host-1").await?;
    ///
    /// let prepared = tracker.prepare(NewAction::task("create_bdb"))?;
    /// let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    /// sqlx::query("INSERT INTO bdb (name, action) VALUES ('orders', $1)")
    ///     .bind(prepared.uid().to_string())
    ///     .execute(&mut *transaction)
    ///     .await?;
    /// for answer in store.write_in(&mut transaction, prepared.batch()).await? {
    ///     answer?;
    /// }
    /// transaction.commit().await?;
    /// tracker.spawn(prepared, async |action| Ok(action.step("create").await?)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn prepare(&self, new: NewAction) -> Result<Prepared, Error> {
        let shared = &self.core.shared;
        shared.has_queued();
        Prepared::new(shared.owner.clone(), shared.options.correlation.fill(new))
    }

    /// Records a new action and starts it, in one commit; or starts a [prepared](Tracker::prepare)
    /// one, which is `NotFound` if the host's transaction was not committed.
    ///
    /// A repeat finds the action there is, by uid or idempotency key, and starts it if it is
    /// queued; otherwise it is `Conflict` with that action in [`Error::current`]. So an action
    /// has one handle, ever. If the outcome stays unknown, whatever came of this call is
    /// interrupted in the background; an action that another call has in hand is left alone.
    ///
    /// # Errors
    /// As [`enqueue`](Tracker::enqueue).
    pub async fn begin(&self, action: impl Into<ToBegin>) -> Result<ActionHandle, Error> {
        let core = self.core.clone();
        let correlation = &core.shared.options.correlation;
        let action = match action.into() {
            ToBegin::New(new) => ToBegin::New(correlation.fill(new)),
            prepared => prepared,
        };
        let work = async move {
            let _gate = core.enter("begin").await?;
            match action {
                ToBegin::New(new) => begin::begin(&core, new).await,
                ToBegin::Prepared(prepared) => begin::start(&core, prepared.uid()).await,
            }
        };
        self.core.drive("begin", work).await
    }

    /// Starts a queued action. If the outcome stays unknown, it is started all the same and
    /// interrupted in the background, unless another call has it in hand.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it is not queued, and as [`enqueue`](Tracker::enqueue).
    pub async fn start_queued(&self, uid: ActionUid) -> Result<ActionHandle, Error> {
        let core = self.core.clone();
        let work = async move {
            let _gate = core.enter("start").await?;
            begin::start(&core, uid).await
        };
        self.core.drive("start", work).await
    }

    /// Takes an executing action over whose owner is not alive, to go on with it: for what
    /// [`Orphan::Leave`] has left. An unknown outcome is as with
    /// [`start_queued`](Tracker::start_queued).
    ///
    /// # Errors
    /// `NotFound`, `OwnerAlive` if its owner is alive, `Conflict` if it is not executing, and as
    /// [`enqueue`](Tracker::enqueue).
    pub async fn adopt(&self, uid: ActionUid) -> Result<ActionHandle, Error> {
        let core = self.core.clone();
        let work = async move {
            let _gate = core.enter("adopt").await?;
            begin::take(&core, uid, Change::Adopt).await
        };
        self.core.drive("adopt", work).await
    }

    /// Asks for an action to be cancelled, whoever owns it, in whatever process. A queued one is
    /// ended at once; an executing one when its owner says so, who hears of it within moments
    /// ([`Reporter::cancel_requested`]). Answers with the action as it then is.
    ///
    /// Its unfinished parts are asked, too, and the parts of those, 100 in a transaction; see
    /// [`CancelOptions::with_parts`]. A part that is begun through a tracker later, while its
    /// parent is unfinished, is asked as soon as it is begun.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it is completed, `Invalid` for a broken limit, and what the store
    /// may say. After an error some of the parts may not have been asked: ask again, those that
    /// were are left as they are.
    pub async fn cancel(
        &self,
        uid: ActionUid,
        options: impl Into<CancelOptions>,
    ) -> Result<Arc<Action>, Error> {
        let core = self.core.clone();
        let mut options = options.into();
        options.request.fit();
        let work = async move {
            let asked = end::cancel(&core, uid, options.request.clone()).await?;
            if options.parts {
                parts::ask(&core, uid, &options.request).await?;
            }
            Ok(asked)
        };
        self.core.drive("cancel", work).await
    }

    /// Brings an action of a dead owner to its end by hand, for a reason that operators will read:
    /// an executing one as lost, a queued one as interrupted. A [`Settlement`] also says who
    /// decided, for the evidence and the log; a text alone is its reason.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for a decider that is no label, `OwnerAlive` if its owner is alive, `Conflict` if it is completed, has changed
    /// meanwhile or waits in the queue of somebody else who is alive, and as
    /// [`enqueue`](Tracker::enqueue).
    pub async fn settle(
        &self,
        uid: ActionUid,
        settlement: impl Into<Settlement> + Send,
    ) -> Result<Arc<Action>, Error> {
        let core = self.core.clone();
        let settlement = settlement.into();
        let work = async move {
            let _gate = core.enter("settle").await?;
            end::settle(&core, uid, settlement).await
        };
        self.core.drive("settle", work).await
    }

    /// Does work as an action, begun before it and ended with its result; see
    /// [`ActionHandle::run`].
    ///
    /// ```
    /// # async fn example(tracker: action_store::Tracker) -> Result<(), action_store::RunError> {
    /// use action_store::NewAction;
    ///
    /// let bytes = tracker
    ///     .run(NewAction::task("read_config"), async |action| {
    ///         action.step("read").await?;
    ///         Ok(std::fs::read("plane.toml")?)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RunError::NotBegun`] as [`begin`](Tracker::begin), and as [`ActionHandle::run`].
    ///
    /// # Panics
    /// If the work panics, once that is recorded.
    pub async fn run<T, W, F>(&self, action: impl Into<ToBegin>, work: W) -> Result<T, RunError>
    where
        W: FnOnce(Reporter) -> F,
        F: Future<Output = Result<T, ActionError>>,
    {
        let handle = self.begin(action).await.map_err(RunError::NotBegun)?;
        handle.run(work).await
    }

    /// Does work as an action in a task of its own, and returns once the action is begun.
    ///
    /// # Errors
    /// As [`begin`](Tracker::begin).
    pub async fn spawn<T, W, F>(
        &self,
        action: impl Into<ToBegin>,
        work: W,
    ) -> Result<Spawned<T>, Error>
    where
        T: Send + 'static,
        W: FnOnce(Reporter) -> F + Send + 'static,
        F: Future<Output = Result<T, ActionError>> + Send + 'static,
    {
        let handle = self.begin(action).await?;
        let action = handle.action();
        let task = self.core.runtime().spawn(handle.run(work));
        Ok(Spawned::new(action, task))
    }

    /// Ends the tracker, for all its clones: waits for calls that are being answered, writes what
    /// waits to be written, completes as interrupted what is still executing, and what is queued
    /// unless [`LeftQueued::Leave`] says otherwise, and gives the name back. Let work come to its
    /// end first if it should. Afterwards all calls of this tracker and of handles that are still
    /// held are `Closed`: "the tracker was shut down". The store stays open.
    ///
    /// Once this is first polled it goes on even if the future is dropped. A second call waits
    /// for the first and is fine.
    ///
    /// # Errors
    /// What the store may say, `Closed` if it was closed before; then some actions are left to the
    /// next start.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let core = self.core.clone();
        let work = async move {
            *core.gate.write().await = true;
            core.shared.close();
            let mut keeper = core.keeper.lock().await;
            let Some(task) = keeper.take() else {
                return Ok(());
            };
            task.await.unwrap_or_else(|gone| {
                let message = "the tracker's task ended before its time";
                let error = StoreError::new(ErrorKind::OutcomeUnknown, "shutdown", message);
                Err(error.with_source(gone).into())
            })
        };
        self.core.drive("shutdown", work).await
    }
}
