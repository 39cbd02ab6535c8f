//! The store under test, and the fixture that opens it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use super::failure::{Proof, Stop, at_call, holds};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::store::ActionStore;

type Opening = Pin<Box<dyn Future<Output = Result<Arc<dyn ActionStore>, StoreError>> + Send>>;
type Reopen = Box<dyn Fn() -> Opening + Send + Sync>;

/// Opens stores for the suite. Implemented for every function and closure without
/// arguments that returns a future of a [`Subject`].
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens an empty store that shares nothing with the stores opened before.
    async fn open(&self) -> Subject;
}

#[async_trait]
impl<F, Opening> Fixture for F
where
    F: Fn() -> Opening + Send + Sync,
    Opening: Future<Output = Subject> + Send,
{
    async fn open(&self) -> Subject {
        self().await
    }
}

/// An empty store, and what the suite may do with it in addition to the trait's methods.
#[must_use]
pub struct Subject {
    pub(super) store: Arc<dyn ActionStore>,
    pub(super) clock: Option<Clock>,
    pub(super) reopen: Option<Reopen>,
    kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// Creates a subject from an empty store.
    pub fn new(store: impl ActionStore) -> Subject {
        Subject {
            store: Arc::new(store),
            clock: None,
            reopen: None,
            kept: None,
        }
    }

    /// Sets the manual clock that the store takes its timestamps from. The suite uses it
    /// to test a clock that is set back.
    pub fn with_clock(mut self, clock: Clock) -> Subject {
        self.clock = Some(clock);
        self
    }

    /// Sets the function that opens the same store again after it was closed. The suite
    /// uses it to test that acknowledged writes are durable. It opens a store that is
    /// [`shared`](crate::Capabilities::shared) a second time without closing it first.
    pub fn with_reopen<F, Fut, S>(mut self, reopen: F) -> Subject
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, StoreError>> + Send + 'static,
        S: ActionStore,
    {
        self.reopen = Some(Box::new(move || {
            let opening = reopen();
            Box::pin(async move { Ok(Arc::new(opening.await?) as Arc<dyn ActionStore>) })
        }));
        self
    }

    /// Keeps a value alive as long as the store is used, for example a temporary
    /// directory or a server.
    pub fn with_kept(mut self, kept: impl Any + Send + Sync) -> Subject {
        self.kept = Some(Box::new(kept));
        self
    }

    /// Returns the maximum number of commands of a batch. The suite fills batches of that
    /// size, so it requires a limit of at most 10,000.
    #[track_caller]
    pub(super) fn max_commands(&self) -> Proof<usize> {
        let most = self.store.capabilities().max_commands;
        holds(
            "max_commands from 1 to 10,000",
            (1..=10_000).contains(&most),
            most,
        )?;
        Ok(most)
    }

    /// Closes the store and opens it again.
    #[track_caller]
    pub(super) fn reopened(self) -> impl Future<Output = Proof<Subject>> {
        at_call(async move {
            let Some(reopen) = self.reopen else {
                return Err(Stop::NotApplicable("the fixture cannot reopen its store"));
            };
            self.store.close().await?;
            // Dropping the store must release any lock that it holds.
            drop(self.store);
            Ok(Subject {
                store: reopen().await?,
                clock: self.clock,
                reopen: Some(reopen),
                kept: self.kept,
            })
        })
    }

    /// Opens a shared store a second time. Reopens any other store, and returns it twice.
    #[track_caller]
    pub(super) fn opened_twice(
        self,
    ) -> impl Future<Output = Proof<(Subject, Arc<dyn ActionStore>)>> {
        at_call(async move {
            if !self.store.capabilities().shared {
                let again = self.reopened().await?;
                let second = again.store.clone();
                return Ok((again, second));
            }
            let Some(reopen) = &self.reopen else {
                return Err(Stop::NotApplicable("the fixture cannot reopen its store"));
            };
            let second = reopen().await?;
            Ok((self, second))
        })
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("store", &self.store)
            .field("clock", &self.clock)
            .field("reopen", &self.reopen.is_some())
            .field("kept", &self.kept.is_some())
            .finish()
    }
}
