//! The index that a query reads, and the indexes that contain an action. The same for all stores.

use std::sync::Arc;

use super::action::Action;
use super::identity::ActionUid;
use super::new_action::DEFAULT_TENANT;
use super::object::{ObjectRef, ObjectSet};
use super::query::{Query, Term};
use super::words::{Outcome, Status};

impl Query {
    /// Returns the index that this query reads: the most selective one that its conditions allow.
    /// The other conditions filter the rows. The choice is the same for all backends.
    pub(crate) fn driver(&self) -> Driver {
        let unfinished = self.terms.iter().any(|term| {
            matches!(
                term,
                Term::Unfinished | Term::Status(Status::Queued | Status::Executing)
            )
        });
        let cancelled = self.terms.contains(&Term::CancelRequested);
        let of_owner = |name: &Arc<str>| match cancelled {
            true => Driver::CancelsOf(name.clone()),
            false => Driver::UnfinishedOf(name.clone()),
        };
        self.terms
            .iter()
            .filter_map(|term| match term {
                Term::Uid(uid) => Some(Driver::Uid(*uid)),
                Term::Parent(parent) => Some(Driver::Parent(*parent)),
                Term::RetryOf(retry_of) => Some(Driver::RetryOf(*retry_of)),
                Term::Correlation(text) => Some(Driver::Correlation(text.clone())),
                Term::OwnerName(name) if unfinished => Some(of_owner(name)),
                Term::Owner(owner) if unfinished => Some(of_owner(&owner.name)),
                Term::Object(object) | Term::Touches(object) => {
                    Some(Driver::Touches(object.clone()))
                }
                Term::Unfinished | Term::Status(Status::Queued | Status::Executing) => {
                    Some(Driver::Unfinished)
                }
                Term::Outcome(outcome) if *outcome != Outcome::Succeeded => {
                    Some(Driver::Ended(*outcome))
                }
                Term::TouchesAny(objects) => Some(Driver::TouchesAny(objects.clone())),
                Term::Tenant(tenant) if **tenant != *DEFAULT_TENANT => {
                    Some(Driver::Tenant(tenant.clone()))
                }
                Term::Name(name) => Some(Driver::Name(name.clone())),
                _ => None,
            })
            .min_by_key(Driver::rank)
            .unwrap_or(Driver::All)
    }
}

/// An index that a query can read. Every index except `Uid`, `TouchesAny` and `All` lists actions
/// in creation order. `TouchesAny` reads the `Touches` indexes of its objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Driver {
    /// One action.
    Uid(ActionUid),
    /// The parts of an action.
    Parent(ActionUid),
    /// The retries of an action.
    RetryOf(ActionUid),
    /// The actions of a request or trace.
    Correlation(Arc<str>),
    /// The unfinished actions of an owner name that have a cancel request.
    CancelsOf(Arc<str>),
    /// The unfinished actions of an owner name.
    UnfinishedOf(Arc<str>),
    /// The actions that touch an object.
    Touches(ObjectRef),
    /// The unfinished actions.
    Unfinished,
    /// The actions with an outcome. Succeeded actions, nearly all, have no such index.
    Ended(Outcome),
    /// The actions that touch one of these objects.
    TouchesAny(ObjectSet),
    /// The actions of a tenant. The default tenant has no such index.
    Tenant(Arc<str>),
    /// The actions with a name.
    Name(Arc<str>),
    /// All actions.
    All,
}

impl Driver {
    fn rank(&self) -> u8 {
        match self {
            Driver::Uid(_) => 0,
            Driver::Parent(_) => 1,
            Driver::RetryOf(_) => 2,
            Driver::Correlation(_) => 3,
            Driver::CancelsOf(_) => 4,
            Driver::UnfinishedOf(_) => 5,
            Driver::Touches(_) => 6,
            Driver::Unfinished => 7,
            Driver::Ended(_) => 8,
            Driver::TouchesAny(_) => 9,
            Driver::Tenant(_) => 10,
            Driver::Name(_) => 11,
            Driver::All => 12,
        }
    }

    /// Returns the indexes that contain an action. `Unfinished`, `UnfinishedOf`, `CancelsOf` and
    /// `Ended` change with its status, its owner and a cancel request. The others never change.
    pub(crate) fn sets_of(action: &Action) -> Vec<Driver> {
        let mut sets = vec![Driver::Name(action.name.clone())];
        sets.extend(action.parent.map(Driver::Parent));
        sets.extend(action.retry_of.map(Driver::RetryOf));
        sets.extend(action.correlation.clone().map(Driver::Correlation));
        sets.extend(touched(action).into_iter().cloned().map(Driver::Touches));
        if *action.tenant != *DEFAULT_TENANT {
            sets.push(Driver::Tenant(action.tenant.clone()));
        }
        sets.extend(Driver::moving_sets_of(action));
        sets
    }

    /// Returns the indexes that depend on the action's status, owner and cancel request.
    pub(crate) fn moving_sets_of(action: &Action) -> impl Iterator<Item = Driver> {
        let unfinished = action.outcome.is_none();
        let owner = action.owner.as_ref().filter(|_| unfinished);
        let ended = action.outcome.filter(|o| *o != Outcome::Succeeded);
        let of_owner = owner.map(|owner| Driver::UnfinishedOf(owner.name.clone()));
        let cancelled = owner.filter(|_| action.cancel.is_some());
        let sets = [
            cancelled.map(|owner| Driver::CancelsOf(owner.name.clone())),
            unfinished.then_some(Driver::Unfinished),
            of_owner,
            ended.map(Driver::Ended),
        ];
        sets.into_iter().flatten()
    }
}

/// Returns the objects that an action touches, without duplicates, its own object first.
pub(crate) fn touched(action: &Action) -> Vec<&ObjectRef> {
    let mut touched: Vec<&ObjectRef> = action.object.iter().collect();
    for related in &*action.related {
        if !touched.contains(&&related.object) {
            touched.push(&related.object);
        }
    }
    touched
}
