//! A scenario in which everything happens that is reported.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use action_store::command::Effect;
use action_store::conformance::{Fault, FaultPlan, FaultyStore, Method};
use action_store::observe::Observed;
use action_store::query::{BranchId, Position, Revision, StoreId};
use action_store::spi::{CommitError, Committed, Group, GroupWriter, PositionWatch, TxnState};
use action_store::{
    ActionError, ActionStore, ActionStoreExt, Batch, Capabilities, Change, Clock, Command,
    Durability, Finish, Json, NewAction, ObjectRef, Outcome, OwnerRef, SqliteStore, Tracker,
    TrackerOptions,
};
use metrics_util::debugging::DebugValue;

use crate::captured::Captured;

/// Texts of the actions, the owners and the path.
pub(crate) const SECRETS: [&str; 10] = [
    "s_object",
    "s_description",
    "s_key",
    "s_label",
    "s_step",
    "s_error",
    "s_result",
    "s_actor",
    "s_owner",
    "s_path",
];

type Store = Arc<Observed<FaultyStore<Arc<SqliteStore>>>>;

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    runtime.block_on(scenario(&dir.path().join("s_path.db")));
}

async fn scenario(path: &Path) {
    let sqlite = Arc::new(SqliteStore::open(path).await.unwrap());
    // Another process would be refused in the same way.
    SqliteStore::open(path).await.unwrap_err();
    let faulty = FaultyStore::new(sqlite.clone(), FaultPlan::new());
    let store = Arc::new(Observed::new(faulty));
    let options = TrackerOptions::new().with_lease(Duration::from_secs(1));
    let options = options.with_sweep(false);
    let tracker = Tracker::start_with(store.clone(), "s_owner", options.clone());
    let tracker = tracker.await.unwrap();

    actions(&tracker).await;
    failed_calls(&store, &tracker).await;
    fencing(&store).await;
    slow_commit().await;

    let waiting = tracker.begin(action("backup_bdb")).await.unwrap();
    tracker.enqueue(action("backup_bdb")).await.unwrap();
    // A write that is never answered.
    let silent = FaultPlan::new().with_rule(|call| {
        let is_empty = call.method == Method::Write && call.commands.is_empty();
        is_empty.then_some(Fault::SilentNotDone)
    });
    store.inner().set_plan(silent);
    let write = tokio::spawn({
        let store = store.clone();
        async move { store.write(Batch::each(Vec::new())).await }
    });
    tokio::task::yield_now().await;
    store.record_gauges().await.unwrap();
    write.abort();
    tracker.health().record_gauges();
    sqlite.diagnostics().await.unwrap().record_gauges();

    // No renewal for two thirds of the lease.
    let unavailable = FaultPlan::new().with_every(Method::Write, 1, Fault::Unavailable);
    store.inner().set_plan(unavailable);
    until(|| !tracker.is_owner()).await;
    store.inner().heal();
    until(|| tracker.is_owner()).await;
    // Another process takes the name.
    store
        .command(Command::claim(OwnerRef::new("s_owner")))
        .await
        .unwrap();
    until(|| tracker.health().is_fenced).await;
    drop(waiting);

    // A recovery that cannot list the actions.
    let list = FaultPlan::new().with_every(Method::List, 1, Fault::Unavailable);
    store.inner().set_plan(list);
    let next = Tracker::start_with(store.clone(), "s_owner", options);
    let next = next.await.unwrap();
    assert!(!next.recovery().await.is_complete());
    store.inner().heal();
    next.shutdown().await.unwrap();
    store.close().await.unwrap();
}

/// Returns an action with a text in each field.
fn action(name: &str) -> NewAction {
    NewAction::task(name)
        .with_object(ObjectRef::new("bdb", "s_object").unwrap())
        .with_description("s_description")
        .with_label("s_label", "s_label")
        .with_actor("s_actor")
}

async fn actions(tracker: &Tracker) {
    let first = action("backup_bdb").with_exclusive("s_key");
    let first = tracker.begin(first).await.unwrap();
    let second = action("backup_bdb").with_exclusive("s_key");
    tracker.begin(second).await.unwrap_err();
    first.step("s_step").await.unwrap();
    let result = Json::new("\"s_result\"").unwrap();
    first
        .finish(Finish::new(Outcome::Succeeded).with_result(result))
        .await
        .unwrap();
    let failing = tracker.begin(action("delete_bdb")).await.unwrap();
    failing
        .fail(ActionError::new("s_error", "s_error"))
        .await
        .unwrap();
}

/// An end with an unknown outcome, which is repeated until it is done, and once more.
async fn failed_calls(store: &Store, tracker: &Tracker) {
    let unknown = FaultPlan::new().with_rule(|call| {
        let ends = matches!(
            call.commands,
            [Command::Apply {
                change: Change::Finish(_),
                ..
            }]
        );
        ends.then_some(Fault::UnknownNotDone)
    });
    let new = action("backup_bdb");
    let finish = Change::Finish(Finish::new(Outcome::Cancelled));
    let [start, finish] = [Change::Start, finish]
        .map(|change| Command::apply(new.uid, change).by(tracker.owner().clone()));
    let create = Command::create(new).by(tracker.owner().clone());
    store.write(Batch::all(vec![create, start])).await.unwrap();
    store.inner().set_plan(unknown);
    let finish = Batch::each(vec![finish]);
    store.write(finish.clone()).await.unwrap_err();
    store.inner().heal();
    for effect in [Effect::Applied, Effect::Already] {
        let answers = store.write(finish.clone()).await.unwrap();
        assert_eq!(answers[0].as_ref().unwrap().effect, effect);
    }
}

/// An owner is fenced, and then says how its action ended.
async fn fencing(store: &Store) {
    let owner = OwnerRef::new("s_owner_2");
    store.command(Command::claim(owner.clone())).await.unwrap();
    let new = action("backup_bdb");
    let uid = new.uid;
    store
        .command(Command::create(new).by(owner.clone()))
        .await
        .unwrap();
    let start = Command::apply(uid, Change::Start).by(owner.clone());
    store.command(start).await.unwrap();
    store
        .command(Command::fence(owner.clone(), 0))
        .await
        .unwrap();
    let late = Change::Finish(Finish::new(Outcome::Succeeded));
    let late = Command::apply(uid, late).by(owner);
    store.command(late).await.unwrap_err();
}

/// A commit that takes longer than a second.
async fn slow_commit() {
    let at = Position::new(StoreId::new(), BranchId::FIRST, Revision::ZERO);
    let watch = Arc::new(PositionWatch::new(at));
    let capabilities = Capabilities::new(Durability::Volatile);
    let commit = move |group: &Group| {
        std::thread::sleep(Duration::from_millis(1_050));
        let answers = group.plan(&mut TxnState::new(), Clock::system().now());
        Ok::<_, CommitError>(Committed::new(answers, at))
    };
    let long = Duration::from_secs(60);
    let writer = GroupWriter::spawn(capabilities, watch, long, commit).unwrap();
    let create = Command::create(action("backup_bdb"));
    writer.write(Batch::each(vec![create])).await.unwrap();
    writer.close().await.unwrap();
}

async fn until(is: impl Fn() -> bool) {
    while !is() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Checks the numbers that the scenario decides.
pub(crate) fn check_numbers(captured: &Captured) {
    let counter = |name, attribute| match captured.value(name, attribute) {
        DebugValue::Counter(count) => *count,
        other => panic!("{other:?}"),
    };
    let gauge = |name, attribute| match captured.value(name, attribute) {
        DebugValue::Gauge(value) => value.into_inner(),
        other => panic!("{other:?}"),
    };
    let histogram = |name, attribute| match captured.value(name, attribute) {
        DebugValue::Histogram(values) => values.iter().map(|v| v.into_inner()).collect(),
        other => panic!("{other:?}"),
    };
    let durations: Vec<f64> = histogram("action_store.action.duration", "backup_bdb");
    assert_eq!(durations.len(), 2);
    let durations: Vec<f64> = histogram("action_store.action.duration", "delete_bdb");
    assert_eq!(durations.len(), 1);
    let commits: Vec<f64> = histogram("action_store.commit.duration", "");
    assert!(commits.iter().any(|seconds| *seconds > 1.0), "{commits:?}");
    let commands: Vec<f64> = histogram("action_store.commit.commands", "");
    assert_eq!(commands.len(), commits.len());
    assert!(
        commands.contains(&1.0) && commands.contains(&2.0),
        "{commands:?}"
    );
    let ends = "action_store.action.ends";
    for outcome in ["succeeded", "failed", "cancelled"] {
        assert_eq!(counter(ends, outcome), 1, "{outcome}");
    }
    let rejections = "action_store.command.rejections";
    assert_eq!(counter(rejections, "conflict"), 1);
    assert!(counter(rejections, "fenced") >= 2);
    assert_eq!(counter("action_store.call.errors", "outcome_unknown"), 1);
    let count = "action_store.action.count";
    assert_eq!(gauge(count, "queued"), 1.0);
    assert_eq!(gauge(count, "executing"), 2.0);
    assert_eq!(gauge(count, "completed"), 3.0);
    // The tracker may renew at the same time.
    assert!(gauge("action_store.write.pending", "") >= 1.0);
    assert!(gauge("action_store.action.oldest_age", "") > 1.0);
    assert!(gauge("action_store.lease.age", "") < 60.0);
    assert!(gauge("action_store.sqlite.wal_size", "") > 0.0);
}
