//! State of the ownership, as far as this process knows.

use std::future::Future;

use tokio::sync::watch;

use crate::telemetry;

/// State of the ownership, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The owner has renewed in time.
    Held,
    /// The owner has not renewed in time. The store may still see it as alive.
    Doubtful,
    /// The store has reported that the owner is not alive.
    Lost,
    /// The store is closed, so the state of the owner is unknown for good.
    StoreClosed,
    /// The tracker has ended and renews no more.
    Ended,
}

impl Ownership {
    /// Returns true if no other state can follow.
    pub(super) fn is_final(self) -> bool {
        !matches!(self, Ownership::Held | Ownership::Doubtful)
    }
}

/// The current [`Ownership`], which tasks can wait on.
#[derive(Debug)]
pub(super) struct OwnershipState(watch::Sender<Ownership>);

impl Default for OwnershipState {
    fn default() -> OwnershipState {
        OwnershipState(watch::Sender::new(Ownership::Held))
    }
}

impl OwnershipState {
    pub(super) fn get(&self) -> Ownership {
        *self.0.borrow()
    }

    /// Changes the state. A final state stays.
    pub(super) fn set(&self, to: Ownership) {
        let changed = self.0.send_if_modified(|ownership| {
            let moves = !ownership.is_final() && *ownership != to;
            if moves {
                *ownership = to;
            }
            moves
        });
        match to {
            Ownership::Doubtful if changed => telemetry::lease_late(),
            Ownership::Lost if changed => telemetry::lease_lost(),
            _ => {}
        }
    }

    /// Waits until the state is not [`Ownership::Held`]. Subscribes at the call, not at the first
    /// poll.
    pub(super) fn not_held(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ownership = self.0.subscribe();
        async move {
            let _ = ownership.wait_for(|o| *o != Ownership::Held).await;
        }
    }
}
