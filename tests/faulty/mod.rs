//! A store that is wrong in one way.
#![allow(clippy::unwrap_used, reason = "a test's store may panic")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use action_store::{
    Action, ActionStore, ActionUid, Batch, BatchMode, Capabilities, Change, Command, Done, Effect,
    ErrorKind, Json, LogQuery, MemoryStore, Order, Owner, OwnerState, Page, Position, Query,
    Refused, Revision, StoreError, Term, Transition, TransitionKind,
};
use async_trait::async_trait;

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Ignores `if_version`.
    DropsVersionConditions,
    /// Forgets in whose name a cancel request is, and so that its owner is fenced.
    ForgetsWhoAsks,
    /// Draws a new operation id for each change: no repeat is recognised.
    ForgetsOperations,
    /// Carries `All` out as `Each`.
    TakesAllForEach,
    /// Answers in reverse order.
    ReversesAnswers,
    /// Carries commands out one by one, each in a transaction of its own.
    SplitsBatches,
    /// Answers `Unavailable` after having applied, every third time.
    LiesAboutWhatIsApplied,
    /// Leaves out the last item of a full page.
    LosesTheLastOfAPage,
    /// Begins a page with the last item of the page before.
    RepeatsAnItem,
    /// Shows each page of an oldest-first list newest first.
    ReversesOldest,
    /// Leaves a term out.
    IgnoresATerm,
    /// Leaves terms out that it does not know.
    IgnoresUnknownTerms,
    /// Trims labels.
    TrimsNames,
    /// Parses and writes JSON again.
    RewritesJson,
    /// Shows full actions where summaries are asked for.
    IgnoresDetail,
    /// Takes any limit.
    IgnoresLimits,
    /// Loses the log entries of cancel requests.
    LosesLogEntries,
    /// Sorts each page of the log of all by action.
    SortsTheLogOfAll,
    /// Says of a fenced owner that it was released.
    ConfusesEnds,
    /// Answers duplicates of a uid once.
    AnswersDuplicatesOnce,
    /// Takes a revision beyond the store for its last.
    ToleratesTheFuture,
    /// Goes on after it was closed.
    NeverCloses,
    /// Begins a feed anew instead of saying that it has expired.
    NeverExpires,
    /// Writes a batch in two halves, of which a caller that gives up sees one.
    HalvesDroppedWrites,
    /// Decides by what it read before it writes: several callers win.
    ChecksThenActs,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<MemoryStore>,
    fault: Fault,
    writes: AtomicUsize,
    /// What a page of a walk ended with, by its cursor's text.
    ends: Mutex<HashMap<String, Arc<Action>>>,
}

impl Faulty {
    pub(crate) fn new(fault: Fault, inner: Arc<MemoryStore>) -> Faulty {
        Faulty {
            inner,
            fault,
            writes: AtomicUsize::new(0),
            ends: Mutex::default(),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn spoil(&self, command: &mut Command) {
        match (self.fault, command) {
            (Fault::DropsVersionConditions, Command::Apply { if_version, .. }) => {
                *if_version = None
            }
            (
                Fault::ForgetsWhoAsks,
                Command::Apply {
                    by,
                    change: Change::RequestCancel(_),
                    ..
                },
            ) => {
                *by = None;
            }
            (Fault::ForgetsOperations, Command::Apply { op, .. }) => {
                *op = action_store::OpId::new();
            }
            (Fault::TrimsNames, Command::Create { new, .. }) if new.check().is_ok() => {
                let mut trimmed = (**new).clone();
                trimmed.name = trimmed.name.trim().into();
                *new = Arc::new(trimmed);
            }
            (Fault::RewritesJson, Command::Create { new, .. }) => {
                let mut rewritten = (**new).clone();
                rewritten.attributes = rewritten.attributes.map(|json| {
                    let value: serde_json::Value = serde_json::from_str(json.as_str()).unwrap();
                    Json::of(&value).unwrap()
                });
                *new = Arc::new(rewritten);
            }
            _ => {}
        }
    }
}

type Written = Result<Vec<Result<Done, Refused>>, StoreError>;

#[async_trait]
impl ActionStore for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn write(&self, mut batch: Batch) -> Written {
        batch
            .commands
            .iter_mut()
            .for_each(|command| self.spoil(command));
        let writes = self.writes.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::TakesAllForEach => batch.mode = BatchMode::Each,
            Fault::SplitsBatches if batch.mode == BatchMode::Each => {
                let mut answers = Vec::new();
                for command in batch.commands {
                    answers.extend(self.inner.write(Batch::each(vec![command])).await?);
                }
                return Ok(answers);
            }
            Fault::HalvesDroppedWrites if batch.commands.len() == 4 => {
                let rest = batch.commands.split_off(2);
                let mut answers = self.inner.write(batch).await?;
                tokio::task::yield_now().await;
                answers.extend(self.inner.write(Batch::all(rest)).await?);
                return Ok(answers);
            }
            Fault::ChecksThenActs => {
                if let [
                    Command::Apply {
                        uid,
                        op,
                        change: Change::Finish(_),
                        by: Some(by),
                        ..
                    },
                ] = &batch.commands[..]
                {
                    let found = self.inner.get(&[*uid]).await?.pop().flatten();
                    tokio::task::yield_now().await;
                    let stale = found.filter(|action| action.is_unfinished());
                    let answers = self.inner.write(batch.clone()).await?;
                    return Ok(answers
                        .into_iter()
                        .map(|answer| match (answer, &stale) {
                            (Err(Refused::Conflict { .. }), Some(stale))
                                if stale.owner.as_ref() == Some(by)
                                    && stale.last_op != Some(*op) =>
                            {
                                Ok(Done::new(Effect::Applied, Some(stale.clone())))
                            }
                            (answer, _) => answer,
                        })
                        .collect());
                }
            }
            _ => {}
        }
        let mut answers = self.inner.write(batch).await?;
        if self.is(Fault::ReversesAnswers) {
            answers.reverse();
        }
        if self.is(Fault::LiesAboutWhatIsApplied) && writes % 3 == 2 {
            return Err(StoreError::new(
                ErrorKind::Unavailable,
                "write",
                "try again",
            ));
        }
        Ok(answers)
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        let mut found = self.inner.get(uids).await?;
        if self.is(Fault::AnswersDuplicatesOnce) {
            let mut seen = Vec::new();
            for (uid, found) in uids.iter().zip(&mut found) {
                if seen.contains(uid) {
                    *found = None;
                }
                seen.push(*uid);
            }
        }
        Ok(found)
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        let mut asked = query.clone();
        match self.fault {
            Fault::IgnoresATerm => asked.terms.retain(|term| !matches!(term, Term::Actor(_))),
            Fault::IgnoresUnknownTerms => asked.terms.retain(query_knows),
            Fault::IgnoresDetail => asked.detail = action_store::Detail::Full,
            Fault::IgnoresLimits => asked.limit = asked.limit.clamp(1, 1000),
            Fault::NeverExpires if asked.order == Order::Feed => {
                if let Err(error) = self.inner.list(&asked).await
                    && error.kind() == ErrorKind::CursorExpired
                {
                    asked.after = None;
                }
            }
            _ => {}
        }
        let mut page = self.inner.list(&asked).await?;
        match self.fault {
            Fault::LosesTheLastOfAPage if page.next.is_some() => {
                page.items.pop();
            }
            Fault::RepeatsAnItem => {
                let mut ends = self.ends.lock().unwrap();
                let before = asked
                    .after
                    .and_then(|after| ends.get(&after.to_string()).cloned());
                if let (Some(next), Some(last)) = (page.next, page.items.last()) {
                    ends.insert(next.to_string(), last.clone());
                }
                if page.items.len() < usize::from(asked.limit) {
                    page.items.splice(0..0, before);
                }
            }
            Fault::ReversesOldest if asked.order == Order::Oldest => page.items.reverse(),
            _ => {}
        }
        Ok(page)
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<Transition>, StoreError> {
        let mut page = self.inner.log(query).await?;
        match self.fault {
            Fault::LosesLogEntries => {
                page.items
                    .retain(|entry| entry.kind != TransitionKind::CancelRequested);
            }
            Fault::SortsTheLogOfAll => page.items.sort_by_key(|entry| entry.uid),
            _ => {}
        }
        Ok(page)
    }

    async fn owners(&self) -> Result<Vec<Owner>, StoreError> {
        let mut owners = self.inner.owners().await?;
        if self.is(Fault::ConfusesEnds) {
            for owner in owners.iter_mut().filter(|o| o.state == OwnerState::Fenced) {
                owner.state = OwnerState::Released;
            }
        }
        Ok(owners)
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        match (self.fault, after) {
            (Fault::ToleratesTheFuture, Some(after)) => {
                let at = self.inner.changed(None).await?;
                if after > at.revision {
                    return Ok(at);
                }
                self.inner.changed(Some(after)).await
            }
            (_, after) => self.inner.changed(after).await,
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        match self.fault {
            Fault::NeverCloses => Ok(()),
            _ => self.inner.close().await,
        }
    }
}

fn query_knows(term: &Term) -> bool {
    Query::new().with_term(term.clone()).check().is_ok()
}
