//! The trait of all stores, and its convenience methods.

#[cfg_attr(
    not(feature = "tracker"),
    allow(dead_code, reason = "parts of it serve the tracker")
)]
pub(crate) mod cancel_all;
mod capabilities;
mod counts;
mod ext;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

pub use cancel_all::{CancelAll, CancelReport};
pub use capabilities::{Capabilities, Durability};
pub use counts::{StateCount, StateCounts};
pub use ext::{ActionStoreExt, Pages};

use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Batch, Done, LogEntry, LogQuery, Owner, OwnerQuery, Page, Position, Query,
    Rejection, Revision,
};

/// A store of actions. All eight methods are required. The `conformance` suite checks that an
/// implementation keeps the contract.
///
/// A function that keeps a store takes it by value. Pass an `Arc` to keep using it: an `Arc` of a
/// store is a store. A function that only uses a store takes a reference.
///
/// # The contract
///
/// 1. One `write` is one transaction. It returns `Ok` only after the transaction is as durable as
///    [`Capabilities::durability`] says.
/// 2. Commands take effect in order, and each sees the effects of earlier ones. With
///    [`BatchMode::Each`](crate::command::BatchMode::Each), a refused command changes nothing and does not
///    affect the others. Only a [late report](crate::action::LogEntryKind::LateReport) is logged. With
///    [`BatchMode::All`](crate::command::BatchMode::All), one refusal refuses the whole batch.
/// 3. An inner [`Rejection`] is certain. An outer error applies to the whole batch.
///    [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown) means that all of it may have been
///    applied, or nothing. Any other kind means that nothing was applied and nothing will be.
/// 4. A batch may be repeated safely. Commands that were applied are not applied again. A single
///    command is recognised by its operation, if it was the action's last or has a log entry. A step
///    or note whose entry was [dropped](crate::Action::log_dropped) is not recognised any more.
///    Progress alone has no entry. Repeated progress is [`Effect::Already`](crate::command::Effect::Already)
///    because it says nothing new, until its owner is fenced or unless it demands a version.
/// 5. The state on which [`plan`](crate::spi::plan) decides, owners included, is read in the transaction
///    that saves the result. It cannot change in between.
/// 6. The versions of an action have no gaps. In every snapshot, an action and its log agree.
/// 7. Revisions become readable in order. Once a revision is readable, no lower one appears later.
/// 8. [`changed`](ActionStore::changed) resolves when a revision above `after` is readable through
///    this store. It may resolve early. It fails if `after` is beyond the store.
/// 9. Cursors are valid for the life of the store. The feed returns
///    [`CursorExpired`](crate::StoreErrorKind::CursorExpired) if changes after the cursor were removed, or
///    if the cursor is beyond the store. A cursor of another [branch](crate::query::BranchId) is expired in
///    the feed, in the log and in an oldest-first list, unless all that it has shown is older than
///    the fork.
/// 10. In newest and oldest order, an action that matches throughout a walk appears exactly once.
///     A page reads at most [`Limits::SCAN`](crate::Limits::SCAN) rows to find matches. So a page may
///     be short, or empty, and still have a next one. Only a page that reached the end has none, and
///     without filters each page that reached it has none.
/// 11. An unknown term, order or command is [`Unsupported`](crate::StoreErrorKind::Unsupported). It is
///     never ignored.
/// 12. A command that names an owner is [`Rejection::Fenced`] unless that incarnation is alive in the
///     same transaction. Once `Fence` or `Claim` has returned, nothing of the fenced incarnation is
///     accepted. A repeat of a command that was accepted before still returns
///     [`Effect::Already`](crate::command::Effect::Already). It changes nothing.
/// 13. A store takes a batch at the first poll of the future of [`write`](ActionStore::write), or at
///     a later poll if it has no room. A store that does nothing else has room. A batch that was
///     taken is not cancelled, not even by a dropped future or by [`close`](ActionStore::close). A
///     batch that waits for a transaction of the host is not taken until that transaction ends.
///     Dropping a future never harms the store.
/// 14. Accepted data is returned byte for byte, or cut as [`Report`](crate::Report) says. The timestamps of an action never decrease. No
///     decision depends on a wall clock.
/// 15. A completed action accepts no new parts, and a part of an unfinished action cannot be removed.
///     The parent is read in the same transaction, see
///     [`ReadSet::parents_of`](crate::spi::ReadSet::parents_of).
#[async_trait]
pub trait ActionStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the capabilities of this store, as observed.
    fn capabilities(&self) -> Capabilities;

    /// Executes commands in one transaction. The answers are in the order of the commands.
    ///
    /// A write can fail at two levels, so it returns a result of results:
    ///
    /// - The outer error is the store's. No command has an answer. Its kind says if the batch may
    ///   have been applied, and [`is_retryable`](StoreError::is_retryable) if a repeat may help.
    ///
    /// - Each inner error is the [`Rejection`] of one command. The other commands have their own
    ///   answers, so check each one. The store works, and a repeat would be refused again.
    ///
    /// For a single command, [`command`](ActionStoreExt::command) returns one result.
    ///
    /// # Errors
    /// `Invalid` for a batch beyond [`Capabilities::max_commands`] or
    /// [`Capabilities::max_bytes`], `Unsupported` for an unknown command, `Unavailable`,
    /// `OutcomeUnknown`, `Corrupt`, `Closed`.
    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError>;

    /// Returns actions, in the order of the uids. At most [`Capabilities::max_commands`] uids are
    /// allowed.
    ///
    /// # Errors
    /// `Invalid` for too many, `Unavailable`, `Corrupt`, `Closed`.
    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError>;

    /// Returns one page of the actions that match: newest first, oldest first, or as the feed.
    ///
    /// # Errors
    /// `Invalid` for a query beyond its limits or with a cursor of another list or store,
    /// `Unsupported` for an unknown term or order. `CursorExpired` (the feed, and an
    /// oldest-first list of another branch), `Unavailable`, `Corrupt`, `Closed`.
    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError>;

    /// Returns one page of an action's log, or of all logs in the order in which they were written.
    /// The log of an absent action is empty. A long log lacks its oldest steps and notes;
    /// [`Action::log_dropped`] returns their number.
    ///
    /// # Errors
    /// As [`list`](ActionStore::list); `CursorExpired` of another branch only.
    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError>;

    /// Returns one page of the owners that match, in the order in which they claimed their names.
    ///
    /// # Errors
    /// `Invalid` for a query beyond its limits or with a cursor of another list or store,
    /// `Unavailable`, `Corrupt`, `Closed`.
    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError>;

    /// Waits until a revision above `after` is readable. `None` returns at once.
    ///
    /// # Errors
    /// `Invalid` if `after` is beyond the store, `Unavailable`, `Corrupt`, `Closed`.
    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError>;

    /// Carries out and answers the batches that were taken, then releases all resources. Other pending
    /// calls and later calls fail with `Closed`. A second call does nothing.
    ///
    /// # Errors
    /// `Unavailable` if something could not be given back; the store is closed nevertheless.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Return type of the methods of [`ActionStore`], as `async_trait` generates it.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

// Written by hand to return the store's own future. `async_trait` would box it once more for each
// pointer.
macro_rules! forward {
    ($($pointer:ident)::+) => {
        impl<S: ActionStore + ?Sized> ActionStore for $($pointer)::+<S> {
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }
            fn write<'s, 'a>(
                &'s self,
                batch: Batch,
            ) -> Answer<'a, Vec<Result<Done, Rejection>>>
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
            fn log<'s, 'q, 'a>(&'s self, query: &'q LogQuery) -> Answer<'a, Page<LogEntry>>
            where
                's: 'a,
                'q: 'a,
                Self: 'a,
            {
                (**self).log(query)
            }
            fn owners<'s, 'q, 'a>(&'s self, query: &'q OwnerQuery) -> Answer<'a, Page<Owner>>
            where
                's: 'a,
                'q: 'a,
                Self: 'a,
            {
                (**self).owners(query)
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
