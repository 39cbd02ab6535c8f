//! A list that most often has one entry.

use std::ops::{Deref, DerefMut};

/// A list, used as the slice it is. A single entry stands in the list itself: nearly every
/// transaction has one of everything, and room for each on the heap would cost more than all that
/// is decided.
#[derive(Debug, Clone)]
pub(super) enum Short<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> Default for Short<T> {
    fn default() -> Short<T> {
        Short::Many(Vec::new())
    }
}

impl<T> Short<T> {
    /// An empty list with room for so many.
    pub(super) fn with_capacity(count: usize) -> Short<T> {
        match count {
            0 | 1 => Short::default(),
            many => Short::Many(Vec::with_capacity(many)),
        }
    }

    pub(super) fn push(&mut self, value: T) {
        match self {
            Short::Many(list) if list.capacity() == 0 => *self = Short::One(value),
            Short::Many(list) => list.push(value),
            Short::One(_) => {
                if let Short::One(first) = std::mem::take(self) {
                    *self = Short::Many(vec![first, value]);
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Short::default();
    }

    /// Sorts it and leaves each entry once.
    pub(super) fn put_in_order(&mut self)
    where
        T: Ord,
    {
        if let Short::Many(list) = self {
            list.sort_unstable();
            list.dedup();
        }
    }
}

impl<T> Deref for Short<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Short::One(one) => std::slice::from_ref(one),
            Short::Many(list) => list,
        }
    }
}

impl<T> DerefMut for Short<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Short::One(one) => std::slice::from_mut(one),
            Short::Many(list) => list,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_a_vector_would_hold() {
        for room in 0..4 {
            let (mut short, mut vector) = (Short::with_capacity(room), Vec::new());
            assert!(short.is_empty());
            for value in [3, 1, 3, 2] {
                short.push(value);
                vector.push(value);
                assert_eq!(*short, *vector);
                let mut ordered = short.clone();
                ordered.put_in_order();
                let mut expected = vector.clone();
                expected.sort_unstable();
                expected.dedup();
                assert_eq!(*ordered, *expected);
                short[0] += 4;
                vector[0] += 4;
            }
            short.clear();
            assert!(short.is_empty());
        }
    }
}
