//! Time limits of calls.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Waits for a future, but no longer than `time`. Returns `None` on timeout.
///
/// Uses the system's monotonic clock, not tokio's. A host may pause tokio's clock in its tests.
/// Tokio cannot see that SQLite's thread is working, so every call would time out.
pub(crate) async fn deadline<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let begun = Instant::now();
    let mut future = pin!(future);
    loop {
        let left = time
            .checked_sub(begun.elapsed())
            .filter(|left| !left.is_zero())?;
        // Not `tokio::time::timeout`: it uses tokio's clock only.
        let mut sleep = pin!(tokio::time::sleep(left));
        let first = poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
        });
        if let Some(output) = first.await {
            return Some(output);
        }
    }
}
