//! An action that the host creates in its own transaction and begins after the commit.

use std::sync::Arc;

use crate::error::{Error, StoreError};
use crate::model::{ActionUid, Batch, Command, NewAction, OwnerRef};

/// An action that the host will create in its own transaction. See
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
        // Check now, so that an error does not appear in the middle of the host's transaction.
        new.check()
            .map_err(|invalid| StoreError::invalid("prepare", invalid))?;
        let new = Arc::new(new);
        Ok(Prepared { owner, new })
    }

    /// Returns the owner under which the action will be queued: the tracker's owner.
    #[must_use]
    pub fn owner(&self) -> &OwnerRef {
        &self.owner
    }

    /// Returns the uid of the new action. If an action with the same idempotency key exists, the
    /// answer to the batch holds that action instead, with another uid. Then there is nothing to
    /// begin.
    #[must_use]
    pub fn uid(&self) -> ActionUid {
        self.new.uid
    }

    /// Returns the batch that creates the action as queued. It holds one command. Repeating it is
    /// harmless.
    #[must_use]
    pub fn batch(&self) -> Batch {
        Batch::all(vec![
            Command::create(self.new.clone()).by(self.owner.clone()),
        ])
    }
}

/// The argument of [`Tracker::begin`](crate::Tracker::begin): a new action or a prepared one.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each call, and it is moved once"
)]
pub enum ToBegin {
    /// A new action. It is created and started in one commit.
    New(NewAction),
    /// An action that the host has created and committed. It is started.
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
