-- Lifecycle stages that were set by hand: a contact of the company left or returned, and the stage in place was not the derived
-- one. While a company has this stage (empty: none), it is not computed.
CREATE TABLE manual_stages (
  account_id bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  company_id bigint NOT NULL,
  stage      text NOT NULL,
  PRIMARY KEY (account_id, company_id)
);
