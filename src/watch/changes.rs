//! Changes of one action.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::hub::{Hub, State, Waiter};
use crate::error::Error;
use crate::model::{Action, ActionUid, Rejection};

/// The changes of one action, returned by [`Watcher::watch`](crate::Watcher::watch). Also a
/// [`Stream`].
///
/// It first yields the action as it is, and then each change. If the reader is slow, or the action
/// changes faster than about every 10 ms, it yields only the latest state. Versions rise, and the
/// last item is the completed action. Only the latest state is kept for a slow reader.
#[derive(Debug)]
#[must_use = "a watch does nothing until `next` is called"]
pub struct Watch {
    hub: Arc<Hub>,
    uid: ActionUid,
    waiter: Option<Waiter>,
    shown: Option<Arc<Action>>,
    ended: bool,
}

impl Watch {
    pub(super) fn new(hub: Arc<Hub>, uid: ActionUid) -> Watch {
        Watch {
            hub,
            uid,
            waiter: None,
            shown: None,
            ended: false,
        }
    }

    /// Waits until the action differs from the last one returned, and returns it. Returns `None`
    /// after the completed action and after an error. Dropping the future loses nothing. While the
    /// store is `Unavailable`, it waits.
    ///
    /// # Errors
    /// `NotFound` if the action does not exist or was removed. `Corrupt` and `Closed` as in
    /// [`ActionStore::get`](crate::ActionStore::get) and [`changed`](crate::ActionStore::changed).
    pub async fn next(&mut self) -> Result<Option<Arc<Action>>, Error> {
        std::future::poll_fn(|context| self.poll(context))
            .await
            .transpose()
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Result<Arc<Action>, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let waiter = match &mut self.waiter {
            Some(waiter) => waiter,
            none => match self.hub.register(vec![self.uid]) {
                Ok(waiter) => none.insert(waiter),
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
            },
        };
        let shown = self.shown.as_deref();
        let next = ready!(waiter.poll(context, |uid, state| next(shown, uid, state)));
        self.ended = next.as_ref().map_or(true, |action| !action.is_unfinished());
        if self.ended {
            self.waiter = None;
        }
        self.shown = next.as_ref().ok().cloned();
        Poll::Ready(Some(next))
    }
}

/// Returns the next item after the last one shown, if there is one.
fn next(
    shown: Option<&Action>,
    uid: ActionUid,
    state: &State,
) -> Option<Result<Arc<Action>, Error>> {
    if let (State::There(now), Some(shown)) = (state, shown) {
        if (now.version, now.status) == (shown.version, shown.status) {
            return None;
        }
        // Versions of one action rise, so this is another action with the same uid, created after
        // the first was removed.
        if now.version <= shown.version {
            return Some(Err(Rejection::NotFound(uid).into()));
        }
    }
    Some(state.clone().answer(uid))
}

impl Stream for Watch {
    type Item = Result<Arc<Action>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}
