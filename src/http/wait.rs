//! Long polling: a request that waits until an action is completed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Busy, Problem};
use super::options::Bounds;
use super::time_param;
use crate::error::Error;
use crate::model::Action;
use crate::watch::Watcher;

/// Limits the number of requests that wait or stream.
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

    /// Takes a permit, which is returned on drop.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = self.places.clone().try_acquire_owned();
        place.map_err(|_| Problem::Busy(Busy::Watchers))
    }

    /// Waits until an action is completed or the time is up. Returns false if it did not wait, so
    /// that the action need not be read again.
    pub(super) async fn for_end(&self, action: &Action, time: Duration) -> Result<bool, Problem> {
        if time.is_zero() || !action.is_unfinished() {
            return Ok(false);
        }
        let _place = self.place()?;
        match self.watcher.wait_for(action.uid, time).await {
            // A removed action is noticed by the caller's next read.
            Ok(_) | Err(Error::Rejected(_) | Error::Found(_)) => Ok(true),
            Err(Error::Store(error)) => Err(Problem::Store(error)),
        }
    }
}

/// Parses the `wait` parameter and caps it at the longest wait.
pub(super) fn read(text: Option<&str>, bounds: &Bounds) -> Result<Duration, Problem> {
    let Some(text) = text else {
        return Ok(Duration::ZERO);
    };
    let fault = || Problem::Parameter("wait".to_owned(), "must be a duration like 30s or 500ms");
    let time = time_param::duration(text).ok_or_else(fault)?;
    Ok(time.min(bounds.longest_wait))
}
