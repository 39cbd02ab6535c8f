//! Which index drives a query, and which sets an action is in: one choice for all stores.

use std::sync::Arc;

use super::action::Action;
use super::identity::ActionUid;
use super::new_action::DEFAULT_TENANT;
use super::object::{ObjectRef, ObjectSet};
use super::query::{Query, Term};
use super::words::{Outcome, Status};

impl Query {
    /// The index that drives this query; its other terms filter what that finds. One choice for
    /// all backends, most selective first.
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

/// The index that drives a query. Each but `Uid`, `TouchesAny` and `All` is a set of actions in
/// creation order; what touches any of several objects is in the sets of those.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Driver {
    /// One action.
    Uid(ActionUid),
    /// The parts of an action.
    Parent(ActionUid),
    /// The retries of an action.
    RetryOf(ActionUid),
    /// What belongs to a request or trace.
    Correlation(Arc<str>),
    /// The unfinished actions of an owner name that somebody wants to be cancelled.
    CancelsOf(Arc<str>),
    /// The unfinished actions of an owner name.
    UnfinishedOf(Arc<str>),
    /// The actions that touch an object.
    Touches(ObjectRef),
    /// The unfinished actions.
    Unfinished,
    /// The actions that ended so; succeeded ones, nearly all there are, have no index.
    Ended(Outcome),
    /// The actions that touch any of these.
    TouchesAny(ObjectSet),
    /// The actions of a tenant; those of the default tenant have no index.
    Tenant(Arc<str>),
    /// The actions of a name.
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

    /// The sets that an action belongs to. `Unfinished`, `UnfinishedOf`, `CancelsOf` and `Ended`
    /// change with its status, its owner and a cancel request, the others never.
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

    /// Those of its sets that its status, its owner and a cancel request decide.
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

/// The objects an action touches, each once, its subject first.
pub(crate) fn touched(action: &Action) -> Vec<&ObjectRef> {
    let mut touched: Vec<&ObjectRef> = action.object.iter().collect();
    for related in &*action.related {
        if !touched.contains(&&related.object) {
            touched.push(&related.object);
        }
    }
    touched
}
