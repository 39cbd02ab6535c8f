//! The steps that the cases share. A failure of a step points at its call.

use std::sync::Arc;
use std::time::Duration;

use super::failure::{Failure, Proof, Stop, at_call, same};
use super::harness::{Answer, apply, claim, create, fails, finish, in_time, log_walk, walk, write};
use super::subject::Subject;
use crate::clock::Clock;
use crate::error::StoreErrorKind;
use crate::model::{
    Action, ActionUid, Batch, Change, Command, Effect, Limits, LogEntry, LogQuery, NewAction,
    Order, Outcome, Owner, OwnerQuery, OwnerRef, Page, Position, Query, Rejection,
};
use crate::store::ActionStoreExt;

impl Subject {
    pub(super) fn clock(&self) -> Proof<&Clock> {
        self.clock
            .as_ref()
            .ok_or(Stop::NotApplicable("the fixture brings no manual clock"))
    }

    /// Advances the manual clock if there is one. A real clock advances by itself.
    pub(super) fn tick(&self) {
        if let Some(clock) = &self.clock {
            clock.advance(Duration::from_secs(1));
        }
    }

    #[track_caller]
    pub(super) fn write(&self, batch: Batch) -> impl Future<Output = Proof<Vec<Answer>>> {
        at_call(async move { write(&*self.store, batch).await })
    }

    #[track_caller]
    pub(super) fn each(&self, commands: Vec<Command>) -> impl Future<Output = Proof<Vec<Answer>>> {
        at_call(async move { self.write(Batch::each(commands)).await })
    }

    #[track_caller]
    pub(super) fn all(&self, commands: Vec<Command>) -> impl Future<Output = Proof<Vec<Answer>>> {
        at_call(async move { self.write(Batch::all(commands)).await })
    }

    #[track_caller]
    pub(super) fn one(&self, command: Command) -> impl Future<Output = Proof<Answer>> {
        at_call(async move {
            let answer = self.each(vec![command]).await?.into_iter().next();
            answer.ok_or_else(|| Failure::new("one answer", "none").into())
        })
    }

    /// Executes a command that must have this effect.
    #[track_caller]
    fn effect(
        &self,
        command: Command,
        effect: Effect,
    ) -> impl Future<Output = Proof<Option<Arc<Action>>>> {
        at_call(async move {
            let what = format!("the effect of {command:?}");
            let done = self.one(command).await??;
            same(&what, done.effect, effect)?;
            Ok(done.action)
        })
    }

    /// Executes a command that must be applied.
    #[track_caller]
    pub(super) fn done(
        &self,
        command: Command,
    ) -> impl Future<Output = Proof<Option<Arc<Action>>>> {
        self.effect(command, Effect::Applied)
    }

    /// Executes a command that must be applied and must return an action.
    #[track_caller]
    pub(super) fn changed(&self, command: Command) -> impl Future<Output = Proof<Arc<Action>>> {
        at_call(async move {
            let action = self.done(command).await?;
            action.ok_or_else(|| Failure::new("the action in the answer", "no action").into())
        })
    }

    /// Executes a command that must be answered `Already`.
    #[track_caller]
    pub(super) fn already(
        &self,
        command: Command,
    ) -> impl Future<Output = Proof<Option<Arc<Action>>>> {
        self.effect(command, Effect::Already)
    }

    #[track_caller]
    pub(super) fn refused(&self, command: Command) -> impl Future<Output = Proof<Rejection>> {
        at_call(async move {
            let shown = format!("a refusal of {command:?}");
            match self.one(command).await? {
                Ok(done) => Err(Failure::new(shown, format!("{done:?}")).into()),
                Err(refused) => Ok(refused),
            }
        })
    }

    #[track_caller]
    pub(super) fn claim(&self, name: &str) -> impl Future<Output = Proof<OwnerRef>> {
        at_call(async move {
            let owner = OwnerRef::new(name);
            self.done(claim(&owner)).await?;
            Ok(owner)
        })
    }

    #[track_caller]
    pub(super) fn create(&self, new: NewAction) -> impl Future<Output = Proof<Arc<Action>>> {
        at_call(async move { self.changed(create(new)).await })
    }

    #[track_caller]
    pub(super) fn queued(&self) -> impl Future<Output = Proof<Arc<Action>>> {
        at_call(async move { self.create(NewAction::task("backup_bdb")).await })
    }

    #[track_caller]
    pub(super) fn executing(&self, by: &OwnerRef) -> impl Future<Output = Proof<Arc<Action>>> {
        at_call(async move {
            let uid = self.queued().await?.uid;
            self.apply(uid, Change::Start, by).await
        })
    }

    #[track_caller]
    pub(super) fn completed(&self, by: &OwnerRef) -> impl Future<Output = Proof<Arc<Action>>> {
        at_call(async move {
            let uid = self.executing(by).await?.uid;
            self.apply(uid, finish(Outcome::Succeeded), by).await
        })
    }

    #[track_caller]
    pub(super) fn apply(
        &self,
        uid: ActionUid,
        change: Change,
        by: &OwnerRef,
    ) -> impl Future<Output = Proof<Arc<Action>>> {
        at_call(async move { self.changed(apply(uid, change, Some(by))).await })
    }

    #[track_caller]
    pub(super) fn find(&self, uid: ActionUid) -> impl Future<Output = Proof<Option<Arc<Action>>>> {
        at_call(async move {
            let found = self.store.get(&[uid]).await?;
            same("the number of answers for one uid", found.len(), 1)?;
            Ok(found.into_iter().next().flatten())
        })
    }

    #[track_caller]
    pub(super) fn read(&self, uid: ActionUid) -> impl Future<Output = Proof<Arc<Action>>> {
        at_call(async move {
            let found = self.find(uid).await?;
            found.ok_or_else(|| Failure::new(format!("action {uid}"), "no such action").into())
        })
    }

    /// Requires that an action has not changed.
    #[track_caller]
    pub(super) fn unchanged(&self, action: &Arc<Action>) -> impl Future<Output = Proof> {
        at_call(async move {
            let found = self.read(action.uid).await?;
            same("the unchanged action", &found, action)
        })
    }

    #[track_caller]
    pub(super) fn log_of(&self, uid: ActionUid) -> impl Future<Output = Proof<Vec<LogEntry>>> {
        at_call(async move { log_walk(&*self.store, LogQuery::of(uid)).await })
    }

    #[track_caller]
    pub(super) fn owner(&self, owner: &OwnerRef) -> impl Future<Output = Proof<Owner>> {
        at_call(async move {
            let owners = self.owners().await?;
            let known = owners.iter().find(|known| known.owner == *owner);
            known
                .cloned()
                .ok_or_else(|| Failure::new(format!("owner {owner}"), format!("{owners:?}")).into())
        })
    }

    /// Returns all owners that the store remembers.
    #[track_caller]
    pub(super) fn owners(&self) -> impl Future<Output = Proof<Vec<Owner>>> {
        at_call(async move {
            let query = OwnerQuery::new().with_limit(Limits::PAGE);
            Ok(self.store.all_owners(query).await?)
        })
    }

    #[track_caller]
    pub(super) fn position(&self) -> impl Future<Output = Proof<Position>> {
        at_call(async move { Ok(in_time("the position", self.store.changed(None)).await??) })
    }

    #[track_caller]
    pub(super) fn walk(&self, query: Query) -> impl Future<Output = Proof<Vec<Arc<Action>>>> {
        at_call(async move { walk(&*self.store, query).await })
    }

    #[track_caller]
    pub(super) fn list(&self, query: Query) -> impl Future<Output = Proof<Page<Arc<Action>>>> {
        at_call(async move { Ok(self.store.list(&query).await?) })
    }

    /// Requires that a list fails with an error of this kind.
    #[track_caller]
    pub(super) fn list_fails(
        &self,
        query: Query,
        kind: StoreErrorKind,
    ) -> impl Future<Output = Proof> {
        at_call(async move { fails(&format!("{query:?}"), self.store.list(&query).await, kind) })
    }

    #[track_caller]
    pub(super) fn log_fails(
        &self,
        query: LogQuery,
        kind: StoreErrorKind,
    ) -> impl Future<Output = Proof> {
        at_call(async move { fails(&format!("{query:?}"), self.store.log(&query).await, kind) })
    }

    /// Reads everything that the store shows, to compare it with a later snapshot.
    #[track_caller]
    pub(super) fn snapshot(&self) -> impl Future<Output = Proof<Snapshot>> {
        at_call(async move {
            Ok(Snapshot {
                feed: self.walk(Query::new().with_order(Order::Feed)).await?,
                newest: self.walk(Query::new()).await?,
                log: log_walk(&*self.store, LogQuery::all()).await?,
                owners: self.owners().await?,
            })
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) feed: Vec<Arc<Action>>,
    pub(super) newest: Vec<Arc<Action>>,
    pub(super) log: Vec<LogEntry>,
    pub(super) owners: Vec<Owner>,
}
