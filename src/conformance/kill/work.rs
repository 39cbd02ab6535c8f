//! The work of a process that is killed.

use std::io::{self, Write as _};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::ledger::Note;
use crate::conformance::failure::{Failure, Proof, Stop, same};
use crate::conformance::harness::{apply, claim, create, finish, report, step, write};
use crate::model::{
    Action, ActionUid, Batch, Change, Command, Effect, NewAction, Outcome, OwnerRef, Status,
    Version,
};
use crate::store::ActionStore;

/// Number of concurrent callers.
const CALLERS: u64 = 4;

/// The version that stands for the removal of an action.
pub(super) const REMOVED: u64 = u64::MAX;

/// The progress that version 4 reports, in hundredths of a percent.
const PROGRESS: u16 = 4321;

/// Progress, status and number of log entries of each version, from version 1 on.
const STATES: [(u16, Status, u32); 5] = [
    (0, Status::Queued, 1),
    (0, Status::Executing, 2),
    (0, Status::Executing, 3),
    (PROGRESS, Status::Executing, 3),
    (10_000, Status::Completed, 4),
];

/// Text around a note on the standard output. The line break before it ends what the test
/// program has written.
const BEFORE: &str = "@action-store ";

/// Writes to a store with four concurrent callers, each through `lives` lifecycles of an
/// action: create, start, report a step, report progress, finish. Some actions are created
/// and started in one batch, and some are removed at the end. `note` is called before each
/// write and after its answer.
///
/// The store must be empty, or have only content of this function.
///
/// # Errors
/// Returns [`Failure`] if a call fails or returns a wrong answer, or if `note` fails.
pub async fn work<N>(store: Arc<dyn ActionStore>, lives: u64, note: N) -> Result<(), Failure>
where
    N: Fn(&Note) -> io::Result<()> + Send + Sync + 'static,
{
    match worked(store, lives, Arc::new(note)).await {
        Ok(()) => Ok(()),
        Err(Stop::Failed(failure)) => Err(*failure),
        Err(Stop::NotApplicable(why)) => Err(Failure::new("work", why)),
    }
}

/// Does the [`work`] of a child process of a [`KillTest`](super::KillTest), without end,
/// and writes its notes to the standard output. The process must write nothing to the
/// store before or beside it.
///
/// Returns only after a failure: if a call to the store fails, or if the parent process
/// has ended.
pub async fn work_until_killed(store: Arc<dyn ActionStore>) -> Failure {
    match work(store, u64::MAX, say).await {
        Ok(()) => Failure::new("a kill", "the end of all work"),
        Err(failure) => failure,
    }
}

/// Writes a note to the standard output, in one call.
fn say(note: &Note) -> io::Result<()> {
    let line = format!("\n{BEFORE}{note}\n");
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}

/// Returns the note in a line of a child's standard output.
pub(super) fn heard(line: &str) -> Option<Note> {
    line.strip_prefix(BEFORE)?.parse().ok()
}

async fn worked<N>(store: Arc<dyn ActionStore>, lives: u64, note: Arc<N>) -> Proof
where
    N: Fn(&Note) -> io::Result<()> + Send + Sync + 'static,
{
    let owner = OwnerRef::new("worker");
    for answer in write(&*store, Batch::each(vec![claim(&owner)])).await? {
        same("the effect of the claim", answer?.effect, Effect::Applied)?;
    }
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (store, note, owner) = (store.clone(), note.clone(), owner.clone());
        callers.spawn(async move {
            for life in 0..lives {
                let worker = Worker {
                    store: &*store,
                    note: &*note,
                    owner: &owner,
                };
                worker.live(caller.wrapping_add(life)).await?;
            }
            Ok::<(), Stop>(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

/// One caller.
struct Worker<'w, N> {
    store: &'w dyn ActionStore,
    note: &'w N,
    owner: &'w OwnerRef,
}

impl<N: Fn(&Note) -> io::Result<()> + Sync> Worker<'_, N> {
    async fn live(&self, number: u64) -> Proof {
        let new = new_action(ActionUid::new());
        let uid = new.uid;
        let change = |change| apply(uid, change, Some(self.owner));
        let (create, start) = (create(new), change(Change::Start));
        if number.is_multiple_of(3) {
            self.send(uid, 2, vec![create, start]).await?;
        } else {
            self.send(uid, 1, vec![create]).await?;
            self.send(uid, 2, vec![start]).await?;
        }
        self.send(uid, 3, vec![change(step(&step_of(uid)))]).await?;
        self.send(uid, 4, vec![change(report(PROGRESS)?)]).await?;
        let end = change(finish(Outcome::Succeeded));
        self.send(uid, 5, vec![end]).await?;
        if number.is_multiple_of(4) {
            let if_version = Version::new(STATES.len() as u64)?;
            let remove = Command::Remove { uid, if_version };
            self.send(uid, REMOVED, vec![remove]).await?;
        }
        Ok(())
    }

    /// Sends one batch, after which the action has this version.
    async fn send(&self, uid: ActionUid, version: u64, commands: Vec<Command>) -> Proof {
        let note = |acknowledged| {
            let note = Note {
                uid,
                version,
                acknowledged,
            };
            let failed = |error: io::Error| Failure::new("a note", error.to_string());
            (self.note)(&note).map_err(failed)
        };
        note(false)?;
        let mut reached = REMOVED;
        for answer in write(self.store, Batch::all(commands)).await? {
            let done = answer?;
            same("the effect", done.effect, Effect::Applied)?;
            reached = done.action.map_or(REMOVED, |action| action.version.get());
        }
        same("the version after a write", reached, version)?;
        Ok(note(true)?)
    }
}

/// Builds the same action for the same uid.
fn new_action(uid: ActionUid) -> NewAction {
    // Up to 2 KiB, so that the size of the writes varies.
    let (_, random) = uid.as_uuid().as_u64_pair();
    let description = format!("{uid} ").repeat(1 + (random % 64) as usize);
    NewAction::task("work")
        .with_uid(uid)
        .with_description(description)
        .with_idempotency_key(uid.to_string())
}

fn step_of(uid: ActionUid) -> String {
    format!("copying {uid}")
}

/// Requires that an action has the content of its version.
pub(super) fn check(action: &Action) -> Proof {
    let version = action.version.get();
    let index = usize::try_from(version.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some((progress, status, entries)) = STATES.get(index) else {
        let expected = format!("no version above {}", STATES.len());
        return Err(Failure::new(expected, format!("{action:?}")).into());
    };
    let what = format!("version {version} of action {}", action.uid);
    let found = (
        action.progress.hundredths(),
        action.status,
        action.log_entries,
    );
    same(&what, found, (*progress, *status, *entries))?;
    let new = new_action(action.uid);
    let found = (&action.name, &action.description, &action.idempotency_key);
    let expected = (&new.name, &new.description, &new.idempotency_key);
    same(&what, found, expected)?;
    let step = (version > 2).then(|| step_of(action.uid));
    same(&what, action.step.as_deref(), step.as_deref())
}
