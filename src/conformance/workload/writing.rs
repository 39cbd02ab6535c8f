//! The works that write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::callers::Caller;
use super::dataset::{Dataset, accepted};
use super::ledger::{Ledger, Standing};
use super::measured::Measured;
use super::reading::Crowd;
use crate::conformance::failure::{Failure, Proof, holds};
use crate::model::{
    ActionUid, Batch, Command, Effect, Finish, NewAction, ObjectRef, OwnerRef, Progress, Report,
    Status, Version,
};
use crate::store::{ActionStore, ActionStoreExt};

/// Number of actions removed in one batch.
const REMOVED_AT_ONCE: usize = 100;

/// Number of changes in a lifecycle after the creation.
const CHANGES: usize = 5;

pub(super) fn new_action(object: u64) -> NewAction {
    NewAction::state_machine("SMUpdateBDB", ObjectRef::bdb(object))
        .with_description("resize to 3 shards of 4 GB, replicated")
}

pub(super) async fn create(dataset: &mut Dataset, crowd: Crowd) -> Proof<Measured> {
    let standing = Standing {
        status: Status::Queued,
        version: Version::FIRST,
        entries: 1,
    };
    let (measured, written) = crowd
        .run(|mut caller| {
            let store = dataset.store.clone();
            async move {
                let ended = create_caller(&*store, &mut caller).await;
                (caller, ended)
            }
        })
        .await?;
    write_down(&mut dataset.ledger, written, standing);
    Ok(measured)
}

async fn create_caller(store: &dyn ActionStore, caller: &mut Caller) -> Proof<Vec<ActionUid>> {
    let mut created = Vec::new();
    while caller.goes_on().await {
        let action = store.create(new_action(caller.number() as u64)).await?;
        caller.lap();
        created.push(action.uid);
    }
    Ok(created)
}

pub(super) async fn lives(dataset: &mut Dataset, crowd: Crowd) -> Proof<Measured> {
    // The creation and each change take a version. A progress report adds no log entry.
    let version = (0..CHANGES).fold(Version::FIRST, |version, _| version.next());
    let standing = Standing {
        status: Status::Completed,
        version,
        entries: 3,
    };
    let (measured, written) = crowd
        .run(|mut caller| {
            let (store, owner) = (dataset.store.clone(), dataset.owner.clone());
            async move {
                let mut lived = Vec::new();
                let mut ended = Ok(());
                while ended.is_ok() && caller.goes_on().await {
                    let life = live(&*store, &owner, &mut caller).await;
                    ended = life.map(|uid| lived.push(uid));
                }
                (caller, ended.map(|()| lived))
            }
        })
        .await?;
    write_down(&mut dataset.ledger, written, standing);
    Ok(measured)
}

async fn live(store: &dyn ActionStore, owner: &OwnerRef, caller: &mut Caller) -> Proof<ActionUid> {
    let uid = store.create(new_action(caller.number() as u64)).await?.uid;
    caller.lap();
    store.start(uid, owner).await?;
    caller.lap();
    for quarter in 1..=3 {
        let report = Report::new().with_progress(Progress::ratio(quarter, 4));
        store.report(uid, report, owner).await?;
        caller.lap();
    }
    store.finish(uid, Finish::succeeded(), Some(owner)).await?;
    caller.lap();
    Ok(uid)
}

fn write_down(ledger: &mut Ledger, written: Vec<Vec<ActionUid>>, standing: Standing) {
    for uid in written.into_iter().flatten() {
        ledger.write(uid, standing);
    }
}

/// Runs lifecycles while another task removes the completed initial actions.
pub(super) async fn prune(dataset: &mut Dataset, crowd: Crowd) -> Proof<Measured> {
    let completed = dataset.ledger.completed(&dataset.uids);
    holds(
        "completed initial actions to remove",
        !completed.is_empty(),
        0,
    )?;
    let stop = Arc::new(AtomicBool::new(false));
    let pruning = tokio::spawn(remove(dataset.store.clone(), completed, stop.clone()));
    let measured = lives(dataset, crowd).await;
    stop.store(true, Ordering::Relaxed);
    let removed = pruning.await?;
    let measured = measured?;
    for uid in removed? {
        dataset.ledger.remove(uid);
    }
    Ok(measured)
}

async fn remove(
    store: Arc<dyn ActionStore>,
    completed: Vec<(ActionUid, Version)>,
    stop: Arc<AtomicBool>,
) -> Proof<Vec<ActionUid>> {
    let mut removed = Vec::new();
    let most = store.capabilities().max_commands.clamp(1, REMOVED_AT_ONCE);
    for some in completed.chunks(most) {
        let remove = |(uid, version): &(ActionUid, Version)| Command::remove(*uid, *version);
        let batch = Batch::each(some.iter().map(remove).collect());
        // The write is not retried. The answer to a repeat would be `Already`, which here
        // means that the row was lost.
        let answers = store.write(batch).await?;
        let already = answers
            .iter()
            .flatten()
            .find(|done| done.effect == Effect::Already);
        if let Some(done) = already {
            return Err(Failure::new("a removal that is applied", format!("{done:?}")).into());
        }
        accepted(answers, some.len())?;
        removed.extend(some.iter().map(|(uid, _)| *uid));
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(removed)
}
