//! Connections that have not authenticated. There are few of them: the oldest is closed
//! when there are too many, so clients that send nothing cannot keep others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use action_store::http::{Authorizer, BasicAuth, Denied, Permission, Scope};
use async_trait::async_trait;
use axum::http::request::Parts;
use tokio::sync::Notify;

/// Maximum number of connections that have not authenticated.
const MAX_UNAUTHENTICATED: usize = 200;
/// Minimum of that number where files are scarce.
const FEW: usize = 8;

/// The connections that have not authenticated, oldest first.
#[derive(Debug)]
pub(crate) struct Unauthenticated(Mutex<Known>);

#[derive(Debug)]
struct Known {
    next: u64,
    most: usize,
    open: BTreeMap<u64, Arc<Notify>>,
}

/// A connection. Every request of it has this as an extension.
#[derive(Debug, Clone)]
pub(crate) struct Peer(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    id: u64,
    close: Arc<Notify>,
    unauthenticated: Arc<Unauthenticated>,
}

impl Default for Unauthenticated {
    fn default() -> Unauthenticated {
        Unauthenticated(Mutex::new(Known {
            next: 0,
            most: MAX_UNAUTHENTICATED,
            open: BTreeMap::new(),
        }))
    }
}

impl Unauthenticated {
    /// Adds a new connection. Closes the oldest one if there are too many.
    pub(crate) fn enter(self: &Arc<Unauthenticated>) -> Peer {
        let close = Arc::new(Notify::new());
        let (id, too_many) = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.next += 1;
            let id = known.next;
            known.open.insert(id, close.clone());
            (id, known.open.len() > known.most)
        };
        if too_many {
            self.close_oldest(1);
        }
        Peer(Arc::new(Connection {
            id,
            close,
            unauthenticated: self.clone(),
        }))
    }

    /// Closes half of them and admits no more than that from now on. The process has no
    /// free file descriptor, and its own work needs some.
    pub(crate) fn halve(&self) {
        let half = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let half = known.open.len() / 2;
            known.most = half.max(FEW);
            half
        };
        self.close_oldest(half);
    }

    pub(crate) fn close_oldest(&self, count: usize) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..count {
            if let Some((_, oldest)) = known.open.pop_first() {
                oldest.notify_one();
            }
        }
    }

    fn leave(&self, id: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.open.remove(&id);
    }
}

impl Peer {
    /// Completes when the connection is to be closed.
    pub(crate) async fn closed(&self) {
        self.0.close.notified().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.unauthenticated.leave(self.id);
    }
}

/// Authenticates requests, and remembers which connections have sent a good one.
#[derive(Debug)]
pub(crate) struct ConnectionAuth(pub(crate) BasicAuth);

#[async_trait]
impl Authorizer for ConnectionAuth {
    async fn authorize(&self, parts: &Parts, permission: Permission) -> Result<Scope, Denied> {
        let scope = self.0.authorize(parts, permission).await?;
        if let Some(Peer(connection)) = parts.extensions.get() {
            connection.unauthenticated.leave(connection.id);
        }
        Ok(scope)
    }
}
