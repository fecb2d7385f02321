-- Addresses of erased and purged people, as keyed hashes. The status 'erased' marks the address itself; the others
-- are its bounces, spam reports, unsubscribes and quarantines, in force again when the address comes back.
CREATE TABLE address_hashes (
  account_id      INTEGER NOT NULL,
  hash            TEXT NOT NULL,
  status          TEXT NOT NULL,
  key_id          TEXT NOT NULL,
  at              TEXT NOT NULL,
  subscription_id TEXT,
  PRIMARY KEY (account_id, hash, status)
);

-- The key of the hashes, where no file holds it.
CREATE TABLE hash_keys (
  key_id   TEXT PRIMARY KEY,
  key_line TEXT NOT NULL
);

-- What an erasure did: counts, no person. contact_id is null where an address was unknown.
CREATE TABLE erasures (
  account_id INTEGER NOT NULL,
  erasure_id INTEGER PRIMARY KEY AUTOINCREMENT,
  contact_id INTEGER,
  at         TEXT NOT NULL,
  user_id    INTEGER NOT NULL,
  counts     TEXT NOT NULL,
  UNIQUE (account_id, erasure_id)
);

-- A contact under a hold can be neither erased nor purged.
CREATE TABLE legal_holds (
  account_id INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  set_by     TEXT NOT NULL,
  reason     TEXT NOT NULL,
  since      TEXT NOT NULL,
  PRIMARY KEY (account_id, contact_id)
);

-- When the last person of a quote was erased: from then on the schedule may delete it.
ALTER TABLE quotes ADD COLUMN orphaned_at TEXT;
CREATE INDEX quotes_orphaned ON quotes (orphaned_at) WHERE orphaned_at IS NOT NULL;
