//! The indexes of a store, and those that contain an action. The same for all stores.

use std::sync::Arc;

use smallvec::SmallVec;

use super::action::Action;
use super::identity::ActionUid;
use super::new_action::DEFAULT_TENANT;
use super::object::{ObjectRef, ObjectSet};
use super::state_set::StateSet;
use super::time_ranges::TimeRanges;
use super::words::Outcome;

/// An index of a store, with the value that is looked up in it.
///
/// Each index lists actions in creation order, except `Uid`, `States`, `TouchesAny`, `NamePrefix`,
/// `Times` and `All`, which are no indexes of their own. `States`, `TouchesAny` and `NamePrefix` merge
/// several of the other indexes.
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
    /// The actions whose name begins with a text. Reads the `Name` index of each such name. Read it
    /// for up to 64 names, or if these have few actions. `All` is in the list, too.
    NamePrefix(Arc<str>),
    /// The [blocks](crate::spi::BlockTimes) of actions whose times are near these ranges.
    Times(TimeRanges),
    /// All actions.
    All,
}

impl AccessPath {
    /// Number of names that a page merges.
    pub(crate) const NAMES: usize = 64;

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
            paths.push(AccessPath::Label(text()));
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
}
