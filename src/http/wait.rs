//! Waiting for an action to be completed: the long poll.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Busy, Problem};
use super::options::Bounds;
use super::when;
use crate::error::Error;
use crate::model::Action;
use crate::watch::Watcher;

/// Those who wait or stream, of whom there are never more than so many at once.
#[derive(Debug)]
pub(super) struct Waiting {
    watcher: Watcher,
    places: Arc<Semaphore>,
}

impl Waiting {
    pub(super) fn new(watcher: Watcher, bounds: &Bounds) -> Waiting {
        Waiting {
            watcher,
            places: Arc::new(Semaphore::new(bounds.watchers)),
        }
    }

    /// A place, for as long as it is held.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = self.places.clone().try_acquire_owned();
        place.map_err(|_| Problem::Busy(Busy::Watchers))
    }

    /// Waits until an action is completed or the time is up. Says whether there was anything to
    /// wait for, so that there may be something new.
    pub(super) async fn for_end(&self, action: &Action, time: Duration) -> Result<bool, Problem> {
        if time.is_zero() || !action.is_unfinished() {
            return Ok(false);
        }
        let _place = self.place()?;
        match self.watcher.wait_for(action.uid, time).await {
            // Removed meanwhile, as who looks again will find.
            Ok(_) | Err(Error::Refused(_)) => Ok(true),
            Err(Error::Store(error)) => Err(Problem::Store(error)),
        }
    }
}

/// Reads how long to wait, which is never longer than the longest.
pub(super) fn read(text: Option<&str>, bounds: &Bounds) -> Result<Duration, Problem> {
    let Some(text) = text else {
        return Ok(Duration::ZERO);
    };
    let fault = || Problem::Parameter("wait".to_owned(), "is not a time like 30s or 500ms");
    let time = when::duration(text).ok_or_else(fault)?;
    Ok(time.min(bounds.longest_wait))
}
