-- Imports that have begun and not come to their end. What they wrote of a contact may be only a part of what they bring, so
-- no enrollment of it is decided. `source` is a hash of the file's path: the same import goes on under its id.
CREATE TABLE unfinished_imports (
  import_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source     text NOT NULL UNIQUE,
  started_at timestamptz NOT NULL
);

-- The import that wrote the contact last.
ALTER TABLE contacts ADD COLUMN import_id bigint;

-- The record came from a partial one alone: what it does not name, nobody knows.
ALTER TABLE contacts ADD COLUMN is_partial boolean NOT NULL DEFAULT FALSE;
ALTER TABLE objects ADD COLUMN is_partial boolean NOT NULL DEFAULT FALSE;
