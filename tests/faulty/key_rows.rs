//! Rows of keys that a faulty store uses for more than one key.

use std::collections::HashMap;
use std::sync::Arc;

use action_store::NewAction;

use super::Hole;

/// Length of a key in a store that cuts it.
const CUT: usize = 191;

/// The key that is in each row. A key that finds another one there takes the row, and the
/// store forgets the other key.
#[derive(Debug, Default)]
pub(super) struct KeyRows {
    rows: HashMap<String, (String, u32)>,
}

impl KeyRows {
    /// Replaces each key whose row another key has taken by a free key.
    pub(super) fn spoil(&mut self, hole: Hole, new: &mut NewAction) {
        let tenant = new.tenant.clone();
        for key in &mut new.exclusive {
            *key = self.key(hole, "exclusive", &tenant, key);
        }
        let once = new.idempotency_key.take();
        new.idempotency_key = once.map(|key| self.key(hole, "idempotency", &tenant, &key));
    }

    fn key(&mut self, hole: Hole, kind: &str, tenant: &str, key: &Arc<str>) -> Arc<str> {
        let whole = format!("{kind}\n{tenant}\n{key}");
        let row = match hole {
            Hole::MixesKindsOfKeys => format!("{tenant}\n{key}"),
            Hole::JoinsTenantAndKey => format!("{kind}\n{tenant}{key}"),
            Hole::JoinsTenantAndKeyByAColon => format!("{kind}\n{tenant}:{key}"),
            Hole::CutsKeys => {
                let cut: String = key.chars().take(CUT).collect();
                format!("{kind}\n{tenant}\n{cut}")
            }
            _ => return key.clone(),
        };
        let (holder, taken) = self.rows.entry(row).or_insert_with(|| (whole.clone(), 0));
        if *holder != whole {
            *taken += 1;
            *holder = whole;
        }
        match taken {
            0 => key.clone(),
            taken => format!("{}~{taken}", key.chars().take(CUT).collect::<String>()).into(),
        }
    }
}
