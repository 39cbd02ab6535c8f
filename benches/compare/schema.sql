-- The schema of the stores written by hand: tables, columns and indexes of the library's own
-- schema (migrations/sqlite/0001_actions.sql), under the same names, as pinned here. Without its
-- CHECKs and triggers: few write those by hand, and leaving them out is in the baseline's favour.
-- `schema.rs` compares this with the schema that ships, so that neither drifts from the other.

CREATE TABLE actions_action (
  number INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE,
  source INTEGER NOT NULL,
  name TEXT NOT NULL,
  object TEXT,
  related TEXT,
  tenant TEXT NOT NULL,
  actor TEXT,
  parent BLOB,
  retry_of BLOB,
  correlation TEXT,
  exclusive TEXT,
  idempotency_key TEXT,
  digest BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  status INTEGER NOT NULL,
  outcome INTEGER,
  progress INTEGER NOT NULL,
  step TEXT,
  description TEXT,
  attributes TEXT,
  labels TEXT,
  result TEXT,
  error_code TEXT,
  error_message TEXT,
  error_detail TEXT,
  warnings TEXT,
  owner TEXT,
  incarnation BLOB,
  cancel_at INTEGER,
  cancel_by TEXT,
  cancel_reason TEXT,
  evidence_owner TEXT,
  evidence_incarnation BLOB,
  evidence_end INTEGER,
  evidence_seen_at INTEGER,
  evidence_by TEXT,
  started_at INTEGER,
  finished_at INTEGER,
  last_seen_at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  log_entries INTEGER NOT NULL,
  last_op BLOB
) STRICT;

CREATE INDEX actions_action_unfinished ON actions_action (number) WHERE status < 2;
CREATE INDEX actions_action_owner ON actions_action (owner, number) WHERE status < 2;
CREATE INDEX actions_action_incarnation ON actions_action (owner, incarnation) WHERE status < 2;
CREATE INDEX actions_action_cancel ON actions_action (owner, number)
  WHERE status < 2 AND cancel_at IS NOT NULL;
CREATE INDEX actions_action_ended ON actions_action (outcome, number) WHERE outcome > 0;
CREATE INDEX actions_action_tenant ON actions_action (tenant, number) WHERE tenant <> 'default';
CREATE INDEX actions_action_name ON actions_action (name, number);
CREATE INDEX actions_action_parent ON actions_action (parent, number) WHERE parent IS NOT NULL;
CREATE INDEX actions_action_retry ON actions_action (retry_of, number) WHERE retry_of IS NOT NULL;
CREATE INDEX actions_action_correlation ON actions_action (correlation, number)
  WHERE correlation IS NOT NULL;

CREATE TABLE actions_touch (
  object TEXT NOT NULL,
  action INTEGER NOT NULL,
  PRIMARY KEY (object, action)
) STRICT, WITHOUT ROWID;

CREATE TABLE actions_feed (
  revision INTEGER PRIMARY KEY,
  action INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE actions_log (
  entry INTEGER PRIMARY KEY,
  action INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  version INTEGER NOT NULL,
  at INTEGER NOT NULL,
  status INTEGER NOT NULL,
  outcome INTEGER,
  progress INTEGER NOT NULL,
  step TEXT,
  owner TEXT,
  incarnation BLOB,
  by TEXT,
  op BLOB,
  note TEXT
) STRICT;

CREATE UNIQUE INDEX actions_log_action ON actions_log (action, version, (kind = 7));
CREATE UNIQUE INDEX actions_log_late ON actions_log (action) WHERE kind = 7;
