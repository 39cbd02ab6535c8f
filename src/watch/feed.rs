//! Feed of all actions.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::time::Instant;

use super::backoff::Backoff;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{Action, Cursor, Order, Page, Query, Revision};
use crate::store::ActionStore;

/// Actions read and kept at once.
const PAGE: u16 = 100;

type Reading =
    Pin<Box<dyn Future<Output = (Backoff, Result<Page<Arc<Action>>, StoreError>)> + Send>>;

/// The feed of all actions that change, returned by
/// [`Watcher::watch_all`](crate::Watcher::watch_all) and
/// [`Watcher::watch_from_beginning`](crate::Watcher::watch_from_beginning). Also a [`Stream`].
///
/// It follows the store's [feed order](Order::Feed): each action at its latest change, in the order
/// of those changes. An action that changed several times since it was last shown is shown once, in
/// its current state. So at most one page of 100 actions is kept, even for a slow reader. A reader
/// that reaches the end has seen the last state of every action that was not removed first.
///
/// # When something was removed unseen
///
/// The feed returns [`CursorExpired`](crate::ErrorKind::CursorExpired) if it is so far behind that an
/// action was removed before the feed showed its latest change. Call [`restart`](Feed::restart) and
/// read on. The feed then continues from the same place with the changes of all actions that still
/// exist, unfinished ones included. The actions it can no longer show were completed and then
/// removed. If you keep a copy of the unfinished actions, look them up with `get`: one that is not
/// found was removed.
///
/// # When a backup was restored
///
/// A store that continues from a backup becomes a new [branch](crate::query::BranchId). A feed that has
/// read past the backup returns `CursorExpired` too, because the actions it has shown may no longer
/// be correct. [`restart`](Feed::restart) then shows all actions from the beginning. When you reach
/// the end, discard cached actions that were not shown.
///
/// # Resuming
///
/// [`cursor`](Feed::cursor) can be stored as text with `Display`. It is valid in any process for
/// the lifetime of the store. Pass it to [`watch_all`](crate::Watcher::watch_all) to continue after
/// it.
#[must_use = "a feed does nothing until `next` is called"]
pub struct Feed {
    store: Arc<dyn ActionStore>,
    /// Cursor after the last page that was shown in full; `None` at the beginning.
    shown: Option<Cursor>,
    /// Actions that were read and not shown yet, and the cursor after them.
    page: VecDeque<Arc<Action>>,
    end: Option<Cursor>,
    /// The revision up to which everything was read. Set when the feed has caught up and can wait.
    read: Option<Revision>,
    backoff: Option<Backoff>,
    reading: Option<Reading>,
    ended: bool,
}

impl Feed {
    pub(super) fn new(store: Arc<dyn ActionStore>, after: Option<Cursor>) -> Feed {
        Feed {
            store,
            shown: after,
            page: VecDeque::new(),
            end: after,
            read: None,
            backoff: None,
            reading: None,
            ended: false,
        }
    }

    /// Waits for the next action that has changed, and returns it in its current state. Also waits
    /// while the store is `Unavailable`. Dropping the future loses nothing.
    ///
    /// After an error, call it again to retry. The retry starts after a pause.
    ///
    /// # Errors
    ///
    /// - `CursorExpired` if an action was removed before it was shown, or if the store is now
    ///   another branch (see [above](Feed#when-something-was-removed-unseen)).
    ///
    /// - `Invalid` for a cursor of another list or store.
    ///
    /// - `Corrupt` and `Closed` from the store.
    ///
    /// # Panics
    /// Outside a tokio runtime with a timer.
    pub async fn next(&mut self) -> Result<Arc<Action>, Error> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Returns the cursor to resume from, or `None` for the beginning.
    ///
    /// The cursor moves a page at a time, so up to 99 actions that were shown already are shown
    /// again after a resume. Actions that changed since then are shown in their new state. Save the
    /// cursor after you have processed the actions shown.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        if self.page.is_empty() {
            self.end
        } else {
            self.shown
        }
    }

    /// Continues after a [`CursorExpired`](crate::ErrorKind::CursorExpired). The feed continues from the
    /// same place with the actions that still exist. In another branch of the store it starts from
    /// the beginning. See [above](Feed#when-something-was-removed-unseen).
    ///
    /// # Errors
    /// As [`ActionStore::changed`].
    pub async fn restart(&mut self) -> Result<(), Error> {
        let at = self.store.changed(None).await?;
        if let Some(cursor) = self.cursor() {
            // A new walk from the same place does not have to report earlier removals.
            let place = Revision::new(cursor.position());
            let is_here = cursor.branch() == at.branch && place <= at.revision;
            let cursor = match (cursor.store_id() == at.store_id, is_here) {
                (true, true) => Some(Cursor::feed_after(place, None, at)),
                // Another branch may contradict what was shown, so everything is shown again.
                (true, false) => None,
                (false, _) => Some(cursor),
            };
            *self = Feed::new(self.store.clone(), cursor);
        }
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Arc<Action>, Error>> {
        loop {
            if let Some(action) = self.page.pop_front() {
                return Poll::Ready(Ok(action));
            }
            let reading = self.reading.get_or_insert_with(|| {
                self.shown = self.end;
                let backoff = self.backoff.take().unwrap_or_else(Backoff::new);
                let store = self.store.clone();
                Box::pin(read(store, backoff, self.read, self.end))
            });
            let (backoff, page) = ready!(reading.as_mut().poll(context));
            self.reading = None;
            self.backoff = Some(backoff);
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    self.ended = error.kind() == StoreErrorKind::Closed;
                    return Poll::Ready(Err(error.into()));
                }
            };
            self.page.extend(page.items);
            let (end, read) = match page.next {
                Some(next) => (next, None),
                None => {
                    let revision = page.at.revision;
                    (Cursor::feed(page.at, revision), Some(revision))
                }
            };
            self.end = Some(end);
            self.read = read;
        }
    }
}

/// Reads the page after a cursor. With `read`, waits first for a higher revision.
async fn read(
    store: Arc<dyn ActionStore>,
    mut backoff: Backoff,
    mut read: Option<Revision>,
    after: Option<Cursor>,
) -> (Backoff, Result<Page<Arc<Action>>, StoreError>) {
    let feed = Query::new().with_order(Order::Feed).with_limit(PAGE);
    let query = feed.with_after(after);
    loop {
        backoff.pause().await;
        let begun = Instant::now();
        let answer = async {
            if read.is_some() {
                match store.changed(read).await {
                    // The store was replaced by an older copy. The error for the cursor tells more.
                    Err(error) if error.kind() == StoreErrorKind::Invalid => {}
                    answer => drop(answer?),
                }
                // The change exists now, so a retry of the page does not wait again.
                read = None;
            }
            store.list(&query).await
        };
        match answer.await {
            Ok(page) => {
                match page.next {
                    // Wait only at the end of the feed, so that several changes share one read.
                    None => backoff.answered(begun),
                    Some(_) => backoff = Backoff::new(),
                }
                return (backoff, Ok(page));
            }
            Err(error) => {
                backoff.failed();
                if !error.is_retryable() {
                    return (backoff, Err(error));
                }
            }
        }
    }
}

impl Stream for Feed {
    type Item = Result<Arc<Action>, Error>;

    /// `None` after `Closed`.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            Poll::Ready(None)
        } else {
            self.poll(context).map(Some)
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("store", &self.store)
            .field("cursor", &self.cursor())
            .finish_non_exhaustive()
    }
}
