//! Long polling: a request that waits until an action is completed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::authorize::Scope;
use super::error::{Busy, Problem};
use super::options::{Bounds, RouterOptions, Shutdown};
use super::time_param;
use crate::error::Error;
use crate::model::Action;
use crate::watch::Watcher;

/// Limits the number of requests that wait or stream: in total, and for each client.
#[derive(Debug)]
pub(super) struct Waiting {
    watcher: Watcher,
    places: Arc<Semaphore>,
    clients: Arc<Clients>,
    shutdown: Shutdown,
}

/// The number of places that each client holds. Only clients that hold one are kept, so the total
/// bounds the map.
#[derive(Debug)]
struct Clients {
    most: usize,
    held: Mutex<HashMap<Arc<str>, usize>>,
}

/// A permit to wait or stream, which is returned on drop.
#[derive(Debug)]
pub(super) struct WatchPermit {
    _of_all: OwnedSemaphorePermit,
    _of_client: Option<ClientPermit>,
}

#[derive(Debug)]
struct ClientPermit {
    clients: Arc<Clients>,
    client: Arc<str>,
}

impl Waiting {
    pub(super) fn new(watcher: Watcher, options: &RouterOptions) -> Waiting {
        let bounds = &options.bounds;
        Waiting {
            watcher,
            places: Arc::new(Semaphore::new(bounds.watchers)),
            clients: Arc::new(Clients {
                most: bounds.watchers_of_a_client(),
                held: Mutex::default(),
            }),
            shutdown: options.shutdown.clone(),
        }
    }

    /// Takes a permit for the client of a scope.
    pub(super) fn permit(&self, scope: &Scope) -> Result<WatchPermit, Problem> {
        let of_all = self.places.clone().try_acquire_owned();
        let of_all = of_all.map_err(|_| Problem::Busy(Busy::Watchers))?;
        let of_client = match scope.client() {
            Some(client) => Some(self.clients.permit(client)?),
            None => None,
        };
        Ok(WatchPermit {
            _of_all: of_all,
            _of_client: of_client,
        })
    }

    /// Waits until an action is completed, the time is up or the host stops. Returns false if it did
    /// not wait, so that the action need not be read again.
    pub(super) async fn for_end(
        &self,
        action: &Action,
        time: Duration,
        scope: &Scope,
    ) -> Result<bool, Problem> {
        if time.is_zero() || !action.is_unfinished() {
            return Ok(false);
        }
        let _permit = self.permit(scope)?;
        let waited = tokio::select! {
            waited = self.watcher.wait_for(action.uid, time) => waited,
            () = self.shutdown.begun() => return Ok(true),
        };
        match waited {
            // A removed action is noticed by the caller's next read.
            Ok(_) | Err(Error::Rejected(_) | Error::Found(_)) => Ok(true),
            Err(Error::Store(error)) => Err(Problem::Store(error)),
        }
    }
}

impl Clients {
    fn permit(self: &Arc<Clients>, client: &Arc<str>) -> Result<ClientPermit, Problem> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(client).copied().unwrap_or_default();
        if count >= self.most {
            return Err(Problem::Busy(Busy::ClientWatchers));
        }
        held.insert(client.clone(), count + 1);
        Ok(ClientPermit {
            clients: self.clone(),
            client: client.clone(),
        })
    }
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        let held = &self.clients.held;
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.client);
            }
        }
    }
}

/// Parses the `wait` parameter and caps it at the longest wait.
pub(super) fn read(text: Option<&str>, bounds: &Bounds) -> Result<Duration, Problem> {
    let Some(text) = text else {
        return Ok(Duration::ZERO);
    };
    let fault = || {
        let fault = "must be seconds or a duration like 500ms, 30s, 5m or 1h";
        Problem::Parameter("wait".to_owned(), fault)
    };
    let time = time_param::duration(text).ok_or_else(fault)?;
    Ok(time.min(bounds.longest_wait))
}
