-- Which keys made the hashes of addresses, told by what makes none: a key that is lost or swapped is noticed.
CREATE TABLE hash_key_checks (
  key_id    text PRIMARY KEY,
  key_check text NOT NULL
);

-- A SQLite store whose files may still hold what was deleted; on PostgreSQL always empty.
CREATE TABLE owed_scrubs (
  owed_at timestamptz PRIMARY KEY
);
