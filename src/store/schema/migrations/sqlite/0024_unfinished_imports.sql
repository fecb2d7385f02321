-- Imports that have begun and not come to their end. What they wrote of a contact may be only a part of what they bring, so
-- no enrollment of it is decided. `source` is a hash of what is imported: the same import goes on under its id.
CREATE TABLE unfinished_imports (
  import_id  INTEGER PRIMARY KEY AUTOINCREMENT,
  source     TEXT NOT NULL UNIQUE,
  started_at TEXT NOT NULL,
  seen_at    TEXT NOT NULL
);

-- The import that wrote the contact, or took it out of a segment: of several unfinished ones the first, further ones stand in
-- `unfinished_contacts`.
ALTER TABLE contacts ADD COLUMN import_id INTEGER;
CREATE TABLE unfinished_contacts (
  account_id INTEGER NOT NULL,
  contact_id INTEGER NOT NULL,
  import_id  INTEGER NOT NULL,
  PRIMARY KEY (account_id, contact_id, import_id)
);

-- The record came from a partial one alone: what it does not name, nobody knows.
ALTER TABLE contacts ADD COLUMN is_partial BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE objects ADD COLUMN is_partial BOOLEAN NOT NULL DEFAULT FALSE;
