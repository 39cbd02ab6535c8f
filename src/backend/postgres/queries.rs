//! The statements of a load. `$1` to `$10` are the values that [`load`](super::load) binds.

use std::sync::LazyLock;

use super::rows::{STORED_ACTION, STORED_OWNER};
use crate::model::Limits;

/// The lock that all writers take. Locking writes no new version of the row.
pub(super) const GATE: &str = "SELECT id FROM actions_store WHERE id = 1 FOR UPDATE";

/// The position of the store, and the number of the transaction that was committed last.
pub(super) const POSITION: &str = "SELECT revision, pruned_through, pruned_created, actions, last_number, last_entry, number \
     FROM actions_commit ORDER BY number DESC LIMIT 1";

/// The condition that a mark is not of a transaction whose marks were stamped long ago. `c` is the
/// newest commit. The number of its transaction is only good in the server where it was written.
const IS_RECENT: &str =
    "m.txid >= CASE WHEN c.xmin::text::bigint = c.txid & 4294967295 THEN c.marks_from ELSE 0 END";

/// The position, and whether a host has committed something that is not stamped yet.
pub(super) static READ_POSITION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT c.revision, c.pruned_through, c.pruned_created, c.actions, c.last_number, \
         c.last_entry, c.number, \
         (SELECT m.txid FROM actions_mark AS m WHERE {IS_RECENT} ORDER BY m.txid LIMIT 1) IS NOT NULL \
         FROM actions_commit AS c ORDER BY c.number DESC LIMIT 1"
    )
});

/// The position with the actions of commits that are not stamped yet. Pages in creation order have
/// them, too.
pub(super) static POSITION_WITH_MARKED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT c.revision, c.pruned_through, c.pruned_created, \
         c.actions + coalesce(n.created, 0), greatest(c.last_number, n.newest), \
         c.last_entry, c.number \
         FROM (SELECT *, xmin FROM actions_commit ORDER BY number DESC LIMIT 1) AS c CROSS JOIN LATERAL (\
         SELECT sum(m.created)::bigint AS created, \
         max((SELECT max(u.action) FROM unnest(m.actions) AS u(action))) AS newest \
         FROM actions_mark AS m WHERE {IS_RECENT}) AS n"
    )
});

/// Begins a transaction of the store: one row with whether a host's transaction writes, the names
/// that hosts hold, `marks_from`, and then as [`WITHIN`].
pub(super) const BEGIN: &str = "SELECT has_hosts, held, marks_from, revision, pruned_through, \
     pruned_created, actions, last_number, last_entry, last_commit, at, txid, places \
     FROM actions_begin($8, $7, $10, $9)";

/// The position of the store, the time, the identity of this transaction, and places in creation
/// order for up to $9 new actions.
pub(super) const WITHIN: &str = "SELECT c.revision, c.pruned_through, c.pruned_created, c.actions, \
     c.last_number, c.last_entry, c.number, \
     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, txid_current(), \
     ARRAY(SELECT nextval('actions_number') FROM generate_series(1, $9)) \
     FROM actions_commit AS c ORDER BY c.number DESC LIMIT 1";

/// The actions of uids ($1) and those that hold a key ($2), each with what is said of it in other
/// tables.
pub(super) static ACTIONS: LazyLock<String> = LazyLock::new(|| actions(NUMBERS));

pub(super) const NUMBERS: &str = "SELECT n.number FROM actions_action AS n WHERE n.uid = ANY ($1) \
     UNION SELECT k.action FROM unnest($2) AS j(tenant, kind, key) \
     JOIN actions_key AS k ON k.tenant = j.tenant AND k.kind = j.kind AND k.key = j.key";

/// The same without keys, which few batches have.
pub(super) static ACTIONS_BY_UID: LazyLock<String> = LazyLock::new(|| {
    let action = &*STORED_ACTION;
    format!("SELECT a.number, {action}, a.is_pinned, a.has_late_report FROM actions_named($1) AS a")
});

pub(super) const BESIDE: &str = "EXISTS (SELECT 1 FROM actions_pin AS p WHERE p.action = a.number), \
     EXISTS (SELECT 1 FROM actions_log AS l WHERE l.action = a.number AND l.kind = 7)";

pub(super) fn actions(numbers: &str) -> String {
    let action = &*STORED_ACTION;
    format!(
        "SELECT a.number, {action}, {BESIDE} FROM actions_action AS a WHERE a.number IN ({numbers})"
    )
}

/// The parents of actions ($5).
pub(super) static PARENTS: LazyLock<String> = LazyLock::new(|| {
    actions(
        "SELECT p.number FROM (SELECT c.parent FROM actions_action AS c WHERE c.uid = ANY ($5) \
         OFFSET 0) AS c JOIN actions_action AS p ON p.uid = c.parent",
    )
});

/// The latest revisions of actions ($5).
pub(super) const REVISIONS: &str = "SELECT n.uid, f.revision FROM actions_action AS n \
     JOIN actions_feed AS f ON f.action = n.number WHERE n.uid = ANY ($5)";

/// The operations ($3) that are in the logs of their actions.
pub(super) const OPS: &str = "SELECT o.uid, o.op FROM actions_ops($3) AS o";

pub(super) const KEYS: &str = "SELECT j.place - 1, k.action FROM unnest($2) WITH ORDINALITY AS j(tenant, kind, key, place) \
     JOIN actions_key AS k ON k.tenant = j.tenant AND k.kind = j.kind AND k.key = j.key";

/// The owners that are named ($4), the living ones of these names, and those of the actions.
pub(super) static OWNERS: LazyLock<String> = LazyLock::new(|| owners(NUMBERS));

/// The same without keys.
pub(super) static OWNERS_BY_UID: LazyLock<String> = LazyLock::new(|| {
    let owner = &*STORED_OWNER;
    format!("SELECT {owner} FROM actions_owners_named($4, $1) AS o")
});

pub(super) fn owners(numbers: &str) -> String {
    let owner = &*STORED_OWNER;
    format!(
        "SELECT {owner} FROM actions_owner AS o WHERE o.id IN (\
         SELECT o.id FROM unnest($4) AS j(name, incarnation) \
         JOIN actions_owner AS o ON o.name = j.name AND (o.incarnation = j.incarnation OR o.state = 0) \
         UNION SELECT o.id FROM actions_action AS a JOIN actions_owner AS o \
         ON o.name = a.owner AND o.incarnation = a.incarnation \
         WHERE a.number IN ({numbers})) ORDER BY o.id"
    )
}

/// Number of owners that have ended.
pub(super) const ENDED: &str = "SELECT count(*) FROM actions_owner WHERE state > 0";

/// Returns the condition that an owner has an unfinished action; `owner` is the name of its table in
/// the query.
pub(super) fn owns(owner: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM actions_action AS a WHERE a.status < 2 \
         AND (a.owner, a.incarnation) >= ({owner}.name, {owner}.incarnation) \
         AND (a.owner, a.incarnation) <= ({owner}.name, {owner}.incarnation) \
         ORDER BY a.owner, a.incarnation OFFSET 0)"
    )
}

/// The owners that may be forgotten, in the order that [`TxnState::put_ended`] expects. Up to $6
/// owners may end in this transaction, so it reads no more than it can then forget.
pub(super) static MAY_BE_FORGOTTEN: LazyLock<String> = LazyLock::new(|| {
    let (kept, most) = (Limits::ENDED_OWNERS, Limits::FORGOTTEN_OWNERS);
    let owns = owns("ended");
    format!(
        "SELECT ended.name, ended.incarnation FROM actions_owner AS ended \
         WHERE ended.state > 0 AND ({ENDED}) + $6 > {kept} AND NOT {owns} \
         AND NOT (ended.id = (SELECT max(l.id) FROM actions_owner AS l \
         WHERE l.name = ended.name AND l.state > 0) AND (EXISTS (SELECT 1 FROM actions_owner AS l \
         WHERE l.name = ended.name AND l.state = 0) \
         OR ended.name IN (SELECT j.name FROM unnest($4) AS j(name, incarnation)))) \
         ORDER BY ended.id LIMIT greatest(0, least(({ENDED}) + $6 - {kept}, {most} + $6))"
    )
});

/// Gives revisions and numbers to what hosts have committed in their own transactions.
pub(super) const STAMP: &str = "SELECT actions_stamp()";

/// The lock that all hosts share while they write.
pub(super) const HOSTS_ENTER: &str = "SELECT pg_advisory_xact_lock_shared($8)";

/// The slots ($10) of the names ($7) that a host's transaction writes. Hosts share them.
pub(super) const HOST_SLOTS: &str = "SELECT pg_advisory_xact_lock_shared(s.slot) FROM (\
     SELECT DISTINCT $10 | (j.name & 255) AS slot FROM unnest($7) AS j(name) ORDER BY slot) AS s";

/// The names ($7) that a host's transaction writes.
pub(super) const HOST_LOCKS: &str =
    "SELECT pg_advisory_xact_lock(j.name) FROM unnest($7) AS j(name)";

/// An action that is to be removed ($5), which another host's transaction has changed, and which is
/// not stamped yet. A stamp would wait for this transaction, with the lock of all writers.
pub(super) const UNSTAMPED: &str = "SELECT 1 FROM actions_mark AS m JOIN actions_action AS a ON a.number = ANY (m.actions) \
     WHERE a.uid = ANY ($5) AND m.txid <> txid_current() LIMIT 1";

/// The store of a connection, and whether each statement sees what was committed before it.
pub(super) const HOSTS_STORE: &str = "SELECT store_id, \
     current_setting('transaction_isolation') = 'read committed' FROM actions_store WHERE id = 1";
