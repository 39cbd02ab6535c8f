-- Actions, their logs, their owners. Everything is named actions_*.
--
-- The library's model decides what is written. The CHECKs and triggers here repeat its rules, so
-- that no other program can break them. Identities are 16-byte blobs. Times are microseconds since
-- the Unix epoch. Small integers are the codes of the model's enums.

-- The applied steps of this schema, and the versions that may still use it.
CREATE TABLE actions_schema (
  version INTEGER PRIMARY KEY,
  min_reader INTEGER NOT NULL,  -- the oldest schema version whose libraries may read this
  min_writer INTEGER NOT NULL,  -- the oldest schema version whose libraries may write this
  applied_at INTEGER NOT NULL
) STRICT;

-- One row: the position of the store.
CREATE TABLE actions_store (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  store_id BLOB NOT NULL CHECK (length(store_id) = 16),
  revision INTEGER NOT NULL DEFAULT 0 CHECK (revision >= 0),
  branch INTEGER NOT NULL DEFAULT 0 CHECK (branch >= 0),
  home TEXT,  -- the file this was in when it was last open: another one is a copy
  pruned_through INTEGER NOT NULL DEFAULT 0 CHECK (pruned_through BETWEEN 0 AND revision),
  actions INTEGER NOT NULL DEFAULT 0 CHECK (actions >= 0),  -- as many as there are
  pruned_created INTEGER,  -- when the youngest action was created that was ever removed
  last_number INTEGER NOT NULL DEFAULT 0,
  last_entry INTEGER NOT NULL DEFAULT 0,
  -- The transaction that was committed last. A writer whose commit failed reads it to learn
  -- whether that commit was applied.
  last_commit INTEGER NOT NULL DEFAULT 0,
  -- Grows with each commit that only makes durable what was found (see the library's writer).
  syncs INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The branches that this one comes from, oldest first, and the end of each.
CREATE TABLE actions_branch (
  id INTEGER PRIMARY KEY,
  branch INTEGER NOT NULL UNIQUE CHECK (branch >= 0),
  revision INTEGER NOT NULL CHECK (revision >= 0),
  last_number INTEGER NOT NULL CHECK (last_number >= 0),
  last_entry INTEGER NOT NULL CHECK (last_entry >= 0)
) STRICT;

-- The current actions. `number` is the creation order and is never reused.
--
-- A row is columns for indexes, filters and rules, and one `body` with everything else, in the
-- library's stored form. uid, name, object, tenant, owner and incarnation are in their columns
-- alone. The other columns repeat a field of the body. The checksum in the body covers all fields of the action.
CREATE TABLE actions_action (
  number INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  status INTEGER NOT NULL CHECK (status IN (0, 1, 2)),
  outcome INTEGER CHECK (outcome IN (0, 1, 2, 3, 4)),
  -- Bits that the rules below need of the body: started (1), result (2), error (4), evidence (8), cancel
  -- requested (16), related objects (32).
  flags INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 63),
  progress INTEGER NOT NULL CHECK (progress BETWEEN 0 AND 10000),
  version INTEGER NOT NULL CHECK (version >= 1),
  source INTEGER NOT NULL CHECK (source IN (0, 1, 2)),
  name TEXT NOT NULL CHECK (name <> ''),
  object TEXT CHECK (object <> ''),
  tenant TEXT NOT NULL CHECK (tenant <> ''),
  actor TEXT CHECK (actor <> ''),
  parent BLOB CHECK (length(parent) = 16),
  retry_of BLOB CHECK (length(retry_of) = 16),
  correlation TEXT CHECK (correlation <> ''),
  owner TEXT CHECK (owner <> ''),
  incarnation BLOB CHECK (length(incarnation) = 16),
  created_at INTEGER NOT NULL,
  finished_at INTEGER,
  body BLOB NOT NULL CHECK (length(body) > 0),

  CHECK (source <> 1 OR object IS NOT NULL),
  CHECK ((owner IS NULL) = (incarnation IS NULL)),
  -- Columns that a status requires or forbids.
  CHECK ((status = 2) = (outcome IS NOT NULL)),
  CHECK ((status = 2) = (finished_at IS NOT NULL)),
  CHECK (status = 2 OR flags & 14 = 0),
  CHECK (status <> 1 OR (owner IS NOT NULL AND flags & 1 = 1)),
  CHECK (status <> 0 OR flags & 1 = 0),
  CHECK (flags & 1 = 1 OR (progress = 0 AND (outcome IS NULL OR outcome IN (1, 2, 3)))),
  CHECK (outcome IS NULL OR outcome NOT IN (1, 3, 4) OR flags & 4 = 4),
  CHECK (outcome IS NULL OR outcome <> 0 OR (flags & 4 = 0 AND progress = 10000)),
  CHECK (progress < 10000 OR (outcome IS NOT NULL AND outcome = 0)),
  CHECK (outcome IS NULL OR outcome <> 4 OR flags & 8 = 8)
) STRICT;

-- Partial wherever most actions are outside the set: completed, succeeded, default tenant.
CREATE INDEX actions_action_unfinished ON actions_action (number) WHERE status < 2;
CREATE INDEX actions_action_owner ON actions_action (owner, number) WHERE status < 2;
-- Finds an incarnation's unfinished actions.
CREATE INDEX actions_action_incarnation ON actions_action (owner, incarnation) WHERE status < 2;
CREATE INDEX actions_action_cancel ON actions_action (owner, number)
  WHERE status < 2 AND flags & 16 = 16;
CREATE INDEX actions_action_ended ON actions_action (outcome, number) WHERE outcome > 0;
CREATE INDEX actions_action_tenant ON actions_action (tenant, number) WHERE tenant <> 'default';
CREATE INDEX actions_action_name ON actions_action (name, number);
CREATE INDEX actions_action_parent ON actions_action (parent, number) WHERE parent IS NOT NULL;
CREATE INDEX actions_action_retry ON actions_action (retry_of, number) WHERE retry_of IS NOT NULL;
CREATE INDEX actions_action_correlation ON actions_action (correlation, number)
  WHERE correlation IS NOT NULL;

-- The actions in the order of completion.
CREATE INDEX actions_action_finished ON actions_action (finished_at, number)
  WHERE finished_at IS NOT NULL;

-- The creation and completion times of each block of 1024 numbers. A range of times is in few
-- blocks. An index for creation times would cost 20 bytes an action.
CREATE TABLE actions_block (
  block INTEGER PRIMARY KEY,
  created_min INTEGER NOT NULL,
  created_max INTEGER NOT NULL,
  finished_min INTEGER,
  finished_max INTEGER
) STRICT;

CREATE TRIGGER actions_block_created AFTER INSERT ON actions_action
BEGIN
  INSERT INTO actions_block VALUES (
    NEW.number / 1024, NEW.created_at, NEW.created_at, NEW.finished_at, NEW.finished_at)
  ON CONFLICT (block) DO UPDATE SET
    created_min = min(created_min, excluded.created_min),
    created_max = max(created_max, excluded.created_max),
    finished_min = coalesce(min(finished_min, excluded.finished_min), finished_min,
      excluded.finished_min),
    finished_max = coalesce(max(finished_max, excluded.finished_max), finished_max,
      excluded.finished_max)
  WHERE excluded.created_min NOT BETWEEN created_min AND created_max
    OR (excluded.finished_min IS NOT NULL AND (finished_min IS NULL
      OR excluded.finished_min NOT BETWEEN finished_min AND finished_max));
END;

CREATE TRIGGER actions_block_finished AFTER UPDATE OF finished_at ON actions_action
WHEN NEW.finished_at IS NOT NULL
BEGIN
  UPDATE actions_block SET
    finished_min = coalesce(min(finished_min, NEW.finished_at), NEW.finished_at),
    finished_max = coalesce(max(finished_max, NEW.finished_at), NEW.finished_at)
  WHERE block = NEW.number / 1024 AND (finished_min IS NULL
    OR NEW.finished_at NOT BETWEEN finished_min AND finished_max);
END;

-- Objects that an action touches: its subject and its related objects.
CREATE TABLE actions_touch (
  object TEXT NOT NULL,
  action INTEGER NOT NULL,
  PRIMARY KEY (object, action)
) STRICT, WITHOUT ROWID;

-- Labels of the actions: for each label a row with its key, and a row with `key=value`. A key has
-- no `=`.
CREATE TABLE actions_label (
  label TEXT NOT NULL CHECK (label <> ''),
  action INTEGER NOT NULL,
  PRIMARY KEY (label, action)
) STRICT, WITHOUT ROWID;

-- Each action once, at its latest change. A separate table, because the wide row would be
-- rewritten.
CREATE TABLE actions_feed (
  revision INTEGER PRIMARY KEY,
  action INTEGER NOT NULL UNIQUE
) STRICT;

-- Log entries in the order of writing. `entry` is never reused. All fields have columns; `body` has
-- the checksum over them, and fields of a later version.
CREATE TABLE actions_log (
  entry INTEGER PRIMARY KEY,
  action INTEGER NOT NULL,
  kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 7),
  version INTEGER NOT NULL CHECK (version >= 1),
  at INTEGER NOT NULL,
  status INTEGER NOT NULL CHECK (status IN (0, 1, 2)),
  outcome INTEGER CHECK (outcome IN (0, 1, 2, 3, 4)),
  progress INTEGER NOT NULL CHECK (progress BETWEEN 0 AND 10000),
  step TEXT,
  owner TEXT,
  incarnation BLOB CHECK (length(incarnation) = 16),
  by TEXT,
  op BLOB CHECK (length(op) = 16),
  note TEXT,
  body BLOB NOT NULL CHECK (length(body) > 0),
  CHECK ((owner IS NULL) = (incarnation IS NULL))
) STRICT;

-- One entry for each version. A late report (kind 7) is stored beside the entry of the version that
-- it found.
CREATE UNIQUE INDEX actions_log_action ON actions_log (action, version, (kind = 7));
CREATE UNIQUE INDEX actions_log_late ON actions_log (action) WHERE kind = 7;

-- Keys that at most one action of a tenant holds: exclusive (0) and idempotency (1).
CREATE TABLE actions_key (
  tenant TEXT NOT NULL,
  kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
  key TEXT NOT NULL,
  action INTEGER NOT NULL,
  PRIMARY KEY (tenant, kind, key)
) STRICT, WITHOUT ROWID;

-- Pinned completed actions, which are not removed.
CREATE TABLE actions_pin (
  action INTEGER PRIMARY KEY
) STRICT;

-- Incarnations: alive (0), fenced (1), released (2), disconnected (3). `body` is as in the log.
CREATE TABLE actions_owner (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL CHECK (name <> ''),
  incarnation BLOB NOT NULL CHECK (length(incarnation) = 16),
  state INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3)),
  renewals INTEGER NOT NULL CHECK (renewals >= 0),
  claimed_at INTEGER NOT NULL,
  renewed_at INTEGER NOT NULL,
  ended_at INTEGER,
  body BLOB NOT NULL CHECK (length(body) > 0),
  UNIQUE (name, incarnation),
  CHECK ((state = 0) = (ended_at IS NULL))
) STRICT;

-- A name has at most one living incarnation.
CREATE UNIQUE INDEX actions_owner_alive ON actions_owner (name) WHERE state = 0;
-- Counts the ended incarnations, and finds the latest one of a name.
CREATE INDEX actions_owner_ended ON actions_owner (name, id, state) WHERE state > 0;

CREATE TRIGGER actions_owner_final BEFORE UPDATE ON actions_owner WHEN OLD.state <> 0
BEGIN
  SELECT RAISE(ABORT, 'actions: an ended incarnation does not come back');
END;

-- OR REPLACE would delete the replaced row without firing any delete trigger.
CREATE TRIGGER actions_action_replaced BEFORE INSERT ON actions_action
WHEN EXISTS (SELECT 1 FROM actions_action WHERE uid = NEW.uid)
  OR EXISTS (SELECT 1 FROM actions_action WHERE number = NEW.number)
BEGIN
  SELECT RAISE(ABORT, 'actions: there is such an action');
END;

-- AFTER, not BEFORE: after a BEFORE trigger, SQLite would read the whole row a second time.
CREATE TRIGGER actions_action_forward AFTER UPDATE ON actions_action
WHEN OLD.status = 2 OR NEW.status < OLD.status OR NEW.version <= OLD.version
  OR NEW.progress < OLD.progress OR NEW.flags & OLD.flags <> OLD.flags
BEGIN
  SELECT RAISE(ABORT, 'actions: a completed action does not change') WHERE OLD.status = 2;
  SELECT RAISE(ABORT, 'actions: an action goes forward only');
END;

CREATE TRIGGER actions_action_identity
BEFORE UPDATE OF number, uid, source, name, object, tenant, actor, parent, retry_of, correlation,
  created_at ON actions_action
BEGIN
  SELECT RAISE(ABORT, 'actions: what an action is does not change');
END;

CREATE TRIGGER actions_action_kept BEFORE DELETE ON actions_action
WHEN OLD.status < 2 OR EXISTS (SELECT 1 FROM actions_pin WHERE action = OLD.number)
BEGIN
  SELECT RAISE(ABORT, 'actions: an unfinished or pinned action is not removed');
END;

CREATE TRIGGER actions_action_part BEFORE DELETE ON actions_action
WHEN OLD.parent IS NOT NULL
  AND EXISTS (SELECT 1 FROM actions_action WHERE uid = OLD.parent AND status < 2)
BEGIN
  SELECT RAISE(ABORT, 'actions: a part of an unfinished action is not removed');
END;

-- Triggers, not foreign keys: a connection enforces foreign keys only if it enables them.
CREATE TRIGGER actions_action_removed AFTER DELETE ON actions_action
BEGIN
  UPDATE actions_store SET actions = actions - 1 WHERE id = 1;
  DELETE FROM actions_log WHERE action = OLD.number;
  DELETE FROM actions_feed WHERE action = OLD.number;
END;

CREATE TRIGGER actions_log_replaced BEFORE INSERT ON actions_log
WHEN EXISTS (SELECT 1 FROM actions_log WHERE entry = NEW.entry)
  OR EXISTS (SELECT 1 FROM actions_log
    WHERE action = NEW.action AND version = NEW.version AND (kind = 7) = (NEW.kind = 7))
BEGIN
  SELECT RAISE(ABORT, 'actions: there is such an entry');
END;

CREATE TRIGGER actions_log_written BEFORE UPDATE ON actions_log
BEGIN
  SELECT RAISE(ABORT, 'actions: the log does not change');
END;

-- A log is deleted with its action. Before, it loses its oldest steps and notes (kinds 2 and 3), and
-- then its oldest adoptions (5), if 256 entries stay. The newest entry is not deleted.
CREATE TRIGGER actions_log_kept BEFORE DELETE ON actions_log
WHEN EXISTS (SELECT 1 FROM actions_action WHERE number = OLD.action)
  AND (OLD.kind NOT IN (2, 3, 5)
    OR NOT EXISTS (SELECT 1 FROM actions_log
      WHERE action = OLD.action AND kind <> 7 AND version > OLD.version)
    OR (SELECT count(*) FROM actions_log WHERE action = OLD.action AND kind <> 7 AND (
      kind NOT IN (2, 3, 5)
      OR kind = 5 AND (OLD.kind <> 5 OR version > OLD.version)
      OR kind IN (2, 3) AND OLD.kind <> 5 AND version > OLD.version
    )) < 256 - (OLD.kind = 5))
BEGIN
  SELECT RAISE(ABORT, 'actions: the log is kept');
END;

-- For people who open the file with a tool of SQLite's.
CREATE VIEW actions_overview AS
SELECT number,
  lower(substr(hex(uid), 1, 8) || '-' || substr(hex(uid), 9, 4) || '-' || substr(hex(uid), 13, 4)
    || '-' || substr(hex(uid), 17, 4) || '-' || substr(hex(uid), 21)) AS uid,
  name, object, tenant, actor,
  CASE source WHEN 0 THEN 'task' WHEN 1 THEN 'state-machine' ELSE 'other' END AS source,
  CASE status WHEN 0 THEN 'queued' WHEN 1 THEN 'executing' ELSE 'completed' END AS status,
  CASE outcome WHEN 0 THEN 'succeeded' WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled'
    WHEN 3 THEN 'interrupted' WHEN 4 THEN 'lost' END AS outcome,
  progress / 100.0 AS percent,
  owner,
  flags & 16 = 16 AS cancel_requested,
  datetime(created_at / 1000000, 'unixepoch') AS created,
  datetime(finished_at / 1000000, 'unixepoch') AS finished,
  version
FROM actions_action;

CREATE VIEW actions_history AS
SELECT l.entry, lower(hex(a.uid)) AS uid, a.name, l.version,
  CASE l.kind WHEN 0 THEN 'created' WHEN 1 THEN 'started' WHEN 2 THEN 'step' WHEN 3 THEN 'noted'
    WHEN 4 THEN 'cancel-requested' WHEN 5 THEN 'adopted' WHEN 6 THEN 'finished'
    ELSE 'late-report' END AS kind,
  datetime(l.at / 1000000, 'unixepoch') AS at,
  l.progress / 100.0 AS percent, l.step, l.owner, l.by, l.note
FROM actions_log AS l JOIN actions_action AS a ON a.number = l.action;

-- The result of this step: its entry in the ledger, and a store with its own identity.
INSERT INTO actions_schema (version, min_reader, min_writer, applied_at)
VALUES (1, 1, 1, CAST(unixepoch('subsec') * 1000000 AS INTEGER));

INSERT INTO actions_store (id, store_id) VALUES (1, randomblob(16));
