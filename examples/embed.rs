//! Embeds a store: records two operations, and finds them after a restart.
//!
//!     cargo run --example embed

use std::path::Path;
use std::sync::Arc;

use action_store::{
    ActionError, ActionStore, NewAction, ObjectRef, Outcome, Progress, Query, SqliteStore, Tracker,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The work of the host. It knows how to report, and nothing else of this crate.
async fn load_rows(rows: u64, report: impl Fn(u64)) -> Result<u64, ActionError> {
    for row in 1..=rows {
        report(row);
    }
    match rows {
        0 => Err(ActionError::new("empty_source", "the source has no rows")),
        _ => Ok(rows),
    }
}

async fn serve(file: &Path) -> Result<(), Error> {
    let store = Arc::new(SqliteStore::open(file).await?);
    // Ends what an earlier run under this name left unfinished.
    let tracker = Tracker::start(store.clone(), "plane@host-1").await?;

    for (uid, rows) in [(1, 250), (2, 0)] {
        let new = NewAction::state_machine("create_bdb", ObjectRef::bdb(uid));
        // `Ok` is recorded as succeeded, `Err` as failed, a panic as interrupted.
        let loaded = tracker.run(new, async move |action| {
            action.step("load_rows").await?;
            load_rows(rows, |row| action.progress(Progress::ratio(row, rows))).await
        });
        println!("bdb:{uid}: {:?}", loaded.await);
    }

    tracker.shutdown().await?;
    store.close().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("actions.db");
    serve(&file).await?;

    let store = SqliteStore::open(&file).await?;
    let history = store.list(&Query::new()).await?.items; // newest first
    for action in &history {
        println!("{} {:?} {} %", action.uid, action.outcome, action.progress);
    }

    assert_eq!(history.len(), 2);
    assert_eq!(history[1].object, Some(ObjectRef::bdb(1)));
    assert_eq!(history[1].outcome, Some(Outcome::Succeeded));
    assert_eq!(history[1].progress, Progress::DONE);
    assert_eq!(history[0].outcome, Some(Outcome::Failed));
    let code = history[0].error.as_ref().map(|error| &*error.code);
    assert_eq!(code, Some("empty_source"));
    store.close().await?;
    Ok(())
}
