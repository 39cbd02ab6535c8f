//! Keys that at most one action of a tenant holds.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::action::Action;
use super::words::{UnknownWord, words};

words! {
    /// Kind of key.
    KeyKind, "kind of key", {
        /// Held while the action is unfinished.
        Exclusive = 0 "exclusive",
        /// Held until the action is removed.
        Idempotency = 1 "idempotency",
    }
}

/// A key that at most one action of a tenant holds; see [`NewAction`](crate::NewAction#keys).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Tenant that the key belongs to.
    pub tenant: Arc<str>,
    /// Kind of key.
    pub kind: KeyKind,
    /// Text of the key.
    pub key: Arc<str>,
}

impl Key {
    pub(super) fn exclusive(tenant: &Arc<str>, key: &Arc<str>) -> Key {
        Key {
            tenant: tenant.clone(),
            kind: KeyKind::Exclusive,
            key: key.clone(),
        }
    }

    pub(super) fn idempotency(tenant: &Arc<str>, key: &Arc<str>) -> Key {
        Key {
            tenant: tenant.clone(),
            kind: KeyKind::Idempotency,
            key: key.clone(),
        }
    }

    /// Returns the keys that an action holds in its current state. A store that indexes them with the
    /// action can ignore [`WriteSet::keys_taken`](crate::spi::WriteSet) and `keys_freed`, if it
    /// removes the keys of all changed actions before it adds new ones.
    #[must_use]
    pub fn held_by(action: &Action) -> Vec<Key> {
        // Most actions have no keys.
        if action.exclusive.is_empty() && action.idempotency_key.is_none() {
            return Vec::new();
        }
        let exclusive = action.exclusive.iter().filter(|_| action.is_unfinished());
        let mut keys: Vec<Key> = exclusive
            .map(|key| Key::exclusive(&action.tenant, key))
            .collect();
        let idempotency = action.idempotency_key.as_ref();
        keys.extend(idempotency.map(|key| Key::idempotency(&action.tenant, key)));
        keys
    }

    /// Returns the key as bytes. Two different ones never have the same bytes. The bytes never
    /// change, so they can be stored.
    #[must_use]
    pub fn to_key(&self) -> Vec<u8> {
        // The length keeps "a" with "bc" apart from "ab" with "c".
        let length = u32::try_from(self.tenant.len()).unwrap_or(u32::MAX);
        let mut bytes = vec![self.kind.code()];
        bytes.extend(length.to_be_bytes());
        bytes.extend(self.tenant.bytes().chain(self.key.bytes()));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_keys_have_different_bytes() {
        let key = |kind, tenant: &str, key: &str| Key {
            tenant: tenant.into(),
            kind,
            key: key.into(),
        };
        let (exclusive, idempotency) = (KeyKind::Exclusive, KeyKind::Idempotency);
        let keys = [
            key(exclusive, "a", "bc"),
            key(exclusive, "ab", "c"),
            key(exclusive, "abc", ""),
            key(idempotency, "a", "bc"),
        ];
        let bytes: std::collections::BTreeSet<_> = keys.iter().map(Key::to_key).collect();
        assert_eq!(bytes.len(), keys.len());
        // Stored in databases.
        assert_eq!(keys[0].to_key(), b"\x00\x00\x00\x00\x01abc");
    }
}
