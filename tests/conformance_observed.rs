//! A store that is observed keeps the contract.
#![cfg(all(feature = "conformance", any(feature = "tracing", feature = "metrics")))]

use action_store::conformance::Subject;
use action_store::observe::Observed;
use action_store::{Clock, MemoryStore, Timestamp};

async fn open() -> Subject {
    let clock = Clock::manual(Timestamp::from_seconds(1_760_400_000));
    let store = Observed::new(MemoryStore::with_clock(clock.clone()));
    Subject::new(store).with_clock(clock)
}

action_store::conformance_tests!(open, clock);
