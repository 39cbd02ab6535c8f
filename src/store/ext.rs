//! Convenience methods for every store.

use std::future::Future;
use std::sync::Arc;

use super::ActionStore;
use super::cancel_all::{self, CancelAll, CancelReport};
use super::counts::StateCounts;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{
    Action, ActionUid, Batch, CancelRequest, Change, Command, Done, Filter, Finish, NewAction,
    ObjectRef, Order, Owner, OwnerQuery, OwnerRef, Page, Query, Rejection, Report,
};

/// Maximum number of times that a batch is sent while its outcome is unknown.
const TRIES: u32 = 3;

/// Convenience methods for every [`ActionStore`], built on its eight methods alone.
///
/// A write with an unknown outcome is repeated unchanged, up to three times in total. Then the
/// error is returned.
pub trait ActionStoreExt: ActionStore {
    /// Writes a batch, and repeats it while its outcome is unknown.
    ///
    /// # Errors
    /// As [`ActionStore::write`], for all tries together. If one try had an unknown outcome and no
    /// later try succeeded, the error is `OutcomeUnknown`. `Corrupt` if the store does not answer
    /// every command.
    fn write_repeating(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<Vec<Result<Done, Rejection>>, StoreError>> + Send {
        async move {
            let count = batch.commands.len();
            let mut unknown = None;
            for _ in 0..TRIES {
                match self.write(batch.clone()).await {
                    Ok(answers) if answers.len() != count => return Err(unanswered()),
                    Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {
                        unknown = Some(error)
                    }
                    // This try did nothing, but an earlier one may have.
                    Err(_) if unknown.is_some() => {}
                    answer => return answer,
                }
            }
            Err(unknown.unwrap_or_else(unanswered))
        }
    }

    /// Executes one command.
    ///
    /// # Errors
    /// The refusal, or the store's error.
    fn command(&self, command: Command) -> impl Future<Output = Result<Done, Error>> + Send {
        async move {
            let answers = self.write_repeating(Batch::each(vec![command])).await?;
            match answers.into_iter().next() {
                Some(answer) => Ok(answer?),
                None => Err(unanswered().into()),
            }
        }
    }

    /// Executes one command about an action and returns the action.
    ///
    /// # Errors
    /// The refusal, or the store's error.
    fn command_on_action(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        async move {
            let done = self.command(command).await?;
            Ok(done.action.ok_or_else(unanswered)?)
        }
    }

    /// Returns all owners that match, from all pages.
    ///
    /// # Errors
    /// As [`ActionStore::owners`].
    fn all_owners(
        &self,
        mut query: OwnerQuery,
    ) -> impl Future<Output = Result<Vec<Owner>, StoreError>> + Send {
        async move {
            let mut owners = Vec::new();
            loop {
                let page = self.owners(&query).await?;
                owners.extend(page.items);
                query.after = page.next;
                if query.after.is_none() {
                    return Ok(owners);
                }
            }
        }
    }

    /// Records a new action. It is queued and has no owner.
    ///
    /// # Errors
    /// The refusal, or the store's error.
    fn create(&self, new: NewAction) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.command_on_action(Command::create(new))
    }

    /// Changes an action, under a new operation id.
    ///
    /// # Errors
    /// The refusal, or the store's error.
    fn apply(
        &self,
        uid: ActionUid,
        change: Change,
        by: Option<&OwnerRef>,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.command_on_action(Command::apply(uid, change).by(by.cloned()))
    }

    /// Starts an action on behalf of an owner.
    ///
    /// # Errors
    /// The refusal, or the store's error.
    fn start(
        &self,
        uid: ActionUid,
        by: &OwnerRef,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.apply(uid, Change::Start, Some(by))
    }

    /// Reports on an action on behalf of its owner.
    ///
    /// # Errors
    /// The refusal, or the store's error.
    fn report(
        &self,
        uid: ActionUid,
        report: Report,
        by: &OwnerRef,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.apply(uid, Change::Report(report), Some(by))
    }

    /// Completes an action, on behalf of its owner or of no owner.
    ///
    /// # Errors
    /// The refusal, or the store's error.
    fn finish(
        &self,
        uid: ActionUid,
        finish: Finish,
        by: Option<&OwnerRef>,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.apply(uid, Change::Finish(finish), by)
    }

    /// Requests the cancellation of an action.
    ///
    /// # Errors
    /// The refusal, or the store's error.
    fn request_cancel(
        &self,
        uid: ActionUid,
        request: CancelRequest,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.apply(uid, Change::RequestCancel(request), None)
    }

    /// Executes one step of requesting the cancellation of all unfinished actions that match some
    /// filters, the oldest first. [`CancelAll::resume`] gives the next step. A step may be repeated:
    /// actions that have a request are not changed.
    ///
    /// As with [`Tracker::cancel`](crate::Tracker::cancel), a queued action whose owner is not alive
    /// ends at once; others end when their owner ends them. Actions that are recorded during the
    /// steps are included.
    ///
    /// It does not return a `Result`: after an error the report says what was recorded and where to
    /// continue.
    fn cancel_all(&self, all: &CancelAll) -> impl Future<Output = CancelReport> + Send {
        async move { cancel_all::cancel_all(self, None, all).await.0 }
    }

    /// Pins or unpins an action and returns it. Retention does not remove a pinned action. An
    /// unfinished action can be pinned in advance.
    ///
    /// A pin is not a change of the action: it has no version, no log entry and no place in the
    /// feed. No method of a store returns it. Any removal of a pinned action is refused, also by
    /// [`erase`].
    ///
    /// [`erase`]: crate::retention::erase
    ///
    /// ```
    /// # async fn example() -> Result<(), action_store::Error> {
    /// use action_store::{ActionStoreExt, MemoryStore, NewAction};
    ///
    /// let store = MemoryStore::new();
    /// let action = store.create(NewAction::task("migrate")).await?;
    /// store.pin(action.uid, true).await?; // kept, whatever its age
    /// store.pin(action.uid, false).await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound`, or the store's error.
    fn pin(
        &self,
        uid: ActionUid,
        pinned: bool,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.command_on_action(Command::pin(uid, pinned))
    }

    /// Returns one action, or none if it does not exist.
    ///
    /// # Errors
    /// As [`ActionStore::get`].
    fn action(
        &self,
        uid: ActionUid,
    ) -> impl Future<Output = Result<Option<Arc<Action>>, StoreError>> + Send {
        async move { Ok(self.get(&[uid]).await?.into_iter().next().flatten()) }
    }

    /// Returns all recorded actions that ever touched an object, as their own object or as a
    /// related one, newest first. Each page is one index search.
    ///
    /// The object itself need not exist any more. Only actions that retention has removed are
    /// missing.
    ///
    /// ```
    /// # async fn example() -> Result<(), action_store::Error> {
    /// use action_store::{ActionStoreExt, MemoryStore, NewAction, ObjectRef, RelatedObject};
    ///
    /// let store = MemoryStore::new();
    /// let (node, bdb) = (ObjectRef::node(7), ObjectRef::bdb(1));
    /// let on = RelatedObject::new("node", node.clone()).with_name("host-7");
    /// store.create(NewAction::task("create_bdb").with_object(bdb).with_related(on)).await?;
    /// store.create(NewAction::task("drain").with_object(node.clone())).await?;
    ///
    /// let page = store.touching(node).next().await?.ok_or("a page").unwrap();
    /// assert_eq!((&*page.items[0].name, &*page.items[1].name), ("drain", "create_bdb"));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    fn touching(&self, object: ObjectRef) -> Pages<'_, Self> {
        self.pages(Query::new().with_filter(Filter::Touches(object)))
    }

    /// Returns the recorded parts of an action, oldest first. The action itself may be absent. Each
    /// page is one index search. [`ChildCounts`](crate::action::ChildCounts) counts them by outcome.
    fn children(&self, parent: ActionUid) -> Pages<'_, Self> {
        let query = Query::new().with_order(Order::Oldest);
        self.pages(query.with_filter(Filter::Parent(parent)))
    }

    /// Counts the actions that match all filters, by status and outcome.
    ///
    /// Each count is exact up to `bound` actions. Beyond it, the count is `bound`, and its
    /// [`exact`](crate::query::StateCount::exact) is false. It is also false if the matches lie behind
    /// more rows than are read. A bound of 1,000 is cheap.
    ///
    /// The cost does not grow with the store. If at most 1,000 actions match that did not succeed,
    /// they are read as one page. Otherwise each state is read up to the bound: `bound / 1,000 + 1`
    /// pages for each of five groups of states. The succeeded actions are read the same way. Without
    /// filters they are not read if all other counts are exact.
    ///
    /// The counts are of one moment only if there is one page, or if nothing changes meanwhile.
    ///
    /// ```
    /// # async fn example() -> Result<(), action_store::Error> {
    /// use action_store::{ActionStoreExt, Filter, MemoryStore, NewAction};
    ///
    /// let store = MemoryStore::new();
    /// store.create(NewAction::task("backup_bdb").with_label("region", "eu-1")).await?;
    /// store.create(NewAction::task("backup_bdb")).await?;
    ///
    /// let counts = store.count(&[], 1000).await?;
    /// assert_eq!((counts.queued.number, counts.queued.exact), (2, true));
    /// let counts = store.count(&[Filter::label_key("region")], 1000).await?;
    /// assert_eq!(counts.total(), 1);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`ActionStore::list`]. The filters plus one must not exceed
    /// [`Limits::FILTERS`](crate::Limits::FILTERS).
    fn count(
        &self,
        filters: &[Filter],
        bound: u32,
    ) -> impl Future<Output = Result<StateCounts, StoreError>> + Send {
        StateCounts::of(self, filters, bound)
    }

    /// Reads the pages of a query one by one.
    fn pages(&self, query: Query) -> Pages<'_, Self> {
        Pages {
            store: self,
            query: Some(query),
        }
    }
}

impl<S: ActionStore + ?Sized> ActionStoreExt for S {}

/// A store breaks its contract if it does not answer every command.
fn unanswered() -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        "write",
        "the store did not answer every command",
    )
}

/// Reads the pages of a query one by one.
#[derive(Debug)]
#[must_use = "no page is read until `next` is called"]
pub struct Pages<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    query: Option<Query>,
}

impl<S: ActionStore + ?Sized> Pages<'_, S> {
    /// Returns the next page, or none after the last. After an error, call it again for the same
    /// page.
    ///
    /// # Errors
    /// As [`ActionStore::list`].
    pub async fn next(&mut self) -> Result<Option<Page<Arc<Action>>>, StoreError> {
        let Some(query) = &mut self.query else {
            return Ok(None);
        };
        let page = self.store.list(query).await?;
        match page.next {
            Some(next) => query.after = Some(next),
            None => self.query = None,
        }
        Ok(Some(page))
    }

    /// Returns all remaining actions. Use it for small stores and tests, because memory grows with
    /// the result.
    ///
    /// # Errors
    /// As [`ActionStore::list`].
    pub async fn collect(mut self) -> Result<Vec<Arc<Action>>, StoreError> {
        let mut items = Vec::new();
        while let Some(page) = self.next().await? {
            items.extend(page.items);
        }
        Ok(items)
    }
}
