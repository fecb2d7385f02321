-- The accounts of which an unfinished import has records. Whether an account keeps something of a kind, and what a contact has of
-- it, may be known only in part there; and where the import has enrollments, which contacts were enrolled.
CREATE TABLE unfinished_accounts (
  account_id      bigint NOT NULL,
  import_id       bigint NOT NULL,
  has_enrollments boolean NOT NULL,
  PRIMARY KEY (account_id, import_id)
);
