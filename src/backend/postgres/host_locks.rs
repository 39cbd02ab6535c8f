//! Advisory locks between hosts' transactions and the store's writers.
//!
//! A host's transaction locks the names that it uses: uids and keys, also of actions that do not
//! exist yet. A writer never waits for such a lock. It gives the batches back that have the name.
//!
//! The server's lock table is small (about 6,400 locks by default), and all programs share it. So a
//! writer locks names one by one only in the slots that hosts use.

use crate::model::{ReadSet, StoreId};

/// The numbers of the locks of a store. They have 64 bits: two names with the same number only wait
/// for each other without need.
#[derive(Debug, Clone)]
pub(super) struct HostLocks {
    base: u64,
    /// Shared by all hosts that write.
    pub(super) hosts: i64,
    /// Shared by hosts that commit as an owner, and taken by the writer to end an owner. PostgreSQL
    /// grants it in the order of requests, so hosts cannot starve a fence.
    pub(super) owners: i64,
    /// A name is in one of 256 slots: this number with the name's last 8 bits. Hosts share the slots
    /// of their names. A writer takes a slot that no host uses instead of its names.
    pub(super) slots: i64,
}

/// FNV-1a, which all versions of the library compute alike.
fn hash(mut hash: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

impl HostLocks {
    pub(super) fn new(store_id: StoreId) -> HostLocks {
        let base = hash(0xcbf2_9ce4_8422_2325, store_id.as_uuid().as_bytes());
        let of = |name: &[u8]| hash(base, name).cast_signed();
        HostLocks {
            base,
            hosts: of(b"hosts"),
            owners: of(b"owners"),
            slots: of(b"slots") & !0xff,
        }
    }

    /// Returns the locks of the names that a batch uses.
    pub(super) fn names(&self, read_set: &ReadSet) -> impl Iterator<Item = i64> {
        let base = self.base;
        let actions = read_set.actions().iter();
        let actions = actions.map(move |uid| hash(hash(base, b"a"), uid.as_uuid().as_bytes()));
        let keys = read_set.keys().iter().map(move |key| {
            let kind = [b'k', key.kind.code(), 0];
            let tenant = hash(hash(base, &kind), key.tenant.as_bytes());
            hash(hash(tenant, &[0]), key.key.as_bytes())
        });
        actions.chain(keys).map(u64::cast_signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Command, NewAction, read_set};

    #[test]
    fn each_name_of_a_store_has_a_lock_of_its_own() {
        let locks = HostLocks::new(StoreId::from_uuid(uuid::Uuid::nil()));
        let batch = Batch::each(vec![
            Command::create(NewAction::task("a").with_idempotency_key("k")),
            Command::create(
                NewAction::task("b")
                    .with_tenant("t")
                    .with_idempotency_key("k"),
            ),
        ]);
        let mut names: Vec<i64> = locks.names(&read_set(&batch).unwrap()).collect();
        names.extend([locks.hosts, locks.owners]);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 6);
        // Another version computes the same.
        assert_eq!(
            hash(0xcbf2_9ce4_8422_2325, b"foobar"),
            0x8594_4171_f739_67e8
        );
    }
}
