//! Reads from a replica of the database.
//!
//! A replica replays the commits of the primary, some time later. A read uses it only if it shows
//! all commits that this store has seen. So a caller finds its own acknowledged writes, and
//! no later read shows an earlier moment.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;

use super::decode::Columns;
use super::load::read_stored;
use super::queries::READ_POSITION;
use super::script::Script;
use super::setup::Setup;
use super::source::ConnectionSlot;
use crate::error::StoreError;
use crate::model::StoreId;
use crate::spi::deadline::deadline;

/// Maximum time of a read, after which the primary is asked, and maximum time in which the primary
/// is asked again for a commit that the replica has shown.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Pause before the primary is asked again.
pub(super) const AGAIN: Duration = Duration::from_millis(2);

/// Time in which a replica that failed is not asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Time in which a replica that is behind is not asked again. A query that it answers too early runs
/// a second time on the primary.
const BEHIND: Duration = Duration::from_millis(20);

/// The URL of a replica. It may contain a password.
#[derive(Clone)]
pub(super) struct ReplicaUrl(pub(super) String);

impl fmt::Debug for ReplicaUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplicaUrl(..)")
    }
}

/// The number of the newest commit that this store has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct SeenCommit {
    any: Arc<AtomicI64>,
    /// The newest one that the replica has shown.
    on_replica: Arc<AtomicI64>,
}

impl SeenCommit {
    pub(super) fn has_seen(&self, number: i64) {
        self.any.fetch_max(number, Ordering::AcqRel);
    }
}

/// A replica as one reader uses it.
pub(super) struct Replica {
    pub(super) slot: ConnectionSlot,
    /// It is not asked before this time.
    pub(super) not_before: Option<Instant>,
}

/// Appends the statements that say which commits a read shows.
pub(super) fn push_position(script: &mut Script) {
    script.push(&READ_POSITION);
    script.push("SELECT store_id FROM actions_store WHERE id = 1");
}

/// Number of the statements of [`push_position`].
const POSITIONS: usize = 2;

/// The commits that a read shows.
struct Shown {
    commit: i64,
    /// Hosts have committed something that is not stamped yet, which only the primary can do.
    has_marks: bool,
    store_id: StoreId,
}

/// Removes the results of [`push_position`] and reads them.
fn take_shown(
    operation: &'static str,
    results: &mut Vec<Vec<PgRow>>,
) -> Result<Option<Shown>, StoreError> {
    let most = POSITIONS.min(results.len());
    let positions: Vec<PgRow> = results.drain(..most).flatten().collect();
    let [position, store] = positions.as_slice() else {
        return Ok(None);
    };
    let mut columns = Columns::new(operation, position);
    Ok(Some(Shown {
        commit: read_stored(&mut columns)?.last_commit,
        has_marks: columns.is_true()?,
        store_id: StoreId::from_uuid(Columns::new(operation, store).id()?),
    }))
}

/// Takes the results of [`push_position`] from a read of the primary. Returns false if the replica
/// has shown a later commit, unless `is_last` is set.
///
/// A replica may show a commit first: the primary sends it, and shows it when it is done with it,
/// for example when other standbys have it. A primary that took the place of a lost one may not have
/// it at all, so the wait for it has an end.
pub(super) fn see(
    operation: &'static str,
    seen: &SeenCommit,
    results: &mut Vec<Vec<PgRow>>,
    is_last: bool,
) -> Result<bool, StoreError> {
    let Some(shown) = take_shown(operation, results)? else {
        return Ok(true);
    };
    if shown.commit < seen.on_replica.load(Ordering::Acquire) {
        if !is_last {
            return Ok(false);
        }
        seen.on_replica.store(shown.commit, Ordering::Release);
    }
    // The next commit stamps the marks of hosts that this read has shown. If that one had looked
    // for marks before, the one after it does.
    seen.has_seen(shown.commit + 2 * i64::from(shown.has_marks));
    Ok(true)
}

impl Replica {
    /// Runs statements that read one moment. Returns `None` if the primary must be asked.
    pub(super) async fn run(
        &mut self,
        operation: &'static str,
        setup: &Setup,
        (store_id, seen): (StoreId, &SeenCommit),
        build: &(impl Fn(&mut Script) + Send + Sync),
    ) -> Option<Vec<Vec<PgRow>>> {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return None;
        }
        let mut script = Script::new();
        setup.begin_read(&mut script);
        let skipped = script.len();
        push_position(&mut script);
        build(&mut script);
        script.push("COMMIT");
        let results = deadline(PATIENCE, self.send(operation, script)).await;
        let Some(Some(mut results)) = results else {
            self.not_before = Some(Instant::now() + PAUSE);
            return None;
        };
        results.pop();
        results.drain(..skipped);
        let shown = take_shown(operation, &mut results).ok().flatten()?;
        let is_enough =
            shown.commit >= seen.any.load(Ordering::Acquire) && shown.store_id == store_id;
        if !is_enough || shown.has_marks {
            self.not_before = Some(Instant::now() + BEHIND);
            return None;
        }
        seen.has_seen(shown.commit);
        seen.on_replica.fetch_max(shown.commit, Ordering::AcqRel);
        Some(results)
    }

    async fn send(&mut self, operation: &'static str, script: Script) -> Option<Vec<Vec<PgRow>>> {
        let mut connection = self.slot.take(operation).await.ok()?;
        connection.enter();
        match connection.run(script).await {
            Ok(results) => {
                connection.leave();
                self.slot.hand_back(connection);
                Some(results)
            }
            Err(_) => {
                connection.throw_away().await;
                None
            }
        }
    }
}
