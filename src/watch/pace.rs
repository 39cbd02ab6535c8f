//! How often a store is asked.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Least time between two looks, however fast the store changes.
const LEAST: Duration = Duration::from_millis(10);
/// Longest pause, after many failures as after a slow look.
const LONGEST: Duration = Duration::from_secs(1);

/// When to ask next: at once after a quiet time, and never busier than half of the time.
#[derive(Debug)]
pub(super) struct Pace {
    next: Instant,
    failures: u32,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace {
            next: Instant::now(),
            failures: 0,
        }
    }

    pub(super) async fn pause(&self) {
        // A timer that is over already still costs a turn of the runtime.
        if self.next > Instant::now() {
            sleep_until(self.next).await;
        }
    }

    /// The store has answered what it was asked at `begun`.
    pub(super) fn answered(&mut self, begun: Instant) {
        let now = Instant::now();
        self.failures = 0;
        self.next = now + (now - begun).clamp(LEAST, LONGEST);
    }

    /// It has not, and is to be asked again: later each time.
    pub(super) fn failed(&mut self) {
        self.failures = (self.failures + 1).min(16);
        self.next = Instant::now() + (LEAST * 2_u32.pow(self.failures)).min(LONGEST);
    }
}
