-- Records that are no contacts: objects of any type, with their history and times, and what an account calls its own types.

ALTER TABLE objects ADD COLUMN history TEXT NOT NULL DEFAULT '{}';
ALTER TABLE objects ADD COLUMN created_at TEXT;
ALTER TABLE objects ADD COLUMN updated_at TEXT;

CREATE TABLE object_types (
  account_id               INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  object_type              TEXT NOT NULL,
  singular                 TEXT NOT NULL,
  plural                   TEXT NOT NULL,
  primary_display_property TEXT NOT NULL,
  PRIMARY KEY (account_id, object_type)
);
