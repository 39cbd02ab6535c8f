//! A store that is wrong in one way.
#![allow(clippy::unwrap_used, reason = "a test's store may panic")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use action_store::action::{Labels, LogEntryKind, ObjectSet, Version};
use action_store::command::{BatchMode, Effect};
use action_store::owner::{Owner, OwnerEnd, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionUid, Batch, Capabilities, Change, Clock, Command, Cursor, Done,
    Filter, Limits, LogEntry, LogQuery, MemoryStore, Order, Page, Query, Rejection, StoreError,
    StoreErrorKind,
};
use async_trait::async_trait;
use tokio::sync::Semaphore;

pub(crate) mod bites;
mod commands;
mod fault;
mod finding;
mod hole;
pub(crate) mod hole_bites;
pub(crate) mod holed;
mod key_rows;
mod logs;
mod owners;

pub(crate) use fault::Fault;
pub(crate) use hole::Hole;

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<MemoryStore>,
    fault: Fault,
    writes: AtomicUsize,
    /// The last item of each page of a walk, by the text of its cursor.
    ends: Mutex<HashMap<String, Arc<Action>>>,
    /// How many items a walk had shown, by its cursor's text.
    offsets: Mutex<HashMap<String, usize>>,
    /// The first holder of each key.
    held: Mutex<HashMap<Arc<str>, ActionUid>>,
    /// The logs seen so far.
    logs: Mutex<HashMap<ActionUid, Vec<LogEntry>>>,
    /// All labels that an action ever had.
    labels: Mutex<HashMap<ActionUid, Vec<Labels>>>,
    /// By how much a revision is wrong.
    extra: AtomicU64,
    closes: AtomicUsize,
    places: Semaphore,
    owners: owners::Memory,
    clock: Option<Clock>,
}

impl Faulty {
    pub(crate) fn new(fault: Fault, inner: Arc<MemoryStore>) -> Faulty {
        Faulty {
            inner,
            fault,
            writes: AtomicUsize::new(0),
            ends: Mutex::default(),
            offsets: Mutex::default(),
            held: Mutex::default(),
            logs: Mutex::default(),
            labels: Mutex::default(),
            extra: AtomicU64::new(0),
            closes: AtomicUsize::new(0),
            places: Semaphore::new(3),
            owners: owners::Memory::default(),
            clock: None,
        }
    }

    /// The time used by a store whose fault is about time.
    pub(crate) fn with_clock(mut self, clock: Clock) -> Faulty {
        self.clock = Some(clock);
        self
    }

    fn position(&self, mut at: Position) -> Position {
        let extra = self.extra.load(Ordering::Relaxed);
        let revision = at.revision.get();
        at.revision = Revision::new(match self.fault {
            Fault::CountsRevisionsBack => revision.saturating_sub(extra),
            _ => revision + extra,
        });
        if self.is(Fault::CountsRemovedActions) && at.pruned_through > Revision::ZERO {
            at.actions += 1;
        }
        at.pruned_created = at
            .pruned_created
            .filter(|_| !self.is(Fault::ForgetsThatItRemoved));
        at
    }

    /// The last action of the page before.
    fn shown_before(&self, query: &Query) -> Option<Arc<Action>> {
        let after = query.after?.to_string();
        self.ends.lock().unwrap().get(&after).cloned()
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

type Answer = Result<Done, Rejection>;
type Written = Result<Vec<Answer>, StoreError>;

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
        let created = batch.commands.iter_mut().filter_map(finding::created);
        created.for_each(|new| self.mistake_labels(new));
        if let Some(answer) = self.answered(&batch).await? {
            return Ok(vec![answer]);
        }
        self.before(&mut batch).await?;
        self.mistake_owners(&mut batch).await?;
        let writes = self.writes.fetch_add(1, Ordering::Relaxed);
        let most = self.inner.capabilities().max_commands;
        match self.fault {
            Fault::TakesAllForEach => batch.mode = BatchMode::Each,
            _ if self.trims_wrongly() => return self.remembering(batch).await,
            Fault::SplitsBatches if batch.mode == BatchMode::Each => {
                let mut answers = Vec::new();
                for command in batch.commands {
                    answers.extend(self.inner.write(Batch::each(vec![command])).await?);
                }
                return Ok(answers);
            }
            Fault::RefusesTheLargest if batch.commands.len() == most => {
                let message = "it is too large";
                return Err(StoreError::new(StoreErrorKind::Invalid, "write", message));
            }
            Fault::TakesTooMany if batch.commands.len() > most => {
                let rest = batch.commands.split_off(most);
                let mut answers = self.inner.write(batch).await?;
                answers.extend(self.inner.write(Batch::each(rest)).await?);
                return Ok(answers);
            }
            Fault::HalvesDroppedWrites if batch.commands.len() >= 4 => {
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
                            (Err(Rejection::Conflict { .. }), Some(stale))
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
        let progress = batch.commands.iter().any(commands::is_progress);
        let mut answers = self.inner.write(batch).await?;
        self.mistake_answers(&mut answers);
        match self.fault {
            Fault::ReversesAnswers => answers.reverse(),
            Fault::NamesAnotherHolder => self.misnamed(&mut answers).await?,
            Fault::SaysFencedOfTheReleased => mistake_ends(&mut answers, OwnerEnd::Fenced),
            Fault::ForgetsHowAnOwnerEnded => mistake_ends(&mut answers, OwnerEnd::Unknown),
            Fault::AppliesProgressAgain | Fault::RefusesProgressAfterTheEnd if progress => {
                self.mistake_progress(&mut answers);
            }
            _ => {}
        }
        if self.is(Fault::LiesAboutWhatIsApplied) && writes % 3 == 2 {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "write",
                "try again",
            ));
        }
        Ok(answers)
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        let most = self.inner.capabilities().max_commands;
        if self.is(Fault::LooksUpTooMany) && uids.len() > most {
            let mut found = self.inner.get(&uids[..most]).await?;
            found.extend(self.inner.get(&uids[most..]).await?);
            return Ok(found);
        }
        let mut found = self
            .in_place(Fault::LosesReaders, self.inner.get(uids))
            .await?;
        if self.is(Fault::AnswersLittle) {
            let attributes = found.iter().flatten().flat_map(|found| &found.attributes);
            let bytes: usize = attributes.map(|json| json.as_str().len()).sum();
            if bytes > 8 * 1024 * 1024 {
                let message = "string or blob too big";
                return Err(StoreError::new(StoreErrorKind::Unavailable, "get", message));
            }
        }
        if self.is(Fault::AnswersDuplicatesOnce) {
            let mut seen = Vec::new();
            for (uid, found) in uids.iter().zip(&mut found) {
                if seen.contains(uid) {
                    *found = None;
                }
                seen.push(*uid);
            }
        }
        if self.is(Fault::RoundsVersions) {
            for action in found.iter_mut().flatten() {
                let rounded = action.version.get() as f64 as u64;
                Arc::make_mut(action).version = Version::new(rounded).unwrap();
            }
        }
        Ok(found)
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        let mut asked = query
            .clone()
            .with_after(self.in_its_branch(query.after).await?);
        let goes_on = asked.order == Order::Feed && asked.after.is_some();
        if self.is(Fault::ExpiresTooSoon) && goes_on {
            let at = self.inner.changed(None).await?;
            if at.pruned_through > Revision::ZERO {
                let message = "something was removed";
                return Err(StoreError::new(
                    StoreErrorKind::CursorExpired,
                    "list",
                    message,
                ));
            }
        }
        if self.is(Fault::EndsBehindWhatIsCompleted)
            && asked.filters.contains(&Filter::Unfinished)
            && let Some(shown) = self.shown_before(&asked)
            && let Some(Some(shown)) = self.inner.get(&[shown.uid]).await?.first()
            && !shown.is_unfinished()
        {
            let mut end = self.inner.list(&asked.clone().with_after(None)).await?;
            (end.items, end.next) = (Vec::new(), None);
            return Ok(end);
        }
        match self.fault {
            Fault::IgnoresATerm => asked
                .filters
                .retain(|filter| !matches!(filter, Filter::Actor(_))),
            Fault::IgnoresUids => asked
                .filters
                .retain(|filter| !matches!(filter, Filter::Uid(_))),
            Fault::LooksAtOneObject => asked.filters.iter_mut().for_each(only_first_object),
            Fault::TakesTooManyObjects => asked.filters.iter_mut().for_each(fewer_objects),
            Fault::IgnoresUnknownTerms => asked.filters.retain(query_knows),
            Fault::IgnoresDetail => asked.detail = action_store::query::Detail::Full,
            Fault::IgnoresLimits => asked.limit = asked.limit.clamp(1, 1000),
            Fault::NeverExpires if asked.order == Order::Feed => {
                if let Err(error) = self.inner.list(&asked).await
                    && error.kind() == StoreErrorKind::CursorExpired
                {
                    asked.after = None;
                }
            }
            Fault::FeedsFromTheBeginning if asked.order == Order::Feed => asked.after = None,
            Fault::FoldsOwnerNames => {
                let named = |filter: &Filter| matches!(filter, Filter::OwnerName(_));
                if asked.check().is_ok() && asked.filters.iter().any(named) {
                    asked.filters.retain(|filter| !named(filter));
                }
            }
            Fault::PagesByOffset => asked.after = None,
            Fault::IncludesTheEndOfARange => asked.filters.iter_mut().for_each(later_end),
            Fault::FindsByFormerOwner => {
                let owner =
                    |filter: &Filter| matches!(filter, Filter::Owner(_) | Filter::OwnerName(_));
                asked.filters.retain(|filter| !owner(filter));
            }
            Fault::FindsSubjectsOnly => {
                for filter in &mut asked.filters {
                    if let Filter::Touches(object) = filter {
                        *filter = Filter::Object(object.clone());
                    }
                }
            }
            _ => {}
        }
        self.mistake_filters(&mut asked.filters);
        let mut page = match self.fault {
            Fault::PagesByOffset => self.inner.list(&asked.with_limit(1000)).await?,
            _ => self.inner.list(&asked).await?,
        };
        asked = query.clone();
        page.at = self.position(page.at);
        self.mistake_found(query, &mut page).await?;
        if self.is(Fault::CompletesByCreation) && asked.order == Order::Finished {
            page.items.sort_by_key(|action| action.uid);
        }
        match self.fault {
            Fault::LosesTheLastOfAPage if page.next.is_some() => {
                page.items.pop();
            }
            Fault::OffersAPageBeyondTheEnd if page.items.len() == usize::from(asked.limit) => {
                page.next = page.next.or(Some(Cursor::newest(page.at, 1)));
            }
            Fault::EndsBehindWhatIsCompleted => {
                if let (Some(next), Some(last)) = (page.next, page.items.last()) {
                    let mut ends = self.ends.lock().unwrap();
                    ends.insert(next.to_string(), last.clone());
                }
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
            Fault::PagesByOffset if asked.order != Order::Feed => {
                let mut offsets = self.offsets.lock().unwrap();
                let after = asked.after.map(|after| after.to_string());
                let offset = after.and_then(|text| offsets.get(&text).copied());
                let limit = usize::from(asked.limit);
                let end = offset.unwrap_or(0) + limit;
                let more = end < page.items.len();
                page.items = std::mem::take(&mut page.items)
                    .into_iter()
                    .skip(offset.unwrap_or(0))
                    .take(limit)
                    .collect();
                // Any text that was not a cursor before will do for the next one.
                page.next = more.then(|| match asked.order {
                    Order::Oldest => Cursor::oldest(page.at, end as u64),
                    _ => Cursor::newest(page.at, end as u64),
                });
                if let Some(next) = page.next {
                    offsets.insert(next.to_string(), end);
                }
            }
            Fault::FeedsByCreation if asked.order == Order::Feed => {
                page.items.sort_by_key(|action| action.uid);
            }
            Fault::FoldsOwnerNames => {
                let wanted = asked.filters.iter().find_map(|filter| match filter {
                    Filter::OwnerName(name) => Some(name.clone()),
                    _ => None,
                });
                if let Some(wanted) = wanted {
                    page.items.retain(|action| {
                        let owner = action.owner.as_ref();
                        owner.is_some_and(|owner| owner.name.eq_ignore_ascii_case(&wanted))
                    });
                }
            }
            Fault::RepeatsWhatTouchesTwo => {
                let several = |filter: &Filter| matches!(filter, Filter::TouchesAny(_));
                if asked.filters.iter().any(several) {
                    let twice = |action: Arc<Action>| {
                        let times = if action.related.is_empty() { 1 } else { 2 };
                        std::iter::repeat_n(action, times)
                    };
                    page.items = page.items.into_iter().flat_map(twice).collect();
                }
            }
            Fault::ReversesOldest if asked.order == Order::Oldest => page.items.reverse(),
            Fault::FindsByFormerOwner => self.by_former_owner(query, &mut page.items),
            Fault::ListsByTheClock => page.items.sort_by_key(|action| action.created_at),
            _ => {}
        }
        Ok(page)
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        let mut asked = query
            .clone()
            .with_after(self.in_its_branch(query.after).await?);
        let offset = query.after.map_or(0, |after| after.position() as usize);
        if self.is(Fault::PagesLogsByOffset) {
            (asked.after, asked.limit) = (None, 1000);
        }
        let mut page = self.inner.log(&asked).await?;
        page.at = self.position(page.at);
        self.mistake_log(&mut page.items);
        if let Some(uid) = query.uid.filter(|_| self.trims_wrongly()) {
            self.trimmed_wrongly(uid, &mut page.items);
        }
        match self.fault {
            Fault::PagesLogsByOffset => {
                let end = offset + usize::from(query.limit);
                let more = end < page.items.len();
                page.next = more.then(|| Cursor::log(page.at, end as u64));
                page.items = page.items.into_iter().take(end).skip(offset).collect();
            }
            Fault::KeepsRemovedLogs if page.items.is_empty() => {
                let logs = self.logs.lock().unwrap();
                let kept = query.uid.and_then(|uid| logs.get(&uid).cloned());
                page.items.extend(kept.unwrap_or_default());
            }
            Fault::SkipsALogEntry if query.after.is_some() && !page.items.is_empty() => {
                page.items.remove(0);
            }
            Fault::LosesNotes => page.items.iter_mut().for_each(|entry| entry.note = None),
            Fault::LosesWhoDecided => page.items.iter_mut().for_each(|entry| entry.by = None),
            Fault::LosesLogEntries => {
                page.items
                    .retain(|entry| entry.kind != LogEntryKind::CancelRequested);
            }
            Fault::SortsTheLogOfAll => page.items.sort_by_key(|entry| entry.uid),
            _ => {}
        }
        Ok(page)
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        let mut query = query.clone();
        match self.fault {
            Fault::IgnoresOwnerNames => query.name = None,
            Fault::TakesAllOwnersForActive => query.active = false,
            Fault::IgnoresLimits => query.limit = query.limit.clamp(1, Limits::PAGE),
            _ => {}
        }
        let mut page = self.inner.owners(&query).await?;
        self.mistake_list_of_owners(&query, &mut page);
        Ok(page)
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        let inner = self.inner.changed(after);
        let answer = match (self.fault, after) {
            (Fault::ToleratesTheFuture, Some(after)) => {
                let at = self.inner.changed(None).await?;
                if after > at.revision {
                    return Ok(at);
                }
                inner.await
            }
            (Fault::NeverWakes, Some(after)) => {
                if self.inner.changed(None).await?.revision == after {
                    std::future::pending::<()>().await;
                }
                inner.await
            }
            (Fault::AnswersWhatIsKnown, Some(after)) => inner.await.map(|mut at| {
                at.revision = after;
                at
            }),
            (Fault::KeepsWaitersAtClose, Some(_)) => match inner.await {
                Err(error) if error.kind() == StoreErrorKind::Closed => {
                    std::future::pending().await
                }
                answer => answer,
            },
            (Fault::LosesWaiters, Some(_)) => self.in_place(Fault::LosesWaiters, inner).await,
            _ => inner.await,
        };
        answer.map(|at| self.position(at))
    }

    async fn close(&self) -> Result<(), StoreError> {
        let before = self.closes.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::NeverCloses => Ok(()),
            Fault::ClosesOnce if before > 0 => {
                let message = "it is closed";
                Err(StoreError::new(StoreErrorKind::Closed, "close", message))
            }
            Fault::ForgetsADroppedClose if before > 0 => Ok(()),
            Fault::ForgetsADroppedClose => {
                tokio::task::yield_now().await;
                self.inner.close().await
            }
            _ => self.inner.close().await,
        }
    }
}

fn mistake_ends(answers: &mut [Answer], mistaken: OwnerEnd) {
    for answer in answers {
        if let Err(Rejection::Fenced { end, .. }) = answer {
            *end = mistaken;
        }
    }
}

fn later_end(filter: &mut Filter) {
    if let Filter::CreatedBefore(end) | Filter::FinishedBefore(end) = filter {
        *end = action_store::Timestamp::from_micros(end.as_micros() + 1);
    }
}

fn only_first_object(filter: &mut Filter) {
    if let Filter::TouchesAny(objects) = filter {
        *objects = ObjectSet::new(objects.iter().take(1).cloned());
    }
}

fn fewer_objects(filter: &mut Filter) {
    if let Filter::TouchesAny(objects) = filter {
        *objects = ObjectSet::new(objects.iter().take(Limits::OBJECTS).cloned());
    }
}

fn query_knows(filter: &Filter) -> bool {
    Query::new().with_filter(filter.clone()).check().is_ok()
}
