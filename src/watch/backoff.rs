//! Pauses between two requests to a store.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Minimum time between two polls, however fast the store changes.
const LEAST: Duration = Duration::from_millis(10);
/// Longest pause, both after failures and after a slow poll.
const LONGEST: Duration = Duration::from_secs(1);

/// Computes the time of the next poll: at once after a quiet period, and busy at most half of the
/// time.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Instant,
    failures: u32,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff {
            next: Instant::now(),
            failures: 0,
        }
    }

    pub(super) async fn pause(&self) {
        // Even an expired timer costs a turn of the runtime.
        if self.next > Instant::now() {
            sleep_until(self.next).await;
        }
    }

    /// Records that the store answered a request sent at `begun`.
    pub(super) fn answered(&mut self, begun: Instant) {
        let now = Instant::now();
        self.failures = 0;
        self.next = now + (now - begun).clamp(LEAST, LONGEST);
    }

    /// Records a failure. The pause doubles each time.
    pub(super) fn failed(&mut self) {
        self.failures = (self.failures + 1).min(16);
        self.next = Instant::now() + (LEAST * 2_u32.pow(self.failures)).min(LONGEST);
    }
}
