//! Helpers that the cases share: set up a store, write to it and read it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::failure::{Failure, Proof, at_call, holds, same};
use super::subject::{Fixture, Subject};
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{
    Action, ActionError, ActionUid, Batch, Change, Command, Cursor, Detail, Done, Finish, LogEntry,
    LogQuery, NewAction, OpId, Outcome, OwnerRef, Page, Progress, Query, Rejection, Report,
    Version,
};
use crate::store::ActionStore;

pub(super) type Answer = Result<Done, Rejection>;

/// Timeout for anything that must happen. It is far longer than any store needs, so
/// reaching it is a failure and never a measurement.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Upper limit for the pages of one walk. No walk of the suite has this many.
pub(super) const PAGES: usize = 5000;

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
    Command::create(new)
}

pub(super) fn create_by(new: NewAction, by: &OwnerRef) -> Command {
    Command::create(new).by(by.clone())
}

pub(super) fn apply(uid: ActionUid, change: Change, by: Option<&OwnerRef>) -> Command {
    apply_as(OpId::new(), uid, change, by)
}

pub(super) fn apply_as(op: OpId, uid: ActionUid, change: Change, by: Option<&OwnerRef>) -> Command {
    Command::apply(uid, change).by(by.cloned()).with_op(op)
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
        } => Command::apply(uid, change)
            .by(by)
            .with_op(op)
            .if_version(version),
        other => other,
    }
}

pub(super) fn claim(owner: &OwnerRef) -> Command {
    Command::claim(owner.clone())
}

pub(super) fn fence(owner: &OwnerRef, if_renewals: u64) -> Command {
    Command::fence(owner.clone(), if_renewals)
}

pub(super) fn remove(action: &Action) -> Command {
    Command::remove(action.uid, action.version)
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
    kind: StoreErrorKind,
) -> Proof {
    let found = answer.as_ref().err().map(StoreError::kind);
    let expected = format!("{kind:?} from {what}");
    holds(&expected, found == Some(kind), &answer)
}

/// Adds a page to what a walk has read. Returns the cursor of the next page.
fn add_page<T>(
    page: Page<T>,
    limit: u16,
    after: Option<Cursor>,
    items: &mut Vec<T>,
) -> Proof<Option<Cursor>> {
    holds(
        "no page with more items than its limit",
        page.items.len() <= usize::from(limit),
        page.items.len(),
    )?;
    items.extend(page.items);
    moves_on(after, page.next)?;
    Ok(page.next)
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
            query.after = add_page(page, query.limit, query.after, &mut items)?;
            if query.after.is_none() {
                return Ok(items);
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
            query.after = add_page(page, query.limit, query.after, &mut items)?;
            if query.after.is_none() {
                return Ok(items);
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
