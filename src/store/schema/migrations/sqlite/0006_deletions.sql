-- A delete by a person: how many were confirmed, how far it is. It stays as the record, without saying what the
-- person asked for. It is carried out once frozen_at is set; given_up_at means that another took its place.
CREATE TABLE deletions (
  account_id  INTEGER NOT NULL,
  deletion_id INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id     INTEGER NOT NULL,
  kind        TEXT NOT NULL CHECK (kind IN ('one', 'picked', 'segment', 'filter')),
  segment_id  INTEGER,
  confirmed   INTEGER NOT NULL,
  deleted     INTEGER NOT NULL,
  skipped     INTEGER NOT NULL,
  started_at  TEXT NOT NULL,
  frozen_at   TEXT,
  active_at   TEXT NOT NULL,
  given_up_at TEXT,
  finished_at TEXT,
  UNIQUE (account_id, deletion_id)
);
CREATE INDEX deletions_open ON deletions (account_id, user_id) WHERE finished_at IS NULL;

-- The contacts of a deletion whose turn is still to come.
CREATE TABLE deletion_items (
  account_id  INTEGER NOT NULL,
  deletion_id INTEGER NOT NULL,
  contact_id  INTEGER NOT NULL,
  PRIMARY KEY (account_id, deletion_id, contact_id)
);

-- Which delete by a person put the contact there.
ALTER TABLE trash_entries ADD COLUMN deletion_id INTEGER;
CREATE INDEX trash_entries_deletion ON trash_entries (account_id, deletion_id, contact_id)
  WHERE deletion_id IS NOT NULL;

-- And which rows of the audit are of it.
ALTER TABLE audit ADD COLUMN deletion_id INTEGER;
