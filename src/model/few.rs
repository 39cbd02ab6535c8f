//! A map for few entries.

use std::collections::HashMap;
use std::hash::Hash;

use super::short::Short;

/// A list of so many entries is searched from end to end; a longer one gets an index.
const LIST: usize = 8;

/// A map whose entries stand in the order in which they came. Nothing is ever taken out.
///
/// Nearly every transaction is about one action and one owner name, for which hashing would cost
/// more than all that is decided; a group commit is about thousands.
#[derive(Debug)]
pub(super) struct Few<K, V> {
    entries: Short<(K, V)>,
    /// Where each key stands, once the list is long.
    index: Option<HashMap<K, usize>>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Few<K, V> {
        Few {
            entries: Short::default(),
            index: None,
        }
    }
}

impl<K: Clone + Eq + Hash, V> Few<K, V> {
    fn position(&self, key: &K) -> Option<usize> {
        match &self.index {
            None => self.entries.iter().position(|(known, _)| known == key),
            Some(index) => index.get(key).copied(),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let position = self.position(key)?;
        self.entries.get(position).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let position = self.position(key)?;
        self.entries.get_mut(position).map(|(_, value)| value)
    }

    /// What stands under a key; what is made here if nothing does.
    pub(super) fn or_insert_with(&mut self, key: &K, value: impl FnOnce() -> V) -> &mut V {
        let position = match self.position(key) {
            Some(position) => position,
            None => self.push(key.clone(), value()),
        };
        &mut self.entries[position].1
    }

    fn push(&mut self, key: K, value: V) -> usize {
        let position = self.entries.len();
        if let Some(index) = &mut self.index {
            index.insert(key.clone(), position);
        } else if position == LIST {
            let known = self.entries.iter().map(|(key, _)| key).chain([&key]);
            self.index = Some(known.cloned().zip(0..).collect());
        }
        self.entries.push((key, value));
        position
    }

    /// All entries, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_however_many_there_are() {
        let mut few = Few::default();
        for key in 0..3 * LIST {
            assert_eq!(few.get(&key), None);
            *few.or_insert_with(&key, || 0) += key;
            // A second time it is there already.
            *few.or_insert_with(&key, || 1000) += 1;
            for known in 0..=key {
                assert_eq!(few.get(&known), Some(&(known + 1)), "of {}", key + 1);
                assert_eq!(few.get_mut(&known), Some(&mut (known + 1)));
            }
            assert_eq!(few.get(&(key + 1)), None);
        }
        let keys: Vec<usize> = few.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, (0..3 * LIST).collect::<Vec<_>>());
    }
}
