-- Imports that have begun and not come to their end. What they wrote of a contact may be only a part of what they bring, so
-- no enrollment of it is decided. `source` is a hash of what is imported: the same import goes on under its id.
CREATE TABLE unfinished_imports (
  import_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source     text NOT NULL UNIQUE,
  started_at timestamptz NOT NULL,
  seen_at    timestamptz NOT NULL
);

-- The import that wrote the contact, or took it out of a segment: of several unfinished ones the first, further ones stand in
-- `unfinished_contacts`.
ALTER TABLE contacts ADD COLUMN import_id bigint;
CREATE TABLE unfinished_contacts (
  account_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  import_id  bigint NOT NULL,
  PRIMARY KEY (account_id, contact_id, import_id)
);

-- The record came from a partial one alone: what it does not name, nobody knows.
ALTER TABLE contacts ADD COLUMN is_partial boolean NOT NULL DEFAULT FALSE;
ALTER TABLE objects ADD COLUMN is_partial boolean NOT NULL DEFAULT FALSE;
