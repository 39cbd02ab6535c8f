-- Actions, their logs, their owners. Everything is named actions_*, in the schema that the host
-- chose: $schema is its quoted name.
--
-- The library's model decides what is written. The CHECKs and triggers here repeat its rules, so
-- that no other program can break them. Times are microseconds since the Unix epoch. Small integers
-- are the codes of the model's enums. Each line of a table begins with a column or a constraint:
-- the library reads this file to verify a schema.

-- The applied steps of this schema, and the versions that may still use it.
CREATE TABLE $schema.actions_schema (
  version bigint NOT NULL,
  min_reader bigint NOT NULL,  -- the oldest schema version whose libraries may read this
  min_writer bigint NOT NULL,  -- the oldest schema version whose libraries may write this
  applied_at bigint NOT NULL,
  CONSTRAINT actions_schema_pkey PRIMARY KEY (version)
);

-- One row: the identity of the store. Every writer locks it (FOR UPDATE) before it reads anything,
-- and no writer changes it.
CREATE TABLE $schema.actions_store (
  id bigint NOT NULL,
  store_id uuid NOT NULL,
  branch bigint NOT NULL DEFAULT 0,
  CONSTRAINT actions_store_pkey PRIMARY KEY (id),
  CONSTRAINT actions_store_one CHECK (id = 1),
  CONSTRAINT actions_store_branch CHECK (branch >= 0)
);

-- One row for each transaction that changed something. The newest row is the position of the store.
-- A row never changes, so that no version of a row has to be skipped to find it. It also shows
-- whether a transaction was committed. Old rows are deleted.
CREATE TABLE $schema.actions_commit (
  number bigint NOT NULL,
  id uuid NOT NULL,
  revision bigint NOT NULL,
  actions bigint NOT NULL,         -- as many as there are
  last_number bigint NOT NULL,     -- the newest place in creation order
  last_entry bigint NOT NULL,      -- the newest log entry
  pruned_through bigint NOT NULL,  -- the highest revision of all removed actions
  pruned_created bigint,           -- when the youngest action was created that was ever removed
  txid bigint NOT NULL DEFAULT txid_current(),  -- the transaction of this row
  marks_from bigint NOT NULL,      -- no transaction before this one has a mark that is not stamped
  CONSTRAINT actions_commit_pkey PRIMARY KEY (number),
  CONSTRAINT actions_commit_counts CHECK (number >= 0 AND revision >= 0 AND actions >= 0 AND last_number >= 0 AND last_entry >= 0),
  CONSTRAINT actions_commit_pruned CHECK (pruned_through BETWEEN 0 AND revision)
);

-- The branches that this one comes from, oldest first, and the end of each.
CREATE TABLE $schema.actions_branch (
  id bigint NOT NULL,
  branch bigint NOT NULL,
  revision bigint NOT NULL,
  last_number bigint NOT NULL,
  last_entry bigint NOT NULL,
  CONSTRAINT actions_branch_pkey PRIMARY KEY (id),
  CONSTRAINT actions_branch_branch_key UNIQUE (branch)
);

-- The current actions. `number` is the creation order and is never reused.
--
-- A row is columns for indexes, filters and rules, and one `body` with everything else, in the
-- library's stored form. uid, name, object, tenant, owner and incarnation are in their columns
-- alone. The other columns repeat a field of the body. The checksum in the body covers all fields.
CREATE TABLE $schema.actions_action (
  number bigint NOT NULL,
  created_at bigint NOT NULL,
  finished_at bigint,
  version bigint NOT NULL,
  uid uuid NOT NULL,
  status smallint NOT NULL,
  outcome smallint,
  flags smallint NOT NULL,  -- started (1), result (2), error (4), evidence (8), cancel requested (16), related objects (32)
  progress smallint NOT NULL,
  source smallint NOT NULL,
  incarnation uuid,
  parent uuid,
  retry_of uuid,
  name text COLLATE "C" NOT NULL,
  object text COLLATE "C",
  tenant text COLLATE "C" NOT NULL,
  actor text COLLATE "C",
  correlation text COLLATE "C",
  owner text COLLATE "C",
  body bytea NOT NULL,
  CONSTRAINT actions_action_pkey PRIMARY KEY (number),
  CONSTRAINT actions_action_uid_key UNIQUE (uid),
  CONSTRAINT actions_action_codes CHECK (status IN (0, 1, 2) AND (outcome IS NULL OR outcome IN (0, 1, 2, 3, 4)) AND source IN (0, 1, 2)),
  CONSTRAINT actions_action_flags CHECK (flags BETWEEN 0 AND 63),
  CONSTRAINT actions_action_progress CHECK (progress BETWEEN 0 AND 10000),
  CONSTRAINT actions_action_version CHECK (version >= 1),
  CONSTRAINT actions_action_texts CHECK (name <> '' AND object <> '' AND tenant <> '' AND actor <> '' AND correlation <> '' AND owner <> ''),
  CONSTRAINT actions_action_body CHECK (octet_length(body) > 0),
  CONSTRAINT actions_action_object CHECK (source <> 1 OR object IS NOT NULL),
  CONSTRAINT actions_action_owned CHECK ((owner IS NULL) = (incarnation IS NULL)),
  CONSTRAINT actions_action_outcome CHECK ((status = 2) = (outcome IS NOT NULL)),
  CONSTRAINT actions_action_finished_at CHECK ((status = 2) = (finished_at IS NOT NULL)),
  CONSTRAINT actions_action_unfinished_has CHECK (status = 2 OR flags & 14 = 0),
  CONSTRAINT actions_action_executing_has CHECK (status <> 1 OR (owner IS NOT NULL AND flags & 1 = 1)),
  CONSTRAINT actions_action_queued_has CHECK (status <> 0 OR flags & 1 = 0),
  CONSTRAINT actions_action_unstarted CHECK (flags & 1 = 1 OR (progress = 0 AND (outcome IS NULL OR outcome IN (1, 2, 3)))),
  CONSTRAINT actions_action_error CHECK (outcome IS NULL OR outcome NOT IN (1, 3, 4) OR flags & 4 = 4),
  CONSTRAINT actions_action_success CHECK (outcome IS NULL OR outcome <> 0 OR (flags & 4 = 0 AND progress = 10000)),
  CONSTRAINT actions_action_whole CHECK (progress < 10000 OR (outcome IS NOT NULL AND outcome = 0)),
  CONSTRAINT actions_action_evidence CHECK (outcome IS NULL OR outcome <> 4 OR flags & 8 = 8)
) WITH (fillfactor = 80);

-- Partial wherever most actions are outside the set: completed, succeeded, default tenant.
-- Its first column is the same in all rows. It is there so that the order of the index is not that of
-- the primary key: the planner would read that one, and skip the completed actions.
CREATE INDEX actions_action_unfinished ON $schema.actions_action ((status < 2), number) WHERE status < 2;
CREATE INDEX actions_action_owner ON $schema.actions_action (owner, number) WHERE status < 2;
-- Finds an incarnation's unfinished actions.
CREATE INDEX actions_action_incarnation ON $schema.actions_action (owner, incarnation) WHERE status < 2;
CREATE INDEX actions_action_cancel ON $schema.actions_action (owner, number) WHERE status < 2 AND flags & 16 = 16;
CREATE INDEX actions_action_ended ON $schema.actions_action (outcome, number) WHERE outcome > 0;
CREATE INDEX actions_action_tenant ON $schema.actions_action (tenant, number) WHERE tenant <> 'default';
CREATE INDEX actions_action_name ON $schema.actions_action (name, number);
CREATE INDEX actions_action_parent ON $schema.actions_action (parent, number) WHERE parent IS NOT NULL;
CREATE INDEX actions_action_retry ON $schema.actions_action (retry_of, number) WHERE retry_of IS NOT NULL;
CREATE INDEX actions_action_correlation ON $schema.actions_action (correlation, number) WHERE correlation IS NOT NULL;
-- The actions in the order of completion.
CREATE INDEX actions_action_finished ON $schema.actions_action (finished_at, number) WHERE finished_at IS NOT NULL;

-- Bounds of the creation and completion times of each block of 1024 numbers. A range of times is in
-- few blocks. The bounds are whole minutes: so a row changes once a minute, not with each action.
CREATE TABLE $schema.actions_block (
  block bigint NOT NULL,
  created_min bigint NOT NULL,
  created_max bigint NOT NULL,
  finished_min bigint,
  finished_max bigint,
  CONSTRAINT actions_block_pkey PRIMARY KEY (block)
);

-- Objects that an action touches: its subject and its related objects.
CREATE TABLE $schema.actions_touch (
  object text COLLATE "C" NOT NULL,
  action bigint NOT NULL,
  CONSTRAINT actions_touch_pkey PRIMARY KEY (object, action)
);

-- Labels of the actions: for each label a row with its key, and a row with `key=value`. A key has
-- no `=`.
CREATE TABLE $schema.actions_label (
  label text COLLATE "C" NOT NULL,
  action bigint NOT NULL,
  CONSTRAINT actions_label_pkey PRIMARY KEY (label, action)
);

-- Each action once, at its latest change. A separate table, because the wide row and all its index
-- entries would be rewritten.
CREATE TABLE $schema.actions_feed (
  revision bigint NOT NULL,
  action bigint NOT NULL,
  CONSTRAINT actions_feed_pkey PRIMARY KEY (action),
  CONSTRAINT actions_feed_revision_key UNIQUE (revision)
) WITH (fillfactor = 80);

-- The order of creation. A number that a transaction took and did not use is not used again.
CREATE SEQUENCE $schema.actions_number;

-- Numbers of the log entries that a host's own transaction writes, until the stamp.
CREATE SEQUENCE $schema.actions_unstamped MINVALUE 4611686018427387904;

-- One row for each write in a host's own transaction. The next transaction that takes the lock of
-- all writers stamps it: gives revisions and the numbers of log entries, and deletes the row.
CREATE TABLE $schema.actions_mark (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  answered boolean NOT NULL,     -- false if the host gave up the call before its answer
  actions bigint[] NOT NULL,     -- the actions that were created or changed, also if they were then removed
  created bigint NOT NULL,       -- as many of them are new, less those that were removed
  pruned_through bigint NOT NULL DEFAULT 0,  -- the highest revision of the removed actions
  pruned_created bigint,         -- when the youngest removed action was created
  owners bigint[] NOT NULL,      -- the incarnations that must be alive at the commit
  owners_lock bigint NOT NULL,   -- the advisory lock under which incarnations end
  txid bigint NOT NULL DEFAULT txid_current(),
  first_entry bigint NOT NULL DEFAULT nextval('$schema.actions_unstamped'),  -- its log entries have higher numbers
  CONSTRAINT actions_mark_pkey PRIMARY KEY (id)
);

-- Finds marks behind those of earlier transactions. While an old snapshot is open, these stay in
-- the index.
CREATE INDEX actions_mark_txid ON $schema.actions_mark (txid);

-- Log entries in the order of writing. `entry` is never reused. All fields have columns; `body` has
-- the checksum over them, and fields of a later version.
CREATE TABLE $schema.actions_log (
  entry bigint NOT NULL,
  action bigint NOT NULL,
  version bigint NOT NULL,
  at bigint NOT NULL,
  kind smallint NOT NULL,
  status smallint NOT NULL,
  outcome smallint,
  progress smallint NOT NULL,
  incarnation uuid,
  op uuid,
  owner text COLLATE "C",
  step text COLLATE "C",
  by text COLLATE "C",
  note text COLLATE "C",
  body bytea NOT NULL,
  CONSTRAINT actions_log_pkey PRIMARY KEY (entry),
  CONSTRAINT actions_log_codes CHECK (kind BETWEEN 0 AND 7 AND status IN (0, 1, 2) AND (outcome IS NULL OR outcome IN (0, 1, 2, 3, 4))),
  CONSTRAINT actions_log_numbers CHECK (version >= 1 AND progress BETWEEN 0 AND 10000),
  CONSTRAINT actions_log_owned CHECK ((owner IS NULL) = (incarnation IS NULL)),
  CONSTRAINT actions_log_body CHECK (octet_length(body) > 0)
);

-- One entry for each version. A late report (kind 7) is stored beside the entry of the version that
-- it found.
CREATE UNIQUE INDEX actions_log_action ON $schema.actions_log (action, version, (kind = 7));
CREATE UNIQUE INDEX actions_log_late ON $schema.actions_log (action) WHERE kind = 7;

-- Keys that at most one action of a tenant holds: exclusive (0) and idempotency (1).
CREATE TABLE $schema.actions_key (
  tenant text COLLATE "C" NOT NULL,
  kind smallint NOT NULL,
  key text COLLATE "C" NOT NULL,
  action bigint NOT NULL,
  CONSTRAINT actions_key_pkey PRIMARY KEY (tenant, kind, key),
  CONSTRAINT actions_key_kind CHECK (kind IN (0, 1))
);

-- Pinned completed actions, which are not removed.
CREATE TABLE $schema.actions_pin (
  action bigint NOT NULL,
  CONSTRAINT actions_pin_pkey PRIMARY KEY (action)
);

-- Incarnations: alive (0), fenced (1), released (2), disconnected (3). `body` is as in the log.
CREATE TABLE $schema.actions_owner (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  name text COLLATE "C" NOT NULL,
  incarnation uuid NOT NULL,
  state smallint NOT NULL,
  renewals bigint NOT NULL,
  claimed_at bigint NOT NULL,
  renewed_at bigint NOT NULL,
  ended_at bigint,
  body bytea NOT NULL,
  CONSTRAINT actions_owner_pkey PRIMARY KEY (id),
  CONSTRAINT actions_owner_name_incarnation_key UNIQUE (name, incarnation),
  CONSTRAINT actions_owner_name CHECK (name <> ''),
  CONSTRAINT actions_owner_state CHECK (state IN (0, 1, 2, 3)),
  CONSTRAINT actions_owner_renewals CHECK (renewals >= 0),
  CONSTRAINT actions_owner_body CHECK (octet_length(body) > 0),
  CONSTRAINT actions_owner_ended_at CHECK ((state = 0) = (ended_at IS NULL))
) WITH (fillfactor = 50);

-- A name has at most one living incarnation.
CREATE UNIQUE INDEX actions_owner_alive ON $schema.actions_owner (name) WHERE state = 0;
-- Counts the ended incarnations, and finds the latest one of a name.
CREATE INDEX actions_owner_ended ON $schema.actions_owner (name, id) WHERE state > 0;

-- Refuses a statement. Its argument is the reason.
CREATE FUNCTION $schema.actions_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'actions: ' || TG_ARGV[0];
END $$;

CREATE TRIGGER actions_owner_final BEFORE UPDATE ON $schema.actions_owner
  FOR EACH ROW WHEN (OLD.state <> 0)
  EXECUTE FUNCTION $schema.actions_refuse('an ended incarnation does not come back');

CREATE TRIGGER actions_action_completed BEFORE UPDATE ON $schema.actions_action
  FOR EACH ROW WHEN (OLD.status = 2)
  EXECUTE FUNCTION $schema.actions_refuse('a completed action does not change');

CREATE TRIGGER actions_action_forward BEFORE UPDATE ON $schema.actions_action
  FOR EACH ROW WHEN (NEW.status < OLD.status OR NEW.version <= OLD.version OR NEW.progress < OLD.progress OR NEW.flags & OLD.flags <> OLD.flags)
  EXECUTE FUNCTION $schema.actions_refuse('an action goes forward only');

CREATE TRIGGER actions_action_identity BEFORE UPDATE OF number, uid, source, name, object, tenant, actor, parent, retry_of, correlation, created_at ON $schema.actions_action
  FOR EACH ROW
  EXECUTE FUNCTION $schema.actions_refuse('what an action is does not change');

CREATE TRIGGER actions_action_unfinished_kept BEFORE DELETE ON $schema.actions_action
  FOR EACH ROW WHEN (OLD.status < 2)
  EXECUTE FUNCTION $schema.actions_refuse('an unfinished or pinned action is not removed');

CREATE FUNCTION $schema.actions_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM $schema.actions_pin WHERE action = OLD.number) THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'actions: an unfinished or pinned action is not removed';
  END IF;
  IF OLD.parent IS NOT NULL AND EXISTS (SELECT 1 FROM $schema.actions_action WHERE uid = OLD.parent AND status < 2) THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'actions: a part of an unfinished action is not removed';
  END IF;
  RETURN OLD;
END $$;

CREATE TRIGGER actions_action_kept BEFORE DELETE ON $schema.actions_action
  FOR EACH ROW EXECUTE FUNCTION $schema.actions_removal();

CREATE FUNCTION $schema.actions_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Arrays, so that the planner begins with them.
  DELETE FROM $schema.actions_log WHERE action = ANY (ARRAY(SELECT number FROM gone));
  DELETE FROM $schema.actions_feed WHERE action = ANY (ARRAY(SELECT number FROM gone));
  RETURN NULL;
END $$;

-- A trigger, not a foreign key: it need not look at rows when an action is inserted.
CREATE TRIGGER actions_action_removed AFTER DELETE ON $schema.actions_action
  REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION $schema.actions_removed();

CREATE TRIGGER actions_log_written BEFORE UPDATE ON $schema.actions_log
  FOR EACH ROW WHEN (OLD.entry < 4611686018427387904
    OR (OLD.action, OLD.version, OLD.at, OLD.kind, OLD.body) IS DISTINCT FROM (NEW.action, NEW.version, NEW.at, NEW.kind, NEW.body))
  EXECUTE FUNCTION $schema.actions_refuse('the log does not change');

-- A log is deleted with its action. Before, it loses its oldest steps and notes (kinds 2 and 3), and
-- then its oldest adoptions (5), if 256 entries stay. The newest entry is not deleted.
CREATE FUNCTION $schema.actions_log_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM $schema.actions_action WHERE number = OLD.action)
    AND (OLD.kind NOT IN (2, 3, 5)
      OR NOT EXISTS (SELECT 1 FROM $schema.actions_log WHERE action = OLD.action AND kind <> 7 AND version > OLD.version)
      OR (SELECT count(*) FROM $schema.actions_log WHERE action = OLD.action AND kind <> 7 AND (
        kind NOT IN (2, 3, 5)
        OR kind = 5 AND (OLD.kind <> 5 OR version > OLD.version)
        OR kind IN (2, 3) AND OLD.kind <> 5 AND version > OLD.version
      )) < 256 - (OLD.kind = 5)::int)
  THEN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'actions: the log is kept';
  END IF;
  RETURN OLD;
END $$;

CREATE TRIGGER actions_log_kept BEFORE DELETE ON $schema.actions_log
  FOR EACH ROW EXECUTE FUNCTION $schema.actions_log_kept();

-- TRUNCATE fires no DELETE trigger.
CREATE TRIGGER actions_action_truncated BEFORE TRUNCATE ON $schema.actions_action
  FOR EACH STATEMENT EXECUTE FUNCTION $schema.actions_refuse('an unfinished or pinned action is not removed');

CREATE TRIGGER actions_log_truncated BEFORE TRUNCATE ON $schema.actions_log
  FOR EACH STATEMENT EXECUTE FUNCTION $schema.actions_refuse('the log is kept');

CREATE TRIGGER actions_commit_written BEFORE UPDATE ON $schema.actions_commit
  FOR EACH ROW EXECUTE FUNCTION $schema.actions_refuse('what was committed does not change');

-- Refuses the commit of a host's transaction whose write was given up, or whose owner has ended.
CREATE FUNCTION $schema.actions_mark_holds() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM $schema.actions_mark WHERE id = NEW.id AND answered) THEN
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'actions: a write in this transaction was dropped before it answered';
  END IF;
  IF cardinality(NEW.owners) > 0 THEN
    -- Held until the commit is visible. An incarnation ends only under the exclusive lock.
    PERFORM pg_advisory_xact_lock_shared(NEW.owners_lock);
    IF (SELECT count(*) FROM $schema.actions_owner WHERE id = ANY (NEW.owners) AND state = 0) < cardinality(NEW.owners) THEN
      RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'actions: an owner in this transaction was fenced';
    END IF;
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER actions_mark_held AFTER INSERT ON $schema.actions_mark
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION $schema.actions_mark_holds();

-- Stamps what hosts have committed. Only for a transaction that has the lock of all writers.
-- Returns the value of marks_from. That value is only good in the server where it was written: a
-- database that was restored from a dump has other numbers, and its rows have another xmin.
CREATE FUNCTION $schema.actions_stamp() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  since bigint;
  last bigint;
BEGIN
  SELECT CASE WHEN c.xmin::text::bigint = c.txid & 4294967295 THEN c.marks_from ELSE 0 END INTO since
  FROM $schema.actions_commit AS c ORDER BY c.number DESC LIMIT 1;
  PERFORM 1 FROM $schema.actions_mark AS m WHERE m.txid >= since ORDER BY m.txid LIMIT 1;
  IF NOT FOUND THEN
    RETURN since;
  END IF;
  -- One statement, so that all parts see the same moment.
  WITH marks AS MATERIALIZED (
    SELECT id, actions, created, first_entry, pruned_through, pruned_created FROM $schema.actions_mark WHERE txid >= since
  ), changed AS MATERIALIZED (
    SELECT u.action, row_number() OVER (ORDER BY max(m.id), u.action) AS place
    FROM marks AS m CROSS JOIN LATERAL unnest(m.actions) AS u(action) GROUP BY u.action
  ), logged AS MATERIALIZED (
    SELECT entry, row_number() OVER (ORDER BY entry) AS place
    FROM $schema.actions_log
    -- The first condition tells the planner that there are few.
    WHERE entry >= 4611686018427387904 AND entry > (SELECT min(first_entry) FROM marks)
  ), newest AS MATERIALIZED (
    SELECT * FROM $schema.actions_commit ORDER BY number DESC LIMIT 1
  ), fed AS (
    INSERT INTO $schema.actions_feed (revision, action)
    SELECT n.revision + c.place, c.action FROM changed AS c CROSS JOIN newest AS n
    WHERE EXISTS (SELECT 1 FROM $schema.actions_action AS a WHERE a.number = c.action)
    ON CONFLICT (action) DO UPDATE SET revision = excluded.revision
  ), numbered AS (
    UPDATE $schema.actions_log AS l SET entry = n.last_entry + g.place
    FROM logged AS g CROSS JOIN newest AS n WHERE l.entry = g.entry
  ), bounds AS (
    INSERT INTO $schema.actions_block AS b (block, created_min, created_max, finished_min, finished_max)
    SELECT a.number / 1024,
      min(a.created_at) / 60000000 * 60000000 - 60000000, max(a.created_at) / 60000000 * 60000000 + 60000000,
      min(a.finished_at) / 60000000 * 60000000 - 60000000, max(a.finished_at) / 60000000 * 60000000 + 60000000
    FROM changed AS c JOIN $schema.actions_action AS a ON a.number = c.action
    GROUP BY a.number / 1024
    ON CONFLICT (block) DO UPDATE SET
      created_min = least(b.created_min, excluded.created_min),
      created_max = greatest(b.created_max, excluded.created_max),
      finished_min = least(b.finished_min, excluded.finished_min),
      finished_max = greatest(b.finished_max, excluded.finished_max)
  ), stamped AS (
    DELETE FROM $schema.actions_mark WHERE id IN (SELECT id FROM marks)
  )
  INSERT INTO $schema.actions_commit (number, id, revision, actions, last_number, last_entry, pruned_through, pruned_created, marks_from)
  SELECT n.number + 1, gen_random_uuid(), n.revision + (SELECT count(*) FROM changed),
    n.actions + (SELECT coalesce(sum(created), 0) FROM marks),
    greatest(n.last_number, (SELECT max(action) FROM changed)),
    n.last_entry + (SELECT count(*) FROM logged),
    -- A removed action has the revision of its last change, although the feed does not show it.
    greatest(n.pruned_through, (SELECT max(pruned_through) FROM marks), n.revision + (
      SELECT max(c.place) FROM changed AS c
      WHERE NOT EXISTS (SELECT 1 FROM $schema.actions_action AS a WHERE a.number = c.action))),
    greatest(n.pruned_created, (SELECT max(pruned_created) FROM marks)),
    txid_snapshot_xmin(txid_current_snapshot())
  FROM newest AS n
  RETURNING number, marks_from INTO last, since;
  IF last % 1024 = 0 THEN
    DELETE FROM $schema.actions_commit WHERE number <= last - 16384;
  END IF;
  RETURN since;
END $$;

-- The statements of each transaction are functions: PostgreSQL keeps what it has read of a function
-- for as long as a connection lives. Plans are kept of two that have no choice of an index: the others
-- are planned for the size that the tables have.

-- Begins a transaction of the store: takes the lock of all writers, stamps, and returns where the
-- store is. Returns no row if the store has no row of its own.
--
-- Each statement sees what was committed before it. So all of them follow the one that waits.
CREATE FUNCTION $schema.actions_begin(
  hosts bigint,    -- the lock that all hosts share while they write
  names bigint[],  -- the names of the transaction, or none if those that hosts hold are not asked for
  slots bigint,    -- the first lock of the slots of names
  creates bigint   -- new actions
)
  RETURNS TABLE (
  has_hosts boolean, held bigint[], marks_from bigint,
  revision bigint, pruned_through bigint, pruned_created bigint, actions bigint,
  last_number bigint, last_entry bigint, last_commit bigint,
  at bigint, txid bigint, places bigint[]
) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM $schema.actions_store AS s WHERE s.id = 1 FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  -- While this transaction has the lock, no host begins to write.
  has_hosts := NOT pg_try_advisory_xact_lock(hosts);
  -- A slot that no host uses stands for all its names, so that a large group does not fill the
  -- server's lock table. In the other slots, names beyond the first 1,000 count as held.
  IF has_hosts AND cardinality(names) > 0 THEN
    held := ARRAY(
      WITH slot AS MATERIALIZED (
        SELECT s.slot, pg_try_advisory_xact_lock(s.slot) AS is_free
        FROM (SELECT DISTINCT slots | (j.name & 255) AS slot FROM unnest(names) AS j(name)) AS s
      ), named AS MATERIALIZED (
        SELECT j.name, s.slot, s.is_free, count(*) FILTER (WHERE NOT s.is_free) OVER (ORDER BY j.place) AS place
        FROM unnest(names) WITH ORDINALITY AS j(name, place) JOIN slot AS s ON s.slot = slots | (j.name & 255)
      )
      SELECT n.name FROM named AS n WHERE NOT CASE WHEN n.is_free THEN true WHEN n.place > 1000 THEN false
        WHEN pg_try_advisory_xact_lock_shared(n.slot) THEN pg_try_advisory_xact_lock(n.name) ELSE false END
    );
  END IF;
  -- If the names are free, all commits of hosts that used them are stamped here.
  marks_from := $schema.actions_stamp();
  SELECT c.revision, c.pruned_through, c.pruned_created, c.actions, c.last_number, c.last_entry, c.number
  INTO revision, pruned_through, pruned_created, actions, last_number, last_entry, last_commit
  FROM $schema.actions_commit AS c ORDER BY c.number DESC LIMIT 1;
  at := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
  txid := txid_current();
  IF creates > 0 THEN
    places := ARRAY(SELECT nextval('$schema.actions_number') FROM generate_series(1, creates));
  END IF;
  RETURN NEXT;
END $$;

-- The actions of uids, each with what is said of it in other tables.
CREATE FUNCTION $schema.actions_named(uids uuid[])
  RETURNS TABLE (
  number bigint, uid uuid, name text, object text, tenant text, owner text, incarnation uuid, body bytea,
  is_pinned boolean, has_late_report boolean
) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT a.number, a.uid, a.name, a.object, a.tenant, a.owner, a.incarnation, a.body,
    EXISTS (SELECT 1 FROM $schema.actions_pin AS p WHERE p.action = a.number),
    EXISTS (SELECT 1 FROM $schema.actions_log AS l WHERE l.action = a.number AND l.kind = 7)
  FROM $schema.actions_action AS a WHERE a.uid = ANY (uids);
END $$;

-- The owners that are named, the living ones of these names, and those of the actions.
CREATE FUNCTION $schema.actions_owners_named(names text[], incarnations uuid[], uids uuid[])
  RETURNS SETOF $schema.actions_owner LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT o.* FROM $schema.actions_owner AS o WHERE o.id IN (
    SELECT o.id FROM unnest(names, incarnations) AS j(name, incarnation)
    JOIN $schema.actions_owner AS o ON o.name = j.name AND (o.incarnation = j.incarnation OR o.state = 0)
    UNION SELECT o.id
    FROM (SELECT DISTINCT a.owner, a.incarnation FROM $schema.actions_action AS a WHERE a.uid = ANY (uids)) AS j
    JOIN $schema.actions_owner AS o ON o.name = j.owner AND o.incarnation = j.incarnation
  ) ORDER BY o.id;
END $$;

-- Which of these actions have a log entry of these calls.
CREATE FUNCTION $schema.actions_ops(uids uuid[], ops uuid[])
  RETURNS TABLE (uid uuid, op uuid) LANGUAGE plpgsql AS $$
BEGIN
  -- Each log is read once.
  RETURN QUERY SELECT a.uid, l.op FROM (SELECT DISTINCT j.uid FROM unnest(uids) AS j(uid)) AS j
  JOIN $schema.actions_action AS a ON a.uid = j.uid
  JOIN $schema.actions_log AS l ON l.action = a.number
  WHERE l.op = ANY (ops);
END $$;

-- Gives the transaction as many milliseconds more as its actions have kilobytes: it takes time to
-- read and to plan large ones.
CREATE FUNCTION $schema.actions_more_time(uids uuid[])
  RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('idle_in_transaction_session_timeout',
    (3000 + coalesce(sum(octet_length(a.body)), 0) / 1000)::bigint::text, true)
  FROM $schema.actions_action AS a WHERE a.uid = ANY (uids);
END $$;

-- Writes new actions: one array for each column.
CREATE FUNCTION $schema.actions_create(text[], uuid[], uuid[], text[], bigint[], bigint[], uuid[], bigint[], text[], text[], text[], bigint[], bigint[], bigint[], text[], uuid[], bigint[], bigint[], bigint[], bytea[])
  RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  INSERT INTO $schema.actions_action (actor, parent, retry_of, correlation, number, flags, uid, source, name, object, tenant, created_at, status, outcome, owner, incarnation, finished_at, progress, version, body)
  SELECT actor, parent, retry_of, correlation, number, flags, uid, source, name, object, tenant, created_at, status, outcome, owner, incarnation, finished_at, progress, version, body
  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
    AS j(actor, parent, retry_of, correlation, number, flags, uid, source, name, object, tenant, created_at, status, outcome, owner, incarnation, finished_at, progress, version, body);
END $$;

-- Writes changed actions.
CREATE FUNCTION $schema.actions_change(bigint[], bigint[], bigint[], bigint[], text[], uuid[], bigint[], bigint[], bigint[], bytea[])
  RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE $schema.actions_action AS t SET flags = j.flags, status = j.status, outcome = j.outcome, owner = j.owner, incarnation = j.incarnation, finished_at = j.finished_at, progress = j.progress, version = j.version, body = j.body
  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    AS j(number, flags, status, outcome, owner, incarnation, finished_at, progress, version, body)
  WHERE t.number = j.number;
END $$;

-- Writes actions whose progress alone has changed.
CREATE FUNCTION $schema.actions_progress(bigint[], bigint[], bigint[], bytea[])
  RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE $schema.actions_action AS t SET progress = j.progress, version = j.version, body = j.body
  FROM unnest($1, $2, $3, $4)
    AS j(number, progress, version, body)
  WHERE t.number = j.number;
END $$;

-- Gives actions their latest revisions.
CREATE FUNCTION $schema.actions_move(bigint[], bigint[])
  RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE $schema.actions_feed AS t SET revision = j.revision
  FROM unnest($1, $2)
    AS j(action, revision)
  WHERE t.action = j.action;
END $$;

-- Writes log entries. Those of a host's own transaction have no number until the stamp.
CREATE FUNCTION $schema.actions_append(text[], text[], text[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], text[], uuid[], uuid[], bytea[])
  RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  INSERT INTO $schema.actions_log (step, by, note, entry, action, version, kind, at, status, outcome, progress, owner, incarnation, op, body)
  SELECT step, by, note, coalesce(entry, nextval('$schema.actions_unstamped')), action, version, kind, at, status, outcome, progress, owner, incarnation, op, body
  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    AS j(step, by, note, entry, action, version, kind, at, status, outcome, progress, owner, incarnation, op, body);
END $$;

-- Widens the bounds of blocks of actions. Leaves a block alone that is wide enough: its row would get
-- a new version with each commit.
CREATE FUNCTION $schema.actions_widen(bigint[], bigint[], bigint[], bigint[], bigint[])
  RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO $schema.actions_block AS b (block, created_min, created_max, finished_min, finished_max)
  SELECT j.* FROM unnest($1, $2, $3, $4, $5) AS j(block, created_min, created_max, finished_min, finished_max)
  WHERE NOT EXISTS (
    SELECT 1 FROM $schema.actions_block AS o WHERE o.block = j.block
    AND o.created_min <= coalesce(j.created_min, o.created_min)
    AND o.created_max >= coalesce(j.created_max, o.created_max)
    AND (j.finished_min IS NULL OR o.finished_min <= j.finished_min AND o.finished_max >= j.finished_max)
  )
  ON CONFLICT (block) DO UPDATE SET
    created_min = least(b.created_min, excluded.created_min),
    created_max = greatest(b.created_max, excluded.created_max),
    finished_min = least(b.finished_min, excluded.finished_min),
    finished_max = greatest(b.finished_max, excluded.finished_max);
END $$;

-- For people who look at the database.
CREATE VIEW $schema.actions_overview AS
SELECT number, uid, name, object, tenant, actor,
  CASE source WHEN 0 THEN 'task' WHEN 1 THEN 'state-machine' ELSE 'other' END AS source,
  CASE status WHEN 0 THEN 'queued' WHEN 1 THEN 'executing' ELSE 'completed' END AS status,
  CASE outcome WHEN 0 THEN 'succeeded' WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled'
    WHEN 3 THEN 'interrupted' WHEN 4 THEN 'lost' END AS outcome,
  progress / 100.0 AS percent,
  owner,
  flags & 16 = 16 AS cancel_requested,
  to_timestamp(created_at / 1000000.0) AS created,
  to_timestamp(finished_at / 1000000.0) AS finished,
  version
FROM $schema.actions_action;

CREATE VIEW $schema.actions_history AS
SELECT l.entry, a.uid, a.name, l.version,
  CASE l.kind WHEN 0 THEN 'created' WHEN 1 THEN 'started' WHEN 2 THEN 'step' WHEN 3 THEN 'noted'
    WHEN 4 THEN 'cancel-requested' WHEN 5 THEN 'adopted' WHEN 6 THEN 'finished'
    ELSE 'late-report' END AS kind,
  to_timestamp(l.at / 1000000.0) AS at,
  l.progress / 100.0 AS percent, l.step, l.owner, l.by, l.note
FROM $schema.actions_log AS l JOIN $schema.actions_action AS a ON a.number = l.action;

-- The result of this step: its entry in the ledger, and a store with its own identity.
INSERT INTO $schema.actions_schema (version, min_reader, min_writer, applied_at)
VALUES (1, 1, 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);

INSERT INTO $schema.actions_store (id, store_id) VALUES (1, gen_random_uuid());

INSERT INTO $schema.actions_commit (number, id, revision, actions, last_number, last_entry, pruned_through, marks_from)
VALUES (0, gen_random_uuid(), 0, 0, 0, 0, 0, 0);
