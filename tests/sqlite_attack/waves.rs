//! Callers arrive in waves, so one transaction is planned while another is in progress. The second
//! starts from the result of the first, also when the first fails.

use std::sync::Arc;

use action_store::command::Effect;
use action_store::conformance::check_store;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Command, Done, Error, ErrorKind, Finish,
    NewAction, OwnerRef, Progress, Rejection, Report, SqliteOptions, SqliteStore,
};

use super::{Dice, ends, place, reopened_and_checked};

const CALLERS: usize = 200;
const LIVES: usize = 5;

/// Results of the actions of one caller.
#[derive(Default)]
struct Lived {
    completed: Vec<Arc<Action>>,
    /// Not created, for certain.
    absent: Vec<ActionUid>,
}

async fn claim(store: &SqliteStore) -> OwnerRef {
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    owner
}

async fn write(store: &SqliteStore, command: Command) -> Result<Done, Rejection> {
    let mut answers = store.write(Batch::each(vec![command])).await.unwrap();
    answers.pop().unwrap()
}

/// Checks that a read now returns the acknowledged version.
async fn is_shown(store: &SqliteStore, acknowledged: Result<Arc<Action>, Error>, version: u64) {
    let acknowledged = acknowledged.unwrap();
    assert_eq!(acknowledged.version.get(), version);
    let shown = store.action(acknowledged.uid).await.unwrap();
    assert_eq!(shown, Some(acknowledged));
}

/// Runs actions to their end, and now and then repeats a create. The store takes an action for new
/// if it is in no cache. For a completed action that is wrong.
async fn live(store: Arc<SqliteStore>, owner: OwnerRef, rolls: Vec<u64>) -> Lived {
    let (mut lived, mut rolls) = (Lived::default(), rolls.into_iter());
    for _ in 0..LIVES {
        let new = Arc::new(NewAction::task("wave"));
        let create = |new| Command::create(new);
        write(&store, create(new.clone())).await.unwrap();
        let uid = new.uid;
        is_shown(&store, store.start(uid, &owner).await, 2).await;
        for (version, hundredths) in [(3, 2500), (4, 7500)] {
            let progress = Progress::from_hundredths(hundredths).unwrap();
            let report = Report::new().with_progress(progress);
            is_shown(&store, store.report(uid, report, &owner).await, version).await;
        }
        let done = store.finish(uid, Finish::succeeded(), Some(&owner)).await;
        let done = done.unwrap();
        match rolls.next().unwrap() {
            0 => {
                let again = write(&store, create(new)).await.unwrap();
                assert_eq!(again.effect, Effect::Already);
                assert_eq!(again.action.as_ref(), Some(&done));
            }
            1 => {
                let other = Arc::new(NewAction::task("another").with_uid(uid));
                let refused = write(&store, create(other)).await.unwrap_err();
                assert!(matches!(refused, Rejection::Conflict { .. }), "{refused:?}");
            }
            _ => {}
        }
        lived.completed.push(done);
    }
    lived
}

async fn all<T: Send + 'static>(tasks: Vec<tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks {
        all.push(ends(task).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_creates_an_existing_action_disturbs_no_other_caller() {
    let (dice, place) = (Dice::new(), place());
    let store = Arc::new(SqliteStore::open(&place.path).await.unwrap());
    let owner = claim(&store).await;
    let rolls = || (0..LIVES).map(|_| dice.roll(8)).collect();
    let tasks = (0..CALLERS).map(|_| tokio::spawn(live(store.clone(), owner.clone(), rolls())));
    let lived = all(tasks.collect()).await;
    for action in lived.iter().flat_map(|lived| &lived.completed) {
        let stored = store.action(action.uid).await.unwrap();
        assert_eq!(stored.as_ref(), Some(action));
    }
    let checked = check_store(&*store).await.unwrap();
    assert_eq!(checked.actions, CALLERS * LIVES);
    store.close().await.unwrap();
}

/// Creates actions until the store is full. Each batch is stored completely or not at all.
async fn fill(store: Arc<SqliteStore>) -> Lived {
    let mut lived = Lived::default();
    for _ in 0..LIVES {
        let new = || NewAction::task("wave").with_description("x".repeat(4000));
        let created = store.create(new()).await;
        match created {
            Ok(action) => lived.completed.push(action),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                let new = new();
                lived.absent.push(new.uid);
                let again = store.create(new).await.unwrap_err();
                assert_eq!(again.kind(), ErrorKind::Unavailable, "{again}");
            }
        }
    }
    lived
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_does_not_fit_does_not_affect_other_writes() {
    let place = place();
    let options = SqliteOptions::new().with_max_bytes(2 * 1024 * 1024);
    let store = Arc::new(options.open(&place.path).await.unwrap());
    let tasks = (0..CALLERS).map(|_| tokio::spawn(fill(store.clone())));
    let lived = all(tasks.collect()).await;
    let created: Vec<_> = lived.iter().flat_map(|lived| &lived.completed).collect();
    let absent: Vec<_> = lived.iter().flat_map(|lived| &lived.absent).collect();
    assert!(created.len() > 100 && absent.len() > 100);
    for action in &created {
        let stored = store.action(action.uid).await.unwrap();
        assert_eq!(stored.as_ref(), Some(*action));
    }
    for uid in absent {
        assert_eq!(store.action(*uid).await.unwrap(), None);
    }
    store.close().await.unwrap();
    let (store, checked) = reopened_and_checked(&place.path).await;
    assert_eq!(checked.actions, created.len());
    store.close().await.unwrap();
}
