//! Helpers that the cases share: set up a store, write to it and read it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::failure::{Failure, Proof, Stop, at_call, holds, same};
use super::subject::{Fixture, Subject};
use crate::clock::Clock;
use crate::error::{ErrorKind, StoreError};
use crate::model::{
    Action, ActionError, ActionUid, Batch, Change, Command, Cursor, Detail, Done, Effect, Finish,
    Limits, LogEntry, LogQuery, NewAction, OpId, Order, Outcome, Owner, OwnerQuery, OwnerRef, Page,
    Position, Progress, Query, Rejection, Report, Version,
};
use crate::store::{ActionStore, ActionStoreExt};

pub(super) type Answer = Result<Done, Rejection>;

/// Timeout for anything that must happen. It is far longer than any store needs, so
/// reaching it is a failure and never a measurement.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Upper limit for the pages of one walk. No walk of the suite has this many.
const PAGES: usize = 5000;

#[track_caller]
pub(super) fn open(fixture: &dyn Fixture) -> impl Future<Output = Proof<Subject>> {
    at_call(async move {
        let subject = fixture.open().await;
        let page = subject.store.list(&Query::new().with_limit(1)).await?;
        holds(
            "an empty store after it was opened",
            page.items.is_empty(),
            &page.items,
        )?;
        Ok(subject)
    })
}

/// Waits for something that must happen within `PATIENCE`.
#[track_caller]
pub(super) fn in_time<T>(
    what: &'static str,
    future: impl Future<Output = T>,
) -> impl Future<Output = Proof<T>> {
    let late = Failure::new(what, "nothing within 30 seconds");
    async move {
        let answer = tokio::time::timeout(PATIENCE, future).await;
        answer.map_err(|_| late.into())
    }
}

/// Waits for the end of a task. Its failure is a failure of this step.
#[track_caller]
pub(super) fn joined<T>(
    what: &'static str,
    task: JoinHandle<Proof<T>>,
) -> impl Future<Output = Proof<T>> {
    let ended = in_time(what, task);
    at_call(async move { ended.await?? })
}

pub(super) fn create(new: NewAction) -> Command {
    Command::Create {
        new: Arc::new(new),
        by: None,
    }
}

pub(super) fn create_by(new: NewAction, by: &OwnerRef) -> Command {
    Command::Create {
        new: Arc::new(new),
        by: Some(by.clone()),
    }
}

pub(super) fn apply(uid: ActionUid, change: Change, by: Option<&OwnerRef>) -> Command {
    apply_as(OpId::new(), uid, change, by)
}

pub(super) fn apply_as(op: OpId, uid: ActionUid, change: Change, by: Option<&OwnerRef>) -> Command {
    Command::Apply {
        uid,
        op,
        change,
        by: by.cloned(),
        if_version: None,
    }
}

/// Returns the same command with a condition on the version of the action.
pub(super) fn at_version(command: Command, version: Version) -> Command {
    match command {
        Command::Apply {
            uid,
            op,
            change,
            by,
            ..
        } => Command::Apply {
            uid,
            op,
            change,
            by,
            if_version: Some(version),
        },
        other => other,
    }
}

pub(super) fn claim(owner: &OwnerRef) -> Command {
    Command::Claim {
        owner: owner.clone(),
        take_over: true,
    }
}

pub(super) fn fence(owner: &OwnerRef, if_renewals: u64) -> Command {
    Command::Fence {
        owner: owner.clone(),
        if_renewals,
    }
}

pub(super) fn remove(action: &Action) -> Command {
    Command::Remove {
        uid: action.uid,
        if_version: action.version,
    }
}

/// Builds a finish with the fields that its outcome requires.
pub(super) fn finish(outcome: Outcome) -> Change {
    let finish = Finish::new(outcome);
    Change::Finish(match outcome {
        Outcome::Failed => finish.with_error(ActionError::new("broken", "it broke")),
        _ => finish,
    })
}

#[track_caller]
pub(super) fn report(progress: u16) -> Proof<Change> {
    let progress = Progress::from_hundredths(progress)?;
    Ok(Change::Report(Report::new().with_progress(progress)))
}

pub(super) fn step(step: &str) -> Change {
    Change::Report(Report::new().with_step(step))
}

pub(super) fn uids(actions: &[Arc<Action>]) -> Vec<ActionUid> {
    actions.iter().map(|action| action.uid).collect()
}

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

    /// Executes a command that must be applied.
    #[track_caller]
    pub(super) fn done(
        &self,
        command: Command,
    ) -> impl Future<Output = Proof<Option<Arc<Action>>>> {
        at_call(async move {
            let shown = format!("{command:?}");
            let done = self.one(command).await??;
            let what = format!("the effect of {shown}");
            same(&what, done.effect, Effect::Applied)?;
            Ok(done.action)
        })
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
        at_call(async move {
            let shown = format!("{command:?}");
            let done = self.one(command).await??;
            same(
                &format!("the effect of {shown}"),
                done.effect,
                Effect::Already,
            )?;
            Ok(done.action)
        })
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
    pub(super) fn list_fails(&self, query: Query, kind: ErrorKind) -> impl Future<Output = Proof> {
        at_call(async move { fails(&format!("{query:?}"), self.store.list(&query).await, kind) })
    }

    #[track_caller]
    pub(super) fn log_fails(
        &self,
        query: LogQuery,
        kind: ErrorKind,
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

/// Writes a batch. Requires one answer for each command.
#[track_caller]
pub(super) fn write(
    store: &dyn ActionStore,
    batch: Batch,
) -> impl Future<Output = Proof<Vec<Answer>>> {
    at_call(async move {
        let commands = batch.commands.len();
        let answers = store.write(batch).await?;
        same("the number of answers", answers.len(), commands)?;
        Ok(answers)
    })
}

/// Requires an error of this kind.
#[track_caller]
pub(super) fn fails<T: std::fmt::Debug>(
    what: &str,
    answer: Result<T, StoreError>,
    kind: ErrorKind,
) -> Proof {
    let found = answer.as_ref().err().map(StoreError::kind);
    let expected = format!("{kind:?} from {what}");
    holds(&expected, found == Some(kind), &answer)
}

/// Reads a whole list, page by page. A walk that does not end is a failure.
#[track_caller]
pub(super) fn walk(
    store: &dyn ActionStore,
    mut query: Query,
) -> impl Future<Output = Proof<Vec<Arc<Action>>>> {
    at_call(async move {
        let mut items = Vec::new();
        for _ in 0..PAGES {
            let page = store.list(&query).await?;
            holds(
                "no page with more items than its limit",
                page.items.len() <= usize::from(query.limit),
                page.items.len(),
            )?;
            items.extend(page.items);
            moves_on(query.after, page.next)?;
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(items),
            }
            // Lets other tasks write between two pages if the store answers without waiting.
            tokio::task::yield_now().await;
        }
        Err(Failure::new("a walk that ends", format!("{PAGES} pages of {query:?}")).into())
    })
}

/// Reads a whole log, page by page.
#[track_caller]
pub(super) fn log_walk(
    store: &dyn ActionStore,
    mut query: LogQuery,
) -> impl Future<Output = Proof<Vec<LogEntry>>> {
    at_call(async move {
        let mut items = Vec::new();
        for _ in 0..PAGES {
            let page = store.log(&query).await?;
            holds(
                "no page with more items than its limit",
                page.items.len() <= usize::from(query.limit),
                page.items.len(),
            )?;
            items.extend(page.items);
            moves_on(query.after, page.next)?;
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(items),
            }
            // Lets other tasks write between two pages if the store answers without waiting.
            tokio::task::yield_now().await;
        }
        Err(Failure::new("a walk that ends", format!("{PAGES} pages of {query:?}")).into())
    })
}

/// Requires that a page ends at another place than it began.
fn moves_on(after: Option<Cursor>, next: Option<Cursor>) -> Proof {
    let moves = next.is_none() || next != after;
    holds(
        "a next cursor after the one of the page before",
        moves,
        next,
    )
}

/// Returns a query for summaries.
pub(super) fn summaries() -> Query {
    Query::new().with_detail(Detail::Summary)
}

/// Polls a future once, like a caller that gives up immediately.
pub(super) fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(future).poll(&mut context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// Polls a future up to `times` times, each time after it wakes the task, and then drops
/// it. Returns the answer if the future was ready by then.
pub(super) async fn poll_times<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|context| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
