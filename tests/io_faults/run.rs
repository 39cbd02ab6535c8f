//! One run: a store is opened, used and closed, and a call fails on the way.

use std::path::Path;
use std::sync::Arc;

use action_store::{ActionStore, Batch, Command, OwnerRef};

use super::caller::Caller;
use super::disk::{ask, mark};
use super::faults::{Fault, Phase};
use super::tally::Tally;
use super::ways::Opened;

/// The counts of a run.
pub(crate) struct Run {
    pub(crate) tally: Tally,
    pub(crate) problems: Vec<String>,
    /// How many calls of the class there were.
    pub(crate) calls: u64,
}

/// Callers who work at the same time.
const CALLERS: usize = 3;

/// Lets the Nth call fail, or none of them.
pub(crate) async fn run(root: &Path, fault: &Fault, nth: Option<u64>) -> Run {
    let files = tempfile::tempdir_in(root).unwrap();
    let path = files.path().canonicalize().unwrap().join("actions.db");
    let caller = Arc::new(Caller::default());
    let arm = || match nth {
        Some(nth) => {
            let Fault {
                class,
                times,
                errno,
                ..
            } = fault;
            mark(root, &format!("!fault {class} {nth} {times} {errno}"));
        }
        None => mark(root, "!calm"),
    };
    caller.count("runs");
    if fault.phase == Phase::Opening {
        arm();
    }
    let mut opened = open(&caller, fault, &path).await;
    if opened.is_err() && fault.phase == Phase::Opening {
        // Nothing fails any more: now it must open.
        calm(root, &caller, fault);
        opened = open(&caller, fault, &path).await;
    }
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            caller.problem("stuck", format!("it cannot be opened: {error}"));
            return ended(caller, 0);
        }
    };
    if fault.phase != Phase::Opening {
        arm();
    }
    let opened = use_it(&caller, opened).await;
    let calls = if fault.phase == Phase::Closing {
        let closed = caller.waits("close", opened.close()).await;
        if let Some(Err(error)) = closed {
            caller.refused(&error);
        }
        calm(root, &caller, fault)
    } else {
        let calls = calm(root, &caller, fault);
        caller.works(&opened.store, "alive").await;
        caller.verify(&opened.store, "alive").await;
        close(&caller, opened).await;
        calls
    };
    match open(&caller, fault, &path).await {
        Err(error) => caller.problem("stuck", format!("it cannot be opened again: {error}")),
        Ok(opened) => {
            caller.verify(&opened.store, "opened again").await;
            caller.works(&opened.store, "opened again").await;
            close(&caller, opened).await;
        }
    }
    ended(caller, calls)
}

/// Ends the faults. Says how many calls of the class there were.
fn calm(root: &Path, caller: &Caller, fault: &Fault) -> u64 {
    let calls = ask(root, &format!("calls {}", fault.class));
    if ask(root, "hits") > 0 {
        caller.count("hit");
    }
    mark(root, "!calm");
    calls
}

fn ended(caller: Arc<Caller>, calls: u64) -> Run {
    let caller = Arc::into_inner(caller).expect("no caller works any more");
    let (tally, problems) = caller.end();
    Run {
        tally,
        problems,
        calls,
    }
}

/// Opens a store, within a few tries. Each refusal is counted. Returns the last one.
async fn open(caller: &Caller, fault: &Fault, path: &Path) -> Result<Opened, String> {
    let mut last = "there is no answer".to_owned();
    for _ in 0..4 {
        match caller.waits("open", fault.way.open(path)).await {
            None => break,
            Some(Ok(opened)) => return Ok(opened),
            Some(Err(error)) => {
                caller.count("opening_refused");
                caller.refused(&error);
                last = format!("{error:?}");
            }
        }
    }
    Err(last)
}

async fn close(caller: &Caller, opened: Opened) {
    if let Some(Err(error)) = caller.waits("close", opened.close()).await {
        caller.problem("stuck", format!("it cannot be closed: {error:?}"));
    }
}

/// A few callers at once, as far as they come.
async fn use_it(caller: &Arc<Caller>, opened: Opened) -> Opened {
    let opened = Arc::new(opened);
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    // Refused or not: what comes of it shows in the first start.
    let mut claimed = false;
    for _ in 0..3 {
        let batch = Batch::each(vec![claim.clone()]);
        match caller.waits("claim", opened.store.write(batch)).await {
            Some(Ok(_)) => {
                claimed = true;
                break;
            }
            Some(Err(error)) => caller.refused(&error),
            None => break,
        }
    }
    if claimed {
        let callers = (0..CALLERS).map(|_| {
            let (caller, opened, owner) = (caller.clone(), opened.clone(), owner.clone());
            tokio::spawn(async move { caller.live(&opened.store, &owner).await })
        });
        for task in callers.collect::<Vec<_>>() {
            if let Err(error) = task.await {
                caller.problem("panicked", error.to_string());
            }
        }
    }
    Arc::into_inner(opened).expect("no caller works any more")
}
