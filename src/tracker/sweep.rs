//! The standing query: what is unfinished and whose owner is not alive.
//!
//! Looks at the owners a few times in a lease. One whose renewals have stood still for a whole lease
//! is fenced, on the condition that they still do; what an incarnation that is not alive left is
//! settled. No clock but this process's own monotonic one has a say, and a time in which this
//! process could not renew either proves nothing: perhaps nobody could write.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use super::recovery::{self, Recovery};
use super::run::unless_it_panics;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{Command, Incarnation, Limits, Owner, OwnerQuery, OwnerRef};
use crate::store::ActionStoreExt;

/// Looks in a lease.
const LOOKS: u32 = 4;

/// How often an owner's renewals must have been seen standing still, at least.
const LEAST_LOOKS: u32 = 3;

/// What is known of a living owner's renewals.
#[derive(Debug)]
struct Watched {
    renewals: u64,
    looks: u32,
    /// For how long they have been seen standing still. A look counts for no more than the time
    /// between two: a process that was itself stopped has not watched anybody.
    still: Duration,
}

/// Sweeps until the task is aborted or the owner is no more. Publishes what the sweeps of this owner's
/// own name came to, and what they all did.
pub(super) async fn sweep(shared: Arc<Shared>, first: watch::Sender<Option<Arc<Recovery>>>) {
    let interval = shared.options.lease / LOOKS;
    let mut sweep = Sweep {
        shared: &shared,
        interval,
        looked: Instant::now(),
        renewed: shared.last_renewal(),
        watched: HashMap::new(),
        settled: HashMap::new(),
        done: Recovery::default(),
        left: HashMap::new(),
    };
    let owner = &shared.owner;
    let mut own = Recovery::default();
    let mut pending = true;
    loop {
        if pending {
            // What the first one could not do is tried until it is done.
            own = own.then(recovery::settle_earlier(&shared, &owner.name, Some(owner)).await);
            pending = !own.is_complete();
            first.send_replace(Some(Arc::new(own.clone())));
            shared.set_swept(sweep.report(&own));
        }
        if shared.ownership().is_final() {
            return;
        }
        if shared.options.sweep {
            // What fails now is looked at again next time.
            let report = match unless_it_panics("sweep", sweep.look()).await {
                Ok(()) => sweep.report(&own),
                Err(error) => sweep.report(&own).and(&Recovery::unread(error)),
            };
            shared.set_swept(report);
        }
        sleep(interval).await;
    }
}

struct Sweep<'s> {
    shared: &'s Shared,
    interval: Duration,
    looked: Instant,
    /// This process's own last renewal at that time.
    renewed: Instant,
    watched: HashMap<OwnerRef, Watched>,
    /// The ended incarnations of a name that have nothing left.
    settled: HashMap<Arc<str>, Vec<Incarnation>>,
    /// What was settled of other names, and what is left of each that has something left.
    done: Recovery,
    left: HashMap<Arc<str>, Recovery>,
}

impl Sweep<'_> {
    /// What all sweeps came to, with those of this owner's own name.
    fn report(&self, own: &Recovery) -> Recovery {
        let others = self.left.values();
        others.fold(own.clone().and(&self.done), Recovery::and)
    }

    /// Takes note of what a sweep of another name came to.
    fn note(&mut self, name: &Arc<str>, mut swept: Recovery) {
        self.done.lost += std::mem::take(&mut swept.lost);
        self.done.interrupted += std::mem::take(&mut swept.interrupted);
        if swept.leaves_nothing() {
            self.left.remove(name);
        } else {
            self.left.insert(name.clone(), swept);
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        // Dead owners that left nothing are not read, however many the store remembers.
        let query = OwnerQuery::active().with_limit(Limits::PAGE);
        let mut owners = self.shared.store.all_owners(query).await?;
        let renewed = self.shared.last_renewal();
        let credit = match renewed > self.renewed {
            true => self.looked.elapsed().min(self.interval * 3 / 2),
            false => Duration::ZERO,
        };
        (self.looked, self.renewed) = (Instant::now(), renewed);
        let others = |owner: &Owner| owner.owner.name != self.shared.owner.name;
        owners.retain(others);
        self.watched
            .retain(|known, _| owners.iter().any(|o| o.is_alive() && o.owner == *known));
        let mut failed = None;
        for owner in &mut owners {
            if owner.is_alive() && self.is_silent(owner, credit) {
                let fence = Command::Fence {
                    owner: owner.owner.clone(),
                    if_renewals: owner.renewals,
                };
                match self.shared.store.command(fence).await {
                    Ok(_) => self.watched.remove(&owner.owner),
                    // It has shown life after all.
                    Err(Error::Refused(_)) => continue,
                    Err(Error::Store(error)) => {
                        failed = Some(error);
                        continue;
                    }
                };
                owner.state = crate::model::OwnerState::Fenced;
            }
        }
        self.settle(&owners).await;
        failed.map_or(Ok(()), Err)
    }

    /// Whether an owner has been silent for a whole lease.
    fn is_silent(&mut self, owner: &Owner, credit: Duration) -> bool {
        let renewals = owner.renewals;
        let watched = self
            .watched
            .entry(owner.owner.clone())
            .and_modify(|watched| {
                watched.looks += 1;
                watched.still += credit;
            })
            .or_insert(Watched {
                renewals,
                looks: 1,
                still: Duration::ZERO,
            });
        if watched.renewals != renewals {
            *watched = Watched {
                renewals,
                looks: 1,
                still: Duration::ZERO,
            };
        }
        watched.looks >= LEAST_LOOKS && watched.still >= self.shared.options.lease
    }

    /// Settles what ended incarnations of other names have left, each name once.
    async fn settle(&mut self, owners: &[Owner]) {
        let mut ended: HashMap<&Arc<str>, Vec<Incarnation>> = HashMap::new();
        for owner in owners.iter().filter(|owner| !owner.is_alive()) {
            let incarnations = ended.entry(&owner.owner.name).or_default();
            incarnations.push(owner.owner.incarnation);
        }
        for (name, incarnations) in ended {
            if self.settled.get(name) == Some(&incarnations) {
                continue;
            }
            let alive = owners.iter().filter(|owner| owner.is_alive());
            let alive = alive.map(|owner| &owner.owner).find(|o| o.name == *name);
            let left = recovery::settle_earlier(self.shared, name, alive).await;
            if left.is_complete() {
                self.settled.insert(name.clone(), incarnations);
            }
            let unread = left.unread.as_ref();
            let out_of_reach = unread.is_some_and(|error| error.kind() != ErrorKind::Corrupt);
            self.note(name, left);
            if out_of_reach {
                // It would be for the others, too.
                break;
            }
        }
        let names = |name: &Arc<str>| owners.iter().any(|owner| owner.owner.name == *name);
        self.settled.retain(|name, _| names(name));
        self.left.retain(|name, _| names(name));
    }
}
