-- What identifies erased people in rows that were theirs as well and that a legal hold keeps whole, until it is lifted.
CREATE TABLE owed_redactions (
  account_id  bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  owed_id     bigint GENERATED ALWAYS AS IDENTITY,
  table_name  text NOT NULL,
  row_id      bigint NOT NULL,
  identifiers text NOT NULL,
  PRIMARY KEY (account_id, owed_id)
);
