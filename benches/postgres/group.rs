//! A group of writes as one statement: `UNNEST`, and one CTE.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::contestant::{Change, NAME, New, Owner, life, now};

/// $1 to $4 are the new actions, $5 to $11 the changes, then the name, the owner and the time.
const WRITE: &str = "\
WITH new AS ( \
  INSERT INTO actions_action (uid, source, name, object, tenant, digest, created_at, status, \
    progress, description, last_seen_at, version, log_entries) \
  SELECT uid, 1, $12, object, 'default', digest, $15, 0, 0, description, $15, 1, 1 \
  FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::text[]) \
    AS n (uid, object, digest, description) \
  RETURNING number, uid, object), \
touched AS ( \
  INSERT INTO actions_touch (object, action) SELECT object, number FROM new), \
changed AS ( \
  UPDATE actions_action a SET status = c.status, outcome = c.outcome, progress = c.progress, \
    owner = $13, incarnation = $14, started_at = coalesce(a.started_at, $15), \
    finished_at = CASE WHEN c.outcome IS NOT NULL THEN $15 END, last_seen_at = $15, \
    version = a.version + 1, log_entries = a.log_entries + (c.kind IS NOT NULL)::int, \
    last_op = c.op \
  FROM unnest($5::bytea[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], \
    $10::bigint[], $11::bytea[]) AS c (uid, version, status, outcome, progress, kind, op) \
  WHERE a.uid = c.uid AND a.version = c.version \
  RETURNING a.number, a.uid, a.version, c.status, c.outcome, c.progress, c.kind, c.op), \
logged AS ( \
  INSERT INTO actions_log (action, kind, version, at, status, outcome, progress, owner, \
    incarnation, op) \
  SELECT number, 0, 1, $15, 0, NULL::bigint, 0, NULL, NULL, NULL FROM new \
  UNION ALL \
  SELECT number, kind, version, $15, status, outcome, progress, $13, $14, op \
  FROM changed WHERE kind IS NOT NULL) \
SELECT uid FROM new UNION ALL SELECT uid FROM changed";

/// Writes of different actions.
#[derive(Debug, Default)]
pub struct Group {
    new_uids: Vec<Vec<u8>>,
    objects: Vec<String>,
    digests: Vec<Vec<u8>>,
    descriptions: Vec<&'static str>,
    uids: Vec<Vec<u8>>,
    versions: Vec<i64>,
    statuses: Vec<i64>,
    outcomes: Vec<Option<i64>>,
    progress: Vec<i64>,
    kinds: Vec<Option<i64>>,
    ops: Vec<Vec<u8>>,
}

impl Group {
    pub fn create(&mut self, new: &New) {
        let record = new.record(0);
        self.new_uids.push(record.uid);
        self.objects.push(new.object.clone());
        self.digests.push(record.digest);
        self.descriptions.push(new.description);
    }

    pub fn change(&mut self, change: Change) {
        let (status, outcome, progress) = change.kind.state();
        self.uids.push(change.uid.as_bytes().to_vec());
        self.versions.push(change.version);
        self.statuses.push(status);
        self.outcomes.push(outcome);
        self.progress.push(progress);
        self.kinds.push(change.kind.entry());
        self.ops.push(Uuid::now_v7().as_bytes().to_vec());
    }

    /// Writes the group as one transaction. Returns the uids of those that met their version.
    pub async fn write(&self, connection: &mut PgConnection, owner: &Owner) -> HashSet<Vec<u8>> {
        let written: Vec<Vec<u8>> = sqlx::query_scalar(WRITE)
            .bind(&self.new_uids)
            .bind(&self.objects)
            .bind(&self.digests)
            .bind(&self.descriptions)
            .bind(&self.uids)
            .bind(&self.versions)
            .bind(&self.statuses)
            .bind(&self.outcomes)
            .bind(&self.progress)
            .bind(&self.kinds)
            .bind(&self.ops)
            .bind(NAME)
            .bind(&owner.name)
            .bind(&owner.incarnation)
            .bind(now())
            .fetch_all(connection)
            .await
            .unwrap();
        written.into_iter().collect()
    }
}

/// Writes completed actions as fast as possible.
pub async fn fill(connection: &mut PgConnection, count: usize, owner: &Owner) -> Vec<Uuid> {
    let mut uids = Vec::with_capacity(count);
    for begin in (0..count).step_by(1000) {
        let (mut created, mut changed) = (Group::default(), [const { None::<Group> }; 5]);
        for row in begin..count.min(begin + 1000) {
            let new = New::of(row as u64 % 100);
            created.create(&new);
            uids.push(new.uid);
            for (group, change) in changed.iter_mut().zip(life(new.uid)) {
                group.get_or_insert_default().change(change);
            }
        }
        created.write(connection, owner).await;
        for group in changed.into_iter().flatten() {
            let written = group.write(connection, owner).await;
            assert_eq!(written.len(), group.uids.len());
        }
    }
    uids
}
