//! Finds owners that are not alive and settles their unfinished actions.
//!
//! The sweep reads the owners a few times per lease. It fences an owner whose renewal count has not
//! changed for a whole lease. The fence applies only if the count is still the same. The sweep then
//! settles the actions of ended incarnations.
//!
//! Only this process's monotonic clock is used. Time in which this process could not renew either
//! does not count, because then perhaps no process could write.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use super::recovery::{self, Recovery};
use super::run::unless_it_panics;
use super::shared::Shared;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{Command, Incarnation, Limits, Owner, OwnerQuery, OwnerRef};
use crate::store::ActionStoreExt;

/// Number of reads per lease.
const LOOKS: u32 = 4;

/// Minimum number of reads that must see the same renewal count before a fence.
const LEAST_LOOKS: u32 = 3;

/// Observations about the renewals of a live owner.
#[derive(Debug)]
struct Watched {
    renewals: u64,
    looks: u32,
    /// Time for which the count did not change. Each read adds at most 1.5 times the interval, so
    /// time in which this process was suspended does not count.
    still: Duration,
}

/// Sweeps until the task is aborted or the ownership ends. Publishes the report for this owner's
/// name and the report for all names.
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
            // Retried until everything of this name is settled.
            own = own.then(recovery::settle_earlier(&shared, &owner.name, Some(owner)).await);
            pending = !own.is_complete();
            first.send_replace(Some(Arc::new(own.clone())));
            shared.set_swept(sweep.report(&own));
        }
        if shared.ownership().is_final() {
            return;
        }
        if shared.options.sweep {
            // A failure is retried in the next round.
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
    /// This process's last renewal at the time `looked`.
    renewed: Instant,
    watched: HashMap<OwnerRef, Watched>,
    /// Ended incarnations, by name, that have nothing left to settle.
    settled: HashMap<Arc<str>, Vec<Incarnation>>,
    /// Total settled for other names, and the remaining actions by name.
    done: Recovery,
    left: HashMap<Arc<str>, Recovery>,
}

impl Sweep<'_> {
    /// Returns the totals of all sweeps, with the report for this owner's name.
    fn report(&self, own: &Recovery) -> Recovery {
        let others = self.left.values();
        others.fold(own.clone().and(&self.done), Recovery::and)
    }

    /// Records the report for another name.
    fn note(&mut self, name: &Arc<str>, mut swept: Recovery) {
        let settled = Recovery {
            lost: std::mem::take(&mut swept.lost),
            lost_actions: std::mem::take(&mut swept.lost_actions),
            interrupted: std::mem::take(&mut swept.interrupted),
            interrupted_actions: std::mem::take(&mut swept.interrupted_actions),
            ..Recovery::default()
        };
        self.done = std::mem::take(&mut self.done).and(&settled);
        if swept.leaves_nothing() {
            self.left.remove(name);
        } else {
            self.left.insert(name.clone(), swept);
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        // Dead owners without unfinished actions are not read, however many the store keeps.
        let query = OwnerQuery::active().with_limit(Limits::PAGE);
        let mut owners = self.shared.store.all_owners(query).await?;
        let renewed = self.shared.last_renewal();
        let credit = if renewed > self.renewed {
            self.looked.elapsed().min(self.interval * 3 / 2)
        } else {
            Duration::ZERO
        };
        (self.looked, self.renewed) = (Instant::now(), renewed);
        let others = |owner: &Owner| owner.owner.name != self.shared.owner.name;
        owners.retain(others);
        self.watched
            .retain(|known, _| owners.iter().any(|o| o.is_alive() && o.owner == *known));
        let mut failed = None;
        for owner in &mut owners {
            if owner.is_alive() && self.is_silent(owner, credit) {
                let fence = Command::fence(owner.owner.clone(), owner.renewals);
                match self.shared.store.command(fence).await {
                    Ok(_) => self.watched.remove(&owner.owner),
                    // The owner has renewed in the meantime.
                    Err(Error::Rejected(_) | Error::Found(_)) => continue,
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

    /// Returns true if an owner has not renewed for a whole lease.
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

    /// Settles the actions of ended incarnations of other names, each name once.
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
            let out_of_reach = unread.is_some_and(|error| error.kind() != StoreErrorKind::Corrupt);
            self.note(name, left);
            if out_of_reach {
                // The other names would fail in the same way.
                break;
            }
        }
        let names = |name: &Arc<str>| owners.iter().any(|owner| owner.owner.name == *name);
        self.settled.retain(|name, _| names(name));
        self.left.retain(|name, _| names(name));
    }
}
