-- The schema of the stores written by hand: the columns and indexes of ../compare/schema.sql in
-- PostgreSQL's types. No feed, no CHECKs, no triggers: that is in their favour.

CREATE TABLE actions_action (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  uid bytea NOT NULL UNIQUE,
  source bigint NOT NULL,
  name text NOT NULL,
  object text,
  related text,
  tenant text NOT NULL,
  actor text,
  parent bytea,
  retry_of bytea,
  correlation text,
  exclusive text,
  idempotency_key text,
  digest bytea NOT NULL,
  created_at bigint NOT NULL,
  status bigint NOT NULL,
  outcome bigint,
  progress bigint NOT NULL,
  step text,
  description text,
  attributes text,
  labels text,
  result text,
  error_code text,
  error_message text,
  error_detail text,
  warnings text,
  owner text,
  incarnation bytea,
  cancel_at bigint,
  cancel_by text,
  cancel_reason text,
  evidence_owner text,
  evidence_incarnation bytea,
  evidence_end bigint,
  evidence_seen_at bigint,
  evidence_by text,
  started_at bigint,
  finished_at bigint,
  last_seen_at bigint NOT NULL,
  version bigint NOT NULL,
  log_entries bigint NOT NULL,
  last_op bytea
);

CREATE INDEX ON actions_action (number) WHERE status < 2;
CREATE INDEX ON actions_action (owner, number) WHERE status < 2;
CREATE INDEX ON actions_action (owner, incarnation) WHERE status < 2;
CREATE INDEX ON actions_action (owner, number) WHERE status < 2 AND cancel_at IS NOT NULL;
CREATE INDEX ON actions_action (outcome, number) WHERE outcome > 0;
CREATE INDEX ON actions_action (tenant, number) WHERE tenant <> 'default';
CREATE INDEX ON actions_action (name, number);
CREATE INDEX ON actions_action (parent, number) WHERE parent IS NOT NULL;
CREATE INDEX ON actions_action (retry_of, number) WHERE retry_of IS NOT NULL;
CREATE INDEX ON actions_action (correlation, number) WHERE correlation IS NOT NULL;

CREATE TABLE actions_touch (
  object text NOT NULL,
  action bigint NOT NULL,
  PRIMARY KEY (object, action)
);

CREATE TABLE actions_log (
  entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  action bigint NOT NULL,
  kind bigint NOT NULL,
  version bigint NOT NULL,
  at bigint NOT NULL,
  status bigint NOT NULL,
  outcome bigint,
  progress bigint NOT NULL,
  step text,
  owner text,
  incarnation bytea,
  by text,
  op bytea,
  note text
);

CREATE UNIQUE INDEX ON actions_log (action, version, (kind = 7));
CREATE UNIQUE INDEX ON actions_log (action) WHERE kind = 7;
