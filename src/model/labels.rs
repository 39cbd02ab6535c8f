//! Labels: short key=value pairs by which an action is found.

use std::sync::Arc;

use super::limits::{Invalid, Limits, at_most, without_control};

/// The labels of an action: pairs of a key and a value, in the order of their keys. A key appears
/// once.
///
/// Labels are set when the action is created and never change. An index finds the actions with a
/// label, so use them for what you search by, such as a region or a team. Use
/// [attributes](crate::NewAction::with_attributes) for what you only show.
///
/// Limits: [`Limits::LABELS`] pairs; a key has 1 to [`Limits::LABEL_KEY`] bytes and no `=`; a value
/// has 1 to [`Limits::LABEL_VALUE`] bytes; keys and values have no control characters. Labels beyond
/// these limits are refused, never cut. Keys and values are compared byte for byte.
///
/// ```
/// use action_store::action::Labels;
///
/// let labels = Labels::new().with("team", "storage").with("region", "eu-1");
/// assert_eq!(labels.get("region"), Some("eu-1"));
/// let keys: Vec<&str> = labels.iter().map(|(key, _)| key).collect();
/// assert_eq!(keys, ["region", "team"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Creates an empty set of labels.
    #[must_use]
    pub fn new() -> Labels {
        Labels::default()
    }

    /// Adds a label. Replaces the value if the key exists.
    #[must_use]
    pub fn with(self, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Labels {
        let (key, value) = (key.into(), value.into());
        let mut pairs = self.0.to_vec();
        match pairs.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => pairs[at] = (key, value),
            Err(at) => pairs.insert(at, (key, value)),
        }
        Labels(pairs.into())
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key));
        let (_, value) = self.0.get(at.ok()?)?;
        Some(value)
    }

    /// Returns the pairs, in the order of their keys.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Returns the pairs as they are kept.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.0.iter()
    }

    /// Returns the number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the labels of pairs that must be in the order of their keys, each key once.
    pub(crate) fn in_order(pairs: Vec<(Arc<str>, Arc<str>)>) -> Result<Labels, Invalid> {
        let labels = Labels(pairs.into());
        labels.check()?;
        Ok(labels)
    }

    /// Checks all limits, and the order of the keys.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        at_most("labels", self.len(), Limits::LABELS)?;
        for (key, value) in self.iter() {
            check_key(key)?;
            check_value(value)?;
        }
        match self.0.is_sorted_by(|one, next| one.0 < next.0) {
            true => Ok(()),
            false => Err(Invalid::new("labels", "are not in the order of their keys")),
        }
    }

    /// Returns the texts under which an index lists the action: the key and the
    /// [written form](label_text) of each label.
    pub(crate) fn index_texts(&self) -> impl Iterator<Item = Arc<str>> {
        let texts = |(key, value): &(Arc<str>, Arc<str>)| [key.clone(), label_text(key, value)];
        self.0.iter().flat_map(texts)
    }

    /// Returns the sum of the lengths.
    pub(super) fn bytes(&self) -> usize {
        self.iter()
            .map(|(key, value)| key.len() + value.len())
            .sum()
    }
}

/// Returns the written form of a label: `key=value`. It differs from every key, which has no `=`.
pub(crate) fn label_text(key: &str, value: &str) -> Arc<str> {
    format!("{key}={value}").into()
}

/// Checks the key of a label.
pub(super) fn check_key(key: &str) -> Result<(), Invalid> {
    without_control("labels", key, Limits::LABEL_KEY)?;
    match key.contains('=') {
        true => Err(Invalid::new(
            "labels",
            format!("the key {key:?} contains ="),
        )),
        false => Ok(()),
    }
}

/// Checks the value of a label.
pub(super) fn check_value(value: &str) -> Result<(), Invalid> {
    without_control("labels", value, Limits::LABEL_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_appears_once_and_keys_are_in_order() {
        let labels = Labels::new().with("b", "1").with("a", "2").with("b", "3");
        let pairs: Vec<_> = labels.iter().collect();
        assert_eq!(pairs, [("a", "2"), ("b", "3")]);
        assert_eq!(labels, Labels::new().with("a", "2").with("b", "3"));
        assert_eq!((labels.get("b"), labels.get("c")), (Some("3"), None));
        assert_eq!(labels.check(), Ok(()));
    }

    #[test]
    fn an_index_lists_each_key_and_each_pair() {
        let labels = Labels::new().with("region", "eu=1").with("team", "a");
        let texts: Vec<Arc<str>> = labels.index_texts().collect();
        assert_eq!(texts.len(), 4);
        assert_eq!(texts.join(" "), "region region=eu=1 team team=a");
    }

    #[test]
    fn a_bad_label_is_refused() {
        let long = |bytes| "x".repeat(bytes);
        let (key, value) = (long(Limits::LABEL_KEY), long(Limits::LABEL_VALUE));
        assert_eq!(Labels::new().with(key, value).check(), Ok(()));
        for (key, value) in [
            ("", "a"),
            ("a", ""),
            ("a=", "b"),
            ("=", "b"),
            ("a\n", "b"),
            ("a", "b\0"),
            (&long(Limits::LABEL_KEY + 1), "a"),
            ("a", &long(Limits::LABEL_VALUE + 1)),
        ] {
            let invalid = Labels::new().with(key, value).check().unwrap_err();
            assert_eq!(invalid.field, "labels", "{key:?} {value:?}");
        }
        let full =
            |count: usize| (0..count).fold(Labels::new(), |all, n| all.with(format!("k{n}"), "v"));
        assert_eq!(full(Limits::LABELS).check(), Ok(()));
        assert!(full(Limits::LABELS + 1).check().is_err());
        let pair = |key: &str| (Arc::from(key), Arc::from("v"));
        assert!(Labels::in_order(vec![pair("b"), pair("a")]).is_err());
        assert!(Labels::in_order(vec![pair("a"), pair("a")]).is_err());
    }
}
