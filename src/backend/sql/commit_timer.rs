//! Estimates what a commit costs, to decide how many batches share one.

use std::time::Duration;

/// Estimated time per command in the database, and estimated time for the rest of a batch:
/// planning it, answering the caller, and the caller's next request.
const IN_DATABASE: Duration = Duration::from_micros(20);
const ELSEWHERE: Duration = Duration::from_micros(8);

/// Estimated recent time that a transaction waits for the disk, in addition to its commands.
#[derive(Debug, Default)]
pub(crate) struct CommitTimer {
    disk: Duration,
    /// Always splits batches into two transactions, independent of cost.
    #[cfg(test)]
    always: bool,
}

impl CommitTimer {
    #[cfg(test)]
    pub(crate) fn always(always: bool) -> CommitTimer {
        let disk = Duration::ZERO;
        CommitTimer { disk, always }
    }

    pub(super) fn learn(&mut self, commands: usize, took: Duration) {
        let work = IN_DATABASE.saturating_mul(u32::try_from(commands).unwrap_or(u32::MAX));
        self.disk = (self.disk * 9 + took.saturating_sub(work)) / 10;
    }

    /// Returns true if the batches should be written in two transactions. One half is then answered
    /// and can come again while the other is written. This waits for the disk twice, so it helps
    /// only if the disk is not the bottleneck.
    pub(super) fn parts(&self, batches: usize) -> bool {
        #[cfg(test)]
        if self.always {
            return true;
        }
        ELSEWHERE.saturating_mul(u32::try_from(batches).unwrap_or(u32::MAX)) > self.disk
    }
}
