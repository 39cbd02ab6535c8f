//! How a tracker stands.

use std::time::Duration;

use crate::error::StoreError;

/// How a tracker stands: for a health page. From [`Tracker::health`](crate::Tracker::health).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Health {
    /// Whether it owns its actions, as far as it knows; see
    /// [`Tracker::is_owner`](crate::Tracker::is_owner).
    pub is_owner: bool,
    /// Whether the store has said that it is no longer alive. Then a new tracker is needed.
    pub is_fenced: bool,
    /// How long ago the last renewal that succeeded was sent.
    pub since_renewal: Duration,
    /// How many actions have a handle in this process.
    pub in_work: usize,
    /// How many of them have progress to be written.
    pub waiting_progress: usize,
    /// How many ends wait for a store that did not take them yet; at most 4096.
    pub waiting_ends: usize,
    /// The memory those take, in bytes; at most 16 MiB.
    pub waiting_bytes: usize,
    /// How many ends found no place to wait, or cannot be written because of what is stored. Their
    /// actions are completed by the shutdown, or by the next start.
    pub given_up: u64,
    /// Why the last write in the background failed; none if it did not.
    pub failure: Option<StoreError>,
}
