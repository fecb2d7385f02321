-- A delete by a person: how many were confirmed, how far it is. It stays as the record, without saying what the
-- person asked for. It is carried out once frozen_at is set; given_up_at means that another took its place.
CREATE TABLE deletions (
  account_id  bigint NOT NULL,
  deletion_id bigint GENERATED ALWAYS AS IDENTITY,
  user_id     bigint NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('one', 'picked', 'segment', 'filter')),
  segment_id  bigint,
  confirmed   bigint NOT NULL,
  deleted     bigint NOT NULL,
  skipped     bigint NOT NULL,
  started_at  timestamptz NOT NULL,
  frozen_at   timestamptz,
  active_at   timestamptz NOT NULL,
  given_up_at timestamptz,
  finished_at timestamptz,
  PRIMARY KEY (account_id, deletion_id)
);
CREATE INDEX deletions_open ON deletions (account_id, user_id) WHERE finished_at IS NULL;

-- The contacts of a deletion whose turn is still to come.
CREATE TABLE deletion_items (
  account_id  bigint NOT NULL,
  deletion_id bigint NOT NULL,
  contact_id  bigint NOT NULL,
  PRIMARY KEY (account_id, deletion_id, contact_id)
);

-- Which delete by a person put the contact there.
ALTER TABLE trash_entries ADD COLUMN deletion_id bigint;
CREATE INDEX trash_entries_deletion ON trash_entries (account_id, deletion_id, contact_id)
  WHERE deletion_id IS NOT NULL;

-- And which rows of the audit are of it.
ALTER TABLE audit ADD COLUMN deletion_id bigint;
