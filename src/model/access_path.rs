//! The index that a query reads, and the indexes that contain an action. The same for all stores.

use std::sync::Arc;

use super::action::Action;
use super::identity::ActionUid;
use super::labels::label_text;
use super::new_action::DEFAULT_TENANT;
use super::object::{ObjectRef, ObjectSet};
use super::query::{Filter, Query};
use super::state_set::StateSet;
use super::time::Timestamp;
use super::words::{Outcome, Status};

/// Number of rows up to which a store counts the rows of each candidate.
pub(crate) const SELECTIVE: usize = 1000;

impl Query {
    /// Returns the indexes that this query can read, the one that is usually the most selective
    /// first. The other conditions filter the rows that the index finds.
    ///
    /// Returns one index if its selectivity is known without counting. Otherwise a store counts up
    /// to [`SELECTIVE`] rows of each, and reads the index with the fewest.
    pub(crate) fn paths(&self) -> Vec<AccessPath> {
        let unfinished = self.filters.iter().any(|filter| match filter {
            Filter::Unfinished => true,
            Filter::Status(status) => *status != Status::Completed,
            Filter::States(states) => states.is_subset(StateSet::UNFINISHED),
            _ => false,
        });
        let cancelled = self.filters.contains(&Filter::CancelRequested);
        let of_owner = |name: &Arc<str>| {
            if cancelled {
                AccessPath::CancelsOf(name.clone())
            } else {
                AccessPath::UnfinishedOf(name.clone())
            }
        };
        let mut paths: Vec<AccessPath> = self
            .filters
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
                Filter::States(states) => AccessPath::of_states(*states),
                Filter::Label { key, value } => Some(AccessPath::Label(match value {
                    Some(value) => label_text(key, value),
                    None => key.clone(),
                })),
                Filter::TouchesAny(objects) => Some(AccessPath::TouchesAny(objects.clone())),
                Filter::Tenant(tenant) if **tenant != *DEFAULT_TENANT => {
                    Some(AccessPath::Tenant(tenant.clone()))
                }
                Filter::Name(name) => Some(AccessPath::Name(name.clone())),
                Filter::NamePrefix(prefix) => Some(AccessPath::NamePrefix(prefix.clone())),
                _ => None,
            })
            .collect();
        paths.extend(Times::of(self).map(AccessPath::Times));
        paths.sort_by_key(AccessPath::rank);
        paths.dedup();
        // Too many names may begin with a text.
        if matches!(paths[..], [AccessPath::NamePrefix(_), ..]) {
            paths.push(AccessPath::All);
        }
        match paths.first() {
            None => vec![AccessPath::All],
            Some(first) if first.is_selective() => {
                paths.truncate(1);
                paths
            }
            Some(_) => paths,
        }
    }
}

/// Ranges of creation and completion times. Each begins with `from` and ends before `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Times {
    pub(crate) created_from: Option<Timestamp>,
    pub(crate) created_before: Option<Timestamp>,
    pub(crate) finished_from: Option<Timestamp>,
    pub(crate) finished_before: Option<Timestamp>,
}

impl Times {
    /// Returns the ranges of a query; `None` if it has none.
    pub(crate) fn of(query: &Query) -> Option<Times> {
        let mut times = Times::default();
        for filter in &query.filters {
            match filter {
                Filter::CreatedFrom(at) => {
                    times.created_from = times.created_from.max(Some(*at));
                }
                Filter::FinishedFrom(at) => {
                    times.finished_from = times.finished_from.max(Some(*at));
                }
                Filter::CreatedBefore(at) => earlier(&mut times.created_before, *at),
                Filter::FinishedBefore(at) => earlier(&mut times.finished_before, *at),
                _ => {}
            }
        }
        (times != Times::default()).then_some(times)
    }
}

fn earlier(bound: &mut Option<Timestamp>, at: Timestamp) {
    *bound = Some(bound.map_or(at, |bound| bound.min(at)));
}

/// Earliest and latest creation and completion times of a block of actions.
///
/// Actions are created in the order of their times, except after a clock was set back, and for
/// imported ones. Most are completed soon after. So a range of times is in few blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockTimes {
    created: (Timestamp, Timestamp),
    finished: Option<(Timestamp, Timestamp)>,
}

impl BlockTimes {
    /// Actions in a block: those whose number divided by this is the number of the block.
    pub(crate) const ACTIONS: u64 = 1024;

    pub(crate) fn of(action: &Action) -> BlockTimes {
        BlockTimes {
            created: (action.created_at, action.created_at),
            finished: action.finished_at.map(|at| (at, at)),
        }
    }

    /// Extends the times to those of another action.
    pub(crate) fn extend(&mut self, other: BlockTimes) {
        let join = |one: (Timestamp, Timestamp), other: (Timestamp, Timestamp)| {
            (one.0.min(other.0), one.1.max(other.1))
        };
        self.created = join(self.created, other.created);
        self.finished = match (self.finished, other.finished) {
            (Some(one), Some(other)) => Some(join(one, other)),
            (one, other) => one.or(other),
        };
    }

    /// Returns true if an action of the block may be within the ranges.
    pub(crate) fn may_have(&self, times: &Times) -> bool {
        let overlaps = |(first, last), from: Option<Timestamp>, before: Option<Timestamp>| {
            from.is_none_or(|from| last >= from) && before.is_none_or(|before| first < before)
        };
        let any_finished = times.finished_from.is_some() || times.finished_before.is_some();
        let finished = match self.finished {
            Some(known) => overlaps(known, times.finished_from, times.finished_before),
            None => !any_finished,
        };
        finished && overlaps(self.created, times.created_from, times.created_before)
    }
}

/// An index that a query can read. Every index except `Uid`, `States`, `TouchesAny`, `NamePrefix`,
/// `Times` and `All` lists actions in creation order. `States`, `TouchesAny` and `NamePrefix` merge
/// several of these indexes.
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
    /// The actions with a label: its key, or `key=value`.
    Label(Arc<str>),
    /// The unfinished actions.
    Unfinished,
    /// The actions with an outcome. Succeeded actions, nearly all, have no such index.
    Ended(Outcome),
    /// The actions in one of these states. Reads `Unfinished`, and `Ended` of each outcome. Without
    /// the succeeded ones.
    States(StateSet),
    /// The actions that touch one of these objects. Reads the `Touches` indexes of the objects.
    TouchesAny(ObjectSet),
    /// The actions of a tenant. The default tenant has no such index.
    Tenant(Arc<str>),
    /// The actions with a name.
    Name(Arc<str>),
    /// The actions whose name begins with a text. Reads the `Name` index of each such name. Not for
    /// more than [`AccessPath::NAMES`] names, unless these have few actions.
    NamePrefix(Arc<str>),
    /// The [blocks](BlockTimes) of actions whose times are near these ranges.
    Times(Times),
    /// All actions.
    All,
}

impl AccessPath {
    /// Number of names that a page merges.
    pub(crate) const NAMES: usize = 64;

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
            AccessPath::States(_) => 9,
            AccessPath::Label(_) => 10,
            AccessPath::TouchesAny(_) => 11,
            AccessPath::Tenant(_) => 12,
            AccessPath::Name(_) => 13,
            AccessPath::NamePrefix(_) => 14,
            AccessPath::Times(_) => 15,
            AccessPath::All => 16,
        }
    }

    /// Returns the index for a set of states. `None` if the set has the succeeded actions, which
    /// have no such index.
    fn of_states(states: StateSet) -> Option<AccessPath> {
        let mut outcomes = states.outcomes();
        let (first, more) = (outcomes.next(), outcomes.next().is_some());
        match (states.unfinished().next(), first) {
            (_, Some(Outcome::Succeeded)) => None,
            (Some(_), None) => Some(AccessPath::Unfinished),
            (None, Some(outcome)) if !more => Some(AccessPath::Ended(outcome)),
            _ => Some(AccessPath::States(states)),
        }
    }

    /// Returns true for an index that finds few actions, however large the store is.
    fn is_selective(&self) -> bool {
        self.rank() <= 5
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
        sets.extend(action.labels.index_texts().map(AccessPath::Label));
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

/// Returns the end of the range of texts that begin with `prefix`: the first text behind all of them,
/// in the order of bytes. `None` if there is none.
#[cfg(any(feature = "_sql", test))]
pub(crate) fn prefix_end(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Skips the surrogates, which are no characters.
        let mut later = (u32::from(last) + 1..=u32::from(char::MAX)).filter_map(char::from_u32);
        if let Some(next) = later.next() {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_prefix_has_the_texts_that_begin_with_it() {
        for (prefix, end) in [
            ("SM", Some("SN")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{7f}", Some("\u{80}")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(prefix_end(prefix).as_deref(), end);
            let Some(end) = end else { continue };
            let longest = format!("{prefix}\u{10ffff}\u{10ffff}");
            assert!(*prefix < *end && *longest < *end, "{prefix:?}");
        }
    }

    #[test]
    fn a_set_of_states_reads_the_smallest_indexes() {
        let set = StateSet::new;
        let of = AccessPath::of_states;
        let mixed = StateSet::UNFINISHED.with_outcome(Outcome::Lost);
        assert_eq!(of(StateSet::UNFINISHED), Some(AccessPath::Unfinished));
        assert_eq!(
            of(set().with_status(Status::Queued)),
            Some(AccessPath::Unfinished)
        );
        let lost = set().with_outcome(Outcome::Lost);
        assert_eq!(of(lost), Some(AccessPath::Ended(Outcome::Lost)));
        assert_eq!(of(mixed), Some(AccessPath::States(mixed)));
        assert_eq!(of(set()), Some(AccessPath::States(set())));
        assert_eq!(of(mixed.with_outcome(Outcome::Succeeded)), None);
        assert_eq!(of(set().with_outcome(Outcome::Succeeded)), None);
    }
}
