-- Records that are no contacts: objects of any type, with their history and times, and what an account calls its own types.

ALTER TABLE objects ADD COLUMN history jsonb NOT NULL DEFAULT '{}';
ALTER TABLE objects ADD COLUMN created_at timestamptz;
ALTER TABLE objects ADD COLUMN updated_at timestamptz;

CREATE TABLE object_types (
  account_id               bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  object_type              text NOT NULL,
  singular                 text NOT NULL,
  plural                   text NOT NULL,
  primary_display_property text NOT NULL,
  PRIMARY KEY (account_id, object_type)
);
