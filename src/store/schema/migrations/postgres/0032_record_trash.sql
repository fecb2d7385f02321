-- Records that are no contacts go to the trash too: an object or an activity is live while it has no deleted_at.

ALTER TABLE objects ADD COLUMN deleted_at timestamptz;
ALTER TABLE activities ADD COLUMN deleted_at timestamptz;

-- Entries of their own: those of contacts are known by the contact alone. An activity is known by its id, whatever its type, and an
-- object by its type and id. A closed entry stays, with ids and times: a purged record never comes back by an import.
CREATE TABLE record_trash_entries (
  account_id  bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  entry_id    bigint GENERATED ALWAYS AS IDENTITY,
  object_type text NOT NULL,
  record_id   bigint NOT NULL,
  is_activity boolean NOT NULL,
  deleted_at  timestamptz NOT NULL,
  deleted_by  text NOT NULL CHECK (deleted_by IN ('user', 'import')),
  user_id     bigint,
  deletion_id bigint,
  closed_at   timestamptz,
  closed_as   text,
  PRIMARY KEY (account_id, entry_id)
);
CREATE UNIQUE INDEX record_trash_entries_object ON record_trash_entries (account_id, object_type, record_id)
  WHERE closed_at IS NULL AND NOT is_activity;
CREATE UNIQUE INDEX record_trash_entries_activity ON record_trash_entries (account_id, record_id)
  WHERE closed_at IS NULL AND is_activity;
CREATE INDEX record_trash_entries_due ON record_trash_entries (deleted_at) WHERE closed_at IS NULL;
CREATE INDEX record_trash_entries_purged ON record_trash_entries (account_id, object_type, record_id)
  WHERE closed_as = 'purged';

CREATE VIEW crm_objects AS
SELECT account_id, object_type, object_id, properties, history, created_at, updated_at
FROM objects
WHERE deleted_at IS NULL;

-- An association shows if and only if both its ends live.
CREATE OR REPLACE VIEW crm_associations AS
SELECT a.account_id, a.from_type, a.from_id, a.to_type, a.to_id, a.label, a.association_type_id
FROM associations a
WHERE CASE a.from_type
        WHEN 'contact' THEN EXISTS (SELECT 1 FROM crm_contacts c
                                    WHERE c.account_id = a.account_id AND c.contact_id = a.from_id)
        ELSE EXISTS (SELECT 1 FROM crm_objects o
                     WHERE o.account_id = a.account_id AND o.object_type = a.from_type AND o.object_id = a.from_id)
      END
  AND CASE a.to_type
        WHEN 'contact' THEN EXISTS (SELECT 1 FROM crm_contacts c
                                    WHERE c.account_id = a.account_id AND c.contact_id = a.to_id)
        ELSE EXISTS (SELECT 1 FROM crm_objects o
                     WHERE o.account_id = a.account_id AND o.object_type = a.to_type AND o.object_id = a.to_id)
      END;

CREATE OR REPLACE VIEW crm_activity_associations AS
SELECT l.account_id, l.activity_id, a.type, l.object_type, l.object_id
FROM activity_associations l
JOIN activities a ON a.account_id = l.account_id AND a.activity_id = l.activity_id
WHERE NOT a.stub AND a.deleted_at IS NULL
  AND CASE l.object_type
        WHEN 'contact' THEN EXISTS (SELECT 1 FROM crm_contacts c
                                    WHERE c.account_id = l.account_id AND c.contact_id = l.object_id)
        ELSE EXISTS (SELECT 1 FROM crm_objects o
                     WHERE o.account_id = l.account_id AND o.object_type = l.object_type
                       AND o.object_id = l.object_id)
      END;

-- Reports count an activity in the trash too.
CREATE OR REPLACE VIEW crm_activities AS
SELECT a.account_id, a.activity_id, a.type, a.occurred_at, a.stub,
       CAST((SELECT min(l.object_id)
             FROM activity_associations l
             JOIN crm_contacts c ON c.account_id = l.account_id AND c.contact_id = l.object_id
             WHERE l.account_id = a.account_id AND l.activity_id = a.activity_id
               AND l.object_type = 'contact') AS text) AS contact,
       a.deleted_at IS NOT NULL AS in_trash
FROM activities a;

CREATE OR REPLACE VIEW crm_page_calls AS
SELECT a.account_id, a.activity_id AS id, a.contact
FROM crm_activities a
WHERE a.type = 'call' AND NOT a.stub AND NOT a.in_trash;

CREATE OR REPLACE VIEW crm_page_tasks AS
SELECT a.account_id, a.activity_id AS id, a.contact
FROM crm_activities a
WHERE a.type = 'task' AND NOT a.stub AND NOT a.in_trash;

CREATE OR REPLACE VIEW crm_page_tickets AS
SELECT o.account_id, o.object_id AS id, o.properties ->> 'subject' AS subject,
       CAST((SELECT min(e.contact_id)
             FROM (SELECT a.from_id AS contact_id FROM associations a
                   WHERE a.account_id = o.account_id AND a.to_type = 'ticket' AND a.to_id = o.object_id
                     AND a.from_type = 'contact'
                     AND EXISTS (SELECT 1 FROM crm_contacts c
                                 WHERE c.account_id = a.account_id AND c.contact_id = a.from_id)
                   UNION ALL
                   SELECT a.to_id FROM associations a
                   WHERE a.account_id = o.account_id AND a.from_type = 'ticket' AND a.from_id = o.object_id
                     AND a.to_type = 'contact'
                     AND EXISTS (SELECT 1 FROM crm_contacts c
                                 WHERE c.account_id = a.account_id AND c.contact_id = a.to_id)) e) AS text) AS contact
FROM objects o
WHERE o.object_type = 'ticket' AND o.deleted_at IS NULL;

CREATE OR REPLACE VIEW crm_page_company AS
SELECT account_id, object_id AS id, properties ->> 'name' AS name,
       properties ->> 'lifecyclestage' AS lifecycle_stage
FROM objects
WHERE object_type = 'company' AND deleted_at IS NULL;
