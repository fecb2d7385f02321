-- The vendor's API for activities.

ALTER TABLE activities ADD COLUMN updated_at timestamptz;
-- Was the id given here, rather than by an import?
ALTER TABLE activities ADD COLUMN has_given_id boolean NOT NULL DEFAULT FALSE;
