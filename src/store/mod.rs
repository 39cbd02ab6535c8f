//! The one seam: what every store offers, and what is built on top of it for all of them.

mod capabilities;
mod ext;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

pub use capabilities::{Capabilities, Durability};
pub use ext::{ActionStoreExt, Pages};

use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Batch, Done, LogQuery, Owner, Page, Position, Query, Refused, Revision,
    Transition,
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
///    [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) means perhaps all of it, every other
///    kind none of it, ever.
/// 4. Repeating a batch is harmless. A command alone is recognised by its operation if it was the
///    action's last or has a log entry. Progress alone has none; a report of it that is repeated is
///    [`Effect::Already`](crate::Effect::Already) because it says nothing new, until its owner is
///    fenced or unless it demands a version.
/// 5. What [`plan`](crate::plan) judged by is held in the same isolation unit as what is saved,
///    owners included.
/// 6. Versions are dense; an action and its log agree in every snapshot.
/// 7. A revision that is not readable once a higher one is never appears.
/// 8. [`changed`](ActionStore::changed) resolves when something above `after` is readable through
///    this store, may be early, and errs when `after` is beyond the store.
/// 9. Cursors are valid for the store's life; the feed says
///    [`CursorExpired`](crate::ErrorKind::CursorExpired) when it has removed what a cursor has yet
///    to show.
/// 10. In newest and oldest order an action that matched throughout a walk appears exactly once.
///     The work of a page is bounded, so a page may be short and go on.
/// 11. An unknown term, order or command is [`Unsupported`](crate::ErrorKind::Unsupported), never
///     ignored.
/// 12. A command that names an owner is [`Refused::Fenced`] unless that incarnation is alive in
///     the same transaction; once `Fence` or `Claim` has answered, nothing of the fenced
///     incarnation is accepted. (A repeat of what was accepted before is
///     [`Effect::Already`](crate::Effect::Already) all the same: it says what is true and changes
///     nothing.)
/// 13. Dropping a future neither cancels a write that was taken nor harms the store.
/// 14. Accepted values come back byte for byte, or cut as [`Report`](crate::Report) says; stamps never run backwards within an action;
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
