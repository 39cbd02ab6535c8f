//! The rows that a query can match: the index with the fewest rows, and walks that merge indexes.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::ops::{Bound, RangeBounds as _};

use super::tables::{Row, Tables};
use crate::model::{AccessPath, BlockTimes, Query, SELECTIVE, TimeRanges};

type Range = (std::ops::Bound<u64>, std::ops::Bound<u64>);

impl Tables {
    /// Returns the rows that a query can match, in creation order or newest first.
    pub(super) fn rows_for(&self, query: &Query, range: Range, newest: bool) -> Walk<'_, &Row> {
        let paths = query.access_paths();
        let fewest = paths.into_iter().min_by_key(|path| self.count(path, range));
        self.driven(fewest.unwrap_or(AccessPath::All), range, newest)
    }

    /// Returns the completed actions from the cursor of a query on, the one completed last first.
    pub(super) fn completed(&self, query: &Query) -> impl Iterator<Item = &Row> + use<'_> {
        let times = TimeRanges::of(query).unwrap_or_default();
        let after = query.after.map(|c| (c.finished_at(), c.position()));
        let before = times.finished_before.map(|before| (before, 0));
        let end = after.into_iter().chain(before).min();
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let from = times.finished_from.map(|from| (from, 0));
        // A range that is empty must not begin behind its end.
        let is_empty = match (from, end) {
            (Some(from), Bound::Excluded(end)) => from >= end,
            _ => false,
        };
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        let range = (!is_empty).then(|| self.finished.range((from, end)));
        let numbers = range.into_iter().flat_map(|range| range.rev());
        let uids = numbers.filter_map(|(_, number)| self.numbers.get(*number));
        uids.filter_map(|uid| self.rows.get(uid))
    }

    /// Returns the number of rows that an index finds, at most [`SELECTIVE`]; more for an index that
    /// cannot be used. Counts all rows of a set, not only those within the range: a set knows its
    /// size.
    fn count(&self, path: &AccessPath, range: Range) -> usize {
        let count = match path {
            AccessPath::NamePrefix(prefix) => {
                let names = || self.names_of(prefix).map(BTreeSet::len);
                let few = names().take(SELECTIVE).sum::<usize>() < SELECTIVE;
                match few || names().nth(AccessPath::NAMES).is_none() {
                    true => names().take(SELECTIVE).sum(),
                    false => return SELECTIVE + 1,
                }
            }
            AccessPath::States(_) | AccessPath::TouchesAny(_) => {
                self.merges(path).into_iter().map(BTreeSet::len).sum()
            }
            AccessPath::Times(times) => {
                self.blocks(*times, range).count() * BlockTimes::ACTIONS as usize
            }
            AccessPath::Uid(_) => 1,
            AccessPath::All => SELECTIVE,
            set => self.set(set).map_or(0, BTreeSet::len),
        };
        count.min(SELECTIVE)
    }

    /// Returns the blocks within a range of numbers that may have actions of these times, in
    /// ascending order.
    fn blocks(&self, times: TimeRanges, (from, to): Range) -> impl DoubleEndedIterator<Item = u64> {
        let block = |bound: Bound<u64>, unbounded: u64| match bound {
            Bound::Included(number) | Bound::Excluded(number) => number / BlockTimes::ACTIONS,
            Bound::Unbounded => unbounded,
        };
        let blocks = self.block_times.range(block(from, 0)..=block(to, u64::MAX));
        blocks.filter_map(move |(block, known)| known.may_have(&times).then_some(*block))
    }

    /// Returns the numbers of the actions in a set.
    fn set(&self, set: &AccessPath) -> Option<&BTreeSet<u64>> {
        match set {
            AccessPath::Name(name) => self.names.get(name),
            set => self.indexes.get(set),
        }
    }

    /// Returns the sets that an index merges.
    fn merges(&self, path: &AccessPath) -> Vec<&BTreeSet<u64>> {
        match path {
            AccessPath::States(states) => {
                let unfinished = states.unfinished().next().map(|_| AccessPath::Unfinished);
                let ended = states.outcomes().map(AccessPath::Ended);
                let sets = unfinished.into_iter().chain(ended);
                sets.filter_map(|set| self.set(&set)).collect()
            }
            AccessPath::TouchesAny(objects) => {
                let sets = objects.iter().cloned().map(AccessPath::Touches);
                sets.filter_map(|set| self.set(&set)).collect()
            }
            AccessPath::NamePrefix(prefix) => self.names_of(prefix).collect(),
            set => self.set(set).into_iter().collect(),
        }
    }

    /// Returns the numbers of the actions of each name that begins with a text.
    fn names_of(&self, prefix: &str) -> impl Iterator<Item = &BTreeSet<u64>> {
        let names = self
            .names
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let names = names.take_while(move |(name, _)| name.starts_with(prefix));
        names.map(|(_, numbers)| numbers)
    }

    /// Returns the rows of an index, in creation order or newest first.
    fn driven(&self, driver: AccessPath, range: Range, newest: bool) -> Walk<'_, &Row> {
        let numbers = match driver {
            AccessPath::All => {
                let uids = self.numbers.range(range).map(|(_, uid)| uid);
                return directed(uids.filter_map(|uid| self.rows.get(uid)), newest);
            }
            AccessPath::Uid(uid) => {
                let row = self.rows.get(&uid);
                return Box::new(row.filter(|row| range.contains(&row.number)).into_iter());
            }
            AccessPath::Times(times) => {
                let block = move |block: u64| {
                    let first = block * BlockTimes::ACTIONS;
                    let numbers = self.numbers.range((
                        Bound::Included(first),
                        Bound::Excluded(first + BlockTimes::ACTIONS),
                    ));
                    let numbers = numbers.map(|(number, _)| number);
                    directed(numbers.filter(move |n| range.contains(n)), newest)
                };
                let blocks = directed(self.blocks(times, range), newest);
                Box::new(blocks.flat_map(block))
            }
            AccessPath::States(_) | AccessPath::TouchesAny(_) | AccessPath::NamePrefix(_) => {
                let sets = self.merges(&driver).into_iter();
                let walks = sets.map(|set| directed(set.range(range).copied(), newest).peekable());
                merged(walks.collect(), newest)
            }
            set => {
                let numbers = self.set(&set).map(|set| set.range(range).copied());
                directed(numbers.into_iter().flatten(), newest)
            }
        };
        let uids = numbers.filter_map(|number| self.numbers.get(number));
        Box::new(uids.filter_map(|uid| self.rows.get(uid)))
    }
}

type Walk<'t, T> = Box<dyn Iterator<Item = T> + 't>;

fn directed<'t, T: 't>(walk: impl DoubleEndedIterator<Item = T> + 't, newest: bool) -> Walk<'t, T> {
    if newest {
        Box::new(walk.rev())
    } else {
        Box::new(walk)
    }
}

/// Merges several scans; each number appears once.
fn merged<'t>(mut walks: Vec<Peekable<Walk<'t, u64>>>, newest: bool) -> Walk<'t, u64> {
    Box::new(std::iter::from_fn(move || {
        let heads = walks.iter_mut().filter_map(|walk| walk.peek().copied());
        let next = if newest { heads.max() } else { heads.min() }?;
        for walk in &mut walks {
            walk.next_if_eq(&next);
        }
        Some(next)
    }))
}
