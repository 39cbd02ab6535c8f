//! How a tracker stands.

use std::sync::Arc;
use std::time::Duration;

use super::recovery::Recovery;
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
    /// Whether nothing can be recorded any more: the store is closed, or the tracker is shut down.
    /// That says nothing about who owns the name.
    pub is_closed: bool,
    /// How long ago the last renewal that succeeded was sent.
    pub since_renewal: Duration,
    /// How many actions have a handle in this process.
    pub in_work: usize,
    /// How many of them have progress to be written.
    pub waiting_progress: usize,
    /// How many ends wait in the background for a store that did not take them yet, those that are
    /// just being written included. Each handle that is dropped or fails to record its end waits
    /// here, however many there are.
    pub waiting_ends: usize,
    /// The memory those take, in bytes. Beyond 16 MiB a further end leaves out its result, warnings
    /// and long error texts, with a note among the action's warnings, and takes about 1 KiB.
    pub waiting_bytes: usize,
    /// How many ends are being written for a caller who waits for the answer
    /// ([`ActionHandle::finish`](crate::ActionHandle::finish) and what calls it). Those that fail
    /// then wait in the background.
    pub finishing: usize,
    /// How many ends cannot be written because of what is stored, or were still waiting when the
    /// store was closed or the tracker ended. Their actions are completed by the shutdown, or by
    /// the next start.
    pub given_up: u64,
    /// Why the last write in the background failed; none if it did not.
    pub failure: Option<StoreError>,
    /// What the sweeps of this tracker have come to since its start, of all owner names together:
    /// how much they have settled, and, as of the last look at each name, what is left and what
    /// stands in the way. `unsettled` above 0 for longer than a lease wants somebody's eye.
    pub swept: Arc<Recovery>,
}
