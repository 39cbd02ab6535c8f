//! An action that is created in the host's own transaction and begun after its commit.

use std::sync::Arc;

use crate::error::{Error, StoreError};
use crate::model::{ActionUid, Batch, Command, NewAction, OwnerRef};

/// An action that is still to be created, by the host, in a transaction of its own; see
/// [`Tracker::prepare`](crate::Tracker::prepare).
#[derive(Debug, Clone)]
#[must_use = "preparing an action writes nothing"]
pub struct Prepared {
    owner: OwnerRef,
    new: Arc<NewAction>,
}

impl Prepared {
    pub(super) fn new(owner: OwnerRef, mut new: NewAction) -> Result<Prepared, Error> {
        new.fit();
        // What is wrong with it is said now, not in the middle of the host's transaction.
        new.check()
            .map_err(|invalid| StoreError::invalid("prepare", invalid))?;
        let new = Arc::new(new);
        Ok(Prepared { owner, new })
    }

    /// In whose name it will be queued: the tracker's.
    #[must_use]
    pub fn owner(&self) -> &OwnerRef {
        &self.owner
    }

    /// Which action it will be. With an idempotency key the answer to the batch may tell another
    /// one, which is there already; then there is nothing to begin.
    #[must_use]
    pub fn uid(&self) -> ActionUid {
        self.new.uid
    }

    /// What creates it, queued: one command. A repeat of it is harmless.
    #[must_use]
    pub fn batch(&self) -> Batch {
        Batch::all(vec![Command::Create {
            new: self.new.clone(),
            by: Some(self.owner.clone()),
        }])
    }
}

/// What an action is begun from.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each call, and it is moved once"
)]
pub enum ToBegin {
    /// Nothing yet: it is created and started in one commit.
    New(NewAction),
    /// What the host has created and committed: it is started.
    Prepared(Prepared),
}

impl From<NewAction> for ToBegin {
    fn from(new: NewAction) -> ToBegin {
        ToBegin::New(new)
    }
}

impl From<Prepared> for ToBegin {
    fn from(prepared: Prepared) -> ToBegin {
        ToBegin::Prepared(prepared)
    }
}
