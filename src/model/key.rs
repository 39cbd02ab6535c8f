//! Keys that at most one action of a tenant holds.

use std::sync::Arc;

use super::action::Action;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Held while the action is unfinished.
    Exclusive,
    /// Held while the action is kept.
    Idempotency,
}

impl KeyKind {
    /// The small integer a table keeps. Settled for ever.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            KeyKind::Exclusive => 0,
            KeyKind::Idempotency => 1,
        }
    }
}

/// A key that at most one action of a tenant holds; see [`NewAction`](crate::NewAction#keys).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Within which tenant.
    pub tenant: Arc<str>,
    /// What it is for.
    pub kind: KeyKind,
    /// The key itself.
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

    /// The keys an action holds as it is.
    pub(super) fn held_by(action: &Action) -> Vec<Key> {
        // As most do.
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
