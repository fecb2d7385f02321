-- What identifies erased people in rows that were theirs as well and that a legal hold keeps whole, until it is lifted.
CREATE TABLE owed_redactions (
  account_id  INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  owed_id     INTEGER PRIMARY KEY AUTOINCREMENT,
  table_name  TEXT NOT NULL,
  row_id      INTEGER NOT NULL,
  identifiers TEXT NOT NULL,
  UNIQUE (account_id, owed_id)
);
