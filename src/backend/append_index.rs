//! A list whose keys only grow.

use std::ops::Bound::{self, Excluded, Included, Unbounded};

/// Lists shorter than this are not compacted.
const FEW: usize = 64;

/// Values in the order of their numbers. Each new number is higher than all earlier ones.
///
/// New values are appended, which an ordered tree handles badly. A removed value leaves an empty
/// slot. The list is compacted when most slots are empty, so it has at most twice the slots it
/// needs. A removal has constant cost on average.
#[derive(Debug)]
pub(super) struct AppendIndex<T> {
    places: Vec<(u64, Option<T>)>,
    empty: usize,
}

impl<T> Default for AppendIndex<T> {
    fn default() -> AppendIndex<T> {
        AppendIndex {
            places: Vec::new(),
            empty: 0,
        }
    }
}

impl<T> AppendIndex<T> {
    /// Adds a value under a number that is higher than all earlier numbers.
    pub(super) fn push(&mut self, number: u64, value: T) {
        debug_assert!(self.places.last().is_none_or(|(last, _)| *last < number));
        self.places.push((number, Some(value)));
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        let place = self.place(number)?;
        self.places.get(place)?.1.as_ref()
    }

    pub(super) fn remove(&mut self, number: u64) {
        let place = self.place(number).and_then(|at| self.places.get_mut(at));
        if place.and_then(|(_, value)| value.take()).is_some() {
            self.empty += 1;
            if self.empty > FEW && self.empty > self.places.len() / 2 {
                self.places.retain(|(_, value)| value.is_some());
                self.empty = 0;
            }
        }
    }

    /// Returns the values within a range, in ascending order.
    pub(super) fn range(
        &self,
        (from, to): (Bound<u64>, Bound<u64>),
    ) -> impl DoubleEndedIterator<Item = (u64, &T)> {
        let below = |bound: u64| self.places.partition_point(|(number, _)| *number < bound);
        let up_to = |bound: u64| self.places.partition_point(|(number, _)| *number <= bound);
        let from = match from {
            Included(from) => below(from),
            Excluded(from) => up_to(from),
            Unbounded => 0,
        };
        let to = match to {
            Included(to) => up_to(to),
            Excluded(to) => below(to),
            Unbounded => self.places.len(),
        };
        let places = self.places.get(from..to).unwrap_or_default();
        let full = places.iter();
        full.filter_map(|(number, value)| Some((*number, value.as_ref()?)))
    }

    fn place(&self, number: u64) -> Option<usize> {
        let (first, _) = self.places.first()?;
        let furthest = usize::try_from(number.checked_sub(*first)?).ok()?;
        // The index is never higher than this, and equal to it until the first compaction.
        let there = self.places.get(furthest);
        if there.is_some_and(|(at, _)| *at == number) {
            return Some(furthest);
        }
        let places = self.places.get(..furthest).unwrap_or(&self.places);
        let found = places.binary_search_by_key(&number, |(number, _)| *number);
        found.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_holds_what_an_ordered_tree_would_hold() {
        let (mut list, mut tree) = (AppendIndex::default(), BTreeMap::new());
        let mut state = 1_u64;
        for number in (1..).step_by(3).take(2000) {
            list.push(number, -(number as i64));
            tree.insert(number, -(number as i64));
            // Removes two of three values; some of the numbers do not exist.
            for _ in 0..2 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let gone = (state >> 33) % (number + 2);
                list.remove(gone);
                tree.remove(&gone);
            }
            assert_eq!(list.get(number), tree.get(&number));
            assert!(list.places.len() <= FEW + 1 + 2 * tree.len());
        }
        let bounds = [
            Unbounded,
            Included(700),
            Excluded(700),
            Included(2500),
            Excluded(2500),
        ];
        for from in bounds {
            for to in bounds {
                let all: Vec<_> = list.range((from, to)).map(|(n, v)| (n, *v)).collect();
                let within = |n: &u64| std::ops::RangeBounds::contains(&(from, to), n);
                let known = tree.iter().filter(|(n, _)| within(n));
                assert_eq!(all, known.map(|(n, v)| (*n, *v)).collect::<Vec<_>>());
                let back: Vec<_> = list.range((from, to)).rev().map(|(n, _)| n).collect();
                assert!(back.iter().rev().eq(all.iter().map(|(n, _)| n)));
            }
        }
        assert_eq!(list.get(0), None);
    }
}
