//! Watching all actions.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::time::Instant;

use super::pace::Pace;
use super::task::is_passing;
use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{Action, Cursor, Order, Page, Query, Revision};
use crate::store::ActionStore;

/// Actions that are read, and kept, at once.
const PAGE: u16 = 100;

type Reading = Pin<Box<dyn Future<Output = (Pace, Result<Page<Arc<Action>>, StoreError>)> + Send>>;

/// Every action that changes, made by [`Watcher::watch_all`](crate::Watcher::watch_all) and
/// [`Watcher::watch_from_beginning`](crate::Watcher::watch_from_beginning); also a [`Stream`].
///
/// It is the store's [feed](Order::Feed): each action at its latest change, in the order of these.
/// An action that changed several times since it was last shown is shown once, as it then is; so
/// however slow the reader, nothing but a page of 100 is kept for it. Whoever reads on has seen the
/// last state of every action but of those that were removed first.
///
/// # When something was removed unseen
///
/// A feed that is so far behind that an action was removed whose latest change it had not shown
/// says [`CursorExpired`](ErrorKind::CursorExpired). Call [`restart`](Feed::restart) and read on: it
/// goes on from where it was, and shows all that has changed since and is still there, unfinished
/// actions among it. What it can no longer show was completed and then removed. Who keeps a copy of
/// what is unfinished looks up (`get`) what it holds as unfinished: what is not there has gone.
///
/// # When a backup was restored
///
/// A store that goes on from a backup is another [branch](crate::BranchId) of itself. A feed that
/// has read past the backup says `CursorExpired`, too: what it has shown may not be so any more.
/// [`restart`](Feed::restart) then shows all actions there are, from the beginning. Forget those
/// that it does not show before it has come to the end.
///
/// # Resuming
///
/// [`cursor`](Feed::cursor) is text by `Display`, good for the life of the store in any process:
/// [`watch_all`](crate::Watcher::watch_all) goes on after it.
#[must_use = "it watches nothing until it is asked for what is next"]
pub struct Feed {
    store: Arc<dyn ActionStore>,
    /// After what was shown for good: none at the beginning.
    shown: Option<Cursor>,
    /// What was read after that and is yet to be shown, and where it ends.
    page: VecDeque<Arc<Action>>,
    end: Option<Cursor>,
    /// Once everything was read, up to this: then there is something to wait for.
    read: Option<Revision>,
    pace: Option<Pace>,
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
            pace: None,
            reading: None,
            ended: false,
        }
    }

    /// The next action that has changed, as it is. Waits while there is none, and while the store
    /// is `Unavailable`. Nothing is lost when the future is dropped.
    ///
    /// After an error it can be asked again: it tries the same once more, after a pause.
    ///
    /// # Errors
    /// `CursorExpired` if something was removed unseen, or if the store was replaced by another
    /// branch of itself (see [above](Feed#when-something-was-removed-unseen)), `Invalid` for a
    /// cursor of another list or store, `Corrupt`, `Closed`.
    ///
    /// # Panics
    /// Outside a tokio runtime with a timer.
    pub async fn next(&mut self) -> Result<Arc<Action>, Error> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Where to resume. None: at the beginning.
    ///
    /// It is after everything that was shown, or up to 99 actions before: a page is passed as a
    /// whole, so these are shown again, unless they have changed on. Keep it after what was shown
    /// has been dealt with.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        match self.page.is_empty() {
            true => self.end,
            false => self.shown,
        }
    }

    /// Goes on after a [`CursorExpired`](ErrorKind::CursorExpired): from where it was, with what
    /// is still there; in another branch of the store, from the beginning. See
    /// [above](Feed#when-something-was-removed-unseen).
    ///
    /// # Errors
    /// As [`ActionStore::changed`].
    pub async fn restart(&mut self) -> Result<(), Error> {
        let at = self.store.changed(None).await?;
        if let Some(cursor) = self.cursor() {
            // The same place, in a walk that begins now: it owes nothing that went before.
            let place = Revision::new(cursor.position());
            let is_here = cursor.branch() == at.branch && place <= at.revision;
            let cursor = match (cursor.life() == at.life, is_here) {
                (true, true) => Some(Cursor::feed_after(place, None, at)),
                // Another branch may contradict what was shown: all is shown again.
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
                let pace = self.pace.take().unwrap_or_else(Pace::new);
                let store = self.store.clone();
                Box::pin(read(store, pace, self.read, self.end))
            });
            let (pace, page) = ready!(reading.as_mut().poll(context));
            self.reading = None;
            self.pace = Some(pace);
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    self.ended = error.kind() == ErrorKind::Closed;
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

/// Reads the page after a cursor, once there is something above what was read.
async fn read(
    store: Arc<dyn ActionStore>,
    mut pace: Pace,
    mut read: Option<Revision>,
    after: Option<Cursor>,
) -> (Pace, Result<Page<Arc<Action>>, StoreError>) {
    let feed = Query::new().with_order(Order::Feed).with_limit(PAGE);
    let query = feed.with_after(after);
    loop {
        pace.pause().await;
        let begun = Instant::now();
        let answer = async {
            if read.is_some() {
                match store.changed(read).await {
                    // A store put in its place that is behind: what becomes of the cursor says more.
                    Err(error) if error.kind() == ErrorKind::Invalid => {}
                    answer => drop(answer?),
                }
                // It is there now, however often the page has to be asked for.
                read = None;
            }
            store.list(&query).await
        };
        match answer.await {
            Ok(page) => {
                match page.next {
                    // Only at the end is there something to gather by waiting.
                    None => pace.answered(begun),
                    Some(_) => pace = Pace::new(),
                }
                return (pace, Ok(page));
            }
            Err(error) => {
                pace.failed();
                if !is_passing(&error) {
                    return (pace, Err(error));
                }
            }
        }
    }
}

impl Stream for Feed {
    type Item = Result<Arc<Action>, Error>;

    /// None after `Closed`.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.ended {
            true => Poll::Ready(None),
            false => self.poll(context).map(Some),
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
