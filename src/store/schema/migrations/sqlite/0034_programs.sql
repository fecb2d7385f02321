-- Programs create, change and delete records over HTTP.

-- The highest id that an account ever had; there once a program has created a record.
CREATE TABLE record_ids (
  account_id INTEGER PRIMARY KEY REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  last_id    INTEGER NOT NULL
);
-- Was the id given here, rather than by an import?
ALTER TABLE contacts ADD COLUMN has_given_id BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE objects ADD COLUMN has_given_id BOOLEAN NOT NULL DEFAULT FALSE;

-- What a token is for.
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '["console"]';
-- When the limit of its deletes was reached last.
ALTER TABLE tokens ADD COLUMN guard_tripped_at TEXT;
-- The token of a program's delete.
ALTER TABLE deletions ADD COLUMN token_id INTEGER;
CREATE INDEX deletions_token ON deletions (account_id, token_id, started_at) WHERE token_id IS NOT NULL;

-- How many contacts a program erased and when, for the limit of its token; nothing says whom.
CREATE TABLE program_erasures (
  account_id INTEGER NOT NULL,
  token_id   INTEGER NOT NULL,
  erased_at  TEXT NOT NULL,
  contacts   INTEGER NOT NULL,
  PRIMARY KEY (account_id, token_id, erased_at)
);

-- Properties of an account's own, by the one name of the type of their records.
CREATE TABLE property_definitions (
  account_id  INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  object_type TEXT NOT NULL,
  name        TEXT NOT NULL,
  label       TEXT NOT NULL,
  type        TEXT NOT NULL,
  field_type  TEXT NOT NULL,
  group_name  TEXT NOT NULL,
  options     TEXT NOT NULL,
  calculated  BOOLEAN NOT NULL,
  read_only   BOOLEAN NOT NULL,
  PRIMARY KEY (account_id, object_type, name)
);

-- When a record was changed last: a program asks for what changed since.
CREATE INDEX contacts_changed ON contacts
  (account_id, max(created_at, coalesce(updated_at, created_at), coalesce(restored_at, created_at)), contact_id);

-- Nothing leads to a record that was purged, or that an erasure deleted; an import could bring such associations again.
DELETE FROM associations
WHERE EXISTS (SELECT 1 FROM record_trash_entries e
              WHERE e.account_id = associations.account_id AND NOT e.is_activity AND e.closed_as = 'purged'
                AND (e.object_type = associations.from_type AND e.record_id = associations.from_id
                     OR e.object_type = associations.to_type AND e.record_id = associations.to_id))
   OR EXISTS (SELECT 1 FROM erased_records e
              WHERE e.account_id = associations.account_id
                AND (e.kind = associations.from_type AND e.record_id = associations.from_id
                     OR e.kind = associations.to_type AND e.record_id = associations.to_id));

-- With the label, so that SQLite does not prefer to walk all associations of an account.
DROP INDEX associations_to;
CREATE INDEX associations_to ON associations (account_id, to_type, to_id, from_type, from_id, label);
