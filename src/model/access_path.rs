//! The index that a query reads, and the indexes that contain an action. The same for all stores.

use std::sync::Arc;

use super::action::Action;
use super::identity::ActionUid;
use super::new_action::DEFAULT_TENANT;
use super::object::{ObjectRef, ObjectSet};
use super::query::{Filter, Query};
use super::words::{Outcome, Status};

impl Query {
    /// Returns the index that this query reads: the most selective one that its conditions allow.
    /// The other conditions filter the rows. The choice is the same for all backends.
    pub(crate) fn driver(&self) -> AccessPath {
        let unfinished = self.filters.iter().any(|filter| {
            matches!(
                filter,
                Filter::Unfinished | Filter::Status(Status::Queued | Status::Executing)
            )
        });
        let cancelled = self.filters.contains(&Filter::CancelRequested);
        let of_owner = |name: &Arc<str>| {
            if cancelled {
                AccessPath::CancelsOf(name.clone())
            } else {
                AccessPath::UnfinishedOf(name.clone())
            }
        };
        self.filters
            .iter()
            .filter_map(|filter| match filter {
                Filter::Uid(uid) => Some(AccessPath::Uid(*uid)),
                Filter::Parent(parent) => Some(AccessPath::Parent(*parent)),
                Filter::RetryOf(retry_of) => Some(AccessPath::RetryOf(*retry_of)),
                Filter::Correlation(text) => Some(AccessPath::Correlation(text.clone())),
                Filter::OwnerName(name) if unfinished => Some(of_owner(name)),
                Filter::Owner(owner) if unfinished => Some(of_owner(&owner.name)),
                Filter::Object(object) | Filter::Touches(object) => {
                    Some(AccessPath::Touches(object.clone()))
                }
                Filter::Unfinished | Filter::Status(Status::Queued | Status::Executing) => {
                    Some(AccessPath::Unfinished)
                }
                Filter::Outcome(outcome) if *outcome != Outcome::Succeeded => {
                    Some(AccessPath::Ended(*outcome))
                }
                Filter::TouchesAny(objects) => Some(AccessPath::TouchesAny(objects.clone())),
                Filter::Tenant(tenant) if **tenant != *DEFAULT_TENANT => {
                    Some(AccessPath::Tenant(tenant.clone()))
                }
                Filter::Name(name) => Some(AccessPath::Name(name.clone())),
                _ => None,
            })
            .min_by_key(AccessPath::rank)
            .unwrap_or(AccessPath::All)
    }
}

/// An index that a query can read. Every index except `Uid`, `TouchesAny` and `All` lists actions
/// in creation order. `TouchesAny` reads the `Touches` indexes of its objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum AccessPath {
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

impl AccessPath {
    fn rank(&self) -> u8 {
        match self {
            AccessPath::Uid(_) => 0,
            AccessPath::Parent(_) => 1,
            AccessPath::RetryOf(_) => 2,
            AccessPath::Correlation(_) => 3,
            AccessPath::CancelsOf(_) => 4,
            AccessPath::UnfinishedOf(_) => 5,
            AccessPath::Touches(_) => 6,
            AccessPath::Unfinished => 7,
            AccessPath::Ended(_) => 8,
            AccessPath::TouchesAny(_) => 9,
            AccessPath::Tenant(_) => 10,
            AccessPath::Name(_) => 11,
            AccessPath::All => 12,
        }
    }

    /// Returns the indexes that contain an action. `Unfinished`, `UnfinishedOf`, `CancelsOf` and
    /// `Ended` change with its status, its owner and a cancel request. The others never change.
    pub(crate) fn sets_of(action: &Action) -> Vec<AccessPath> {
        let mut sets = vec![AccessPath::Name(action.name.clone())];
        sets.extend(action.parent.map(AccessPath::Parent));
        sets.extend(action.retry_of.map(AccessPath::RetryOf));
        sets.extend(action.correlation.clone().map(AccessPath::Correlation));
        sets.extend(
            touched(action)
                .into_iter()
                .cloned()
                .map(AccessPath::Touches),
        );
        if *action.tenant != *DEFAULT_TENANT {
            sets.push(AccessPath::Tenant(action.tenant.clone()));
        }
        sets.extend(AccessPath::moving_sets_of(action));
        sets
    }

    /// Returns the indexes that depend on the action's status, owner and cancel request.
    pub(crate) fn moving_sets_of(action: &Action) -> impl Iterator<Item = AccessPath> {
        let unfinished = action.outcome.is_none();
        let owner = action.owner.as_ref().filter(|_| unfinished);
        let ended = action.outcome.filter(|o| *o != Outcome::Succeeded);
        let of_owner = owner.map(|owner| AccessPath::UnfinishedOf(owner.name.clone()));
        let cancelled = owner.filter(|_| action.cancel.is_some());
        let sets = [
            cancelled.map(|owner| AccessPath::CancelsOf(owner.name.clone())),
            unfinished.then_some(AccessPath::Unfinished),
            of_owner,
            ended.map(AccessPath::Ended),
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
