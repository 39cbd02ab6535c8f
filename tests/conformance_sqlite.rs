//! The store in one SQLite file keeps the contract.
#![cfg(all(feature = "conformance", feature = "sqlite"))]
#![allow(clippy::unwrap_used)]

use action_store::conformance::Subject;
use action_store::{Clock, SqliteOptions, Timestamp};

async fn open() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
    let clock = Clock::manual(Timestamp::from_seconds(1_760_400_087));
    let options = SqliteOptions::new().with_clock(clock.clone());
    let store = options.clone().open(&path).await.unwrap();
    Subject::new(store)
        .with_clock(clock)
        .with_reopen(move || {
            let (options, path) = (options.clone(), path.clone());
            async move { options.open(path).await }
        })
        .with_kept(dir)
}

action_store::conformance_tests!(open, clock, reopen);
