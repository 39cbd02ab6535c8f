//! An action that the host creates in its own transaction and begins after the commit.

use std::sync::{Arc, Mutex};

use super::in_flight::lock;
use super::outbox::Place;
use crate::error::{Error, StoreError};
use crate::model::{ActionUid, Batch, Command, Invalid, NewAction, OwnerRef};

/// An action that the host will create in its own transaction. See
/// [`Tracker::prepare`](crate::Tracker::prepare).
#[derive(Debug, Clone)]
#[must_use = "preparing an action writes nothing"]
pub struct Prepared {
    owner: OwnerRef,
    new: Arc<NewAction>,
    children: Vec<Arc<NewAction>>,
    /// Counts it while the host may still commit it, for all clones.
    counted: Arc<Mutex<Option<Place>>>,
}

impl Prepared {
    pub(super) fn new(owner: OwnerRef, new: NewAction, counted: Place) -> Result<Prepared, Error> {
        Ok(Prepared {
            owner,
            new: checked(new)?,
            children: Vec::new(),
            counted: Arc::new(Mutex::new(Some(counted))),
        })
    }

    /// Adds children, which the same batch records. They are queued under the tracker's name, in the
    /// order given. Start each with [`start_queued`](crate::Tracker::start_queued) after the commit.
    ///
    /// Each child is [a part of](NewAction::part_of) the prepared action and takes its tenant, actor
    /// and correlation, unless it sets its own. The maximum is
    /// [`max_commands`](crate::Capabilities::max_commands) minus 1.
    ///
    /// # Errors
    /// `Invalid` for a broken limit of a child, and for a prepared action with an idempotency key:
    /// if the key led to another action, the children would belong to none.
    pub fn with_children(
        mut self,
        children: impl IntoIterator<Item = NewAction>,
    ) -> Result<Prepared, Error> {
        if self.new.idempotency_key.is_some() {
            let reason = "must not be set on a prepared action with children";
            return Err(invalid(Invalid::new("idempotency_key", reason)));
        }
        for child in children {
            self.children.push(checked(child.part_of(&self.new))?);
        }
        Ok(self)
    }

    /// Returns the uids of the children, in the order given.
    pub fn children(&self) -> impl Iterator<Item = ActionUid> + '_ {
        self.children.iter().map(|child| child.uid)
    }

    /// Records that the action is begun: a drain does not wait for the clones.
    pub(super) fn begun(&self) {
        lock(&self.counted).take();
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

    /// Returns the batch that creates the action as queued. It holds one command, and one for each
    /// child. Repeating it is harmless.
    #[must_use]
    pub fn batch(&self) -> Batch {
        let news = [&self.new].into_iter().chain(&self.children);
        let creates = news.map(|new| Command::create(new.clone()).by(self.owner.clone()));
        Batch::all(creates.collect())
    }
}

/// Cuts an action to its limits and checks it now, so that an error does not appear in the middle of
/// the host's transaction.
fn checked(mut new: NewAction) -> Result<Arc<NewAction>, Error> {
    new.fit();
    new.check().map_err(invalid)?;
    Ok(Arc::new(new))
}

fn invalid(invalid: Invalid) -> Error {
    StoreError::invalid("prepare", invalid).into()
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
