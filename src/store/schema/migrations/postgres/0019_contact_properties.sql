-- The names of the properties that contacts of an account ever had: a condition on any other asks for what is not kept.
CREATE TABLE contact_properties (
  account_id bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  name       text NOT NULL,
  PRIMARY KEY (account_id, name)
);

INSERT INTO contact_properties (account_id, name)
SELECT c.account_id, k.name FROM contacts c CROSS JOIN LATERAL jsonb_object_keys(c.properties) AS k (name)
UNION
SELECT c.account_id, k.name FROM contacts c CROSS JOIN LATERAL jsonb_object_keys(c.history) AS k (name);
