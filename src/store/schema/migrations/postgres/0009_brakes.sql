-- What somebody has paused. Account 0 stands for everything, workflow 0 for the whole account.
CREATE TABLE switches (
  account_id  bigint NOT NULL,
  workflow_id bigint NOT NULL,
  since       timestamptz NOT NULL,
  PRIMARY KEY (account_id, workflow_id)
);

-- Enrollments that are held or deferred, beside their rows of the ledger. ready_at: from when on one may be taken up
-- again; null where a person has to say more.
CREATE TABLE waiting_enrollments (
  account_id    bigint NOT NULL,
  enrollment_id bigint NOT NULL,
  action_id     bigint NOT NULL,
  workflow_id   bigint NOT NULL,
  reason        text NOT NULL,
  since         timestamptz NOT NULL,
  ready_at      timestamptz,
  approved      boolean NOT NULL,
  PRIMARY KEY (account_id, enrollment_id, action_id)
);
CREATE INDEX waiting_enrollments_ready ON waiting_enrollments (ready_at, account_id, enrollment_id, action_id)
  WHERE ready_at IS NOT NULL;
CREATE INDEX waiting_enrollments_held ON waiting_enrollments (account_id, workflow_id, reason) WHERE ready_at IS NULL;

-- The event that enrolled a contact, as long as the enrollment waits: it tells of the person, and goes with the person.
CREATE TABLE waiting_events (
  account_id    bigint NOT NULL,
  enrollment_id bigint NOT NULL,
  action_id     bigint NOT NULL,
  contact_id    bigint NOT NULL,
  event         text NOT NULL,
  PRIMARY KEY (account_id, enrollment_id, action_id),
  FOREIGN KEY (account_id, contact_id) REFERENCES contacts DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX waiting_events_contact ON waiting_events (account_id, contact_id);

-- Enrolled before is who was deleted, or still waits.
DROP INDEX ledger_enrolled;
CREATE INDEX ledger_enrolled ON ledger (account_id, workflow_id, object_id)
  WHERE outcome IN ('deleted', 'held', 'deferred');

-- Locked by whoever deletes by a workflow, until the commit: the guard counts exactly.
CREATE TABLE guarded_accounts (
  account_id bigint PRIMARY KEY
);

-- Deletions by workflows, by slots of time. Workflow 0 stands for all workflows of the account.
CREATE TABLE guard_counts (
  account_id   bigint NOT NULL,
  workflow_id  bigint NOT NULL,
  slot_ends_at timestamptz NOT NULL,
  deletions    bigint NOT NULL,
  PRIMARY KEY (account_id, workflow_id, slot_ends_at)
);

-- How many live contacts an account has: the sum of what was written whenever their number changed.
CREATE TABLE contact_counts (
  account_id bigint NOT NULL,
  count_id   bigint GENERATED ALWAYS AS IDENTITY,
  change     bigint NOT NULL,
  PRIMARY KEY (account_id, count_id)
);
INSERT INTO contact_counts (account_id, change)
  SELECT account_id, count(*) FROM contacts WHERE deleted_at IS NULL GROUP BY account_id;
