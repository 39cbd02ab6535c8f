//! A map for few entries.

use std::collections::HashMap;
use std::hash::Hash;

/// A list of so many entries is searched from end to end; a longer one gets an index.
const LIST: usize = 8;

/// A map whose entries stand in the order in which they came. Nothing is ever taken out.
///
/// Nearly every transaction is about one action and one owner name, for which hashing would cost
/// more than all that is decided; a group commit is about thousands.
#[derive(Debug)]
pub(super) struct Few<K, V> {
    entries: Vec<(K, V)>,
    /// Where each key stands; empty while the list is short.
    index: HashMap<K, usize>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Few<K, V> {
        Few {
            entries: Vec::new(),
            index: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, V> Few<K, V> {
    fn position(&self, key: &K) -> Option<usize> {
        if self.entries.len() <= LIST {
            self.entries.iter().position(|(known, _)| known == key)
        } else {
            self.index.get(key).copied()
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
        let position = self.position(key).unwrap_or_else(|| {
            self.entries.push((key.clone(), value()));
            self.index_last();
            self.entries.len() - 1
        });
        &mut self.entries[position].1
    }

    fn index_last(&mut self) {
        let len = self.entries.len();
        // The first time the list is too long, those before it come in as well.
        let from = match len {
            0..=LIST => len,
            _ if self.index.is_empty() => 0,
            _ => len - 1,
        };
        let news = self.entries.iter().enumerate().skip(from);
        self.index
            .extend(news.map(|(position, (key, _))| (key.clone(), position)));
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
