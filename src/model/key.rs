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

    /// Returns the keys that an action holds in its current state.
    pub(super) fn held_by(action: &Action) -> Vec<Key> {
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
}
