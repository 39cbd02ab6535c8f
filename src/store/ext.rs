//! What everybody wants from a store, built on its methods alone.

use std::future::Future;
use std::sync::Arc;

use super::ActionStore;
use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{
    Action, ActionUid, Batch, CancelRequest, Change, Command, Done, Finish, NewAction, ObjectRef,
    OpId, Order, Owner, OwnerQuery, OwnerRef, Page, Query, Refused, Report, Term,
};

/// How often a batch whose outcome is unknown is sent before that is said.
const TRIES: u32 = 3;

/// What everybody wants from a store, built on the eight methods alone. Comes with every
/// [`ActionStore`].
///
/// A write whose outcome is unknown is repeated as it is, up to three times in all, before the
/// caller hears of it.
pub trait ActionStoreExt: ActionStore {
    /// Writes a batch, repeating it while its outcome is unknown.
    ///
    /// # Errors
    /// As [`ActionStore::write`], about all tries together: once the outcome of one is unknown, a
    /// later one that certainly did nothing does not make it known. And `Corrupt` if the store does
    /// not answer every command.
    fn write_repeating(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<Vec<Result<Done, Refused>>, StoreError>> + Send {
        async move {
            let count = batch.commands.len();
            let mut unknown = None;
            for _ in 0..TRIES {
                match self.write(batch.clone()).await {
                    Ok(answers) if answers.len() != count => return Err(unanswered()),
                    Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                        unknown = Some(error)
                    }
                    // That this try did nothing says nothing about those before it.
                    Err(_) if unknown.is_some() => {}
                    answer => return answer,
                }
            }
            Err(unknown.unwrap_or_else(unanswered))
        }
    }

    /// Carries one command out.
    ///
    /// # Errors
    /// Why it was refused, or what failed.
    fn command(&self, command: Command) -> impl Future<Output = Result<Done, Error>> + Send {
        async move {
            let answers = self.write_repeating(Batch::each(vec![command])).await?;
            match answers.into_iter().next() {
                Some(answer) => Ok(answer?),
                None => Err(unanswered().into()),
            }
        }
    }

    /// Carries one command about an action out and returns the action.
    ///
    /// # Errors
    /// Why it was refused, or what failed.
    fn command_on_action(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        async move {
            let done = self.command(command).await?;
            Ok(done.action.ok_or_else(unanswered)?)
        }
    }

    /// Reads all owners that match, page by page.
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

    /// Records a new action, queued and without an owner.
    ///
    /// # Errors
    /// Why it was refused, or what failed.
    fn create(&self, new: NewAction) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        let new = Arc::new(new);
        self.command_on_action(Command::Create { new, by: None })
    }

    /// Changes an action, under an operation id drawn now.
    ///
    /// # Errors
    /// Why it was refused, or what failed.
    fn apply(
        &self,
        uid: ActionUid,
        change: Change,
        by: Option<&OwnerRef>,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.command_on_action(Command::Apply {
            uid,
            op: OpId::new(),
            change,
            by: by.cloned(),
            if_version: None,
        })
    }

    /// Starts an action in an owner's name.
    ///
    /// # Errors
    /// Why it was refused, or what failed.
    fn start(
        &self,
        uid: ActionUid,
        by: &OwnerRef,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.apply(uid, Change::Start, Some(by))
    }

    /// Reports on an action in its owner's name.
    ///
    /// # Errors
    /// Why it was refused, or what failed.
    fn report(
        &self,
        uid: ActionUid,
        report: Report,
        by: &OwnerRef,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.apply(uid, Change::Report(report), Some(by))
    }

    /// Completes an action in its owner's name, or in nobody's.
    ///
    /// # Errors
    /// Why it was refused, or what failed.
    fn finish(
        &self,
        uid: ActionUid,
        finish: Finish,
        by: Option<&OwnerRef>,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.apply(uid, Change::Finish(finish), by)
    }

    /// Asks for an action to be cancelled.
    ///
    /// # Errors
    /// Why it was refused, or what failed.
    fn request_cancel(
        &self,
        uid: ActionUid,
        request: CancelRequest,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.apply(uid, Change::RequestCancel(request), None)
    }

    /// Pins an action, so that no retention removes it, or lets it go again; returns the action. An
    /// unfinished one may be pinned ahead. A pin is no change of the action: it has no version, no
    /// log entry and no place in the feed, and no method of a store shows it. [`erase`] and whoever
    /// else removes find a pinned action refused.
    ///
    /// [`erase`]: crate::retention::erase
    ///
    /// ```
    /// # async fn example() -> Result<(), action_store::Error> {
    /// use action_store::{ActionStoreExt, MemoryStore, NewAction};
    ///
    /// let store = MemoryStore::new();
    /// let action = store.create(NewAction::task("migrate")).await?;
    /// store.pin(action.uid, true).await?; // whatever its age, it stays
    /// store.pin(action.uid, false).await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// `NotFound`, or what failed.
    fn pin(
        &self,
        uid: ActionUid,
        pinned: bool,
    ) -> impl Future<Output = Result<Arc<Action>, Error>> + Send {
        self.command_on_action(Command::Pin { uid, pinned })
    }

    /// Looks one action up.
    ///
    /// # Errors
    /// As [`ActionStore::get`].
    fn action(
        &self,
        uid: ActionUid,
    ) -> impl Future<Output = Result<Option<Arc<Action>>, StoreError>> + Send {
        async move { Ok(self.get(&[uid]).await?.into_iter().next().flatten()) }
    }

    /// Everything on record that ever touched an object, as its subject or in another role, newest
    /// first: one search of an index a page. The store knows no catalogue, so an object that is long
    /// gone is found as well; only what retention has removed is not.
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
        self.pages(Query::new().with_term(Term::Touches(object)))
    }

    /// The parts of an action that are on record, whether it is itself or not, the one created
    /// first first: one search of an index a page.
    /// [`ChildCounts`](crate::ChildCounts) says how many there are and how they ended.
    fn children(&self, parent: ActionUid) -> Pages<'_, Self> {
        let query = Query::new().with_order(Order::Oldest);
        self.pages(query.with_term(Term::Parent(parent)))
    }

    /// Walks through all pages of a query.
    fn pages(&self, query: Query) -> Pages<'_, Self> {
        Pages {
            store: self,
            query: Some(query),
        }
    }
}

impl<S: ActionStore + ?Sized> ActionStoreExt for S {}

/// A store that answered fewer commands than it was given has broken its contract.
fn unanswered() -> StoreError {
    StoreError::new(
        ErrorKind::Corrupt,
        "write",
        "the store did not answer every command",
    )
}

/// A walk through the pages of a query.
#[derive(Debug)]
#[must_use = "a walk does nothing until its next page is asked for"]
pub struct Pages<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    query: Option<Query>,
}

impl<S: ActionStore + ?Sized> Pages<'_, S> {
    /// The next page; none after the last. After an error the same page can be asked for again.
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

    /// All that is left, gathered. For small stores and tests: memory grows with the answer.
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
