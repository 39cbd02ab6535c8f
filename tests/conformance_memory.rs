//! The store in memory keeps the contract.
#![cfg(feature = "conformance")]

use action_store::conformance::Subject;
use action_store::{Clock, MemoryStore, Timestamp};

async fn open() -> Subject {
    let clock = Clock::manual(Timestamp::from_seconds(1_760_400_000));
    Subject::new(MemoryStore::with_clock(clock.clone())).with_clock(clock)
}

action_store::conformance_tests!(open, clock);
