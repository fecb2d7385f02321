-- The names of the properties that an account's records beside contacts ever had: `record_type` is that of objects and
-- activities, or `event:` and the type of custom events. A condition on any other asks for what is not kept.
CREATE TABLE related_properties (
  account_id  INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  record_type TEXT NOT NULL,
  name        TEXT NOT NULL,
  PRIMARY KEY (account_id, record_type, name)
);

INSERT INTO related_properties (account_id, record_type, name)
SELECT o.account_id, o.object_type, k.key FROM objects o, json_each(o.properties) k
UNION
SELECT v.account_id, v.type, k.key FROM activities v, json_each(v.properties) k
UNION
SELECT e.account_id, 'event:' || e.event_type_id, k.key
FROM custom_events e, json_each(e.properties) k;

-- The types of objects with which an account ever associated a contact.
CREATE TABLE kept_associations (
  account_id  INTEGER NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  object_type TEXT NOT NULL,
  PRIMARY KEY (account_id, object_type)
);

INSERT INTO kept_associations (account_id, object_type)
SELECT a.account_id, a.to_type FROM associations a WHERE a.from_type = 'contact'
UNION
SELECT a.account_id, a.from_type FROM associations a WHERE a.to_type = 'contact'
UNION
SELECT v.account_id, v.type FROM activities v
JOIN activity_associations l ON l.account_id = v.account_id AND l.activity_id = v.activity_id
WHERE l.object_type = 'contact';
