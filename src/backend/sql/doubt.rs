//! Failed commits: finds out whether they were applied before anybody is answered.

use std::time::{Duration, Instant};

use super::engine::{Doubt, Engine, Verdict};

/// Pause between two attempts to reach the store.
const PAUSE: Duration = Duration::from_millis(10);

/// Finds out whether a transaction whose COMMIT failed was applied. `failed` is its connection.
pub(super) async fn resolve<E: Engine>(
    engine: &mut E,
    failed: E::Connection,
    doubt: &Doubt<E>,
) -> Verdict {
    if let Some(verdict) = engine.examine(failed, doubt).await {
        return verdict;
    }
    let begun = Instant::now();
    loop {
        if let Some(verdict) = engine.look_up(doubt).await {
            return verdict;
        }
        if begun.elapsed() >= E::PATIENCE {
            return Verdict::Unknown;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
