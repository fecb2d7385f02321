-- Lifecycle stages that were set by hand: a contact of the company left or returned, and the stage in place was not the derived
-- one. While a company has this stage (empty: none), it is not computed.
CREATE TABLE manual_stages (
  account_id INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  company_id INTEGER NOT NULL,
  stage      TEXT NOT NULL,
  PRIMARY KEY (account_id, company_id)
) WITHOUT ROWID;
