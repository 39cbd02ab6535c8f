//! The one seam: what every store offers, and what is built on top of it for all of them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{
    Action, ActionUid, Batch, CancelRequest, Change, Command, Done, Finish, LogQuery, NewAction,
    OpId, Owner, OwnerRef, Page, Position, Query, Refused, Report, Revision, Transition,
};

/// A store of actions. Eight methods, all required; whoever implements them proves it with the
/// `conformance` suite.
///
/// # The contract
///
/// 1. One `write` is one transaction; `Ok` comes only after it is as durable as
///    [`Capabilities::durability`] says.
/// 2. Commands act in order, each seeing those before it. With
///    [`BatchMode::Each`](crate::BatchMode::Each) a refused one leaves no trace (but a
///    [late report](crate::TransitionKind::LateReport)) and disturbs nobody; with
///    [`BatchMode::All`](crate::BatchMode::All) one refusal refuses all.
/// 3. An inner [`Refused`] is certain. An outer error speaks for the whole batch:
///    [`ErrorKind::OutcomeUnknown`] means perhaps all of it, every other kind none of it, ever.
/// 4. Repeating a batch is harmless.
/// 5. What [`plan`](crate::plan) judged by is held in the same isolation unit as what is saved,
///    owners included.
/// 6. Versions are dense; an action and its log agree in every snapshot.
/// 7. A revision that is not readable once a higher one is never appears.
/// 8. [`changed`](ActionStore::changed) resolves when something above `after` is readable through
///    this store, may be early, and errs when `after` is beyond the store.
/// 9. Cursors are valid for the store's life; the feed says [`ErrorKind::CursorExpired`] when it
///    has removed what a cursor has yet to show.
/// 10. In newest and oldest order an action that matched throughout a walk appears exactly once.
///     The work of a page is bounded, so a page may be short and go on.
/// 11. An unknown term, order or command is [`ErrorKind::Unsupported`], never ignored.
/// 12. A command that names an owner is [`Refused::Fenced`] unless that incarnation is alive in
///     the same transaction; once `Fence` or `Claim` has answered, nothing of the fenced
///     incarnation is accepted. (A repeat of what was accepted before is
///     [`Effect::Already`](crate::Effect::Already) all the same: it says what is true and changes
///     nothing.)
/// 13. Dropping a future neither cancels a write that was taken nor harms the store.
/// 14. What was accepted comes back byte for byte; stamps never run backwards within an action;
///     no decision rests on a wall clock.
#[async_trait]
pub trait ActionStore: fmt::Debug + Send + Sync + 'static {
    /// What this store offers, as observed.
    fn capabilities(&self) -> Capabilities;

    /// Carries commands out, in one transaction. The answers stand in the order of the commands.
    ///
    /// # Errors
    /// `Invalid` for a batch beyond [`Capabilities::max_commands`] or
    /// [`Capabilities::max_bytes`], `Unsupported` for an unknown command, `Unavailable`,
    /// `OutcomeUnknown`, `Corrupt`, `Closed`.
    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Refused>>, StoreError>;

    /// Looks actions up; the answers stand in the order of the uids, at most
    /// [`Capabilities::max_commands`] of them.
    ///
    /// # Errors
    /// `Invalid` for too many, `Unavailable`, `Corrupt`, `Closed`.
    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError>;

    /// Reads one page of the actions that match: newest first, oldest first, or the feed.
    ///
    /// # Errors
    /// `Invalid` for a query beyond its limits or with a cursor of another list or store,
    /// `Unsupported` for an unknown term or order, `CursorExpired` (feed only), `Unavailable`,
    /// `Corrupt`, `Closed`.
    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError>;

    /// Reads one page of an action's log, or of all logs in the order in which they were written.
    /// An action that is not there has an empty log.
    ///
    /// # Errors
    /// As [`list`](ActionStore::list), but for `CursorExpired`.
    async fn log(&self, query: &LogQuery) -> Result<Page<Transition>, StoreError>;

    /// All incarnations the store remembers, by name, those of one name in the order in which
    /// they claimed it.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, `Closed`.
    async fn owners(&self) -> Result<Vec<Owner>, StoreError>;

    /// Waits until something above `after` is readable; `None` answers at once.
    ///
    /// # Errors
    /// `Invalid` if `after` is beyond the store, `Unavailable`, `Corrupt`, `Closed`.
    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError>;

    /// Finishes what was taken, gives everything back. Every later call, and every call still
    /// waiting, is `Closed`. Closing twice is fine.
    ///
    /// # Errors
    /// `Unavailable` if something could not be given back; the store is closed nevertheless.
    async fn close(&self) -> Result<(), StoreError>;
}

/// What a store offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Whether other processes may use the same store at the same time.
    pub shared: bool,
    /// Most commands of a batch, and most uids of a `get`.
    pub max_commands: usize,
    /// Largest batch, by [`Batch::bytes`].
    pub max_bytes: usize,
}

impl Capabilities {
    /// The limits both built-in stores have: 1000 commands and 8 MiB a batch.
    #[must_use]
    pub const fn new(durability: Durability) -> Capabilities {
        Capabilities {
            durability,
            shared: false,
            max_commands: 1000,
            max_bytes: 8 * 1024 * 1024,
        }
    }

    /// Checks a batch against the limits.
    ///
    /// # Errors
    /// `Invalid`, naming the limit.
    pub fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        self.check_count("write", batch.commands.len())?;
        let bytes = batch.bytes();
        if bytes > self.max_bytes {
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "write",
                format!(
                    "the batch has {bytes} bytes, at most {} fit",
                    self.max_bytes
                ),
            ));
        }
        Ok(())
    }

    /// Checks a count of commands or uids.
    ///
    /// # Errors
    /// `Invalid`, naming the limit.
    pub fn check_count(&self, operation: &'static str, count: usize) -> Result<(), StoreError> {
        if count > self.max_commands {
            return Err(StoreError::new(
                ErrorKind::Invalid,
                operation,
                format!("{count} at once, at most {} fit", self.max_commands),
            ));
        }
        Ok(())
    }
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: it ends with the process.
    Volatile,
    /// The end of the process; the last writes may be lost in a power cut, never their order.
    Process,
    /// A power cut, on a disk that keeps what it says it has kept.
    Disk,
}

/// What a method of [`ActionStore`] returns, as `async_trait` writes it.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

// Written out, so that it hands on the future of the store itself: `async_trait` would box that once
// more for every pointer on the way.
macro_rules! forward {
    ($($pointer:ident)::+) => {
        impl<S: ActionStore + ?Sized> ActionStore for $($pointer)::+<S> {
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }
            fn write<'s, 'a>(
                &'s self,
                batch: Batch,
            ) -> Answer<'a, Vec<Result<Done, Refused>>>
            where
                's: 'a,
                Self: 'a,
            {
                (**self).write(batch)
            }
            fn get<'s, 'u, 'a>(
                &'s self,
                uids: &'u [ActionUid],
            ) -> Answer<'a, Vec<Option<Arc<Action>>>>
            where
                's: 'a,
                'u: 'a,
                Self: 'a,
            {
                (**self).get(uids)
            }
            fn list<'s, 'q, 'a>(&'s self, query: &'q Query) -> Answer<'a, Page<Arc<Action>>>
            where
                's: 'a,
                'q: 'a,
                Self: 'a,
            {
                (**self).list(query)
            }
            fn log<'s, 'q, 'a>(&'s self, query: &'q LogQuery) -> Answer<'a, Page<Transition>>
            where
                's: 'a,
                'q: 'a,
                Self: 'a,
            {
                (**self).log(query)
            }
            fn owners<'s, 'a>(&'s self) -> Answer<'a, Vec<Owner>>
            where
                's: 'a,
                Self: 'a,
            {
                (**self).owners()
            }
            fn changed<'s, 'a>(&'s self, after: Option<Revision>) -> Answer<'a, Position>
            where
                's: 'a,
                Self: 'a,
            {
                (**self).changed(after)
            }
            fn close<'s, 'a>(&'s self) -> Answer<'a, ()>
            where
                's: 'a,
                Self: 'a,
            {
                (**self).close()
            }
        }
    };
}
forward!(Arc);
forward!(Box);

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
    /// later one that certainly did nothing does not make it known.
    fn write_repeating(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<Vec<Result<Done, Refused>>, StoreError>> + Send {
        async move {
            let mut unknown = None;
            for _ in 0..TRIES {
                match self.write(batch.clone()).await {
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
        "the store did not answer the command",
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
