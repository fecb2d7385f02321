-- The names of the properties that contacts of an account ever had: a condition on any other asks for what is not kept.
CREATE TABLE contact_properties (
  account_id INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  name       TEXT NOT NULL,
  PRIMARY KEY (account_id, name)
);

INSERT INTO contact_properties (account_id, name)
SELECT c.account_id, k.key FROM contacts c, json_each(c.properties) k
UNION
SELECT c.account_id, k.key FROM contacts c, json_each(c.history) k;
