//! Faults about owners, and about which owner may change which action.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::command::{BatchMode, ConflictReason, Effect, OpId};
use action_store::owner::{Owner, OwnerQuery, OwnerState};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Change, Command, Done, Filter, Limits,
    LogEntry, LogQuery, Outcome, OwnerRef, Page, Progress, Query, Rejection, Status, StoreError,
};

use super::{Answer, Fault, Faulty};

/// State of a store whose fault is about owners.
#[derive(Debug, Default)]
pub(super) struct Memory {
    claimed: Mutex<Vec<OwnerRef>>,
    former: Mutex<HashMap<ActionUid, OwnerRef>>,
    late: Mutex<HashSet<OpId>>,
    undone: Mutex<HashSet<ActionUid>>,
}

impl Faulty {
    async fn known(&self, owner: &OwnerRef) -> Result<Option<Owner>, StoreError> {
        let owners = self.inner.all_owners(OwnerQuery::new()).await?;
        Ok(owners.into_iter().find(|known| known.owner == *owner))
    }

    async fn lives(&self, owner: Option<&OwnerRef>) -> Result<bool, StoreError> {
        match owner {
            Some(owner) => Ok(self.known(owner).await?.is_some_and(|o| o.is_alive())),
            None => Ok(false),
        }
    }

    /// Answers a command about an action itself, where that is what is wrong.
    pub(super) async fn judged_by_owner(
        &self,
        command: &Command,
    ) -> Result<Option<Answer>, StoreError> {
        let (uid, op, change, by) = match command {
            Command::Apply {
                uid,
                op,
                change,
                by,
                ..
            } => (*uid, *op, change, by.as_ref()),
            Command::Create { new, .. } if self.is(Fault::TakesAnyContent) => {
                let found = self.find(new.uid).await?;
                return Ok(found.map(|action| Ok(Done::new(Effect::Already, Some(action)))));
            }
            _ => return Ok(None),
        };
        let Some(current) = self.find(uid).await? else {
            return Ok(None);
        };
        let lives = self.lives(current.owner.as_ref()).await?;
        let lost = matches!(change, Change::Finish(finish) if finish.outcome == Outcome::Lost);
        let ends = matches!(change, Change::Finish(_));
        let not_its_own = current.owner.is_some() && by != current.owner.as_ref();
        let conflict = |reason| {
            let current = current.clone();
            Some(Err(Rejection::Conflict { reason, current }))
        };
        let queued = current.status == Status::Queued && not_its_own;
        let done = |effect| Some(Ok(Done::new(effect, Some(current.clone()))));
        Ok(match self.fault {
            Fault::LosesFromTheLiving if lost && lives => done(Effect::Applied),
            Fault::AdoptsFromTheLiving if *change == Change::Adopt && lives => {
                done(Effect::Applied)
            }
            Fault::KeepsQueuedForTheDead if queued && ends => conflict(ConflictReason::NotOwner),
            Fault::StartsForItsOwnerAlone if queued && *change == Change::Start => {
                conflict(ConflictReason::NotOwner)
            }
            Fault::AcceptsRepeatedLateReports if ends && !self.lives(by).await? => {
                let known = !self.owners.late.lock().unwrap().insert(op);
                known.then(|| done(Effect::Already)).flatten()
            }
            Fault::LetsLateReportsDecide if *change == Change::Adopt => {
                let log = self.inner.log(&LogQuery::of(uid)).await?.items;
                let (status, change) = (current.status, "adoption");
                let told = log.iter().any(LogEntry::is_late);
                let reason = ConflictReason::Status { status, change };
                told.then(|| conflict(reason)).flatten()
            }
            _ => None,
        })
    }

    /// Changes a batch before it is written.
    pub(super) async fn mistake_owners(&self, batch: &mut Batch) -> Result<(), StoreError> {
        for command in &mut batch.commands {
            match (self.fault, &mut *command) {
                (Fault::KnowsOwnersByName, Command::Apply { by: Some(by), .. })
                | (Fault::KnowsOwnersByName, Command::Create { by: Some(by), .. })
                | (Fault::KnowsOwnersByName, Command::Renew(by)) => {
                    let owners = self.inner.all_owners(OwnerQuery::new()).await?;
                    let mut living = owners.into_iter().filter(Owner::is_alive);
                    if let Some(living) = living.find(|o| o.owner.name == by.name) {
                        *by = living.owner;
                    }
                }
                (Fault::CreatesForTheDead, Command::Create { by, .. })
                    if !self.lives(by.as_ref()).await? =>
                {
                    *by = None;
                }
                (
                    Fault::EndsForAnybody,
                    Command::Apply {
                        uid,
                        by,
                        change: Change::Finish(_),
                        ..
                    },
                ) => {
                    if let Some(action) = self.find(*uid).await? {
                        by.clone_from(&action.owner);
                    }
                }
                (
                    Fault::RemovesWhateverVersion,
                    Command::Remove {
                        uid, if_version, ..
                    },
                ) => {
                    if let Some(action) = self.find(*uid).await? {
                        *if_version = action.version;
                    }
                }
                (
                    Fault::ChecksLivesThenClaims,
                    Command::Claim {
                        owner, take_over, ..
                    },
                ) => {
                    let owners = self.inner.all_owners(OwnerQuery::new()).await?;
                    let lives = |o: &Owner| o.is_alive() && o.owner.name == owner.name;
                    if !owners.iter().any(lives) {
                        tokio::task::yield_now().await;
                        *take_over = true;
                    }
                }
                (Fault::TakesLateClaims, Command::Claim { owner, .. }) => {
                    let known = self.known(owner).await?;
                    if known.is_some_and(|known| !known.is_alive()) {
                        *owner = OwnerRef::new(owner.name.clone());
                    }
                }
                (Fault::ForgetsTheLivingWithItsName, Command::Renew(by)) => {
                    let owners = self.inner.all_owners(OwnerQuery::new()).await?;
                    let claimed = self.owners.claimed.lock().unwrap();
                    let mut named = claimed.iter().filter(|o| o.name == by.name);
                    if named.any(|o| owners.iter().all(|known| known.owner != *o)) {
                        *by = OwnerRef::new(by.name.clone());
                    }
                }
                (
                    Fault::KeepsEveryOwner
                    | Fault::ForgetsWhoeverHasEnded
                    | Fault::ForgetsTheLivingWithItsName,
                    Command::Claim { owner, .. },
                ) => {
                    self.owners.claimed.lock().unwrap().push(owner.clone());
                }
                (
                    Fault::FindsByFormerOwner | Fault::AdoptsFromTheBeginning,
                    Command::Apply {
                        uid,
                        change: Change::Adopt,
                        ..
                    },
                ) => {
                    if let Some(owner) = self.find(*uid).await?.and_then(|a| a.owner.clone()) {
                        self.owners.former.lock().unwrap().insert(*uid, owner);
                    }
                }
                (Fault::UndoesLateReports, Command::Apply { uid, .. })
                    if batch.mode == BatchMode::All =>
                {
                    self.owners.undone.lock().unwrap().insert(*uid);
                }
                (Fault::ChecksKeysThenActs, Command::Create { new, .. }) => {
                    tokio::task::yield_now().await;
                    let new = Arc::make_mut(new);
                    new.exclusive.clear();
                    new.idempotency_key = None;
                }
                _ => {}
            }
        }
        if self.is(Fault::ReapsByTheClock) {
            self.reap().await?;
        }
        Ok(())
    }

    async fn reap(&self) -> Result<(), StoreError> {
        const HOUR: Duration = Duration::from_secs(3600);
        let now = self.now();
        let late = |owner: &Owner| now - owner.renewed_at.as_micros() > HOUR.as_micros() as i64;
        let owners = self.inner.all_owners(OwnerQuery::new()).await?;
        for owner in owners.into_iter().filter(|o| o.is_alive() && late(o)) {
            let if_renewals = owner.renewals;
            let owner = owner.owner;
            let fence = Command::fence(owner, if_renewals);
            self.inner.write(Batch::each(vec![fence])).await?;
        }
        Ok(())
    }

    fn now(&self) -> i64 {
        let now = self.clock.as_ref().map(|clock| clock.now().as_micros());
        now.unwrap_or_default()
    }

    /// Changes the answers.
    pub(super) fn mistake_answers(&self, answers: &mut [Answer]) {
        let actions = answers.iter_mut().flatten();
        for action in actions.filter_map(|done| done.action.as_mut()) {
            match self.fault {
                Fault::LosesEvidence => Arc::make_mut(action).evidence = None,
                Fault::SucceedsHalfway if action.outcome == Some(Outcome::Succeeded) => {
                    Arc::make_mut(action).progress = Progress::ratio(1, 2);
                }
                Fault::AdoptsFromTheBeginning
                    if self.owners.former.lock().unwrap().contains_key(&action.uid) =>
                {
                    Arc::make_mut(action).progress = Progress::ZERO;
                }
                Fault::StampsAsTheClockSays => {
                    let now = action_store::Timestamp::from_micros(self.now());
                    Arc::make_mut(action).last_seen_at = now;
                }
                _ => {}
            }
        }
    }

    /// Looks for actions by who owned them before.
    pub(super) fn by_former_owner(&self, query: &Query, items: &mut Vec<Arc<Action>>) {
        let former = self.owners.former.lock().unwrap();
        let owner = |action: &Action| former.get(&action.uid).or(action.owner.as_ref()).cloned();
        items.retain(|action| {
            query.filters.iter().all(|filter| match filter {
                Filter::Owner(wanted) => owner(action).as_ref() == Some(wanted),
                Filter::OwnerName(name) => owner(action).is_some_and(|owner| owner.name == *name),
                _ => true,
            })
        });
    }

    /// Changes a log.
    pub(super) fn mistake_log(&self, items: &mut Vec<LogEntry>) {
        match self.fault {
            Fault::ForgetsLateReports => items.retain(|entry| !entry.is_late()),
            Fault::KeepsEveryLateReport => {
                let late = items.iter().filter(|entry| entry.is_late()).cloned();
                let again: Vec<LogEntry> = late.collect();
                items.extend(again);
            }
            Fault::UndoesLateReports => {
                let undone = self.owners.undone.lock().unwrap();
                items.retain(|entry| !entry.is_late() || !undone.contains(&entry.uid));
            }
            Fault::PutsLateReportsLast => items.sort_by_key(LogEntry::is_late),
            _ => {}
        }
    }

    /// Spoils a page of owners.
    pub(super) fn mistake_list_of_owners(&self, query: &OwnerQuery, page: &mut Page<Owner>) {
        let owners = &mut page.items;
        match self.fault {
            Fault::KeepsEveryOwner if query.after.is_none() && !query.active => {
                self.with_every_owner(owners);
            }
            Fault::ReversesOwners => owners.reverse(),
            Fault::SkipsAnOwner if page.next.is_some() => drop(owners.pop()),
            Fault::TakesTheLivingForActive if query.active => owners.retain(Owner::is_alive),
            Fault::ForgetsWhoeverHasEnded => {
                let claimed = self.owners.claimed.lock().unwrap();
                let long_ago = claimed.len().saturating_sub(Limits::ENDED_OWNERS);
                owners.retain(|o| o.is_alive() || !claimed[..long_ago].contains(&o.owner));
            }
            Fault::ConfusesEnds => {
                for owner in owners.iter_mut().filter(|o| o.state == OwnerState::Fenced) {
                    owner.state = OwnerState::Released;
                }
            }
            _ => {}
        }
    }

    /// The owners with those that were to be forgotten.
    pub(super) fn with_every_owner(&self, owners: &mut Vec<Owner>) {
        let claimed = self.owners.claimed.lock().unwrap();
        let missing = |owner: &&OwnerRef| owners.iter().all(|known| known.owner != **owner);
        let missing: Vec<OwnerRef> = claimed.iter().filter(missing).cloned().collect();
        let time = action_store::Timestamp::from_micros(self.now());
        let forgotten = missing.into_iter().map(|owner| {
            let mut owner = Owner::claimed(owner, time);
            owner.state = OwnerState::Fenced;
            owner
        });
        owners.splice(0..0, forgotten);
    }
}
