-- The vendor's API for activities.

ALTER TABLE activities ADD COLUMN updated_at TEXT;
-- Was the id given here, rather than by an import?
ALTER TABLE activities ADD COLUMN has_given_id BOOLEAN NOT NULL DEFAULT FALSE;
