//! The tracker: begins actions, reports on them, ends them and recovers them after a crash.

mod background;
mod begin;
mod cancels;
mod children;
mod closed;
mod core;
mod drain;
mod end;
mod failure;
mod handle;
mod health;
mod in_flight;
mod on_settled;
mod options;
mod outbox;
mod ownership;
mod parts;
mod prepared;
mod recorded;
mod recovery;
mod run;
mod shared;
mod sweep;

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

pub use drain::Drained;
pub use end::Settlement;
pub use handle::{ActionHandle, Reporter};
pub use health::{Failing, Health};
pub use on_settled::OnSettled;
pub use options::{Correlation, Decide, LeftQueued, OrphanDecision, TrackerOptions};
pub use parts::CancelOptions;
pub use prepared::{Prepared, ToBegin};
pub use recorded::Recorded;
pub use recovery::{Recovery, Unsettled};
pub use run::{RunError, Spawned};

use self::core::{Core, drive};
use crate::error::Error;
use crate::model::{Action, ActionUid, Change, Command, NewAction, OwnerRef};
use crate::runtime;
use crate::store::{ActionStore, ActionStoreExt};
use crate::watch::Watcher;
use background::AbortOnDrop;
use drain::Asked;
use shared::Shared;

/// Records the actions of this process under one owner name. Cheap to clone.
///
/// Starting a tracker claims the owner name and settles the unfinished actions of earlier
/// incarnations of that name. In the background, one task renews the claim six times per lease,
/// however many actions there are. Another task writes progress, and the ends that no caller waits
/// for.
///
/// End the tracker with [`shutdown`](Tracker::shutdown). Dropping the last clone and the last
/// handle starts the same shutdown in the background. If the runtime stops before it completes, the
/// next start settles the actions. The store stays open in both cases.
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
/// The old process drains: it takes no new work, completes the work it has begun, and calls
/// [`shutdown`](Tracker::shutdown), then the store's [`close`](crate::ActionStore::close). The
/// store and the owner name decide when the new process may start:
///
/// - A store for one process: the new process is refused (`Unavailable`) until the old one has
///   closed the store. Retry with a pause and a limit. The name can stay the same.
///
/// - A shared store and one name per process (`plane@a1`, `plane@a2`), which is recommended: both
///   processes run side by side and do not affect each other. If the old process dies while it
///   drains, the new one's [sweep](TrackerOptions::sweep) settles its actions about one lease
///   later.
///
/// - A shared store and the same name: the new process [takes over](TrackerOptions::take_over) at
///   once, which fences the old one. The old one's executing actions are completed as lost, and its
///   handles report it ([`ownership_lost`](crate::Reporter::ownership_lost)). With
///   `take_over: false` the new process gets `OwnerAlive` until the old one has shut down. After
///   a crash it gets `OwnerAlive` until a tracker with another name has swept the old one.
///
/// The shutdown of the old process interrupts its queued actions. To keep them queued, set
/// [`LeftQueued::Leave`] in both processes, because the process that settles decides. The new
/// process then lists them and calls [`start_queued`](Tracker::start_queued) for each.
#[derive(Debug, Clone)]
pub struct Tracker {
    core: Arc<Core>,
    recovery: watch::Receiver<Option<Arc<Recovery>>>,
}

impl Tracker {
    /// Starts a tracker with the default options: claims an owner name. See
    /// [`start_with`](Tracker::start_with).
    ///
    /// # Errors
    /// As [`start_with`](Tracker::start_with).
    pub async fn start(
        store: impl ActionStore,
        name: impl Into<Arc<str>>,
    ) -> Result<Tracker, Error> {
        Tracker::start_with(store, name, TrackerOptions::default()).await
    }

    /// Claims an owner name for a new incarnation and starts the tracker's background tasks.
    ///
    /// The claim fences earlier incarnations of the name at once. A background task then settles
    /// their unfinished actions. Executing ones are completed as lost, with evidence. Queued ones
    /// are handled as [`left_queued`](TrackerOptions::left_queued) says.
    /// [`recovery`](Tracker::recovery) waits for that; new work need not wait.
    ///
    /// Unless [`sweep`](TrackerOptions::sweep) is off, the tracker also watches other owner names.
    /// It fences an owner that has not renewed for a whole lease and settles its actions. Time in
    /// which this tracker could not renew either (a long transaction of the host, a full disk) does
    /// not count. If the host blocks all threads of its runtime for a whole lease, other trackers
    /// treat this owner as dead.
    ///
    /// The name is a label. It must be unique per live process that shares the store:
    /// `plane@host-1`, not `plane` on every host. Call this inside a tokio runtime with its timer
    /// enabled. The tracker's tasks run on that runtime.
    ///
    /// # Errors
    /// `Invalid` for a bad name or option, `OwnerAlive` with `take_over: false` if the name is
    /// taken, `Closed` outside a tokio runtime, and the store's errors.
    pub async fn start_with(
        store: impl ActionStore,
        name: impl Into<Arc<str>>,
        options: TrackerOptions,
    ) -> Result<Tracker, Error> {
        options.check()?;
        let owner = OwnerRef::new(name);
        let runtime = runtime::current("start")?;
        let work = Tracker::claim(Arc::new(store), owner, options, runtime.clone());
        drive(&runtime, "start", work).await
    }

    async fn claim(
        store: Arc<dyn ActionStore>,
        owner: OwnerRef,
        options: TrackerOptions,
        runtime: Handle,
    ) -> Result<Tracker, Error> {
        let claimed = Instant::now();
        let claim = Command::claim(owner.clone()).with_take_over(options.take_over);
        store.command(claim).await?;
        let shared = Arc::new(Shared::new(store, owner, options, claimed));
        let renewer = runtime.spawn(background::renew(shared.clone()));
        let (first, recovery) = watch::channel(None);
        let sweeper = runtime.spawn(sweep::sweep(shared.clone(), first));
        let listener = runtime.spawn(cancels::listen(shared.clone()));
        let others = [
            renewer.abort_handle(),
            sweeper.abort_handle(),
            listener.abort_handle(),
        ];
        let others = others.into_iter().map(AbortOnDrop).collect();
        let deliver = runtime.spawn(on_settled::deliver(shared.clone()));
        let background = runtime.spawn(background::keep(shared.clone(), others, deliver));
        let core = Arc::new(Core::new(shared, background, runtime));
        Ok(Tracker { core, recovery })
    }

    /// Returns the owner: the name and the incarnation of this tracker.
    #[must_use]
    pub fn owner(&self) -> &OwnerRef {
        &self.core.shared.owner
    }

    /// Returns the store this tracker writes to.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ActionStore> {
        &self.core.shared.store
    }

    /// Returns the [`Watcher`] that waits for actions of the store and watches them, in this
    /// process or another. All clones of this tracker share it.
    ///
    /// ```
    /// # async fn example() -> Result<(), action_store::Error> {
    /// use action_store::{MemoryStore, NewAction, Outcome, Tracker};
    ///
    /// let tracker = Tracker::start(MemoryStore::new(), "plane@host-1").await?;
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

    /// Waits until the unfinished actions of earlier incarnations of this name are settled, and
    /// returns the counts.
    ///
    /// New work need not wait for this, unless it takes an exclusive key that an action of an
    /// earlier incarnation may hold. Actions that could not be settled are tried again several
    /// times per lease. A later call returns the newer result. [`Health::swept`] covers all names
    /// together.
    pub async fn recovery(&self) -> Arc<Recovery> {
        let mut recovery = self.recovery.clone();
        match recovery.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(recovery)) => recovery.clone(),
            _ => Arc::new(Recovery::none()),
        }
    }

    /// Returns the current health of the tracker.
    #[must_use]
    pub fn health(&self) -> Health {
        self.core.shared.health()
    }

    /// Resolves once this tracker may no longer own its actions, as far as this process knows. See
    /// [`is_owner`](Tracker::is_owner).
    pub async fn ownership_lost(&self) {
        self.core.shared.ownership_lost().await;
    }

    /// Returns true if this tracker owns its actions, as far as this process knows.
    ///
    /// That is so if the tracker has renewed within two thirds of the lease and the store has not
    /// reported it as fenced. If the store is unreachable for that long, this is false until a
    /// renewal succeeds. After a fence, a closed store or the shutdown it stays false, and a new
    /// tracker is needed.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.core.shared.is_owner()
    }

    /// Records a new action as queued under this owner's name. Start it with
    /// [`start_queued`](Tracker::start_queued).
    ///
    /// If an action with the same uid or idempotency key exists, the answer is
    /// [`Recorded::Found`] with that action. If the outcome of the write was unknown at first, an
    /// action with the same uid counts as new.
    ///
    /// After [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), call again with the same
    /// [`NewAction`].
    ///
    /// # Errors
    /// `Invalid` for a broken limit, `Conflict` for an exclusive key that is taken, `Fenced` if
    /// this tracker is no longer the owner, and the store's errors. `Closed` while the tracker
    /// drains and after the shutdown.
    pub async fn enqueue(&self, new: NewAction) -> Result<Recorded<Arc<Action>>, Error> {
        let core = self.core.clone();
        let new = core.shared.options.correlation.fill(new);
        let work = async move {
            let _gate = core.enter("enqueue").await?;
            let _counted = core.shared.admit_enqueue(new.parent)?;
            core.shared.has_queued();
            begin::enqueue(&core, new).await
        };
        self.core.drive("enqueue", work).await
    }

    /// Prepares an action that the host creates in its own transaction, so that the host's rows and
    /// the action commit together or not at all.
    ///
    /// This writes nothing. Pass [`Prepared::batch`] to the store inside the transaction, commit,
    /// and then pass the [`Prepared`] to [`begin`](Tracker::begin), [`run`](Tracker::run) or
    /// [`spawn`](Tracker::spawn). Between the commit and that call the action is queued under this
    /// owner's name. If the process dies in between, the action is settled as never started.
    ///
    /// A [drain](Tracker::drain) waits until the action is begun or the [`Prepared`] is dropped. So
    /// drop it if the host's transaction is rolled back.
    ///
    /// # Errors
    /// `Invalid` for a broken limit, and `Closed` while the tracker drains.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite-unbundled")]
    /// # async fn example(pool: sqlx::sqlite::SqlitePool) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use action_store::sqlite::sqlx;
    /// use action_store::{NewAction, SqliteStore, Tracker};
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
        let counted = shared.prepared(new.parent)?;
        let new = shared.options.correlation.fill(new);
        Prepared::new(shared.owner.clone(), new, counted)
    }

    /// Records a new action and starts it in one commit, or starts a [prepared](Tracker::prepare)
    /// action.
    ///
    /// If an action with the same uid or idempotency key exists and is queued, it is started. If it
    /// is no longer queued, the call is a repeat: the answer is [`Error::Found`] with that action. So
    /// an action never has two handles. [`begin_or_find`](Tracker::begin_or_find) returns a repeat as an answer.
    ///
    /// After [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), call again within 5 s, with the
    /// same [`NewAction`] or the same idempotency key: you get the handle, also if the earlier call
    /// has started the action. If no call comes in that time, the action is interrupted in the
    /// background if the earlier call started it. An action that another call started is not
    /// touched. The 5 s also hold while the tracker [drains](Tracker::drain); the shutdown ends them.
    ///
    /// # Errors
    /// As [`enqueue`](Tracker::enqueue), and `Found` for a repeat; `NotFound` for a prepared action
    /// if the host's transaction was not committed.
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
                ToBegin::New(new) => {
                    let _counted = core.shared.admit("begin", &Asked::new(&new))?;
                    begin::begin(&core, new).await
                }
                ToBegin::Prepared(prepared) => {
                    let _counted = core.shared.admit_prepared();
                    let begun = begin::start_found(&core, prepared.uid(), None).await;
                    if matches!(begun, Ok(_) | Err(Error::Found(_))) {
                        prepared.begun();
                    }
                    begun
                }
            }
        };
        self.core.drive("begin", work).await
    }

    /// Begins an action as [`begin`](Tracker::begin) does, or returns the one that exists already.
    /// Use it for requests that clients may repeat.
    ///
    /// # Errors
    /// As [`begin`](Tracker::begin), without `Found`.
    pub async fn begin_or_find(&self, action: impl Into<ToBegin>) -> Result<Recorded, Error> {
        Recorded::of(self.begin(action).await)
    }

    /// Starts a queued action.
    ///
    /// After [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), call again within 5 s: you get
    /// the handle, also if the earlier call has started the action. Otherwise a background task
    /// sends the start again and then interrupts the action. An action that another call started is
    /// not touched.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if the action is not queued, and as [`enqueue`](Tracker::enqueue).
    pub async fn start_queued(&self, uid: ActionUid) -> Result<ActionHandle, Error> {
        let core = self.core.clone();
        let work = async move {
            let _gate = core.enter("start").await?;
            // The parent decides while the tracker drains, and is read only then.
            let parent = match core.shared.is_draining() {
                true => core
                    .shared
                    .store
                    .action(uid)
                    .await?
                    .and_then(|found| found.parent),
                false => None,
            };
            let _counted = core.shared.admit("start", &Asked::of(uid, parent))?;
            begin::start(&core, uid).await
        };
        self.core.drive("start", work).await
    }

    /// Takes over an executing action whose owner is not alive, to continue its work. Use it for
    /// actions that [`OrphanDecision::Leave`] has left.
    ///
    /// An unknown outcome is handled as in [`start_queued`](Tracker::start_queued).
    ///
    /// # Errors
    /// `NotFound`, `OwnerAlive` if its owner is alive, `Conflict` if it is not executing, and as
    /// [`enqueue`](Tracker::enqueue).
    pub async fn adopt(&self, uid: ActionUid) -> Result<ActionHandle, Error> {
        let core = self.core.clone();
        let work = async move {
            let _gate = core.enter("adopt").await?;
            let _counted = core.shared.admit("adopt", &Asked::of(uid, None))?;
            begin::take(&core, uid, None, Change::Adopt).await
        };
        self.core.drive("adopt", work).await
    }
}
