//! The index that a query reads, and the indexes that contain an action. The same for all stores.

use std::sync::Arc;

use smallvec::SmallVec;

use super::action::Action;
use super::identity::ActionUid;
use super::labels::label_text;
use super::new_action::DEFAULT_TENANT;
use super::object::{ObjectRef, ObjectSet};
use super::query::{Filter, Order, Query};
use super::state_set::StateSet;
use super::time::Timestamp;
use super::words::{Outcome, Status};

/// Number of rows up to which a store counts the rows of each candidate, 1000. An index with fewer
/// rows is worth reading even if its rows must be sorted.
pub const SELECTIVE: usize = 1000;

impl Query {
    /// Returns the indexes that this query can read, the one that is usually the most selective
    /// first. [`Query::matches`] filters the rows that the index finds.
    ///
    /// Returns one index if its selectivity is known without counting. Otherwise a store counts up
    /// to [`SELECTIVE`] rows of each, and reads the index with the fewest. A store that does not
    /// count reads the first one that it has. [`AccessPath::All`] is always correct, because a page
    /// reads at most [`Limits::SCAN`](crate::Limits::SCAN) rows.
    ///
    /// The indexes are in creation order. For [`Order::Feed`], read the revisions instead. For
    /// [`Order::Finished`](crate::Order::Finished), read the completion times, or sort the rows of
    /// a selective index.
    ///
    /// ```
    /// use action_store::spi::AccessPath;
    /// use action_store::{ActionUid, Filter, Query, Status};
    ///
    /// let parent = ActionUid::new();
    /// let query = Query::new()
    ///     .with_filter(Filter::Status(Status::Executing))
    ///     .with_filter(Filter::Parent(parent));
    /// assert_eq!(query.access_paths(), [AccessPath::Parent(parent)]);
    /// ```
    #[must_use]
    pub fn access_paths(&self) -> Vec<AccessPath> {
        if self.order == Order::Feed {
            return vec![AccessPath::All];
        }
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
        paths.extend(TimeRanges::of(self).map(AccessPath::Times));
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

/// Ranges of creation and completion times. Each begins with `from` and ends before `before`;
/// `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct TimeRanges {
    /// Earliest creation time.
    pub created_from: Option<Timestamp>,
    /// Time before which the actions were created.
    pub created_before: Option<Timestamp>,
    /// Earliest completion time.
    pub finished_from: Option<Timestamp>,
    /// Time before which the actions were completed.
    pub finished_before: Option<Timestamp>,
}

impl TimeRanges {
    /// Returns the ranges of a query: the intersection of its filters. `None` if it has none.
    #[must_use]
    pub fn of(query: &Query) -> Option<TimeRanges> {
        let mut times = TimeRanges::default();
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
        (times != TimeRanges::default()).then_some(times)
    }
}

fn earlier(bound: &mut Option<Timestamp>, at: Timestamp) {
    *bound = Some(bound.map_or(at, |bound| bound.min(at)));
}

/// Earliest and latest creation and completion times of a block of actions.
///
/// Actions are created in the order of their times, except after a clock was set back, and for
/// imported ones. Most are completed soon after. So a range of times is in few blocks.
///
/// A store that keeps these times for each block of numbers can answer [`AccessPath::Times`]. The
/// times of a block may cover more than its actions, but never less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTimes {
    created: (Timestamp, Timestamp),
    finished: Option<(Timestamp, Timestamp)>,
}

impl BlockTimes {
    /// Actions in a block, 1024: those whose number divided by this is the number of the block.
    pub const ACTIONS: u64 = 1024;

    /// Returns the times of one action.
    #[must_use]
    pub fn of(action: &Action) -> BlockTimes {
        BlockTimes {
            created: (action.created_at, action.created_at),
            finished: action.finished_at.map(|at| (at, at)),
        }
    }

    /// Extends the times to those of another action.
    pub fn extend(&mut self, other: BlockTimes) {
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
    #[must_use]
    pub fn may_have(&self, times: &TimeRanges) -> bool {
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

/// An index of a store, with the value that is looked up in it.
///
/// Each index lists actions in creation order, except `Uid`, `States`, `TouchesAny`, `NamePrefix`,
/// `Times` and `All`, which are no indexes of their own. `States`, `TouchesAny` and `NamePrefix` merge
/// several of the others.
///
/// A store may keep all of these indexes, or those that its users need. These are worth their cost
/// in nearly every store: `Parent`, `UnfinishedOf`, `CancelsOf`, `Unfinished` and `Touches`. Without
/// them, a tracker that recovers its actions, counts parts or lists the actions of an object walks
/// through the whole store.
///
/// # Examples
///
/// A store keeps its indexes in one table, whose key is the index, the value, and the number of the
/// action:
///
/// ```
/// use std::collections::BTreeSet;
///
/// use action_store::spi::AccessPath;
/// use action_store::Action;
///
/// fn enter(indexes: &mut BTreeSet<Vec<u8>>, action: &Action, number: u64) {
///     for key in AccessPath::of(action).iter().filter_map(AccessPath::to_key) {
///         indexes.insert([key, number.to_be_bytes().to_vec()].concat());
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessPath {
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
    Times(TimeRanges),
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
    #[must_use]
    pub fn of(action: &Action) -> Vec<AccessPath> {
        let mut paths = vec![AccessPath::Name(action.name.clone())];
        paths.extend(action.parent.map(AccessPath::Parent));
        paths.extend(action.retry_of.map(AccessPath::RetryOf));
        paths.extend(action.correlation.clone().map(AccessPath::Correlation));
        paths.extend(
            touched(action)
                .into_iter()
                .cloned()
                .map(AccessPath::Touches),
        );
        paths.extend(action.labels.index_texts().map(AccessPath::Label));
        if *action.tenant != *DEFAULT_TENANT {
            paths.push(AccessPath::Tenant(action.tenant.clone()));
        }
        paths.extend(AccessPath::variable(action));
        paths
    }

    /// Returns the indexes that an action leaves at an update, and those that it enters. `before`
    /// and `after` are the same action.
    ///
    /// Most updates change neither: a step, a note and progress are in no index.
    #[must_use]
    pub fn changes(before: &Action, after: &Action) -> (Vec<AccessPath>, Vec<AccessPath>) {
        let cancelled = before.cancel.is_some() != after.cancel.is_some();
        if before.status == after.status && before.owner == after.owner && !cancelled {
            return (Vec::new(), Vec::new());
        }
        let paths = |of| AccessPath::variable(of).collect::<SmallVec<[AccessPath; 4]>>();
        let (before, after) = (paths(before), paths(after));
        let left = before.iter().filter(|path| !after.contains(path)).cloned();
        let entered = after.iter().filter(|path| !before.contains(path)).cloned();
        (left.collect(), entered.collect())
    }

    /// Returns the key of the index and its value as bytes. Two different ones never have the same
    /// key, and no key is the beginning of another. The bytes never change, so they can be stored.
    ///
    /// `None` for `States`, `TouchesAny`, `NamePrefix`, `Times` and `All`, which are not one index.
    #[must_use]
    pub fn to_key(&self) -> Option<Vec<u8>> {
        let text = |text: &str| {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            [&length.to_be_bytes(), text.as_bytes()].concat()
        };
        let uid = |uid: &ActionUid| uid.as_uuid().as_bytes().to_vec();
        let (tag, value) = match self {
            AccessPath::Uid(of) => (0, uid(of)),
            AccessPath::Parent(of) => (1, uid(of)),
            AccessPath::RetryOf(of) => (2, uid(of)),
            AccessPath::Correlation(of) => (3, text(of)),
            AccessPath::CancelsOf(of) => (4, text(of)),
            AccessPath::UnfinishedOf(of) => (5, text(of)),
            AccessPath::Touches(of) => (6, text(of.as_str())),
            AccessPath::Unfinished => (7, Vec::new()),
            AccessPath::Ended(of) => (8, vec![of.code()]),
            AccessPath::Tenant(of) => (9, text(of)),
            AccessPath::Name(of) => (10, text(of)),
            AccessPath::Label(of) => (11, text(of)),
            AccessPath::States(_)
            | AccessPath::TouchesAny(_)
            | AccessPath::NamePrefix(_)
            | AccessPath::Times(_)
            | AccessPath::All => return None,
        };
        Some([vec![tag], value].concat())
    }

    /// Returns the indexes that depend on the action's status, owner and cancel request.
    fn variable(action: &Action) -> impl Iterator<Item = AccessPath> {
        let unfinished = action.outcome.is_none();
        let owner = action.owner.as_ref().filter(|_| unfinished);
        let ended = action.outcome.filter(|o| *o != Outcome::Succeeded);
        let of_owner = owner.map(|owner| AccessPath::UnfinishedOf(owner.name.clone()));
        let cancelled = owner.filter(|_| action.cancel.is_some());
        let paths = [
            cancelled.map(|owner| AccessPath::CancelsOf(owner.name.clone())),
            unfinished.then_some(AccessPath::Unfinished),
            of_owner,
            ended.map(AccessPath::Ended),
        ];
        paths.into_iter().flatten()
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
    use crate::model::NewAction;

    #[test]
    fn no_key_is_the_beginning_of_another() {
        let (one, other) = (ActionUid::new(), ActionUid::new());
        let texts = ["a", "ab", "b", "", "a\0", "\0\0\0\u{1}a"];
        let texts = texts.map(Arc::<str>::from);
        let mut paths = vec![AccessPath::Unfinished];
        for uid in [one, other] {
            paths.extend([AccessPath::Uid(uid), AccessPath::Parent(uid)]);
            paths.push(AccessPath::RetryOf(uid));
        }
        for text in &texts {
            let text = || text.clone();
            paths.extend([AccessPath::Name(text()), AccessPath::Tenant(text())]);
            paths.extend([
                AccessPath::CancelsOf(text()),
                AccessPath::UnfinishedOf(text()),
            ]);
            paths.push(AccessPath::Correlation(text()));
        }
        paths.extend([1, 11, 2].map(|n| AccessPath::Touches(ObjectRef::bdb(n))));
        paths.extend(Outcome::ALL.iter().copied().map(AccessPath::Ended));
        let keys: Vec<Vec<u8>> = paths.iter().filter_map(AccessPath::to_key).collect();
        assert_eq!(keys.len(), paths.len());
        for (place, key) in keys.iter().enumerate() {
            let beginning =
                |other: &(usize, &Vec<u8>)| other.0 != place && other.1.starts_with(key);
            assert!(
                !keys.iter().enumerate().any(|other| beginning(&other)),
                "{:?}",
                paths[place]
            );
        }
        assert_eq!(AccessPath::All.to_key(), None);
    }

    #[test]
    fn an_action_is_in_the_indexes_that_a_query_for_it_can_read() {
        let objects = [ObjectRef::bdb(1), ObjectRef::node(2)];
        let new = NewAction::state_machine("SMUpgrade", objects[0].clone())
            .with_parent(ActionUid::new())
            .with_correlation("req-1")
            .with_tenant("acme");
        let action = Action::new(&new, new.digest(), crate::model::Timestamp::from_seconds(1));
        let paths = AccessPath::of(&action);
        for filter in [
            Filter::Parent(action.parent.unwrap()),
            Filter::Correlation("req-1".into()),
            Filter::Tenant("acme".into()),
            Filter::Name("SMUpgrade".into()),
            Filter::Touches(objects[0].clone()),
            Filter::Unfinished,
        ] {
            let query = Query::new().with_filter(filter);
            let read = query.access_paths();
            assert!(read.iter().all(|path| paths.contains(path)), "{read:?}");
        }
    }

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
